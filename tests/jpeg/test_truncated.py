"""The mean of a normal law in an interval, against numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from zsir.operators.jpeg.truncated import truncated_mean

NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def integrated(mean: float, std: float, low: float, high: float) -> float:
    """By Gauss and Legendre's rule over the part of the interval that has weight."""
    nearest = min(max(mean, low), high)
    # the law falls by exp(-40) within this of its largest value
    distance = abs(nearest - mean)
    reach = math.sqrt(distance**2 + 80 * std**2) - distance if distance else 9 * std
    low, high = max(low, nearest - reach), min(high, nearest + reach)
    x = (low + high) / 2 + (high - low) / 2 * NODES
    law = np.exp(-((x - mean) ** 2 - distance**2) / (2 * std**2)) * WEIGHTS
    return float((x * law).sum() / law.sum())


@pytest.mark.parametrize("std", [1e-3, 0.2, 1.0, 7.0, 300.0, 3e4])
@pytest.mark.parametrize("mean", [0.0, 0.4, -2.0, 9.0, -35.0, 1000.0])
def test_it_is_the_integral(mean: float, std: float) -> None:
    for low, high in ((-1.0, 1.0), (-0.5, 30.0), (2.0, 2.5), (-40.0, -39.0)):
        found = float(
            truncated_mean(*(torch.tensor(value, dtype=torch.float64) for value in (mean, std**2, low, high)))
        )
        assert low <= found <= high
        assert found == pytest.approx(integrated(mean, std, low, high), abs=1e-10 * max(1.0, min(std, high - low)))


def test_it_is_near_the_mean_in_wide_intervals_and_the_middle_in_narrow_ones() -> None:
    one = torch.ones((), dtype=torch.float64)
    assert float(truncated_mean(0.3 * one, one, -1e6 * one, 1e6 * one)) == pytest.approx(0.3, abs=1e-15)
    assert float(truncated_mean(0 * one, one, 5 * one, (5 + 1e-9) * one)) == pytest.approx(5 + 5e-10, abs=1e-15)
    assert truncated_mean(torch.zeros(3), torch.ones(1), -torch.ones(3), torch.ones(3)).tolist() == [0, 0, 0]
