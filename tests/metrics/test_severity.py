"""Severity after GenDeg: closed forms for noise, masks and haze."""

from __future__ import annotations

import math

import pytest
import torch

from zsir.metrics import measure, psnr, severity
from zsir.rng import generator


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=generator(0, 0, "test"))


def test_noise() -> None:
    x = torch.full((1, 3, 256, 256), 0.5, dtype=torch.float64)
    noise = torch.randn(x.shape, dtype=torch.float64, generator=generator(1, 0, "test"))
    ((mu, sigma),) = severity(x + 0.05 * noise, x)
    assert mu == pytest.approx(0.05 * math.sqrt(2 / math.pi), rel=0.01)
    assert sigma == pytest.approx(0.05 * math.sqrt(1 - 2 / math.pi), rel=0.01)


def test_a_mask() -> None:
    x = picture(1, 3, 40, 50)
    known = (torch.arange(2000) % 10 < 3).view(1, 1, 40, 50).double()
    hidden = x[(1 - known).expand_as(x) > 0]
    ((mu, sigma),) = severity(known * x, x)
    assert mu == pytest.approx(0.7 * float(hidden.mean()), abs=1e-12)
    assert sigma**2 == pytest.approx(0.7 * float(hidden.square().mean()) - mu**2, abs=1e-12)


def test_haze() -> None:
    """J t + a (1 - t): both numbers are linear in 1 - t, so that their ratio does not tell t."""
    x = picture(2, 3, 21, 34)
    both = [severity(x * t + 0.9 * (1 - t), x) for t in (0.8, 0.4)]
    for weak, strong in zip(*both, strict=True):
        assert strong == pytest.approx((3 * weak[0], 3 * weak[1]), abs=1e-12)
    assert both[0][0][0] == pytest.approx(0.2 * float((x[0] - 0.9).abs().mean()), abs=1e-12)


def test_root_mean_square_and_offset() -> None:
    x = picture(1, 3, 12, 17)
    y = (x + 0.1 * torch.sin(40 * x)).clamp(0, 1)
    values = measure(["severity-mean", "severity-std"], y, x)
    mu, sigma = values["severity-mean"][0], values["severity-std"][0]
    assert psnr(y, x) == pytest.approx(-10 * math.log10(mu**2 + sigma**2), abs=1e-9)
    assert severity(x * 0 + 0.3, x * 0 + 0.1)[0] == pytest.approx((0.2, 0.0))
