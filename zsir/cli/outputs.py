"""Which file becomes which: inputs and folders in, names of results out, nothing written twice or over an input."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zsir.errors import BadInput, BadSpec, OutputError

#: the maps that go with the mean of several samples
MAP_ENDINGS = ("std", "std_null", "q05", "q95")
#: what our own results end in, so that a folder can be done again without taking them for pictures to restore
OWN_ENDING = re.compile(rf"_(restored|degraded|sheet|seed\d+|{'|'.join(MAP_ENDINGS)})$")


@dataclass(frozen=True)
class Task:
    """One input and its results, one per seed."""

    source: Path
    targets: tuple[tuple[int, Path], ...]


def sheet_path(target: Path) -> Path:
    """Where the contact sheet of a result goes."""
    return target.with_name(f"{target.stem}_sheet.png")


def plan(
    inputs: Sequence[Path],
    output: str | None,
    *,
    seeds: Sequence[int],
    ending: str,
    suffixes: Sequence[str],
) -> list[Task]:
    """The tasks for ``inputs`` (files and folders) with ``-o output``.

    Without an output, results lie beside their input as ``NAME_ending.png``; several seeds add ``_seedN``. Raises
    `BadSpec` where one name would be written twice, or an input overwritten; makes the output folder.
    """
    sources = expand(inputs)
    single = len(sources) * len(seeds) == 1
    file = output is not None and _is_file_name(output, suffixes, single)
    if file and not single:
        raise BadSpec(f"-o {output} names one file, but there are {len(sources) * len(seeds)} results; give a folder.")
    tasks = []
    for source in sources:
        names = []
        for seed in seeds:
            number = f"_seed{seed}" if len(seeds) > 1 else ""
            if output is None:
                target = source.with_name(f"{source.stem}_{ending}{number}.png")
            else:
                target = Path(output) if file else Path(output) / f"{source.stem}{number}.png"
            names.append((seed, target))
        tasks.append(Task(source, tuple(names)))
    check_clashes(tasks)
    if output is not None and not file:
        from zsir.files import make_folder

        make_folder(output)
    return tasks


def _is_file_name(output: str, suffixes: Sequence[str], single: bool) -> bool:
    """Whether ``-o`` names a file: it ends like a picture and is no folder."""
    path = Path(output)
    if path.is_dir() or output.endswith("/"):
        return False
    if path.suffix.lower() in suffixes:
        return True
    if single and (path.suffix or path.exists()):
        raise BadSpec(f"-o {output}: use a name that ends in {', '.join(suffixes)}, or a folder.")
    return False


def check_clashes(tasks: Sequence[Task]) -> None:
    """Raise `BadSpec` where one name would be written twice, or an input overwritten."""
    sources = {task.source.resolve() for task in tasks}
    seen: dict[Path, Path] = {}
    for task in tasks:
        for _, target in task.targets:
            place = target.resolve()
            if place in sources:
                raise BadSpec(f"{target} is an input and would be overwritten; choose another name with -o.")
            if place in seen:
                raise BadSpec(
                    f"{seen[place]} and {task.source} would both be written to {target}; run them one by one."
                )
            seen[place] = task.source


def expand(inputs: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the pictures in them, sorted, not recursively; each file once.

    A folder without pictures stays in the list, to be reported when its turn comes.
    """
    found: dict[Path, Path] = {}
    for path in inputs:
        for file in (_pictures(path) if path.is_dir() else [path]) or [path]:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _pictures(folder: Path) -> list[Path]:
    from zsir.pictures.picture import READABLE

    try:
        entries = sorted(folder.iterdir())
    except OSError:
        raise BadInput(f"{folder} cannot be read: no permission.") from None
    files = [f for f in entries if f.suffix.lower() in READABLE and not f.name.startswith(".") and not f.is_dir()]
    stems = {f.stem for f in files}
    return [f for f in files if not _is_own(f.stem, stems)]


def _is_own(stem: str, stems: set[str]) -> bool:
    """Whether a picture was made by us of another one in the folder: ``cat_restored_seed1`` beside ``cat``."""
    while match := OWN_ENDING.search(stem):
        stem = stem[: match.start()]
        if stem in stems:
            return True
    return False


def check_source(path: Path) -> None:
    """Raise `BadInput` for a folder that `expand` found no pictures in."""
    if path.is_dir():
        from zsir.pictures.picture import READABLE

        raise BadInput(f"The folder {path} holds no pictures ({', '.join(READABLE)}).")


def check_free(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise `OutputError` for a result that exists or that can be seen not to be writable."""
    from zsir.files import check_target

    for path in paths:
        check_target(path)
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists: add --overwrite to replace it.")
