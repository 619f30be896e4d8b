"""Notebooks from their sources: `NN_name.py` in percent format is written by hand, `NN_name.ipynb` is made from it.

    python notebooks/build.py [NAME ...]

converts and executes the named notebooks (all, without a name) and writes them with their outputs. In a source, the
line ``# %%`` begins a cell of code and ``# %% [markdown]`` a cell of text, whose lines begin with ``# ``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent
TEXT = "# %% [markdown]"
CODE = "# %%"
#: seconds that one cell may take
LIMIT = 300
INLINE = "module://matplotlib_inline.backend_inline"


def sources() -> list[Path]:
    """The sources, in reading order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py"))


def converted(source: Path) -> NotebookNode:
    """The notebook of a source, not executed; raises `ValueError` where the source is not in the format."""
    parts: list[tuple[str, list[str]]] = []
    for line in source.read_text(encoding="utf-8").splitlines():
        if line in (TEXT, CODE):
            parts.append((line, []))
        elif parts:
            parts[-1][1].append(line)
        elif line.strip():
            raise ValueError(f"{source.name}: the first line must be '{CODE}' or '{TEXT}', not {line!r}.")
    cells = [_cell(kind, lines, source) for kind, lines in parts]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same source gives the same file
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _cell(kind: str, lines: list[str], source: Path) -> NotebookNode:
    if kind == CODE:
        return nbformat.v4.new_code_cell("\n".join(lines).strip("\n"))
    lines = "\n".join(lines).strip("\n").splitlines()
    wrong = [line for line in lines if line != "#" and not line.startswith("# ")]
    if wrong:
        raise ValueError(f"{source.name}: a line of text must begin with '# ': {wrong[0]!r}.")
    return nbformat.v4.new_markdown_cell("\n".join(line[2:] for line in lines))


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run all cells in ``folder``, with this repository's zsir; raises `CellExecutionError` at the first failure."""
    path = os.pathsep.join(filter(None, [str(FOLDER.parent), os.environ.get("PYTHONPATH")]))
    # one thread: the same numbers on every machine, and no waiting where other work keeps the cores busy
    environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MPLBACKEND": INLINE}
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=40"],  # it warns that local traffic is not encrypted
    )
    client.execute(env={**os.environ, **environment})
    notebook["metadata"]["language_info"] = {"name": "python"}  # no versions of the machine that ran it
    return notebook


def main(names: list[str]) -> None:
    """Build the notebooks whose names begin with one of ``names``."""
    chosen = [s for s in sources() if not names or s.stem.startswith(tuple(names))]
    if not chosen:
        sys.exit(f"There is no notebook named {' or '.join(names)}; there are {', '.join(s.stem for s in sources())}.")
    for source in chosen:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(converted(source), Path(folder))
        target = source.with_suffix(".ipynb")
        unfinished = target.with_suffix(".tmp")
        nbformat.write(notebook, unfinished)
        unfinished.replace(target)
        size = target.stat().st_size / 1024
        print(f"{target.name}: {time.perf_counter() - began:.0f} s, {size:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
