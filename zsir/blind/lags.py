"""The kernel between two pictures by their gradients: least squares whose quadratic form depends on lags alone.

With ``a`` the gradients of the picture and ``b`` those of the observation, both windowed, ``||k * a - b||^2`` is
``k^T form k - 2 right^T k + const``. ``form[s, t]`` is the autocorrelation of ``a`` at lag ``s - t``, and ``right[t]``
the correlation of ``a`` and ``b`` at lag ``t``. So a product with the form is a convolution.

Source: Cho and Lee 2009, Fast motion deblurring, SIGGRAPH Asia (gradients, and a ridge on the kernel); written from the
formulas.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zsir.blind.edges import gradients
from zsir.blind.grids import Grid
from zsir.blind.simplex import accelerated

#: weight of ||k||^2, as a share of ||a||^2
RIDGE = 0.01


def by_gradients(grid: Grid, x: Tensor, start: Tensor, ridge: float = RIDGE) -> Tensor:
    """``argmin ||k * a - b||^2 + ridge ||a||^2 ||k||^2`` on the simplex.

    Args:
        grid: The observation.
        x: The picture with its margins, (1, channels, height, width).
        start: The kernel to begin with, (taps, taps).
        ridge: Weight of the kernel's norm.

    Returns:
        The kernel, (taps, taps) float64.
    """
    own, cross = torch.zeros(grid.size, dtype=torch.float64), torch.zeros(grid.size, dtype=torch.float64)
    for mine, seen in zip(gradients(x), gradients(grid.filled), strict=True):
        a, b = (torch.fft.rfft2((grid.window * part).double()) for part in (mine, seen))
        own += torch.fft.irfft2((a.conj() * a).sum((0, 1)), s=grid.size)
        cross += torch.fft.irfft2((a.conj() * b).sum((0, 1)), s=grid.size)
    lags = torch.arange(grid.taps) - grid.taps // 2
    own[0, 0] *= 1 + ridge
    return least_squares_of_lags(own, _at(cross, lags), start)


def least_squares_of_lags(own: Tensor, right: Tensor, start: Tensor) -> Tensor:
    """``argmin 1/2 k^T form k - right^T k`` on the simplex, ``form[s, t] = own[s - t]``.

    Args:
        own: An autocorrelation on a periodic grid, (height, width) float64, each side at least twice the taps.
        right: The right side, (taps, taps).
        start: The kernel to begin with, (taps, taps).

    Returns:
        The kernel, (taps, taps) float64.
    """
    taps = len(start)
    side = 2 * taps
    lags = torch.arange(1 - taps, taps)
    placed = torch.zeros(side, side, dtype=torch.float64)
    placed[(lags % side)[:, None], lags % side] = _at(own, lags)
    form = torch.fft.rfft2(placed)

    def applied(k: Tensor) -> Tensor:
        spread = torch.fft.irfft2(form * torch.fft.rfft2(k.view(taps, taps), s=(side, side)), s=(side, side))
        kept: Tensor = spread[:taps, :taps].flatten()
        return kept

    # the form is a part of this periodic convolution, so none of its eigenvalues is larger
    return accelerated(applied, float(form.abs().max()), right, start)


def _at(values: Tensor, lags: Tensor) -> Tensor:
    return values[(lags % values.shape[0])[:, None], lags % values.shape[1]]
