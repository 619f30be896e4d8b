"""Denoisers that work natively in [0, 1]: what `NetworkPrior` needs to speak with them, and what they have in common.

    D(x, s) = 2 d((x + 1)/2, s/2) - 1

with the network's own function d of pictures in [0, 1] and levels on that scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class UnitEstimate:
    """A parametrisation for `NetworkPrior`: d above. At level 0 these networks only come near the picture."""

    skip: ClassVar[bool] = False

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """Clean estimate by ``net(picture in [0, 1], level)``; x (batch, c, h, w), levels (batch,) in [-1, 1] units."""
        raw: Tensor = net((x + 1) / 2, told / 2)
        return 2 * raw - 1


unit_estimate = UnitEstimate()


def with_level(x: Tensor, sigma: Tensor) -> Tensor:
    """x (batch, c, h, w) with one channel more, constant at the level sigma (batch,)."""
    level = sigma.to(x).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[-2:])
    return torch.cat([x, level], dim=1)


def replicated(x: Tensor, multiple: int) -> Tensor:
    """x extended at its lower and right edge to a multiple by repeating the edge."""
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
