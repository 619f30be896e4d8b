"""Runs of seconds."""

from pathlib import Path

from tests.training.pictures import folder
from zsir.training import Run

SPEC = "recipe:widths=8+16,blocks=1,batch=4,patch=16,steps=24,every=4,warmup=5,lr=3e-3,ema=0.9"


def run_of(tmp_path: Path, name: str, **options) -> Run:
    return Run(tmp_path / name, [folder(tmp_path / "in")], device="cpu", **options)
