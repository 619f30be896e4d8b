"""The 8x8 blocks that JPEG leaves in a picture."""

from __future__ import annotations

import torch
from torch import Tensor

#: side of a block of JPEG
SIDE = 8
#: steps across the borders of blocks that are this many times larger than all others are those of JPEG
BLOCKY = 1.12
#: blocks along each side of the smallest picture that shows them
LEAST_BLOCKS = 4


def blockiness(y: Tensor) -> float:
    """How much larger the steps across the borders of 8x8 blocks are than elsewhere.

    A step is what the difference of two neighbours exceeds the mean of the differences beside it. Of the 8 places that
    borders can have along each axis the one with the largest steps counts, over the second largest.

    Args:
        y: One picture, (1, channels, height, width).

    Returns:
        The ratio of the steps, the smaller one of both axes, at least 1; 1 for a picture of less than 4 blocks a side.
    """
    if min(y.shape[-2:]) < LEAST_BLOCKS * SIDE:
        return 1.0
    grey = y[0].double().mean(dim=0).cpu()
    return min(_ratio(grey), _ratio(grey.T))


def has_blocks(y: Tensor) -> bool:
    """Whether a picture (1, channels, height, width) was coded as JPEG, as far as its blocks can tell."""
    return blockiness(y) > BLOCKY


def _ratio(grey: Tensor) -> float:
    differences = grey.diff(dim=1).abs()
    steps = (differences[:, 1:-1] - (differences[:, :-2] + differences[:, 2:]) / 2).abs().mean(dim=0)
    sums = torch.stack([steps[place::SIDE].mean() for place in range(SIDE)]).sort().values
    return float(sums[-1] / sums[-2].clamp_min(1e-9))
