"""IR-SDE networks as denoisers: read-out, times and conditioning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from zsir.capabilities import inflated
from zsir.errors import Incompatible, ShapeError
from zsir.priors.checkpoints.irsde.mean_reverting import IRSDEPrior
from zsir.testing import check_prior
from zsir.timetables import IRSDESchedule

SCHEDULE = IRSDESchedule()


def toy(x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
    return torch.sin(3 * x - mu + 0.1 * t.view(-1, 1, 1, 1))


def pictures(seed: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, 6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def levels(*times: int) -> Tensor:
    return torch.tensor([SCHEDULE.sigma[t] for t in times])


@pytest.mark.parametrize("t", [1, 2, 10, 50, 75, 99, 100])
def test_plain_read_out_at_integer_times(t):
    u, mu = pictures(1), pictures(2)
    m, lam = math.exp(-SCHEDULE.h[: t + 1].sum()), SCHEDULE.max_sigma
    x_t = mu + m * (u - mu)
    eps = toy(x_t, mu, torch.full((2,), float(t), dtype=torch.float64))
    expected = mu + (x_t - mu - lam * math.sqrt(1 - m * m) * eps) / m
    found = IRSDEPrior(toy, SCHEDULE, mu, debias=False).denoise(u, levels(t, t))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("t", [1, 2, 10, 50, 75, 99, 100])
def test_debiased_read_out_at_integer_times(t):
    """Against the step of the training loss, written out."""
    u, mu = pictures(1), pictures(2)
    h, lam = SCHEDULE.h[t], SCHEDULE.max_sigma
    m, m_s = math.exp(-SCHEDULE.h[: t + 1].sum()), math.exp(-SCHEDULE.h[:t].sum())
    a = math.exp(-h)
    c1, c2 = a * (1 - m_s**2) / (1 - m**2), m_s * (1 - a**2) / (1 - m**2)
    x_t = mu + m * (u - mu)
    eps = toy(x_t, mu, torch.full((2,), float(t), dtype=torch.float64))
    step = x_t + h * (x_t - mu) - 2 * lam**2 * h * eps / (lam * math.sqrt(1 - m * m))
    expected = mu + (step - mu - c1 * (x_t - mu)) / c2
    found = IRSDEPrior(toy, SCHEDULE, mu).denoise(u, levels(t, t))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("t", [1, 30, 90, 100])
def test_network_trained_to_the_end_is_read_out_exactly(t):
    """The minimiser of the training loss for a known x0 gives that x0 back, with debias and only then."""
    clean, mu, u = pictures(3), pictures(4), pictures(5)
    h, lam, m = SCHEDULE.h[t], SCHEDULE.max_sigma, SCHEDULE.m[t]

    def ideal(x: Tensor, mean: Tensor, _: Tensor) -> Tensor:
        k = next(k for k in range(2) if torch.equal(mean[0], mu[k]))
        star = (x - mean - m * (clean[k] - mean)) / (lam * math.sqrt(1 - m * m))
        bias = (math.exp(h) - 1 - h) / (2 * h) * math.sqrt(1 - m * m) / lam * (x - mean)
        return math.sinh(h) / h * star - bias

    prior = IRSDEPrior(ideal, SCHEDULE, mu)
    torch.testing.assert_close(prior.denoise(u, levels(t, t)), clean, rtol=0, atol=1e-7)
    biased = IRSDEPrior(ideal, SCHEDULE, mu, debias=False).denoise(u, levels(t, t))
    assert t == 1 or (biased - clean).abs().max() > 1e-4  # at t = 1 the bias is 1e-8


def test_network_is_told_scaled_times_one_image_at_a_time():
    told, batches = [], []

    def listening(x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        told.append(float(t))
        batches.append((x.shape[0], mu.shape[0], t.shape))
        return torch.zeros_like(x)

    prior = IRSDEPrior(listening, SCHEDULE, pictures(1, 1), time_scale=2.5)
    for time, of in ((8, 7), (3, 100)):
        inflated(prior, float(levels(time) / levels(of))).denoise(pictures(2, 1), levels(of))
    prior.denoise(pictures(2), levels(7, 100))
    assert told == pytest.approx([20.0, 7.5, 17.5, 250.0], abs=1e-9)
    assert set(batches) == {(1, 1, (1,))}
    prior.denoise(pictures(2, 1), torch.tensor([1e-9], dtype=torch.float64))
    assert told[-1] == 2.5  # never told a time before the first


def test_between_times_the_read_out_is_between():
    u, mu = pictures(1, 1), pictures(2, 1)
    flat = IRSDEPrior(lambda x, mean, t: torch.ones_like(x), SCHEDULE, mu)
    sigma = SCHEDULE.table.level(torch.tensor([40.25], dtype=torch.float64))
    h = 0.75 * SCHEDULE.h[40] + 0.25 * SCHEDULE.h[41]
    q = float(sigma**2 / (sigma**2 + SCHEDULE.max_sigma**2))
    expected = u - q * (math.exp(h) - 1 - h) / (2 * math.sinh(h)) * (u - mu) - float(sigma) * h / math.sinh(h)
    torch.testing.assert_close(flat.denoise(u, sigma), expected, rtol=0, atol=1e-11)


class Small(nn.Module):
    """A network with weights in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        assert x.dtype == mu.dtype == t.dtype == torch.float32
        return self.scale * (x - mu)


@pytest.mark.parametrize("debias", [True, False])
def test_contract(debias):
    mu = torch.full((1, 3, 31, 46), 0.4)
    check_prior(IRSDEPrior(Small(), SCHEDULE, mu, debias))
    assert IRSDEPrior(Small(), SCHEDULE, mu, debias).denoise(mu.double(), levels(5)).dtype == torch.float64


def test_sigma_range_is_that_of_the_schedule():
    low, high = IRSDEPrior(toy, IRSDESchedule(max_sigma=10 / 255)).sigma_range
    assert low == pytest.approx(10 / 255 * 0.018784, rel=1e-4)  # sqrt(v_1)/m_1 of the golden table
    assert high == pytest.approx(10 / 255 * math.sqrt(1 / 0.005**2 - 1), rel=1e-9)


def test_without_mu_it_says_what_to_do():
    with pytest.raises(Incompatible, match=r"conditioned_on\(mu\)"):
        IRSDEPrior(toy, SCHEDULE).denoise(pictures(1), levels(5, 6))
    prior = IRSDEPrior(toy, SCHEDULE, name="rain", fingerprint="f", time_scale=2.0, debias=False)
    mu = pictures(2)
    given = prior.conditioned_on(mu)
    assert given.mu is mu and prior.mu is None
    assert (given.name, given.fingerprint, given.time_scale, given.debias) == ("rain", "f", 2.0, False)
    assert given.denoise(pictures(1), levels(5, 6)).shape == mu.shape


@pytest.mark.parametrize("shape", [(1, 3, 3, 5), (3, 3, 6, 5), (1, 1, 6, 5)])
def test_mu_of_another_size_is_refused(shape):
    with pytest.raises(ShapeError, match="mu has shape"):
        IRSDEPrior(toy, SCHEDULE, torch.zeros(shape)).denoise(pictures(1), levels(5, 6))
