"""How wrong a JPEG file of a blurred or noisy picture is, and what follows for its solution."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.jpeg.pictures import waves as picture
from zsir import samplers
from zsir.operators import make
from zsir.operators.jpeg.coded import read_jpeg
from zsir.operators.jpeg.measurement import jpeg, measurement
from zsir.operators.jpeg.quantised import DECAY, Spectrum, fitted
from zsir.operators.jpeg.standard import LUMA, scaled_table
from zsir.problem import Problem
from zsir.rng import PictureNoise
from zsir.workflow.coding import AS_WHITE, as_white

EVAL = Path(__file__).parents[2] / "experiments" / "data" / "eval34"


def coded(x: Tensor, quality: int) -> tuple[bytes, Tensor]:
    """The bytes of a JPEG file of x (1, 3, height, width), and the picture that they decode to."""
    file = io.BytesIO()
    Image.fromarray((255 * x.clamp(0, 1)[0].permute(1, 2, 0)).round().byte().numpy()).save(
        file, "JPEG", quality=quality
    )
    shown = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 255
    return file.getvalue(), shown


@pytest.mark.parametrize("op", ["blur:sigma=1.6", "uniform:size=5", "motion:length=11,angle=30", "identity"])
def test_the_error_of_a_blurred_file_is_known(op: str) -> None:
    """Within 30 %: with the spectrum of sharp pictures it was told 1.6 to 2 times too large."""
    for name in ("farm_animals_animals_chicken", "monuments_france_pontduGard"):
        x = torch.from_numpy(np.array(Image.open(EVAL / f"{name}.png").convert("RGB"))).permute(2, 0, 1)[None] / 255
        y = make(op, in_shape=(3, 256, 256)).forward(x)
        data, shown = coded(y, 75)
        told = measurement(read_jpeg(data))[0].level
        assert told == pytest.approx(float((shown - y).square().mean().sqrt()), rel=0.3)


def test_a_spectrum_is_found_in_its_codes() -> None:
    """Codes of Laplacian coefficients drawn from the law itself."""
    rng = np.random.default_rng(0)
    table = torch.from_numpy(scaled_table(LUMA, 85))
    for spectrum in (Spectrum(6000.0), Spectrum(6000.0, 0.01 * 1.4**7)):
        deviation = spectrum.variances(8, 8).sqrt()
        deviation[0, 0] = 0
        drawn = rng.laplace(size=(40, 40, 8, 8)) * (deviation / math.sqrt(2)).numpy()
        found = fitted((torch.from_numpy(drawn) / table).round(), table)
        assert found.fall == pytest.approx(spectrum.fall, rel=0.5)
        assert found.amplitude == pytest.approx(spectrum.amplitude, rel=0.3)
    assert float(Spectrum(2.0, 0.1).variances(8, 8)[1, 2]) == pytest.approx(2 * 5**-DECAY * math.exp(-0.5))


def test_a_noisy_file_does_not_bind_the_clean_picture_to_its_box() -> None:
    operator = jpeg((3, 48, 64), q=80).with_noise(0.06)
    x = picture(operator.in_shape, 1)
    y, _ = operator.record(x, PictureNoise(0, [0]))
    moved = (operator.project(x, y) - x).square().mean().sqrt()
    bound = (replace(operator, noise_before=0.0).project(x, y) - x).square().mean().sqrt()
    assert moved < 0.1 * bound
    far = torch.ones_like(x)
    assert (operator.project(far, y) - far).square().mean().sqrt() > 0.1


def test_the_last_level_knows_the_noise_before() -> None:
    operator = jpeg((3, 16, 16), q=75)
    assert operator.finish == pytest.approx(3 / 255)
    assert operator.with_noise(0.06).finish == pytest.approx(0.039)


def test_a_sampler_that_ends_at_the_noise_is_told_less_of_a_file() -> None:
    file = read_jpeg(coded(picture((3, 48, 64), 1), 75)[0])
    error = measurement(file)[0].level
    assert as_white(file) == as_white(file, samplers.make("cm4ir")) == pytest.approx(AS_WHITE * error)
    assert as_white(file, samplers.make("hqs")) == pytest.approx(0.7 * AS_WHITE * error)


def test_cm4ir_ends_at_the_noise_of_pixels_that_are_shown() -> None:
    mask, blur = make("mask:keep=0.5", in_shape=(3, 16, 16)), make("blur:sigma=1", in_shape=(3, 16, 16))
    sampler = samplers.make("cm4ir")
    lasts = [sampler.plan(Problem(torch.rand(1, 3, 16, 16), op, 0.008)).sigmas[-1] for op in (mask, blur)]  # type: ignore[attr-defined]
    assert lasts == pytest.approx([0.006, 0.02])
    assert sampler.plan(Problem(torch.rand(1, 3, 16, 16), mask, 0.1)).sigmas[-1] == pytest.approx(0.05)  # type: ignore[attr-defined]
