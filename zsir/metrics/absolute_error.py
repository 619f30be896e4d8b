"""How severe a degradation is: mean and standard deviation of the absolute error, after GenDeg.

Source: Rajagopalan, Nair, Paranjape and Patel 2025, GenDeg, CVPR (definition)
"""

from __future__ import annotations

from torch import Tensor

from zsir.metrics.fidelity import check_pair


def severity_mean(x: Tensor, truth: Tensor) -> list[float]:
    """Mean of ``|x - truth|`` over all pixels and channels, one number for each picture of the batch."""
    check_pair(x, truth)
    values: list[float] = _errors(x, truth).mean(dim=1).tolist()
    return values


def severity_std(x: Tensor, truth: Tensor) -> list[float]:
    """Standard deviation of ``|x - truth|`` over all pixels and channels (population), one for each picture."""
    check_pair(x, truth)
    values: list[float] = _errors(x, truth).std(dim=1, correction=0).tolist()
    return values


def severity(x: Tensor, truth: Tensor) -> list[tuple[float, float]]:
    """The pair (mu, sigma) of each picture: mean and standard deviation of the absolute error.

    ``mu^2 + sigma^2`` is the mean squared error, so that ``PSNR = -10 log10(mu^2 + sigma^2)``.
    Source: Rajagopalan, Nair, Paranjape and Patel 2025, GenDeg, CVPR

    Args:
        x: Degraded pictures, (batch, channels, height, width), in [0, 1].
        truth: Clean pictures in the shape of ``x``.

    Returns:
        One pair for each picture.

    Raises:
        ShapeError: The shapes differ, or are not those of pictures.

    >>> import torch
    >>> severity(torch.full((1, 1, 2, 2), 0.75), torch.full((1, 1, 2, 2), 0.5))
    [(0.25, 0.0)]
    """
    return list(zip(severity_mean(x, truth), severity_std(x, truth), strict=True))


def _errors(x: Tensor, truth: Tensor) -> Tensor:
    return (x.double() - truth.double()).abs().flatten(1)
