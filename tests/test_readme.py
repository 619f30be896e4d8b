"""The examples of the README files, run as they are printed.

Every README of `PAGES` is run from top to bottom in one folder and one Python namespace. Blocks that count:

- ```python            runs; with ``>>>`` prompts its output is compared as well
- ```python no-run     is only compiled (needs a GPU, a file of the reader's, ...)
- ```console run       every line that begins with ``$ `` is run by bash; lines printed below it are compared
                       (``...`` stands for any text); without such lines success is enough
- ```sh run            the whole block is run by ``bash -e``

All others are text. The folder holds ``photo.png``, a photograph that ships with the package, and for the guide for
photographers the same as ``photo.jpg``, with scratches as ``scan.png``, and two masks.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from tests.sources import ROOT

PAGES = (
    "README.md",
    "operators/README.md",
    "samplers/README.md",
    "experiments/README.md",
    "zsir/priors/README.md",
    "zsir/metrics/README.md",
    "zsir/training/README.md",
    "docs/pages/guide/photographer.md",
)
#: pages whose examples take more than 2 seconds
LONG = ("README.md", "experiments/README.md", "docs/pages/guide/photographer.md")
#: pictures for the guide: name, mode, ground (None for the photograph itself), and the colour of a box in it
DRAWN = (
    ("mask.png", "L", 255, 0, (100, 60, 108, 200)),
    ("keep.png", "L", 0, 255, (0, 0, 256, 100)),
    ("scan.png", "RGB", None, (255, 255, 255), (100, 60, 103, 200)),
)
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """One fenced block: what its fence says, its text, and the line of the page where the text begins."""

    page: str
    info: tuple[str, ...]
    text: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        yield Block(page, tuple(match["info"].split()), match["text"], line)


def run(block: Block, module: ModuleType) -> bool:
    """Run a block if it is an example; returns whether it was one."""
    language, *flags = block.info or ("",)
    if language == "python" and block.text.lstrip().startswith(">>>"):
        run_prompts(block, module)
    elif language == "python":
        # padded, so that a traceback shows the line of the page
        code = compile("\n" * (block.line - 1) + block.text, str(ROOT / block.page), "exec")
        if "no-run" not in flags:
            exec(code, module.__dict__)
    elif language == "console" and "run" in flags:
        run_console(block)
    elif language == "sh" and "run" in flags:
        run_bash(block.text, block.where)
    else:
        return False
    return True


def run_prompts(block: Block, module: ModuleType) -> None:
    test = doctest.DocTestParser().get_doctest(
        block.text, module.__dict__, block.where, str(ROOT / block.page), block.line - 1
    )
    report: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append, clear_globs=False)
    assert not report, "".join(report)


def run_console(block: Block) -> None:
    for entry in re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE):
        if not entry.startswith("$ "):
            continue
        command, expected = split_command(entry[2:])
        printed = run_bash(command, block.where)
        if expected.strip():
            same = doctest.OutputChecker().check_output(expected, printed, OPTIONS)
            assert same, f"{block.where}: $ {command}\nexpected:\n{expected}\nprinted:\n{printed}"


def split_command(entry: str) -> tuple[str, str]:
    """A command, which ``\\`` at the end of a line continues, and the output printed below it."""
    lines = entry.splitlines(keepends=True)
    count = 1
    while count < len(lines) and lines[count - 1].rstrip("\n").endswith("\\"):
        count += 1
    return "".join(lines[:count]), "".join(lines[count:])


def run_bash(script: str, where: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        env={**os.environ, "PATH": path, "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{script}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An empty module to run examples in, a registered one so that dataclasses and annotations resolve."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("zsir_readme")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for photo in sorted((ROOT / "zsir" / "assets").glob("*.png"))[:1]:
        shutil.copy(photo, tmp_path / "photo.png")
    with Image.open("photo.png") as picture:
        picture.save("photo.jpg", quality=40)
        for name, mode, ground, drawn, box in DRAWN:
            made = picture.copy() if ground is None else Image.new(mode, picture.size, ground)
            made.paste(drawn, box)
            made.save(name)
    return module


@pytest.mark.filterwarnings("ignore::zsir.errors.PictureWarning")  # what zsir has to say of a reader's picture
@pytest.mark.parametrize("page", [pytest.param(p, marks=pytest.mark.slow) if p in LONG else p for p in PAGES])
def test_examples_of_a_page(page: str, workshop: ModuleType) -> None:
    examples = [run(block, workshop) for block in blocks(page, (ROOT / page).read_text(encoding="utf-8"))]
    assert any(examples), f"{page} has no example that runs"


GOOD = """
```python
a = 1
```
text
```python
>>> a + 1
2
```
```python no-run
missing()
```
```console run
$ echo one \\
    two
one ...
$ true
```
```sh run
echo a > file
test -e file
```
```text
not code
```
"""


def test_the_mechanism_runs_what_it_should(workshop: ModuleType) -> None:
    found = list(blocks("x.md", GOOD))
    assert [run(block, workshop) for block in found] == [True] * 5 + [False]
    assert workshop.a == 1
    assert Path("file").is_file()
    assert [block.line for block in found[:2]] == [3, 7]


@pytest.mark.parametrize(
    "text",
    [
        "```python\nmissing\n```\n",
        "```python\n>>> 1 + 1\n3\n```\n",
        "```python no-run\n1 +\n```\n",
        "```console run\n$ echo one\ntwo\n```\n",
        "```console run\n$ false\n```\n",
        "```sh run\nfalse\ntrue\n```\n",
    ],
)
def test_the_mechanism_notices_failures(text: str, workshop: ModuleType) -> None:
    (block,) = blocks("x.md", text)
    with pytest.raises((AssertionError, NameError, SyntaxError)):
        run(block, workshop)
