"""Gaussian blur from the spectrum: widths of damaged photographs, and none of sharp ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.inspection.conftest import coded, damaged, decoded, photograph, planes
from zsir import inspect, operators
from zsir.inspection.directed import directed_blur
from zsir.inspection.spectrum import FALL, WIDTH, Spectrum, design, fit, spectrum
from zsir.inspection.widths import as_blur, gaussian_width


def exact(alpha: float, width: float, noise: float, blocks: int, seed: int) -> Spectrum:
    """A periodogram drawn from the model itself."""
    f = np.fft.fftfreq(64)
    down, across = np.meshgrid(f, f, indexing="ij")
    radius = np.hypot(down, across)
    kept = ((down > 0) | ((down == 0) & (across > 0))) & (radius > 2.5 / 64) & (radius <= 0.5)
    r = radius[kept]
    power = 1e-3 * (r / 0.1) ** -alpha * np.exp(-4 * np.pi**2 * width**2 * r**2) + noise
    drawn = power * np.random.default_rng(seed).gamma(blocks, 1 / blocks, r.shape)
    return Spectrum(drawn, down[kept], across[kept], blocks, 1e-9)


@pytest.mark.parametrize("width", [0.8, 1.6, 3.0])
def test_fit_of_the_model_itself(width):
    s = exact(2.6, width, 1e-5, 200, 3)
    found = fit(s, design(s))
    assert np.sqrt(found.values[WIDTH]) == pytest.approx(width, rel=0.02)
    assert found.values[FALL] == pytest.approx(2.6, abs=0.1)
    assert found.noise == pytest.approx(1e-5, rel=0.03)
    assert found.spread == pytest.approx(1 / 200, rel=0.2)


def looked_at(y):
    found = spectrum(planes(y))
    assert found is not None
    return gaussian_width(found)


@pytest.mark.parametrize("width", [0.8, 1.2, 3])
@pytest.mark.parametrize("noise", [0, 5 / 255])
def test_photographs(photo, width, noise):
    """Half of them come within 5 %, all of these within 20 %."""
    found = looked_at(damaged(photo, f"blur:sigma={width},boundary=reflect", noise))
    assert found.width == pytest.approx(width, rel=0.18)
    assert abs(found.width - width) < 3 * found.error
    blur = as_blur(found)
    assert blur is not None and blur.spec == f"blur:sigma={found.width:.2f}"


def test_beneath_jpeg():
    y = decoded(coded(damaged(photograph("monuments_wonders_petra"), "blur:sigma=1.6,boundary=reflect"), 75))
    found = inspect(y)
    assert found.findings.blur is not None
    assert found.findings.blur.width == pytest.approx(1.6, rel=0.15)
    assert found.spec.endswith("| jpeg:q=75")


@pytest.mark.parametrize("noise", [0, 10 / 255])
def test_sharp_is_not_blurred(photo, noise):
    assert as_blur(looked_at(damaged(photo, "", noise))) is None


FAR = [pytest.param(*numbers, marks=pytest.mark.slow) for numbers in ((15, 100, 5 / 255), (21, 0, 0))]


@pytest.mark.parametrize("length, angle, noise", [(9, 30, 2 / 255), *FAR])
def test_motion(length, angle, noise):
    y = damaged(photograph("monuments_wonders_petra"), f"motion:length={length},angle={angle},boundary=reflect", noise)
    seen = spectrum(planes(y))
    assert seen is not None
    found = directed_blur(seen, gaussian_width(seen).fit)
    assert found is not None and found.kind == "motion" and found.angle is not None
    assert found.width == pytest.approx(length, rel=0.1)
    assert abs((found.angle - angle + 90) % 180 - 90) < 4
    assert operators.make(found.spec, in_shape=(3, 64, 64)).in_shape == (3, 64, 64)


@pytest.mark.slow
@pytest.mark.parametrize("op", ["", "blur:sigma=2,boundary=reflect"])
def test_gaussian_is_no_motion(photo, op):
    seen = spectrum(planes(damaged(photo, op, 2 / 255)))
    assert seen is not None
    assert directed_blur(seen, gaussian_width(seen).fit) is None


def test_defocus():
    offsets = np.arange(-3, 3.0001, 1 / 16)
    inside = (offsets[:, None] ** 2 + offsets**2 <= 9)[:-1, :-1]
    kernel = torch.from_numpy(inside.reshape(6, 16, 6, 16).sum(axis=(1, 3)) / inside.sum())
    x = photograph("monuments_wonders_petra").double()
    y = torch.nn.functional.conv2d(x.transpose(0, 1), kernel[None, None]).transpose(0, 1)
    seen = spectrum(planes(damaged(y, "", 2 / 255)))
    assert seen is not None
    found = directed_blur(seen, gaussian_width(seen).fit)
    assert found is not None and found.kind == "defocus"
    assert found.width == pytest.approx(3, rel=0.08)
