"""A runner for the command in this process, and a few small pictures in an empty folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runner import runner
from zsir.cli import main

#: for `python -m zsir` in a process of its own, from any folder
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line on stderr; fails if there are more, or a traceback."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("zsir: ") and "Traceback" not in lines[0]
        return lines[0].removeprefix("zsir: ")


Run = Callable[..., Outcome]


@pytest.fixture
def run() -> Run:
    """``run("solve", "--op", ...)`` -> Outcome."""

    def call(*arguments: object) -> Outcome:
        result = runner().invoke(main, [str(a) for a in arguments])
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return call


def pattern(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A smooth picture with an edge, uint8, (height, width, channels)."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [rows / height, columns / width, (rows + columns > (height + width) / 2) * 0.8]
    return (255 * np.stack(planes[:channels], axis=2)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with colour.png (31x22), grey.png and other.png (24x16)."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pattern(22, 31)).save("colour.png")
    Image.fromarray(pattern(16, 24, 1)[:, :, 0]).save("grey.png")
    Image.fromarray(pattern(16, 24)).save("other.png")
    return tmp_path
