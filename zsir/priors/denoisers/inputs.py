"""The inputs of denoising networks: the noise level as a channel, sizes that they can halve."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def with_level(x: Tensor, sigma: Tensor) -> Tensor:
    """x (batch, c, h, w) with one channel more, constant at the level sigma (batch,)."""
    level = sigma.to(x).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[-2:])
    return torch.cat([x, level], dim=1)


def replicated(x: Tensor, multiple: int) -> Tensor:
    """x extended at its lower and right edge to a multiple by repeating the edge."""
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
