"""A tiny experiment: five pictures of 20x17, two tasks, three cheap samplers, the exact Gaussian prior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY = """
name = "tiny"

[data]
folder = "photos"

[[task]]
op = "sr2x"
noise = [0.0, "5/255"]

[[task]]
label = "holes"
op = "mask:keep=0.5"
noise = 0.02

[[method]]
prior = "gaussian"
sampler = ["cm4ir:nfe=2", "hqs:nfe=3", "diffpir:nfe=2"]
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder with tiny.toml and its pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "photos").mkdir()
    for k in range(5):
        pixels = np.random.default_rng(k).integers(0, 256, (17, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"p{k}.png")
    return tmp_path


def content(run: Path) -> dict[str, bytes]:
    """What two runs of one spec must agree on to the last byte: tables and pictures."""
    files = [path for path in run.rglob("*") if path.suffix == ".png" or path.name.startswith("table.")]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files}
