"""Functions and other packages' denoisers as priors, by stand-ins with those packages' interfaces."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.priors.stand_ins import picture
from zsir import operators, samplers
from zsir.capabilities import inflated
from zsir.errors import BadInput, BadSpec, Incompatible, ShapeError
from zsir.loop.solver import solve
from zsir.priors import Compiled, from_azula, from_callable, from_deepinv
from zsir.problem import Problem
from zsir.testing import check_prior
from zsir.timetables import inverted

LEVELS = torch.tensor([0.1, 0.3])


def shrink(x, sigma):
    """Posterior mean of N(0, 1) in the function's own units."""
    return x / (1 + sigma.view(-1, 1, 1, 1) ** 2)


def test_function_in_both_units():
    x = picture(5, 7, batch=2)
    unit = from_callable(shrink, channels=0, sigma_range=(0, 1))
    assert torch.allclose(unit.denoise(x, LEVELS), x / (1 + LEVELS.view(-1, 1, 1, 1) ** 2))
    symmetric = from_callable(shrink, channels=0, sigma_range=(0, 1), native="[-1, 1]")
    # N(0, 1) in [-1, 1] is N(1/2, 1/4) in [0, 1]
    expected = 0.5 + (x - 0.5) / (1 + 4 * LEVELS.view(-1, 1, 1, 1) ** 2)
    assert torch.allclose(symmetric.denoise(x, LEVELS), expected, atol=1e-6)
    for prior in (unit, symmetric):
        check_prior(prior)
        assert prior.differentiable and prior.name == "shrink"


def test_levels_told_stay_in_range():
    prior = from_callable(shrink, channels=0, sigma_range=(0.1, 0.2))
    x = picture(3, 3, batch=2)
    x0 = prior.denoise(x, torch.tensor([0.01, 7.0]))
    expected = shrink(x, torch.tensor([0.1, 0.2]))
    assert torch.allclose(x0, torch.stack([torch.lerp(x[0], expected[0], 0.01), expected[1]]))


def test_a_function_has_one_level_which_is_inflated():
    prior = from_callable(shrink, channels=0, sigma_range=(0, 1))
    x = picture(3, 3, batch=2)
    assert torch.equal(inflated(prior, 1.5).denoise(x, LEVELS), prior.denoise(x, 1.5 * LEVELS))
    assert inflated(prior, 1) is prior and getattr(inflated(prior, 1.5), "name", "") == "shrink"


def test_module_sets_the_dtype():
    net = nn.Conv2d(3, 3, 1).double()
    seen = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = net

        def forward(self, x, sigma):
            seen.append((x.dtype, sigma.dtype))
            return self.conv(x)

    prior = from_callable(Net(), channels=3, sigma_range=(0, 1), name="mine", fingerprint="a" * 64)
    assert prior.denoise(picture(4, 4), LEVELS[:1]).dtype == torch.float32
    assert seen == [(torch.float64, torch.float64)] and prior.fingerprint == "a" * 64
    hidden = from_deepinv(Net(), channels=3)
    with pytest.raises(Incompatible, match="no network to compile"):  # a function around it: compiled in vain
        Compiled(hidden)


def test_mistakes_are_sentences():
    def make(function=shrink, **options):
        return from_callable(function, **{"channels": 3, "sigma_range": (0, 1), **options})

    for options, says in (
        ({"function": 3}, "not int"),
        ({"sigma_range": (1, 0)}, "the smaller first"),
        ({"native": "[0, 255]"}, "write"),
    ):
        with pytest.raises(BadSpec, match=says):
            make(**options)
    x = picture(4, 4)
    with pytest.raises(BadInput, match="returned tuple"):
        make(lambda x, sigma: (x, x)).denoise(x, LEVELS[:1])
    with pytest.raises(ShapeError, match="returned shape"):
        make(lambda x, sigma: x[:, :1]).denoise(x, LEVELS[:1])


def test_without_gradients_dps_refuses():
    prior = from_callable(shrink, channels=0, sigma_range=(0, 1), differentiable=False)
    operator = operators.make("identity", in_shape=(3, 8, 8))
    with pytest.raises(Incompatible, match="needs gradients"):
        solve(Problem(picture(8, 8), operator, 0.1), prior, samplers.make("dps", nfe=2))


class DeepinvLike(nn.Module):
    """deepinv's interface, and a denoiser that takes one number and looks at the batch as a whole."""

    def forward(self, x, sigma, **kwargs):
        assert isinstance(sigma, float)
        return x.mean() + (x - x.mean()) / (1 + sigma**2)


def test_deepinv():
    prior = from_deepinv(DeepinvLike(), channels=0, sigma_range=(0.0, 2.0))
    x = picture(6, 5, batch=2)
    mean = x.mean((1, 2, 3), keepdim=True)
    expected = mean + (x - mean) / (1 + LEVELS.view(-1, 1, 1, 1) ** 2)
    assert torch.allclose(prior.denoise(x, LEVELS), expected, atol=1e-6)
    check_prior(prior)
    assert prior.name == "deepinv DeepinvLike"


class AzulaLike(nn.Module):
    """azula's interface; the exact denoiser of N(0, 1/4) for the schedule alpha = cos, sigma = sin."""

    def __init__(self, posterior: bool) -> None:
        super().__init__()
        self.posterior = posterior
        self.weight = nn.Parameter(torch.tensor(0.25), requires_grad=False)

    def schedule(self, t):
        return torch.cos(1.5 * t), torch.sin(1.5 * t)

    def forward(self, x_t, t, **kwargs):
        alpha, sigma = (s.view(-1, 1, 1, 1) for s in self.schedule(t))
        mean = alpha * self.weight * x_t / (alpha**2 * self.weight + sigma**2)
        return SimpleNamespace(mean=mean, var=None) if self.posterior else mean


@pytest.mark.parametrize("posterior", [True, False])
def test_azula(posterior):
    prior = from_azula(AzulaLike(posterior), channels=0)
    assert prior.sigma_range == pytest.approx((0, math.tan(1.5) / 2), rel=1e-5)
    x = picture(6, 5, batch=2)
    # N(0, 1/4) in [-1, 1] is N(1/2, 1/16) in [0, 1]
    expected = 0.5 + (x - 0.5) / (1 + 16 * LEVELS.view(-1, 1, 1, 1) ** 2)
    assert torch.allclose(prior.denoise(x, LEVELS), expected, atol=2e-6)
    check_prior(prior)
    unit = from_azula(AzulaLike(posterior), channels=0, native="[0, 1]")
    assert torch.allclose(unit.denoise(x, LEVELS), x / (1 + 4 * LEVELS.view(-1, 1, 1, 1) ** 2), atol=2e-6)


def test_azula_wants_a_schedule():
    with pytest.raises(BadInput, match="has no schedule"):
        from_azula(nn.Identity())


def test_bisection():
    sigma = torch.tensor([1e-3, 0.3, 40.0, 1e9], dtype=torch.float64)
    t = inverted(lambda t: torch.tan(1.5 * t), sigma)
    assert torch.allclose(t, torch.atan(sigma).div(1.5).clamp_max(1), atol=1e-15, rtol=0)
