"""The noise of a JPEG file before it was encoded, where no level is stated."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from zsir import pictures
from zsir.operators.jpeg.coded import read_jpeg
from zsir.workflow.noise_levels import Level, level_beneath


def level(x: NDArray[np.float64], folder: Path, quality: int = 80) -> Level:
    """Of a grey or RGB picture, 0 to 255."""
    path = folder / "file.jpg"
    Image.fromarray(x.clip(0, 255).round().astype(np.uint8)).save(path, quality=quality)
    return level_beneath(pictures.read(path), read_jpeg(path), None)


def noisy(mean: NDArray[np.float64], std: float) -> NDArray[np.float64]:
    colours = np.repeat(mean[..., None], 3, axis=2)
    noise: NDArray[np.float64] = colours + 255 * std * np.random.default_rng(0).normal(size=colours.shape)
    return noise


@pytest.mark.parametrize("black", [0.0, 250.0, -150.0, 400.0])
def test_noise_that_black_or_white_clips_is_not_measured(tmp_path, black):
    """The parts where it is clipped are the flattest: they would tell of 0.6 times the noise, or of none."""
    mean = np.full((208, 256), 120.0) + np.linspace(-30, 30, 256)
    mean[:120] = black
    found = level(noisy(mean, 0.06), tmp_path)
    assert found.source == "estimated"
    assert found.std == pytest.approx(0.06, rel=0.06)


def test_bars_are_no_proof_of_calm(tmp_path):
    picture = noisy(np.full((208, 256), 120.0), 0.06)
    picture[:24] = picture[-24:] = 0
    assert level(picture, tmp_path).std == pytest.approx(0.06, rel=0.06)


def test_a_page_has_no_noise_because_of_its_print(tmp_path):
    """Most of it is white paper without any detail. The print is textured."""
    page = np.full((240, 240), 255.0)
    page[192:, :] = 128 + 60 * np.random.default_rng(1).normal(size=(48, 240))
    assert level(page, tmp_path).std == 0
