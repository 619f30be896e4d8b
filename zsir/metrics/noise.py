"""How noisy an observation is, estimated from itself.

Source: Chen, Zhu and Heng 2015, An efficient statistical method for image noise level estimation, ICCV (the
eigenvalues); Liu, Tanaka and Okutomi 2013, Single-image noise level estimation for blind denoising, IEEE Transactions
on Image Processing 22(12) (the use of patches with little texture).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from zsir.capabilities import known_numbers, separate
from zsir.errors import BadInput, PictureWarning, ShapeError
from zsir.metrics.blocks import has_blocks
from zsir.problem import Problem
from zsir.protocols import LinearOperator

#: side of a patch, for colour and for grey pictures, where channels do not help to tell noise from texture
COLOUR_SIDE, GREY_SIDE = 5, 7
#: share of the patches that counts as weakly textured
COLOUR_SHARE, GREY_SHARE = 0.2, 0.05
#: patches with more than this share of numbers that are exactly 0 or 1 have lost noise to the limits of a file
CLIPPED_SHARE = 0.05
#: below this share of patches that lost nothing, those left over are the ones whose noise happened to point inwards
LEAST_WHOLE = 0.1
#: a covariance of d numbers is estimated from at least this many times d patches
LEAST_PER_NUMBER = 4
#: patches that are looked at, evenly spread over a larger picture, and how many are in memory at a time
MOST_PATCHES, TOGETHER = 2**18, 2**14
#: a doubt needs no digits: a tenth of a second a picture
ENOUGH_TO_DOUBT = 2**14
#: colour with less noise than this share of that of luma is not independent from channel to channel: 0.5 and more on
#: photographs with noise 2/255, 0 for grey saved as colour, 0.05 to 0.13 for JPEG with halved colour
DEPENDENT, EQUAL = 0.15, 0.001
#: noise is alike in all directions, texture is not: the least eigenvalue (as a standard deviation) of luma with noise
#: is this share of their mean or more
WHITE = 0.6
#: in colour, noise of luma above this many times that of colour has lost colour to a file
UNEQUAL = 2.5
#: whether it is can be told from this many times the least number of patches: from fewer the flattest are not flat
ENOUGH = 4
#: an estimate contradicts the noise stated when it is above this many times that, plus a margin for what texture adds:
#: in colour, in grey (or luma), and in grey between the gaps of a mask, where few patches are left to choose from
MUCH_MORE, TEXTURE, TEXTURE_GREY, TEXTURE_GAPS = 1.5, 3 / 255, 8 / 255, 12 / 255
#: and when the noise stated is above this many times the estimate, plus what files and their limits take away
MUCH_LESS, LOST = 3.0, 4 / 255
#: what coding as JPEG, or a blur after the noise, takes away too, where the estimate cannot be relied on. The error of
#: JPEG has a standard deviation of 0.06 at quality 10
CODED = 0.1
#: an estimate below this is as likely the rounding of a file that lost its noise
FINE = 2 / 255
LUMA = (0.299, 0.587, 0.114)
DEPENDENT_NOTE = (
    "The noise of the colour channels is not independent (grey saved as colour, or a JPEG with reduced colour); it was "
    "estimated from luma, where fine texture counts as noise."
)


@dataclass(frozen=True)
class Estimate:
    """A noise level on the [0, 1] scale.

    - ``std``: its standard deviation
    - ``note``: a sentence where it was not found in the usual way
    - ``white``: whether the noise is alike in all directions, so that ``std`` is all of it. Coding, or a blur after the
      noise, takes some directions away, and the rest says too little.
    """

    std: float
    note: str = ""
    white: bool = False


def estimate_noise(y: Tensor, known: Tensor | None = None) -> float:
    """Standard deviation of the white Gaussian noise in one observation (1, channels, height, width), same units.

    Small pieces of a picture lie near a subspace; noise fills all directions alike. Patches with the least energy along
    the larger half of the principal directions have little texture; their covariance along the smaller half is the
    noise. The largest of its eigenvalues is dropped until the mean of the others is no more than their median: that
    mean is the variance. Noise along the one half says nothing of noise along the other, so that the choice of patches
    does not bias the result.

    ``known`` (broadcast to y), 1 where a mask saw a pixel: only patches that are known as a whole count. Texture that
    fills a grey picture counts as noise. Where channels depend on each other, luma is looked at instead, with a
    `PictureWarning`. Raises `ShapeError` unless there is one observation, `BadInput` where it is not finite, where
    there are too few patches or where nearly all of them are clipped at 0 or 1.
    """
    found = estimate(y, known)
    if found.note:
        warnings.warn(found.note, PictureWarning, stacklevel=2)
    return found.std


def estimate_noise_of(operator: LinearOperator, y: Tensor) -> float:
    """`estimate_of` with its note as a warning."""
    found = estimate_of(operator, y)
    if found.note:
        warnings.warn(found.note, PictureWarning, stacklevel=2)
    return found.std


def estimate_of(operator: LinearOperator, y: Tensor) -> Estimate:
    """`estimate` of an observation of ``operator``, whose mask, if it has one, says which pixels are data.

    Of a stack of observations it is the root mean square over those in which noise can be estimated.
    """
    found, failed = list[Estimate](), list[BadInput]()
    for part, piece in separate(operator, y):
        try:
            found.append(estimate(piece, known_numbers(part)))
        except BadInput as error:
            failed.append(error)
    if not found:
        raise failed[0]
    if len(found) == 1:
        return found[0]
    notes = " ".join(dict.fromkeys(one.note for one in found if one.note))
    return Estimate(math.sqrt(sum(one.std**2 for one in found) / len(found)), notes)


def estimate(y: Tensor, known: Tensor | None = None, most: int = MOST_PATCHES) -> Estimate:
    """`estimate_noise` with its note instead of a warning, from ``most`` patches."""
    _check(y)
    x = y[0].detach().cpu()
    seen = None if known is None else (known.to(y).expand_as(y)[0] > 0).all(dim=0).cpu()
    clipped = ((x == 0) | (x == 1)).sum(dim=0).float() / len(x)
    if len(x) == 1:
        places = _places(seen, clipped, 1, GREY_SIDE, most)
        spectrum = _spectrum(x, places, GREY_SIDE, GREY_SHARE)
        return Estimate(_level(spectrum), white=_is_white(spectrum, len(places), GREY_SIDE**2))
    places = _places(seen, clipped, len(x), COLOUR_SIDE, most)
    colours = _spectrum(x, places, COLOUR_SIDE, COLOUR_SHARE)
    std, white = _level(colours), _is_white(colours, len(places), len(x) * COLOUR_SIDE**2)
    weights = x.new_tensor(LUMA if len(x) == 3 else [1 / len(x)] * len(x))
    try:
        places = _places(seen, clipped, 1, GREY_SIDE, most)
    except BadInput:  # the patches are larger: where there are none the channels have the last word
        return Estimate(std, white=white)
    spectrum = _spectrum(torch.einsum("c,chw->hw", weights, x)[None], places, GREY_SIDE, GREY_SHARE)
    luma = _level(spectrum)
    luma_white = _is_white(spectrum, len(places), GREY_SIDE**2)
    dependent = std < EQUAL * luma or (std < DEPENDENT * luma and luma_white)
    if dependent:
        return Estimate(luma, DEPENDENT_NOTE, luma_white)
    return Estimate(std, white=white and luma < UNEQUAL * std)


def doubts(problem: Problem) -> list[str]:
    """For each observation a sentence where `estimate` contradicts the noise stated with it, far either way, else "".

    "" as well where nothing can be estimated, and where the observation is no picture (neither 1 nor 3 channels). Of a
    stack of observations the first that contradicts is named.
    """
    found = []
    for y in problem.y.split(1):
        pieces = [_doubt(part, piece, problem.noise_std) for part, piece in separate(problem.operator, y)]
        found.append(next(filter(None, pieces), ""))
    return found


def _doubt(operator: LinearOperator, y: Tensor, noise_std: float) -> str:
    known = known_numbers(operator)
    if y.shape[1] not in (1, 3):
        return ""
    try:
        found = estimate(y, known, ENOUGH_TO_DOUBT)
    except BadInput:
        return ""
    grey = y.shape[1] == 1 or bool(found.note)
    margin = (TEXTURE_GREY if known is None else TEXTURE_GAPS) if grey else TEXTURE
    if found.std > MUCH_MORE * noise_std + margin:
        than = "more"
    elif noise_std > MUCH_LESS * found.std + (LOST if _reliable(found, y) else CODED):
        than = "less"
    else:
        return ""
    return (
        f"The observation looks {than} noisy than stated: its noise is estimated as {found.std:.2g} "
        f"({255 * found.std:.1f}/255), but was given as {noise_std:.2g}; check --noise, or let --noise auto "
        "estimate it."
    )


def _reliable(found: Estimate, y: Tensor) -> bool:
    """Whether the noise of y cannot be larger than the estimate ``found``."""
    return found.std > FINE and found.white and not found.note and not has_blocks(y)


def _check(y: Tensor) -> None:
    if y.ndim != 4 or len(y) != 1 or y.shape[1] == 0:
        raise ShapeError(
            f"The noise is estimated from one observation (1, channels, height, width), not from {tuple(y.shape)}; "
            "call once for each, as in estimate_noise(y[k : k + 1])."
        )
    if not y.is_floating_point() or not bool(torch.isfinite(y).all()):
        raise BadInput("The observation must hold finite floats in [0, 1]; remove NaN or mask them out.")


def _places(seen: Tensor | None, clipped: Tensor, channels: int, side: int, most: int) -> Tensor:
    """Upper left corners (count, 2) of the patches that are known as a whole and have lost nothing to the limits of a
    file, at most ``most``, evenly spread. ``clipped`` (height, width) is the share of channels that did."""
    least = LEAST_PER_NUMBER * channels * side**2
    height, width = clipped.shape
    if min(height, width) < side:
        raise BadInput(_too_few(0, least))
    lost = avg_pool2d(clipped[None], side, 1)[0]
    whole = torch.ones_like(lost, dtype=torch.bool)
    if seen is not None:
        whole = avg_pool2d((~seen).float()[None], side, 1)[0] == 0
    found = (whole & (lost <= CLIPPED_SHARE + 1e-6)).flatten().nonzero()[:, 0]
    # what is black or white all over is no evidence, neither of noise nor of its loss
    partly = int((whole & (lost < 1 - 1e-6)).sum())
    if int(whole.sum()) < least:
        raise BadInput(_too_few(int(whole.sum()), least))
    if len(found) < max(least, LEAST_WHOLE * partly):
        raise BadInput(
            f"The noise cannot be estimated: in all but {len(found)} of {int(whole.sum())} patches pixels are cut off "
            "at 0 or 1, and their noise with them; state it, as in --noise 5/255 (noise_std=5/255)."
        )
    # odd, so that the patches do not all begin at one place of the 8x8 blocks of JPEG
    found = found[:: -(-len(found) // most) | 1]
    return torch.stack([found // whole.shape[1], found % whole.shape[1]], dim=1)


def _too_few(count: int, least: int) -> str:
    return (
        f"The noise cannot be estimated from {count} whole patches of known pixels ({least} are needed); "
        "state it, as in --noise 5/255 (noise_std=5/255)."
    )


def _is_white(eigenvalues: Tensor, count: int, size: int) -> bool:
    """Whether noise with these eigenvalues (ascending) is alike in all directions, as far as ``count`` patches of
    ``size`` numbers can tell."""
    least = math.sqrt(max(0.0, float(eigenvalues[0])))
    return least > WHITE * _level(eigenvalues) and count >= ENOUGH * LEAST_PER_NUMBER * size


def _level(eigenvalues: Tensor) -> float:
    return math.sqrt(_noise_floor(eigenvalues))


def _spectrum(x: Tensor, places: Tensor, side: int, share: float) -> Tensor:
    """Eigenvalues, ascending, of the covariance of the flattest of the patches of x (channels, height, width) at
    ``places``, along the smaller half of the principal directions of all."""
    size, count = len(x) * side**2, len(places)
    total, products = torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
    for part in _patches(x, places, side):
        total += part.sum(dim=0)
        products += part.T @ part
    mean = total / count
    _, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    half = directions.shape[1] // 2
    # the largest directions are the mean grey or colour of a patch: a dark patch is not flatter than a bright one
    large, small = directions[:, half : directions.shape[1] - len(x)], directions[:, :half]
    parts = _patches(x, places, side)
    energy = torch.cat([((part - mean) @ large).square().sum(dim=1) for part in parts])
    flattest = energy.argsort(stable=True)[: max(LEAST_PER_NUMBER * size, int(share * count))]
    flat = torch.cat([(part - mean) @ small for part in _patches(x, places[flattest], side)])
    eigenvalues: Tensor = torch.linalg.eigvalsh(flat.T @ flat / len(flat))
    return eigenvalues


def _patches(x: Tensor, places: Tensor, side: int) -> Iterator[Tensor]:
    """Patches as rows of numbers (up to `TOGETHER`, channels * side^2), in the order of ``places``."""
    windows = x.unfold(1, side, 1).unfold(2, side, 1)
    # away from zero, sums of squares would lose digits
    grey = x.mean(dtype=torch.float64)
    for part in places.split(TOGETHER):
        cut = windows[:, part[:, 0], part[:, 1]].transpose(0, 1)
        yield cut.reshape(len(part), -1).double() - grey


def _noise_floor(eigenvalues: Tensor) -> float:
    """Mean of the smallest eigenvalues (ascending), as many as look like noise alone."""
    values = eigenvalues.clamp_min(0)
    for count in range(len(values), 0, -1):
        mean = float(values[:count].mean())
        if mean <= float(values[:count].quantile(0.5)):
            return mean
    return float(values[0])
