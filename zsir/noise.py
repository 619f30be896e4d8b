"""How noisy an observation is, estimated from itself.

Source: Chen, Zhu and Heng 2015, An efficient statistical method for image noise level estimation, ICCV (the
eigenvalues); Liu, Tanaka and Okutomi 2013, Single-image noise level estimation for blind denoising, IEEE Transactions
on Image Processing 22(12) (the use of patches with little texture).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zsir.errors import BadInput
from zsir.protocols import LinearOperator

#: side of a patch, for colour and for grey pictures, where channels do not help to tell noise from texture
COLOUR_SIDE, GREY_SIDE = 5, 7
#: share of the patches that counts as weakly textured
COLOUR_SHARE, GREY_SHARE = 0.2, 0.05
#: patches with more than this share of numbers that are exactly 0 or 1 have lost noise to the limits of a file
CLIPPED_SHARE = 0.05
#: a covariance of d numbers is estimated from at least this many times d patches
LEAST_PER_NUMBER = 4


def estimate_noise(y: Tensor, known: Tensor | None = None) -> float:
    """Standard deviation of the white Gaussian noise in one observation (1, channels, height, width), same units.

    Small pieces of a picture lie near a subspace; noise fills all directions alike. Patches with the least energy along
    the larger half of the principal directions have little texture; their covariance along the smaller half is the
    noise. The largest of its eigenvalues is dropped until the mean of the others is no more than their median: that
    mean is the variance. Noise along the one half says nothing of noise along the other, so that the choice of patches
    does not bias the result.

    ``known`` (broadcast to y), 1 where a mask saw a pixel: only patches that are known as a whole count. Texture that
    fills a grey picture counts as noise. Raises `BadInput` where there are too few patches.
    """
    patches = _patches(y, known)
    least = LEAST_PER_NUMBER * patches.shape[1]
    if len(patches) < least:
        raise BadInput(
            f"The noise cannot be estimated from {len(patches)} whole patches of known pixels ({least} are needed); "
            "state it, as in --noise 5/255 (noise_std=5/255)."
        )
    clipped = ((patches == 0) | (patches == 1)).double().mean(dim=1)
    whole = patches[clipped <= CLIPPED_SHARE]
    patches = whole if len(whole) >= least else patches
    centred = patches - patches.mean(dim=0)
    _, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    half = directions.shape[1] // 2
    # the largest directions are the mean grey or colour of a patch: a dark patch is not flatter than a bright one
    large = directions[:, half : directions.shape[1] - y.shape[1]]
    energy = (centred @ large).square().sum(dim=1)
    count = max(least, int((COLOUR_SHARE if y.shape[1] > 1 else GREY_SHARE) * len(patches)))
    flat = centred[energy.argsort(stable=True)[:count]] @ directions[:, :half]
    return math.sqrt(_noise_floor(torch.linalg.eigvalsh(flat.T @ flat / count)))


def estimate_noise_of(operator: LinearOperator, y: Tensor) -> float:
    """`estimate_noise` of an observation of ``operator``, whose mask, if it has one, says which pixels are data."""
    known: Tensor | None = getattr(operator, "known", None)
    return estimate_noise(y, known)


def _patches(y: Tensor, known: Tensor | None) -> Tensor:
    """All patches without a gap, as rows of float64 numbers (count, channels * side^2)."""
    side = COLOUR_SIDE if y.shape[1] > 1 else GREY_SIDE
    if min(y.shape[-2:]) < side:
        return y.new_empty(0, y.shape[1] * side**2)

    def cut(x: Tensor) -> Tensor:
        windows = x[0].detach().cpu().double().unfold(1, side, 1).unfold(2, side, 1)
        return windows.permute(1, 2, 0, 3, 4).reshape(-1, x.shape[1] * side**2)

    rows = cut(y)
    if known is None:
        return rows
    return rows[cut(known.to(y).expand_as(y)).amin(dim=1) > 0]


def _noise_floor(eigenvalues: Tensor) -> float:
    """Mean of the smallest eigenvalues (ascending), as many as look like noise alone."""
    values = eigenvalues.clamp_min(0)
    for count in range(len(values), 0, -1):
        mean = float(values[:count].mean())
        if mean <= float(values[:count].quantile(0.5)):
            return mean
    return float(values[0])
