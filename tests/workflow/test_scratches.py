"""Damage that can be seen in the file: scratches of one exact colour are found, saturation and drawings are not."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from zsir import operators
from zsir.errors import ShapeError
from zsir.inspection.scratches import detect_mask, patches, polarity_doubt
from zsir.operators import Mask
from zsir.pictures import read

DEMO = Path(str(files("zsir") / "assets" / "demo.png"))


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return read(DEMO).pixels


def lines(size: tuple[int, int], seed: int = 0, width: int = 2) -> NDArray[np.bool_]:
    """Four straight scratches, True where the picture is damaged."""
    drawn = Image.new("1", size)
    pen, rng = ImageDraw.Draw(drawn), np.random.default_rng(seed)
    for _ in range(4):
        (a, b), (c, d) = rng.random((2, 2)) * size
        pen.line((a, b, c, d), fill=1, width=width)
    return np.array(drawn)


def damaged(x: torch.Tensor, where: NDArray[np.bool_], value: float) -> torch.Tensor:
    return torch.where(torch.from_numpy(where), value, x)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("grey", [False, True])
def test_scratches_are_found(photo: torch.Tensor, value: float, grey: bool) -> None:
    x = photo.mean(1, keepdim=True) if grey else photo
    for seed in range(3):
        where = lines((x.shape[3], x.shape[2]), seed)
        mask = detect_mask(damaged(x, where, value))
        assert mask is not None and mask.in_shape == tuple(x.shape[1:])
        found = ~mask.known.numpy()
        assert (found & where).sum() > 0.97 * where.sum() and (found & ~where).sum() < 0.02 * where.sum()


def test_pixels_at_random_are_found(photo: torch.Tensor) -> None:
    """Those of ``mask:keep=0.7``, which ``zsir degrade`` writes as black."""
    op = operators.make("mask:keep=0.7", in_shape=tuple(photo.shape[1:]))  # type: ignore[arg-type]
    mask = detect_mask(op.forward(photo))
    assert mask is not None
    assert float((mask.known == op.known).float().mean()) > 0.99  # type: ignore[attr-defined]


def test_a_whole_photograph_has_no_damage(photo: torch.Tensor) -> None:
    assert detect_mask(photo) is None
    rounded = (255 * (photo + 0.1 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0)))).round() / 255
    assert detect_mask(rounded.clamp(0, 1)) is None


def test_saturation_is_no_damage(photo: torch.Tensor) -> None:
    """A sky that fades into white, and a shadow that fades into black."""
    for x in (2.5 * photo, 1 - 2.5 * (1 - photo)):
        clipped = (255 * x.clamp(0, 1)).round() / 255
        assert float((clipped == clipped.clamp(0, 1).round()).all(1).float().mean()) > 0.02
        assert detect_mask(clipped) is None


def test_a_scratch_beside_a_saturated_sky(photo: torch.Tensor) -> None:
    x = photo.clone()
    rows = torch.linspace(1.6, -1.5, 60)[:, None]
    x[..., :60, :] = torch.maximum(x[..., :60, :], rows).clamp(0, 1)
    where = lines((x.shape[3], x.shape[2]), 1)
    where[:80] = False
    mask = detect_mask(damaged(x, where, 1.0))
    assert mask is not None
    found = ~mask.known.numpy()
    assert not found[:8].any() and (found & where).sum() > 0.97 * where.sum()


def test_borders_and_drawings_are_no_damage(photo: torch.Tensor) -> None:
    barred = photo.clone()
    barred[..., :20, :] = barred[..., -20:, :] = 0
    assert detect_mask(barred) is None
    page = Image.new("RGB", (200, 150), "white")
    pen = ImageDraw.Draw(page)
    for row in range(10, 140, 14):
        pen.text((10, row), "a page of words, black on white", fill="black")
    assert detect_mask(torch.from_numpy(np.array(page) / 255).permute(2, 0, 1)[None]) is None
    for value in (0.0, 1.0, 0.4):
        assert detect_mask(torch.full((1, 3, 20, 30), value)) is None
    assert detect_mask(torch.zeros(1, 1, 1, 1)) is None
    noise = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    assert detect_mask(noise) is None


def test_patches_are_those_of_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    for seed, share in enumerate((0.0, 0.2, 0.4, 0.6, 1.0)):
        flags = np.random.default_rng(seed).random((23, 31)) < share
        labels, number = patches(flags)
        expected, wanted = ndimage.label(flags, np.ones((3, 3)))
        assert number == wanted
        assert len(np.unique(np.stack([labels.ravel(), expected.ravel()]), axis=1).T) == number + (not flags.all())


def test_polarity(photo: torch.Tensor) -> None:
    """A mask that is white on the damage is doubted, the right one is not, nor one that says nothing."""
    shape = (3, photo.shape[2], photo.shape[3])
    where = lines((shape[2], shape[1]), 0, width=6)
    for value in (0.0, 1.0, 0.7):
        y = damaged(photo, where, value)
        wrong, right = Mask(shape, torch.from_numpy(where)), Mask(shape, torch.from_numpy(~where))
        text = polarity_doubt(wrong, y)
        assert "one colour on 100% of them" in text and "invert" in text and text.endswith(".")
        assert polarity_doubt(right, y) == ""
        assert polarity_doubt(wrong, photo) == ""  # nothing is painted over
        assert polarity_doubt(Mask(shape, torch.ones(shape[1:], dtype=torch.bool)), y) == ""
    with pytest.raises(ShapeError, match="the observation has"):
        polarity_doubt(right, photo[:, :1])
    with pytest.raises(ShapeError, match="One picture"):
        detect_mask(photo[0])
