"""How far an observation and its settings travel in ``zsir solve``: which functions are handed them, in which order.

    PYTHONPATH=. python tests/benchmarks/stations.py

A station is a call of a function of ours (no property, no dunder, no lambda) that is handed the options, a job, the
picture, the method, the problem or the result. Parts that do the work itself (operators, priors, samplers) and what
counts or names them are left out. Prints the stations, how often each module is entered, and the number of moves from
one module to another.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from click.testing import CliRunner
from PIL import Image

from zsir.cli import main

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"SolveOptions", "Job", "Result", "Picture", "Method", "Posed", "Problem", "Restored"}
PARTS = ("samplers/", "operators/", "priors/", "protocols", "capabilities", "linalg", "rng", "names/", "loop/counted")
#: functions that are properties of what travels
PROPERTIES = {"files", "shape", "data", "alpha", "stats", "residual", "op_text", "from_file"}


class Follower:
    """A profiler that notes the stations."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(str(ROOT / "zsir")):
            return
        module, name = Path(code.co_filename).relative_to(ROOT / "zsir").with_suffix("").as_posix(), code.co_name
        own = code.co_varnames[0] == "self" if code.co_argcount else False
        if module.startswith(PARTS) or name.startswith(("<", "__")) or (own and name in PROPERTIES):
            return
        given = [frame.f_locals.get(n) for n in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]]
        given += [value[0] for value in given if isinstance(value, list | tuple) and value]
        if any(type(value).__name__ in KINDS for value in given):
            self.seen.append((module, name))


def run() -> list[tuple[str, str]]:
    """The stations of one command."""
    command = [
        "solve",
        "--op",
        "sr2x",
        "--prior",
        "gaussian",
        "--nfe",
        "1",
        "a.png",
        "--record",
        "r.json",
        "--overwrite",
    ]
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Image.linear_gradient("L").convert("RGB").resize((32, 24)).save("a.png")
            CliRunner().invoke(main, command)  # what is imported and planned once
            follower = Follower()
            sys.setprofile(follower)
            outcome = CliRunner().invoke(main, command)
            sys.setprofile(None)
        finally:
            os.chdir(before)
    assert outcome.exit_code == 0, outcome.output
    return [station for station, _ in itertools.groupby(follower.seen)]


if __name__ == "__main__":
    stations = run()
    visits = [module for module, _ in itertools.groupby(module for module, _ in stations)]
    print(f"{len(stations)} stations, {len(set(visits))} modules, {len(visits) - 1} moves between them")
    print("entered most often:", ", ".join(f"{m} {n}" for m, n in Counter(visits).most_common(3)))
    for module, name in stations:
        print(f"  {module}: {name}")
