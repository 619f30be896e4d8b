"""First kernels, coarse to fine, from pictures of few edges.

Which start leads to the kernel differs from picture to picture, and nothing but the end tells. So several are made.

Source: Xu, Zheng and Jia 2013 (edges and scales); Pan et al. 2014, Deblurring text images via L0-regularized intensity
and gradient prior, CVPR (the weight of the edges falls from turn to turn)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zsir.blind.edges import edges
from zsir.blind.grids import Grid
from zsir.blind.lags import by_gradients
from zsir.blind.simplex import ladder, recentred, resized, thresholded

#: the weight of edges falls to this, and taps below this share of the largest are dropped
LEAST_WEIGHT, SHARE = 5e-4, 0.05


@dataclass(frozen=True)
class Start:
    """How a first kernel is found.

    Attributes:
        room: Share of the taps that the kernel may take: small kernels are found more surely in little room.
        weight: Weight of edges in the first turn.
        fall: The weight is divided by this in every turn.
        turns: Turns of picture and kernel at each scale.
        turned: Direction of the line that it begins with, in steps of 45 degrees; 0 is horizontal.
    """

    room: float = 1.0
    weight: float = 0.01
    fall: float = 1.08
    turns: int = 5
    turned: int = 0


STARTS = (
    Start(),
    Start(weight=0.004, fall=1.07, turns=7, turned=2),
    Start(0.7, weight=0.004, fall=1.07, turns=7),
    Start(0.7, turned=1),
)


def coarse_to_fine(y: Tensor, taps: int, noise: float, start: Start = STARTS[0]) -> Tensor:
    """A first kernel. It begins as a short line: a single tap would stay one.

    Args:
        y: The observation without its noise, (1, 1, height, width).
        taps: Side of the kernel, odd.
        noise: Noise of the observation, > 0.
        start: How it is found.

    Returns:
        The kernel, (taps, taps) float64.
    """
    kernel, weight = _line(start.turned), start.weight
    own = min(taps, max(3, round(start.room * taps) // 2 * 2 + 1))
    for side in ladder(own):
        small = _scaled(y, side / own)
        grid, kernel = Grid(small, side, noise), resized(kernel, side)
        for _ in range(start.turns):
            found = by_gradients(grid, edges(grid, kernel, weight), kernel)
            kernel = recentred(thresholded(found, SHARE))
            weight = max(weight / start.fall, LEAST_WEIGHT)
    around = (taps - len(kernel)) // 2
    return torch.nn.functional.pad(kernel, (around,) * 4)


def _line(turned: int) -> Tensor:
    """Three taps in a row."""
    down, right = ((0, 1), (-1, 1), (1, 0), (1, 1))[turned]
    kernel = torch.zeros(3, 3, dtype=torch.float64)
    for k in (-1, 0, 1):
        kernel[1 + k * down, 1 + k * right] = 1 / 3
    return kernel


def _scaled(y: Tensor, share: float) -> Tensor:
    sides = [max(8, round(n * share)) for n in y.shape[-2:]]
    if sides == list(y.shape[-2:]):
        return y
    return interpolate(y, size=sides, mode="bilinear", antialias=True, align_corners=False)
