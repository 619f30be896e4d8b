"""The notebooks: each is executed from its source, and the committed file is what its source makes."""

from __future__ import annotations

import importlib.util
import re
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tests.sources import ROOT

FOLDER = ROOT / "notebooks"
SOURCES = sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.py"))
#: more than 20 seconds each; what they claim of few calls and of calibration is tested in tests/analytic as well
LONG = ("05_few_calls", "06_calibration")
#: what a code host shows without asking, and what a clone can bear
LARGEST = 2**20
#: a number in what a notebook prints, not inside a name or a hash
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
#: numbers below are rounding errors, which differ from one processor to the next
SMALLEST = 1e-4

# the kernel's libraries announce their own future changes
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """notebooks/build.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("zsir_notebooks_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(notebook: NotebookNode) -> list[str]:
    """What its cells print, line by line; without lines that hold times or versions, which no two machines share."""
    lines: list[str] = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            lines += [line for line in text.splitlines() if not re.search(r"second|version", line)]
    return lines


def changes(kept: NotebookNode, made: NotebookNode) -> list[tuple[str, str]]:
    """Lines that differ: in words, or in a number by more than its third digit and by more than its last."""
    old, new = printed(kept), printed(made)
    return [pair for pair in zip_longest(old, new, fillvalue="") if not alike(*pair)]


def alike(old: str, new: str) -> bool:
    """Whether two lines say the same, whatever their spaces."""
    if NUMBER.sub("#", old).split() != NUMBER.sub("#", new).split():
        return False
    for a, b in zip(NUMBER.findall(old), NUMBER.findall(new), strict=True):
        x, y = float(a), float(b)
        last = Decimal(a).as_tuple().exponent
        assert isinstance(last, int)
        rounding = abs(x) < SMALLEST and abs(y) < SMALLEST
        if not rounding and abs(x - y) > max(5e-3 * abs(x), 1.5 * 10.0**last):
            return False
    return True


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("restored  27.21 dB, 4 calls", "restored 27.22 dB,  4 calls", True),
        ("restored  27.21 dB", "restored 27.41 dB", False),
        ("restored  27.21 dB", "bicubic 27.21 dB", False),
        ("P 0.0405  D 0.03760", "P 0.0405  D 0.03790", False),
        ("difference 0.0e+00, 1.4e-13", "difference 3.1e-14, 2.0e-12", True),
        ("difference 1.4e-13", "difference 1.4e-3", False),
        ("counts 14595", "counts 14596", True),
        ("counts 20", "counts 22", False),
        ("sha 31402df5", "sha 31403df5", False),
        ("-0.5", "0.5", False),
        ("Stats(seconds=0.93)", "Stats(seconds=1.7, nfe=3)", True),
    ],
)
def test_comparison_of_outputs(old: str, new: str, same: bool) -> None:
    notebooks = [
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("stream", text=f"first\n{line}\n")])]
        )
        for line in (old, new)
    ]
    assert (changes(*notebooks) == []) is same
    notebooks[0].cells[0].outputs[0].text += "one line more\n"
    assert changes(*notebooks)[-1] == ("one line more", "")


def test_every_notebook_has_a_source(build: ModuleType) -> None:
    assert SOURCES
    assert [path.stem for path in build.sources()] == SOURCES
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == SOURCES


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.nightly) if n in LONG else n for n in SOURCES])
def test_notebook_runs(name: str, build: ModuleType, tmp_path: Path) -> None:
    """Its assertions hold, and it prints what the committed file shows."""
    made = build.execute(build.converted(FOLDER / f"{name}.py"), tmp_path)
    kept = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert not changes(kept, made), f"run: python notebooks/build.py {name}"


@pytest.mark.parametrize("name", SOURCES)
def test_committed_notebook_is_what_its_source_makes(name: str, build: ModuleType) -> None:
    kept = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(kept)
    made = build.converted(FOLDER / f"{name}.py")
    same = [(c.id, c.cell_type, c.source) for c in kept.cells] == [(c.id, c.cell_type, c.source) for c in made.cells]
    assert same, f"run: python notebooks/build.py {name}"


@pytest.mark.parametrize("name", SOURCES)
def test_committed_notebook_has_outputs_and_is_small(name: str) -> None:
    file = FOLDER / f"{name}.ipynb"
    assert file.stat().st_size < LARGEST
    cells = [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("name", SOURCES)
def test_only_embedded_priors_are_used(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert not any(word in text for word in ("download", "http", "path=", "hub:"))


def test_conversion(build: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "00_x.py"
    source.write_text("# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\n\ny = 2\n\n\n# %%\nz = x + y\n")
    cells = build.converted(source).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "code"]
    assert [cell.source for cell in cells] == ["# Title\n\ntext", "x = 1\n\n\ny = 2", "z = x + y"]
    source.write_text("# %% [markdown]\nnot text\n")
    with pytest.raises(ValueError, match="must begin with '# '"):
        build.converted(source)
    source.write_text("x = 1\n")
    with pytest.raises(ValueError, match="the first line"):
        build.converted(source)


def test_a_failing_cell_is_noticed(build: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "00_x.py"
    source.write_text("# %%\nimport zsir\n\n# %%\nassert zsir.__version__ == 'another'\n")
    with pytest.raises(CellExecutionError, match="another"):
        build.execute(build.converted(source), tmp_path)


def test_the_repository_is_what_runs(build: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "00_x.py"
    source.write_text("# %%\nimport zsir\n\nprint(zsir.__file__)\n")
    done = build.execute(build.converted(source), tmp_path)
    assert Path(done.cells[0].outputs[0].text.strip()) == ROOT / "zsir" / "__init__.py"
