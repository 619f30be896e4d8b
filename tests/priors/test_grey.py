"""Grey pictures through colour priors."""

import copy
import math
from typing import Any, Literal

import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.capabilities import inflated
from zsir.priors import Grey, Wrapping
from zsir.rng import PictureNoise


class Linear:
    """The exact denoiser of independent N(0, v) numbers; remembers what it was asked."""

    channels, sigma_range, fingerprint = 3, (0.0, 10.0), ""
    kind: Literal["denoiser"] = "denoiser"

    def __init__(self, v: float = 0.25, knows_grey: bool = False) -> None:
        self.v, self.knows_grey, self.ratio = v, knows_grey, 1.0
        self.seen: list[Any] = []

    def inflated(self, ratio):
        other = copy.copy(self)
        other.ratio = ratio
        return other

    def denoise(self, x, sigma):
        self.seen.append((x, sigma, self.ratio * sigma))
        return x * (self.v / (self.v + sigma**2)).view(-1, 1, 1, 1)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_network_that_knows_grey_sees_three_equal_channels():
    inner = Linear(knows_grey=True)
    x, sigma = noise(2, 1, 5, 7), torch.tensor([0.1, 0.7], dtype=torch.float64)
    out = inflated(Grey(inner), 2).denoise(x, sigma)
    seen, level, told = inner.seen[0]
    assert torch.equal(seen, x.expand(2, 3, 5, 7))
    assert torch.equal(level, sigma) and torch.equal(told, 2 * sigma)
    assert torch.allclose(out, x * (0.25 / (0.25 + sigma**2)).view(-1, 1, 1, 1), rtol=0, atol=1e-15)


def test_another_network_sees_independent_noises_of_the_level_it_is_told():
    inner = Linear()
    side, s = 200, 0.3
    x0 = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = x0 + s * noise(1, 1, side, side, seed=1)
    Grey(inner).denoise(x, torch.tensor([s], dtype=torch.float64))
    seen, level, _ = inner.seen[0]
    assert torch.allclose(level, torch.tensor([math.sqrt(3) * s], dtype=torch.float64))
    # what was added cancels in the mean ...
    assert torch.allclose(seen.mean(1, keepdim=True), x, rtol=0, atol=1e-6)
    # ... and leaves three noises that are white, of the stated level, and know nothing of each other
    covariance = torch.cov((seen - x0)[0].flatten(1)) / (3 * s**2)
    assert torch.allclose(covariance, torch.eye(3, dtype=torch.float64), rtol=0, atol=4 / side)


def test_every_call_is_the_same_function():
    prior, x, sigma = Grey(Linear()), noise(2, 1, 6, 5), torch.tensor([0.2, 0.2], dtype=torch.float64)
    both = prior.denoise(x, sigma)
    assert torch.equal(both, prior.denoise(x, sigma))
    assert torch.equal(both[1:], prior.denoise(x[1:], sigma[1:]))
    assert prior.channels == 1 and prior.kind == "denoiser"


def test_a_grey_picture_is_denoised_better_than_as_three_equal_channels():
    """FFDNet is a colour network that was never shown grey noise: three equal channels keep most of it."""
    inner = priors.load("ffdnet")
    rows = torch.linspace(0, 12, 96)
    x0 = (0.5 + 0.25 * torch.sin(rows)[:, None] * torch.cos(1.7 * rows)[None])[None, None]
    sigma = torch.tensor([0.1])
    x = x0 + 0.1 * PictureNoise(0, [0]).randn_like(x0)
    lifted = (Grey(inner).denoise(x, sigma) - x0).square().mean()
    equal = (inner.denoise(x.expand(-1, 3, -1, -1), sigma).mean(1, keepdim=True) - x0).square().mean()
    assert lifted < equal / 4


def test_in_a_solver_and_around_other_wrappers():
    op = operators.make("sr2x", in_shape=(1, 16, 22))
    x0 = torch.rand(1, 1, 16, 22, generator=torch.Generator().manual_seed(0))
    inner = priors.wrap(priors.load("photo"), Wrapping(tile=16))
    solution = solve(Problem(op.forward(x0), op, 0.0), Grey(inner), samplers.make("hqs:nfe=2"), seed=0)
    assert solution.x.shape == x0.shape and bool(torch.isfinite(solution.x).all())
    assert max(solution.stats.residual) < 1e-2


def test_a_prior_trained_on_pairs_is_given_a_grey_picture():
    class Pair(Linear):
        mu: Any = None

        def conditioned_on(self, mu):
            made = Pair(self.v, self.knows_grey)
            made.mu = mu
            return made

    mu = noise(1, 1, 4, 6)
    prior: Any = Grey(Pair()).conditioned_on(mu)
    assert torch.equal(prior.mu, mu) and prior.channels == 1
    assert torch.equal(prior.prior.mu, mu.expand(1, 3, 4, 6))
    assert not hasattr(Grey(Linear()), "conditioned_on")
