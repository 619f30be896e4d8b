"""Noise levels. All are standard deviations on the [0, 1] scale; tables are computed in float64."""

from __future__ import annotations

import numpy as np

from zsir.timetables import ddpm_alphas_bar


def cm4ir_levels(n: int, start: int, gamma: float) -> tuple[float, ...]:
    """CM4IR's published levels: sqrt(1 - a_k) in [-1, 1] units, so half of that here.

    ``a_1 = abar[start + 1]`` (the released code looks one entry further than its option says),
    ``a_{k+1} = min(a_k (1 + gamma), 0.9999)``, and levels are kept in the network's range [0.002, 80].
    """
    a = float(ddpm_alphas_bar()[start + 1])
    levels = []
    for _ in range(n):
        levels.append(float(np.clip(np.sqrt(1 - a), 0.002, 80)) / 2)
        a = min(a * (1 + gamma), 0.9999)
    return tuple(levels)


def geometric(n: int, first: float, last: float) -> tuple[float, ...]:
    """n levels from ``first`` down to ``last`` in equal ratios; ``last`` is a floor."""
    if n == 1:
        return (max(first, last),)
    return tuple(float(s) for s in np.geomspace(max(first, last), last, n))


def karras(n: int, first: float, last: float, power: float = 7.0) -> tuple[float, ...]:
    """n levels from ``first`` down to ``last``, evenly spaced in their 1/7th power.

    Source: Karras et al. 2022 [edm], equation 5
    """
    if n == 1:
        return (first,)
    return tuple(float(s) for s in np.linspace(first ** (1 / power), last ** (1 / power), n) ** power)
