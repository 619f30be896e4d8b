"""Noise beneath JPEG: in flat blocks the codes are those of the noise, each known but for its interval.

A coefficient with noise of standard deviation s has code k with the probability
Phi((k + 1/2) q / s) - Phi((k - 1/2) q / s). The likelihood over all high frequencies of the flattest blocks gives s,
and its curvature the error. Classic estimators see next to nothing, because most codes are 0.

Texture that is the same everywhere, as grass is, looks like noise but for its fall with the frequency.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from zsir.inspection.pieces import SIDE, Floats

#: share of the blocks that counts as flat, and the least number of them
SHARE, LEAST = 0.05, 24
#: frequencies with u + v up to this are not measured: hardly any block is flat there
LOW = 2
#: codes from this one on are counted together
MOST = 12
#: powers of the frequency that texture falls with, and the cost of each in log-likelihood: the slower ones are rare
FALLS = {1.5: 8.0, 2.5: 4.0, 4.0: 0.0}
#: share of blocks that the choice misses, where texture looks like much more noise
STRAYS = 0.005
#: standard deviations tried, of luma 0 to 255
LEVELS = np.geomspace(0.25, 64, 97)
#: standard deviations of texture tried, at u + v = 3, in units of luma
TEXTURES = np.array([0.0, 0.5, 1, 2, 3, 4.5, 6.5, 9, 13, 18, 26])
#: cost of texture in log-likelihood, for where noise explains the codes nearly as well
SMOOTH = 0.7
#: noise of less than this share of the median step cannot be told from texture. Of 34 crops of 128 pixels without noise
#: 6 reach more at quality 50 (at most 0.25) and 13 at quality 80 (at most 0.34). Noise that is wrongly taken out of
#: them costs 0.1 to 0.4 of the 0.7 dB that a restoration gains; noise that is left in costs up to 1.9 dB
FAINT = 0.18
#: drop of the log-likelihood at one and at two standard errors
ONE, TWO = 0.5, 2.0


@dataclass(frozen=True)
class Beneath:
    """Noise of luma before JPEG, on the [0, 1] scale.

    Attributes:
        std: The level; 0 where the codes hold no noise.
        error: One standard error.
        bound: What the level does not exceed (two standard errors).
    """

    std: float
    error: float
    bound: float

    def told_by(self, table: NDArray[np.int64]) -> bool:
        """Whether it is noise: of steps that are much larger the codes tell nothing, what is not 0 there is texture.

        Args:
            table: Steps of luma, (8, 8), 0 where unknown.

        Returns:
            True where the level is larger.
        """
        known = table[table > 0]
        return 255 * self.std > FAINT * float(np.median(known)) if known.size else False


def beneath(codes: Floats, table: NDArray[np.int64]) -> Beneath | None:
    """Noise of luma from codes (count, 8, 8) and steps (8, 8), 0 where unknown; None with too few blocks."""
    if len(codes) < 2 * LEAST:
        return None
    likelihood = _likelihood(codes, table)
    best = int(likelihood.argmax())
    lost = likelihood[best] - likelihood
    low = LEVELS[np.argmax(lost <= ONE)]
    high = LEVELS[len(LEVELS) - 1 - np.argmax(lost[::-1] <= ONE)]
    top = LEVELS[len(LEVELS) - 1 - np.argmax(lost[::-1] <= TWO)]
    known = lost[0] > TWO
    peak = _peak(np.log(LEVELS), likelihood, best) if known else -np.inf
    ratio = LEVELS[1] / LEVELS[0]
    error = float(max((high - low) / 2, LEVELS[best] * (ratio - 1) / 4))
    std = float(np.exp(peak)) if known else 0.0
    return Beneath(std / 255, error / 255, max(float(top), std + 2 * error if known else 0.0) / 255)


def _likelihood(codes: Floats, table: NDArray[np.int64]) -> Floats:
    """Log-likelihood of the levels by the flattest blocks: chosen by one half of the frequencies and measured by the
    other, so that the choice does not bias the result."""
    order = np.indices((SIDE, SIDE)).sum(axis=0)
    first, second = ((order >= 1) & (order % 2 == parity) for parity in (0, 1))
    by_fall = np.zeros((len(FALLS), len(LEVELS)))
    for choose, measure in ((first, second), (second, first)):
        activity = ((codes * table)[:, choose] ** 2).sum(axis=1)
        flat = codes[np.argsort(activity, kind="stable")[: max(LEAST, round(SHARE * len(codes)))]]
        used = measure & (order > LOW) & (table > 0)
        step, size = table[used].astype(np.float64), np.abs(flat[:, used])
        counts = np.stack([(size == k).sum(axis=0) for k in range(MOST)] + [(size >= MOST).sum(axis=0)])
        for row, power in zip(by_fall, FALLS, strict=True):
            texture = (3.0 / order[used]) ** power
            row += np.max([_profile(counts, step, texture * t**2) - SMOOTH * t for t in TEXTURES], axis=0)
    best: Floats = (by_fall - np.array(list(FALLS.values()))[:, None]).max(axis=0)
    return best


def _peak(x: Floats, y: Floats, best: int) -> float:
    """The maximum of the parabola through the best of equally spaced points and its neighbours."""
    if not 0 < best < len(y) - 1:
        return float(x[best])
    a, b, c = y[best - 1 : best + 2]
    return float(x[best] + (x[1] - x[0]) * (a - c) / (2 * (a - 2 * b + c)))


def _profile(counts: Floats, step: Floats, texture: Floats) -> Floats:
    """Log-likelihood (levels,) of counts (codes 0, 1, ... and more, frequencies)."""
    # the encoder rounds planes as well: 1/12 a coefficient
    sigma = np.sqrt(LEVELS[:, None] ** 2 + texture + 1 / 12)
    wide = np.sqrt(sigma**2 + 30.0**2)
    most = len(counts) - 1
    total = np.zeros(len(LEVELS))
    for k in range(most + 1):
        p = (1 - STRAYS) * _mass(k, step, sigma, most) + STRAYS * _mass(k, step, wide, most)
        total += (counts[k] * np.log(np.maximum(p, 1e-300))).sum(axis=1)
    return total


def _mass(k: int, step: Floats, sigma: Floats, most: int) -> Floats:
    """Probability (levels, frequencies) that the absolute code is k, or ``most`` and more."""

    def beyond(edge: float) -> Floats:
        z = torch.from_numpy(edge * step / sigma / np.sqrt(2))
        tail: Floats = torch.special.erfc(z).numpy()
        return tail

    if k == 0:
        return 1 - beyond(0.5)
    return beyond(k - 0.5) - (beyond(k + 0.5) if k < most else 0)
