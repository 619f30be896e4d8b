"""The metrics that an experiment can ask for, by name. Imports no torch before one is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def _psnr(x: Tensor, truth: Tensor) -> list[float]:
    from zsir.metrics import psnr

    return [psnr(a, b) for a, b in zip(x.split(1), truth.split(1), strict=True)]


def _ssim(x: Tensor, truth: Tensor) -> list[float]:
    from zsir.metrics import ssim

    return [ssim(a, b) for a, b in zip(x.split(1), truth.split(1), strict=True)]


#: name -> function of estimates and truths (batch, channels, height, width) in [0, 1] -> one value per picture
METRICS: dict[str, Callable[[Tensor, Tensor], list[float]]] = {"psnr": _psnr, "ssim": _ssim}
#: digits behind the point in tables
DIGITS = {"psnr": 2}
