"""Denoisers without training: the laws they obey, and that they denoise."""

from __future__ import annotations

import sys

import pytest
import torch

from tests.priors.stand_ins import picture
from zsir import metrics, operators, priors, samplers
from zsir.errors import BadInput, BadSpec, Incompatible
from zsir.loop.solver import solve
from zsir.priors.denoisers.wavelet import Wavelet
from zsir.problem import Problem
from zsir.testing import check_prior

NAMES = ("tv", "nlm", "wavelet")
LEVEL = torch.tensor([0.1])


def flags(height: int = 48, width: int = 40) -> torch.Tensor:
    """Flat areas with edges in all directions, colour."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = [(rows + columns) // 24 % 2, rows // 16 % 2, (columns - rows + 64) // 20 % 2]
    return 0.2 + 0.6 * torch.stack(planes).float()[None]


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    prior = priors.load(name)
    for channels in (1, 3):
        check_prior(prior, shape=(channels, 24, 17))
    assert prior.denoise(picture(9, 8).double(), LEVEL.double()).dtype == torch.float64
    assert prior.fingerprint == "" and prior.kind == "denoiser" and prior.channels == 0


@pytest.mark.parametrize(("name", "gain"), [("tv", 8.0), ("nlm", 6.0), ("wavelet", 3.5)])
def test_it_denoises(name, gain):
    clean = flags()
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    prior = priors.load(name)
    made = prior.denoise(noisy, LEVEL)
    assert metrics.psnr(made, clean) > metrics.psnr(noisy, clean) + gain
    for factor in (0.25, 4.0):  # told a wrong level it does worse
        assert metrics.psnr(prior.denoise(noisy, factor * LEVEL), clean) < metrics.psnr(made, clean)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_tiny_pictures(name, size):
    x = picture(*size)
    made = priors.load(name).denoise(x, LEVEL)
    assert made.shape == x.shape and bool(torch.isfinite(made).all())


def test_total_variation_of_a_step():
    """Of a step between flat halves TV takes ``weight / width of a half`` off at each side (1-D closed form)."""
    x = torch.zeros(1, 1, 4, 20)
    x[..., 10:] = 1
    made = priors.load("tv:factor=2,iterations=20000").denoise(x, LEVEL)
    expected = torch.where(x == 0, 0.2 / 10, 1 - 0.2 / 10)
    assert float((made - expected).abs().max()) < 4e-3


def test_wavelets_without_noise_give_back_the_picture():
    x = picture(21, 34)
    assert torch.allclose(priors.load("wavelet").denoise(x, torch.zeros(1)), x, atol=1e-6)
    assert torch.allclose(Wavelet("visu", 3).denoise(x.double(), torch.zeros(1)), x.double(), atol=1e-14)


def test_wavelets_take_all_of_white_noise_away():
    """With nothing but noise BayesShrink leaves little more than the coarsest average."""
    noise = torch.randn((1, 1, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left = Wavelet("visu", 4).denoise(0.1 * noise, LEVEL)
    # the average over 16 x 16 pixels has a sixteenth of the deviation, and is smoothed once more on the way back
    assert 0.3 * 0.1 / 16 < float(left.std()) < 1.1 * 0.1 / 16


def test_wavelet_gradients():
    x = picture(12, 12).double().requires_grad_()
    direction = picture(12, 12, seed=5).double()
    prior = priors.load("wavelet")
    prior.denoise(x, LEVEL.double()).square().sum().backward()
    h = 1e-7
    with torch.no_grad():
        a, b = (prior.denoise(x + s * direction, LEVEL.double()).square().sum() for s in (h, -h))
    assert x.grad is not None
    assert float((x.grad * direction).sum()) == pytest.approx(float(a - b) / (2 * h), rel=1e-5)


@pytest.mark.parametrize("name", ["tv", "nlm"])
def test_no_gradients(name):
    operator = operators.make("identity", in_shape=(3, 8, 8))
    with pytest.raises(Incompatible, match="needs gradients"):
        solve(Problem(picture(8, 8), operator, 0.1), priors.load(name), samplers.make("dps", nfe=2))


@pytest.mark.parametrize(
    "spec", ["tv:factor=0", "tv:iterations=0", "nlm:patch=0", "nlm:factor=-1", "wavelet:rule=hard", "wavelet:levels=0"]
)
def test_refused_settings(spec):
    with pytest.raises(BadSpec):
        priors.load(spec)


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    for name in ("tv", "nlm"):
        with pytest.raises(BadInput, match=r"pip install 'zsir\[classical\]'"):
            priors.load(name)


def test_restoration_with_every_one():
    clean = flags(32, 32)
    operator = operators.make("blur:sigma=1.5", in_shape=(3, 32, 32))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    y = operator.forward(clean) + 0.02 * noise
    problem = Problem(y, operator, 0.02)
    for name in NAMES:
        made = solve(problem, priors.load(name), samplers.make("hqs:nfe=8", nfe=None)).x
        assert metrics.psnr(made, clean) > metrics.psnr(y, clean) + 1.5
