"""Plan the names of results, so that no file is written twice and no input is overwritten."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zsir.errors import BadInput, BadSpec, OutputError
from zsir.files import check_target, make_folder

#: the maps that go with the mean of several samples
MAP_ENDINGS = ("std", "std_null", "q05", "q95")
#: what our own results end in, so that a folder can be done again without taking them for pictures to restore
OWN_ENDING = re.compile(rf"_(restored|degraded|sheet|kernel|seed\d+|{'|'.join(MAP_ENDINGS)})$")


@dataclass(frozen=True)
class ResultFiles:
    """The files of one result: the picture, and beside it a contact sheet, the maps of several samples and the
    kernel that was found."""

    seed: int
    target: Path
    sheet: Path | None = None
    maps: tuple[Path, ...] = ()
    trace: Path | None = None
    kernel: tuple[Path, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All of them, the picture first."""
        return [self.target, *(path for path in (self.sheet, *self.maps, self.trace, *self.kernel) if path is not None)]


@dataclass(frozen=True)
class Job:
    """One input and its results, one for each seed. ``refused`` is the reason if they cannot be written."""

    source: Path
    results: tuple[ResultFiles, ...]
    refused: OutputError | None = None


def sheet_path(target: Path) -> Path:
    """The path of the contact sheet of a result."""
    return target.with_name(f"{target.stem}_sheet.png")


def map_paths(target: Path) -> tuple[Path, ...]:
    """The maps that go with a mean at ``target``: NAME_std.png, ..., NAME_q95.png, NAME_std.npy."""
    named = (target.with_name(f"{target.stem}_{ending}.png") for ending in MAP_ENDINGS)
    return (*named, target.with_name(f"{target.stem}_std.npy"))


def plan(
    inputs: Sequence[Path],
    output: str | None,
    *,
    seeds: Sequence[int],
    ending: str,
    suffixes: Sequence[str],
    sheet: bool = False,
    maps: bool = False,
    record: Path | None = None,
    reads: Sequence[Path] = (),
    overwrite: bool = False,
) -> list[Job]:
    """Choose every file that is written for ``inputs`` (files and folders), before anything is computed.

    - Without ``output``, a result lies beside its input as ``NAME_ending.png``. Several seeds add ``_seedN``.
    - Raises `BadSpec` if a file would overwrite an input or be written twice.
    - A job is refused if one of its files exists (without ``overwrite``) or cannot be written. For the record this
      raises `OutputError`.
    - The output folder is made.
    """
    sources = expand(inputs)
    single = len(sources) * len(seeds) == 1
    file = output is not None and _is_file_name(output, suffixes, single)
    if file and not single:
        raise BadSpec(f"-o {output} names one file, but there are {len(sources) * len(seeds)} results; give a folder.")
    jobs = []
    for source in sources:
        results = []
        for seed in seeds:
            number = f"_seed{seed}" if len(seeds) > 1 else ""
            if output is None:
                target = source.with_name(f"{source.stem}_{ending}{number}.png")
            else:
                target = Path(output) if file else Path(output) / f"{source.stem}{number}.png"
            beside = sheet_path(target) if sheet else None
            results.append(ResultFiles(seed, target, beside, map_paths(target) if maps else ()))
        jobs.append(Job(source, tuple(results)))
    check_clashes(jobs, record, reads=reads)
    if record is not None and record.parent.is_dir():
        check_free([record], overwrite)
    if output is not None and not file:
        make_folder(output)
    if record is not None:
        check_free([record], overwrite)
    return checked(jobs, overwrite)


def with_traces(jobs: Sequence[Job], place: Path, overwrite: bool) -> list[Job]:
    """The jobs with the file of each result's trace: ``place`` for a single result, else NAME.json in that folder.

    Raises `BadSpec` if several traces would go into one file, or over another file of the run.
    """
    single = sum(len(job.results) for job in jobs) == 1
    file = place.suffix == ".json" and not place.is_dir()
    if file and not single:
        raise BadSpec(f"--trace {place} names one file, but there are {len(jobs)} pictures; give a folder.")
    found = [
        replace(
            job,
            results=tuple(replace(r, trace=place if file else place / f"{r.target.stem}.json") for r in job.results),
        )
        for job in jobs
    ]
    check_clashes(found)
    names = [result.trace for job in found for result in job.results]
    if len(set(names)) < len(names):
        raise BadSpec(f"--trace {place}: two pictures have one name, so that one trace would replace the other.")
    if not file:
        make_folder(place)
    return checked(found, overwrite)


def with_kernels(jobs: Sequence[Job], record: Path | None, reads: Sequence[Path], overwrite: bool) -> list[Job]:
    """The jobs with the files of each result's kernel, which is found in its observation: NAME_kernel.png and .npy.

    Raises `BadSpec` where one of them would go over another file of the run.
    """
    from zsir.workflow.record import kernel_paths

    found = [
        replace(job, results=tuple(replace(one, kernel=kernel_paths(one.target)) for one in job.results))
        for job in jobs
    ]
    check_clashes(found, record, reads=reads)
    return checked(found, overwrite)


def checked(jobs: Sequence[Job], overwrite: bool) -> list[Job]:
    """The jobs. A job is marked as refused if one of its files exists already or cannot be written."""
    found = []
    for job in jobs:
        try:
            check_free([path for result in job.results for path in result.files], overwrite)
            found.append(job)
        except OutputError as error:
            found.append(replace(job, refused=error))
    return found


def _is_file_name(output: str, suffixes: Sequence[str], single: bool) -> bool:
    """Whether ``-o`` names a file: it has the suffix of a picture and is no folder."""
    path = Path(output)
    if path.is_dir() or output.endswith("/"):
        return False
    if path.suffix.lower() in suffixes:
        return True
    if single and (path.suffix or path.exists()):
        raise BadSpec(f"-o {output}: use a name that ends in {', '.join(suffixes)}, or a folder.")
    return False


def check_clashes(jobs: Sequence[Job], *more: Path | None, reads: Sequence[Path] = ()) -> None:
    """Raise `BadSpec` where one file would be written twice, or an input overwritten; ``more`` are files of the run."""
    sources = {path.resolve() for path in [*(job.source for job in jobs), *reads]}
    owners: dict[Path, Path] = {}
    for job in jobs:
        for result in job.results:
            place = result.target.resolve()
            if place in sources:
                raise BadSpec(f"{result.target} is an input and would be overwritten; choose another name with -o.")
            if place in owners:
                raise BadSpec(
                    f"{owners[place]} and {job.source} would both be written to {result.target}; run them one by one."
                )
            owners[place] = job.source
    taken = sources | owners.keys()
    extras = [path for job in jobs for result in job.results for path in result.files[1:]]
    for path in [*extras, *(path for path in more if path is not None)]:
        if path.resolve() in taken:
            raise BadSpec(f"{path} is an input or a result already; choose another name.")
        taken.add(path.resolve())


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
    from zsir.pictures import READABLE

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
        from zsir.pictures import READABLE

        raise BadInput(f"The folder {path} holds no pictures ({', '.join(READABLE)}).")


def check_free(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise `OutputError` for a result that exists already or that cannot be written."""
    for path in paths:
        check_target(path)
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists: add --overwrite to replace it.")
