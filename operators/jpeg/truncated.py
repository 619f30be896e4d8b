"""What is expected of a number that lies in an interval, where an estimate of it has a normal error.

The normal law of mean m and variance v, cut to [low, high], has the mean

    m + sqrt(v) (phi(a) - phi(b)) / (Phi(b) - Phi(a)),   a = (low - m)/sqrt(v),  b = (high - m)/sqrt(v)

Far out in a tail both differences vanish. There `erfcx`, exp(x^2) erfc(x), keeps the quotient exact.

Source: Johnson, Kotz and Balakrishnan 1994, Continuous Univariate Distributions 1, section 10.1
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: intervals of less than this many half standard deviations: the law is an exponential in them
NARROW = 1e-4
#: a bound further out than this cuts nothing off
FAR = 30.0


def truncated_mean(mean: Tensor, variance: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The mean of a normal law that is cut to an interval.

    Args:
        mean: Means before the cut.
        variance: Their variances, positive.
        low: Least values.
        high: Greatest values, above ``low``.

    Returns:
        The means after the cut, float64, in the common shape.
    """
    mean, low, high, spread = (part.double() for part in (mean, low, high, variance.double().sqrt()))
    a, b = (low - mean) / spread, (high - mean) / spread
    # mirrored, so that the interval lies above the mean for the greater part
    mirrored = a + b < 0
    a, b = torch.where(mirrored, -b, a), torch.where(mirrored, -a, b)
    half, middle = (b - a) / 2, (a + b) / 2
    found = torch.where(half < NARROW, middle - half * _langevin(middle * half), _by_tails(a, b))
    return (mean + spread * torch.where(mirrored, -found, found)).clamp(low, high)


def _by_tails(a: Tensor, b: Tensor) -> Tensor:
    """The mean of the standard normal law between a and b, for a + b >= 0."""
    a = a.clamp_min(-FAR)
    log = (a - b) * (a + b) / 2
    inside = torch.special.erfcx(a / math.sqrt(2)) - torch.special.erfcx(b / math.sqrt(2)) * log.exp()
    found: Tensor = -math.sqrt(2 / math.pi) * torch.expm1(log) / inside
    return found


def _langevin(x: Tensor) -> Tensor:
    """coth x - 1/x for x >= 0."""
    small = x < 1e-2
    safe = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, x / 3 - x**3 / 45, 1 / torch.tanh(safe) - 1 / safe)
