"""Classic faults, injected one at a time into a copy of the source: every one must make a test fail.

    python tests/mutation.py [WORD ...]      only mutants whose name holds one of the words

The faults and the tests that must notice them stand in mutants.txt. Prints ``mutant | caught by`` and exits 1 if a
mutant survives. Not collected by pytest: a run takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
LIMIT = 180  # seconds for the tests of one mutant


@dataclass(frozen=True)
class Mutant:
    """``old`` occurs once in ``file`` and becomes ``new``; ``tests`` are the ids that must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def mutants() -> list[Mutant]:
    """Those of `mutants.txt`."""
    found = []
    text = (ROOT / "tests" / "mutants.txt").read_text(encoding="utf-8")
    for paragraph in text.strip().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        if not lines:
            continue
        marks: dict[str, list[str]] = {"@": [], "-": [], "+": [], "?": []}
        for line in lines[1:]:
            marks[line[0]].append(line[2:].replace("\\n", "\n"))
        (file,), (old,), (new,) = marks["@"], marks["-"], marks["+"]
        found.append(Mutant(lines[0], file, old, new, tuple(f"tests/{test}" for test in marks["?"])))
    return found


def copy_tree(target: Path) -> None:
    """The source without history and caches; symbolic links stay links."""
    target.mkdir()
    names = ("pyproject.toml", "operators", "samplers", "experiments", "zsir", "tests", "tools")
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=skip)
        else:
            shutil.copy(source, target / name)


def verdict(tree: Path, tests: Sequence[str], limit: float) -> str:
    """The first of the tests of a tree that fails, or an empty string."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return "a run that does not end"
    failed = [line.split(" - ")[0].split("::")[-1] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if done.returncode not in (0, 1):  # wrong ids, or nothing collected: no proof of anything
        raise RuntimeError(f"pytest did not run: {done.stdout[-600:]}{done.stderr[-300:]}")
    return failed[0] if failed else ""


def attempt(mutant: Mutant, trees: Queue[Path]) -> tuple[Mutant, str]:
    """Apply, test, take back."""
    tree = trees.get()
    file = tree / mutant.file
    text = file.read_text(encoding="utf-8")
    try:
        if text.count(mutant.old) != 1:
            return mutant, ""  # the script has to follow the source: counts as surviving
        file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return mutant, verdict(tree, mutant.tests, LIMIT)
    finally:
        file.write_text(text, encoding="utf-8")
        trees.put(tree)


def main(words: list[str]) -> int:
    chosen = [m for m in mutants() if not words or any(word.lower() in m.name.lower() for word in words)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        trees: Queue[Path] = Queue()
        for k in range(WORKERS):
            copy_tree(Path(folder) / str(k))
            trees.put(Path(folder) / str(k))
        everything = list(dict.fromkeys(test for m in chosen for test in m.tests))
        if by := verdict(Path(folder) / "0", everything, 5 * LIMIT):
            print(f"the source itself fails {by}: nothing can be concluded")
            return 1
        results = list(pool.map(lambda m: attempt(m, trees), chosen))
    width = max(len(m.name) for m in chosen)
    print(f"{'mutant'.ljust(width)} | caught by")
    for mutant, by in results:
        print(f"{mutant.name.ljust(width)} | {by or 'SURVIVED'}")
    alive = sum(not by for _, by in results)
    print(f"{len(results)} mutants, {alive} survived, {time.monotonic() - began:.0f} s")
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
