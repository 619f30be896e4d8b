"""Photographs of the held-out set, and what is done to them."""

from __future__ import annotations

import io
from importlib.resources import files

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from zsir import operators, read

SET = files("zsir.experiments") / "data" / "eval34"
#: sharp pictures with smooth parts, edges and fine texture
NAMES = ("farm_animals_animals_pig", "monuments_france_chateaudeChambord", "monuments_wonders_petra")

Bytes = NDArray[np.uint8]


def photograph(name: str) -> torch.Tensor:
    """A crop of the held-out set, (1, 3, 256, 256) in [0, 1]."""
    return read(str(SET / f"{name}.png")).pixels


@pytest.fixture(params=[NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def photo(request: pytest.FixtureRequest) -> torch.Tensor:
    return photograph(request.param)


def damaged(x: torch.Tensor, op: str = "", noise: float = 0.0, seed: int = 0) -> Bytes:
    """What an operator and white noise make of a picture, as a file with 8 bits holds it, (height, width, 3)."""
    if op:
        x = operators.make(op, in_shape=(3, x.shape[2], x.shape[3])).forward(x.double())
    rng = np.random.default_rng(seed)
    y = x[0].double().numpy().transpose(1, 2, 0)
    y = y + noise * rng.standard_normal(y.shape)
    return np.round(255 * y.clip(0, 1)).astype(np.uint8)


def coded(y: Bytes, quality: int, subsampling: int = 2) -> bytes:
    """A JPEG file."""
    out = io.BytesIO()
    Image.fromarray(y).save(out, "JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()


def decoded(data: bytes) -> Bytes:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def planes(y: Bytes) -> NDArray[np.float32]:
    """(channels, height, width) in [0, 1]."""
    return np.ascontiguousarray(y.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
