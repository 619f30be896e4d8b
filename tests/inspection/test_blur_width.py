"""Gaussian blur from the spectrum: widths of damaged photographs, and none of sharp ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.inspection.conftest import coded, damaged, decoded, photograph, planes
from zsir import inspect, operators
from zsir.inspection.directed import directed_blur, disc, line
from zsir.inspection.findings import Blur
from zsir.inspection.spectrum import FALL, WIDTH, Spectrum, design, fit, spectrum
from zsir.inspection.widths import as_blur, gaussian_width, levy_width


def exact(alpha: float, width: float, noise: float, blocks: int, seed: int, fall: float = 2) -> Spectrum:
    """A periodogram drawn from the model itself, the blur of which falls with a power."""
    f = np.fft.fftfreq(64)
    down, across = np.meshgrid(f, f, indexing="ij")
    radius = np.hypot(down, across)
    kept = ((down > 0) | ((down == 0) & (across > 0))) & (radius > 2.5 / 64) & (radius <= 0.5)
    r = radius[kept]
    power = 1e-3 * (r / 0.1) ** -alpha * np.exp(-((2 * np.pi * width * r) ** fall)) + noise
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


def test_the_fit_does_not_run_away():
    """A kernel that is far from the truth makes P far too small at first, and a first step far too long."""
    s = exact(2.0, 0, 1e-5, 900, 3)
    columns = design(s)
    begun = fit(s, columns).values
    for numbers in ((8, 30), (15, 70), (30, 90)):
        transfer = line(s, *numbers)
        assert fit(s, columns, transfer, begun).loss == pytest.approx(fit(s, columns, transfer).loss, abs=1.0)


@pytest.mark.parametrize("fall, width, noise", [(1.5, 2.5, 1e-9), (4.0, 0.9, 1e-6), (4.0, 1.4, 1e-6)])
def test_the_power_of_a_fall(fall, width, noise):
    s = exact(2.6, width, noise, 900, 3, fall)
    found = levy_width(s, gaussian_width(s))
    assert found is not None and found.power == fall
    assert found.fit.values[WIDTH] ** (1 / fall) == pytest.approx(width, rel=0.02)


@pytest.mark.parametrize("width, noise", [(2.5, 1e-8), (0.9, 1e-6), (1.4, 1e-5)])
def test_a_gaussian_has_the_power_of_one(width, noise):
    s = exact(2.6, width, noise, 900, 3)
    assert levy_width(s, gaussian_width(s)) is None


@pytest.mark.parametrize("op, kind", [("blur:sigma=1.4,power=3", "levy"), ("blur:sigma=1.4", "gaussian")])
def test_a_photograph_tells_the_power(op, kind):
    """A Gaussian in place of the sharper fall would undo it by 3 to 6 dB too much."""
    found = inspect(damaged(photograph("monuments_wonders_petra"), f"{op},boundary=reflect")).findings.blur
    assert found is not None and found.kind == kind
    if kind == "levy":
        assert found.power is not None and 2.5 <= found.power <= 4 and found.spec.endswith(f",power={found.power:g}")


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
    assert isinstance(found, Blur) and found.kind == "motion" and found.angle is not None
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
    assert isinstance(found, Blur) and found.kind == "defocus"
    assert found.width == pytest.approx(3, rel=0.08)


@pytest.mark.parametrize("width, found", [(0.0, "disc:radius=5.9"), (1.5, "unclear")])
def test_zeros_with_much_of_a_gaussian(width, found):
    """A wide blur that noise and coding ended looks so; a disc undone in its place leaves waves everywhere."""
    s = exact(2.6, width, 0, 900, 3)
    noise = 1e-6 * np.random.default_rng(3).gamma(900, 1 / 900, s.power.shape)
    s = Spectrum(s.power * disc(s, 6) + noise, s.down, s.across, s.blocks, s.floor)
    seen = directed_blur(s, gaussian_width(s).fit)
    assert (seen if isinstance(seen, str) else seen and seen.spec) == found


@pytest.mark.parametrize("cutoff, size", [(1.5, 15), (0.9, 17), pytest.param(2.3, 19, marks=pytest.mark.slow)])
def test_a_sharp_low_pass(cutoff, size):
    """A disc undone in place of the second one made a picture 0.9 dB worse, where the filter itself brings 2 dB."""
    y = damaged(photograph("monuments_wonders_petra"), f"sinc:cutoff={cutoff},size={size},boundary=reflect", 1 / 255)
    found = inspect(y)
    blur = found.findings.blur
    assert blur is not None and blur.kind == "sinc" and blur.spec.endswith(f",size={size}")
    assert blur.width == pytest.approx(cutoff, abs=0.04)
    assert f"finer than {2 * np.pi / blur.width:.1f} pixels" in " ".join(found.sentences)


def test_a_low_pass_of_a_blurred_picture():
    y = damaged(photograph("monuments_wonders_petra"), "blur:sigma=0.9 | sinc:cutoff=1.6,size=15", 0.5 / 255)
    found = inspect(y)
    first, last = found.spec.split(" | ")
    assert last.startswith("sinc:cutoff=1.6") and float(first.removeprefix("blur:sigma=")) == pytest.approx(
        0.9, abs=0.2
    )
    assert operators.make(found.spec, in_shape=(3, 64, 64)).out_shape == (3, 64, 64)


@pytest.mark.parametrize("op", ["", "disc:radius=2,boundary=reflect", "blur:sigma=2,boundary=reflect"])
def test_what_is_no_low_pass(photo, op):
    found = inspect(damaged(photo, op, 1 / 255)).findings.blur
    assert found is None or found.kind in ("gaussian", "defocus")


def test_a_low_pass_behind_jpeg():
    """Its ripples are hidden. A Lévy blur of power 4 has its spectrum, and undoing that made pictures 1 dB worse."""
    y = damaged(photograph("farm_animals_animals_cat"), "sinc:cutoff=1.5,size=15,boundary=reflect")
    found = inspect(decoded(coded(y, 80)))
    assert found.findings.blur is None and "JPEG hides" in found.findings.unknown["blur"]
    assert found.spec == "jpeg:q=80"
