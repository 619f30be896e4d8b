"""What a picture had been through before it was enlarged."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.inspection.conftest import NAMES, coded, damaged, decoded, photograph, planes
from zsir import inspect
from zsir.inspection.enlarged import PIECE, undone
from zsir.inspection.findings import Enlargement

RULES = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def enlarged(small: np.ndarray, side: int, kernel: str = "bilinear") -> np.ndarray:
    """By Pillow, to a square."""
    return np.asarray(Image.fromarray(small).resize((side, side), RULES[kernel]))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kernel", RULES)
def test_the_small_picture_is_found_to_a_grey_value(kernel, told):
    small = np.random.default_rng(0).integers(90, 165, (160, 160, 3), dtype=np.uint8)
    found = undone(planes(enlarged(small, 200, kernel)), Enlargement(1.25, 0.0, kernel if told else ""))
    assert found is not None and found[0].shape == small.shape and found[1] == kernel
    assert np.abs(found[0].astype(int) - small).mean() < 0.7


def test_the_cubic_kernel_of_opencv():
    """It is another one than Pillow's: a = -0.75 in place of -0.5."""
    small = damaged(photograph(NAMES[0]), "blur:sigma=1.2")[:200, :200]
    large = damaged(torch.from_numpy(planes(small))[None], "resize:size=248x248,rule=opencv,kernel=cubic")
    found = inspect(large)
    assert found.findings.enlargement is not None and found.findings.enlargement.kernel == "cubic"
    assert found.spec.startswith("resize:size=200x200 | blur:sigma=1.")
    assert found.spec.endswith(" | resize:size=248x248,rule=opencv,kernel=cubic")


@pytest.mark.parametrize(("kernel", "margin"), [("bicubic", 8), ("lanczos", 20)])
def test_clipped_overshoot_is_no_other_damage(kernel, margin):
    """At edges an interpolation goes beyond black and white, and is cut there."""
    edges = np.where(np.random.default_rng(0).random((20, 20)) < 0.5, margin, 255 - margin).astype(np.uint8)
    small = np.kron(edges, np.ones((8, 8), np.uint8))[..., None].repeat(3, axis=2)
    found = undone(planes(enlarged(small, 200, kernel)), Enlargement(1.25, 0.0, kernel))
    assert found is not None and found[1] == kernel
    assert np.abs(found[0].astype(int) - small).mean() < 0.7


def test_of_a_large_picture_a_piece_is_found_that_begins_with_a_block():
    small = np.random.default_rng(0).integers(20, 235, (1200, 1000, 1), dtype=np.uint8)
    large = np.asarray(Image.fromarray(small[..., 0]).resize((1300, 1560), RULES["bilinear"]))
    found = undone(planes(large[..., None]), Enlargement(1.3, 0.0, "bilinear"))
    assert found is not None and max(found[0].shape) < PIECE
    first = found[0][:40, :40, 0].astype(int)
    places = [
        (i, j)
        for i in range(0, 1160, 8)
        for j in range(0, 960, 8)
        if np.abs(small[i : i + 40, j : j + 40, 0] - first).mean() < 1
    ]
    assert len(places) == 1


@pytest.mark.parametrize("damage", ["noise", "blur"])
def test_what_came_after_the_enlargement_hides_the_small_picture(damage):
    large = planes(enlarged(damaged(photograph(NAMES[0]))[:160, :160], 200))
    if damage == "noise":
        large = large + np.random.default_rng(0).normal(0, 2 / 255, large.shape).astype(np.float32)
    else:
        large = ((large + np.roll(large, 1, axis=1)) / 2).astype(np.float32)
    assert undone(large, Enlargement(1.25, 0.0, "bilinear")) is None


def test_blur():
    small = damaged(photograph(NAMES[0]), "blur:sigma=1.2")[:200, :200]
    found = inspect(enlarged(small, 248))
    before = found.findings.before
    assert before is not None and before.blur is not None and before.blur.kind == "gaussian"
    assert before.blur.width == pytest.approx(1.2, rel=0.1)
    assert found.spec == (
        f"resize:size=200x200 | blur:sigma={before.blur.width:.2f} | resize:size=248x248,kernel=bilinear"
    )
    assert any(said.startswith("Before that: The picture is blurred like a Gaussian") for said in found.sentences)


def test_jpeg():
    small = decoded(coded(damaged(photograph(NAMES[0]))[:208, :208], 79, subsampling=0))
    found = inspect(enlarged(small, 240, "bicubic"))
    before = found.findings.before
    assert before is not None and before.jpeg is not None and before.jpeg.quality == 79
    assert found.spec == "resize:size=208x208 | jpeg:q=79 | resize:size=240x240,kernel=bicubic"


def test_noise():
    """It is told as a stage, for behind the enlargement it is not white."""
    small = damaged(photograph(NAMES[0]), noise=0.03)[:208, :208]
    found = inspect(enlarged(small, 240, "bicubic"))
    before = found.findings.before
    assert before is not None and before.noise is not None
    assert before.noise.std == pytest.approx(0.03, rel=0.15)
    assert found.spec == (
        f"resize:size=208x208 | noise:std={before.noise.std:.4f} | resize:size=240x240,kernel=bicubic"
    )


def test_nothing():
    """A sharp picture that was little enlarged stays as it is."""
    found = inspect(enlarged(damaged(photograph(NAMES[0]))[:208, :208], 240))
    assert found.findings.before is None and found.spec == ""
