"""Variance-exploding score networks (NCSN++) as denoisers.

Source: Song et al. 2021 [scoresde]. The network sees ``x = x0 + s n``, is told s itself and returns the score, which
is minus the noise over the level: ``n = -told score``, so

    x0 = x - s n = x + s told score        (= x + s^2 score where the network is told the truth)
"""

from __future__ import annotations

from torch import Tensor, nn


def score_estimate(net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
    """Clean estimate of x (batch, c, h, w) at levels s (batch,) > 0, native units; a parametrisation."""
    score: Tensor = net(x, told)[:, : x.shape[1]]
    return x + (s * told).view(-1, 1, 1, 1) * score
