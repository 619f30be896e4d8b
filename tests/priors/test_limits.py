"""As the noise level goes to 0 every prior returns the picture: at 0 it does, and on the way there without a jump."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tests.priors.stand_ins import FAMILIES, LocalNet, local_prior, picture
from zsir import priors
from zsir.priors import IRSDEPrior, NetworkPrior, SelfEnsemble, Tiled, from_callable
from zsir.priors.denoisers.ffdnet import ffdnet
from zsir.priors.network import NEGLIGIBLE, faded
from zsir.priors.parametrisations import VPEstimate
from zsir.protocols import Prior
from zsir.testing import check_prior

#: without a skip path, so that `faded` takes them to the picture
FADED = ("x0", "unit", "spandrel")
SHAPE = (3, 15, 22)


class Leveled(nn.Module):
    """`LocalNet` for every way in which a level is told: as second input, or as a last channel."""

    def __init__(self) -> None:
        super().__init__()
        self.net = LocalNet().requires_grad_(False)

    def forward(self, x: Tensor, *told: Tensor) -> Tensor:
        level = told[0] if told else x[:, 3, 0, 0]
        return self.net(x[:, :3], level / 10)


def prior_of(family: str, low: float = 0.005) -> NetworkPrior:
    return NetworkPrior(Leveled(), FAMILIES[family], family, 3, (low, 40.0))


class Constant(nn.Module):
    """The worst of denoisers near 0: it returns another picture."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return torch.full_like(x, 0.75)


def irsde() -> IRSDEPrior:
    net = LocalNet(6).requires_grad_(False)

    def noise(x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        out: Tensor = net(torch.cat([x, mu], 1).float(), t.float() / 100)[:, :3]
        return out.to(x)

    return IRSDEPrior(noise, mu=picture(*SHAPE[1:], seed=1))


OTHERS: dict[str, Callable[[], Prior]] = {
    "ffdnet": ffdnet,
    "photo": lambda: priors.load("photo"),
    "irsde": irsde,
    "function": lambda: from_callable(Constant(), channels=3, sigma_range=(0.01, 1)),
    "function from 0": lambda: from_callable(Constant(), channels=3, sigma_range=(0, 1), native="[-1, 1]"),
    "gaussian": lambda: priors.load("gaussian"),
    "gaussian cm": lambda: priors.load("gaussian:kind=consistency"),
    "mixture": lambda: priors.load("mixture"),
    "wavelet": lambda: priors.load("wavelet"),
    "tv": lambda: priors.load("tv"),
    "nlm": lambda: priors.load("nlm"),
    "tiled": lambda: Tiled(prior_of("x0"), 16),
    "ensemble": lambda: SelfEnsemble(prior_of("unit")),
}
ALL: dict[str, Callable[[], Prior]] = {**{name: partial(prior_of, name) for name in FAMILIES}, **OTHERS}


@pytest.mark.parametrize("name", ALL)
def test_at_zero_it_is_the_picture(name: str) -> None:
    prior = ALL[name]()
    x = picture(*SHAPE[1:], batch=2)
    made = prior.denoise(x, torch.zeros(2))
    assert float((made - x).abs().max()) < 2e-6
    assert torch.equal(made, x) or name not in (*FADED, "ffdnet", "function", "function from 0", "tv", "nlm")
    if prior.kind == "denoiser":
        check_prior(prior, shape=SHAPE)
    assert float((prior.denoise(x, torch.full((2,), 0.3)) - x).abs().max()) > 1e-3  # it has a say elsewhere


@pytest.mark.parametrize("name", [name for name in ALL if name != "nlm"])  # nlm chooses patches: it is no smooth map
def test_there_is_no_jump_on_the_way(name: str) -> None:
    """Steps of a twentieth of the smallest level change little, also where the smallest level is crossed."""
    prior = ALL[name]()
    low = prior.sigma_range[0] or NEGLIGIBLE
    x = picture(*SHAPE[1:]).double()
    levels = low * torch.linspace(0, 2, 41, dtype=torch.float64)
    made = torch.cat([prior.denoise(x, level[None]) for level in levels])
    steps = (made[1:] - made[:-1]).square().mean((1, 2, 3)).sqrt()
    whole = (made[20] - x[0]).square().mean().sqrt()  # all the way from the smallest level to 0
    # a parabola's steepest of 20 steps takes 39/400 of it; a family whose own formula is no parabola gets some more
    assert float(steps.max()) < max(0.16 * float(whole), 4 * low / 20, 1e-9)


@pytest.mark.parametrize("name", FADED)
def test_levels_that_the_network_knows_are_left_alone(name: str) -> None:
    prior, x = prior_of(name), picture(*SHAPE[1:], batch=3)
    levels = torch.tensor([0.005, 0.0051, 2.0])
    estimate = FAMILIES[name]
    raw = [estimate(prior.net, 2 * p - 1, 2 * s, 2 * s) for p, s in zip(x.split(1), levels.split(1), strict=True)]
    assert torch.equal(prior.denoise(x, levels), (torch.cat(raw) + 1) / 2)


def test_the_way_is_that_of_a_constant_score() -> None:
    """Of a Gaussian the exact estimate is known: at half of a small level, a quarter of the correction."""
    x = picture(7, 5).double()
    low, sigma = 0.01, torch.tensor([0.005], dtype=torch.float64)

    def exact(s: float) -> Tensor:
        return 0.5 + (x - 0.5) * 0.09 / (0.09 + s**2)

    made = faded(exact(low), x, sigma, low)
    assert float((made - exact(0.005)).abs().max()) < 1e-3 * float((exact(0.005) - x).abs().max())
    assert torch.equal(faded(exact(low), x, torch.tensor([low]), low), exact(low))


def test_clipped_estimates_fade_to_what_was_given() -> None:
    x = picture(6, 7) + 0.5  # beyond 1
    prior = NetworkPrior(Leveled(), VPEstimate("x0"), "x0", 3, (0.005, 40.0), clip=True)
    assert torch.equal(prior.denoise(x, torch.zeros(1)), x)
    assert float(prior.denoise(x, torch.full((1,), 0.005)).max()) <= 1


def test_the_contract_notices_a_prior_that_does_not() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Deaf:
        """Takes a little noise off that is not there."""

        inner: Prior
        channels = 3
        sigma_range = (0.0, 1.0)
        kind = "denoiser"
        fingerprint = ""

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            made = self.inner.denoise(x, sigma)
            return made + 1e-5 * made.std()

    with pytest.raises(AssertionError, match=r"denoise\(x, 0\) = x"):
        check_prior(Deaf(local_prior()))  # type: ignore[arg-type]
