"""Runs of seconds."""

from pathlib import Path

from tests.training.pictures import folder
from zsir.training import Run

SPEC = "recipe:widths=8+16,blocks=1,batch=4,patch=16,steps=24,every=4,warmup=5,lr=3e-3,ema=0.9"


def changed(more: str) -> str:
    """`SPEC` with options stated anew or added, as in ``steps=60,lr=0.01``."""
    name, _, rest = SPEC.partition(":")
    items = (item.partition("=") for item in f"{rest},{more}".split(",") if item)
    options = {key: value for key, _, value in items}
    return f"{name}:" + ",".join(f"{key}={value}" for key, value in options.items())


def run_of(tmp_path: Path, name: str, **options) -> Run:
    return Run(tmp_path / name, [folder(tmp_path / "in")], device="cpu", **options)
