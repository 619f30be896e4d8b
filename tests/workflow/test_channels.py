"""Observations whose channels are not those of their pictures, through `zsir.restore` and files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zsir
from zsir import pictures
from zsir.errors import ShapeError


@pytest.mark.parametrize("spec", ["grey", "mosaic", "grey | resize:size=12x10", "crop:left=2,top=1"])
def test_restored_from_a_file_and_its_notes(spec: str, tmp_path: Path) -> None:
    """A grey file becomes a picture in colour, of the size that was noted in it or that is stated."""
    x = 0.2 + 0.6 * torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    y = zsir.operators.make(spec, in_shape=(3, 16, 20)).forward(x)
    notes = {"zsir:op": spec, "zsir:noise": "0", "zsir:size": "20x16"}
    for name, text in (("noted.png", notes), ("plain.png", {})):
        pictures.write(tmp_path / name, y, bits=16, text=text)
        size = None if text else (16, 20)
        restored = zsir.restore(tmp_path / name, spec, prior="gaussian", nfe=1, noise=0.001, size=size)
        assert restored.x.shape == x.shape
        assert restored.sheet().ndim == 4


def test_colour_where_grey_is_needed(tmp_path: Path) -> None:
    pictures.write(tmp_path / "colour.png", torch.full((1, 3, 8, 8), 0.5))
    with pytest.raises(ShapeError, match="save it as a grey picture"):
        zsir.restore(tmp_path / "colour.png", "mosaic", prior="gaussian", nfe=1)
