"""Pictures of few, strong edges: the x-step that finds a kernel where there is none yet.

Source: Xu, Zheng and Jia 2013, Unnatural L0 sparse representation for natural image deblurring, CVPR; written from the
formulas.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zsir.blind.grids import Grid

#: last weight of the splitting, and its factor
LAST, FACTOR = 1e3, 2.0


def edges(grid: Grid, kernel: Tensor, weight: float) -> Tensor:
    """``argmin ||k * x - y||^2 + weight ||grad x||_0`` by half-quadratic splitting, margins filled anew in every step.

    Args:
        grid: The observation.
        kernel: The kernel, (taps, taps).
        weight: Weight of the number of gradients that are not zero.

    Returns:
        The picture with margins, (1, channels, height, width).
    """
    k = grid.spectrum(kernel)
    impulses = torch.zeros(2, *grid.size)
    impulses[:, 0, 0] = -1
    impulses[0, 0, -1], impulses[1, -1, 0] = 1, 1
    right, below = torch.fft.rfft2(impulses)
    size, slopes = k.abs() ** 2, right.abs() ** 2 + below.abs() ** 2
    x, splitting = grid.filled, 2 * weight
    while splitting < LAST:
        across, down = gradients(x)
        kept = (across**2 + down**2).sum(1, keepdim=True) >= weight / splitting
        wanted = right.conj() * torch.fft.rfft2(across * kept) + below.conj() * torch.fft.rfft2(down * kept)
        data = k.conj() * torch.fft.rfft2(grid.completed(k, x))
        x = grid.back((data + splitting * wanted) / (size + splitting * slopes))
        splitting *= FACTOR
    return x


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the pixel on the right and to the one below, of a periodic picture.

    Args:
        x: Pictures, (batch, channels, height, width).

    Returns:
        Two tensors in the shape of ``x``.
    """
    return x.roll(-1, -1) - x, x.roll(-1, -2) - x
