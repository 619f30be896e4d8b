"""How wrong a decoded JPEG file is expected to be, from its codes and tables alone.

Coefficients of one frequency follow a Laplace law, ``p(c) = exp(-|c|/b) / (2 b)``. The share p of codes that are not 0
gives its width: ``p = exp(-q / (2 b))``. A code that is not 0 is wrong by ``q^2 / 12`` in the mean of squares. A code
that is 0 stands for a coefficient between -q/2 and q/2, whose mean square the law gives:

    e0(b) = int_0^{q/2} c^2 exp(-c/b)/b dc / (1 - p)
          = [ 2 b^2 - exp(-h/b) (h^2 + 2 h b + 2 b^2) ] / (1 - p),   h = q/2
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor

from zsir.operators.jpeg.coded import JpegFile

#: share of codes that are not 0 where none of them is: one more zero would not have been noticed in half the files
UNSEEN = 0.5
#: the mean square over red, green and blue of errors of variance 1 in Y, Cb and Cr: ||M^-1||_F^2 by columns, over 3
IN_RGB = ((1 + 1 + 1) / 3, (0.344136286**2 + 1.772**2) / 3, (1.402**2 + 0.714136286**2) / 3)


def expected_error(file: JpegFile) -> float:
    """Root mean square of the error of the decoded picture, on the [0, 1] scale.

    Args:
        file: A file with codes, grey, YCbCr or RGB.

    Returns:
        The error that is expected over all pixels and channels, rounding of the encoder included.
    """
    weights = IN_RGB if file.space == "ycbcr" else (1 / len(file.components),) * len(file.components)
    variance = 0.0
    for part, weight in zip(file.components, weights, strict=True):
        codes = torch.as_tensor(np.asarray(cast(Tensor, part.codes))).reshape(-1, 64)
        error = _errors(codes, part.table.reshape(64).double())
        variance += weight * float(error.mean() + 1 / 12)
    return math.sqrt(variance) / 255


def _errors(codes: Tensor, steps: Tensor) -> Tensor:
    """Expected squared error of each frequency (64,), in grey levels, of codes (blocks, 64)."""
    count = len(codes)
    share = ((codes != 0).sum(dim=0).double() + UNSEEN) / (count + 2 * UNSEEN)
    half = steps / 2
    b = half / -share.log()
    tail = share * (half**2 + 2 * half * b + 2 * b**2)
    inside = ((2 * b**2 - tail) / (1 - share)).clamp(min=0).minimum(steps**2 / 12)
    return share * steps**2 / 12 + (1 - share) * inside


def jpeg_operator(file: JpegFile, noise_before: float = 0.0):
    from zsir.operators.jpeg.blockwise import JpegOperator

    w, h = file.size
    tables = torch.stack([c.table for c in file.components])
    level = math.hypot(expected_error(file), noise_before)
    return JpegOperator(
        (1 if file.space == "grey" else 3, h, w),
        tables,
        file.factors,
        file.space,
        level=level,
        noise_before=noise_before,
    )
