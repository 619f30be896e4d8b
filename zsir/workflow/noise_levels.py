"""The noise level of an observation: stated, noted in the file, estimated, or at least that of its rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zsir.errors import BadInput
from zsir.inspection.beneath import beneath
from zsir.inspection.inspecting import LUMA_SHARE
from zsir.metrics.noise import estimate_of
from zsir.operators.jpeg.coded import JpegFile
from zsir.operators.jpeg.measurement import of_tables
from zsir.pictures import Picture
from zsir.protocols import LinearOperator


@dataclass(frozen=True)
class Level:
    """A noise level on the [0, 1] scale, where it comes from, and a sentence about it or an empty string."""

    std: float
    source: Literal["stated", "noted", "estimated", "rounding"]
    remark: str = ""


#: blocks of a file that are looked at, evenly spread
MOST_BLOCKS = 2**16
NO_NOISE = Level(0.0, "stated")
#: of a block whose mean is nearer to black or white than this, 0 to 255, much of the noise is clipped, or all of it
CLIPPED = 20.0
#: all blocks are looked at where fewer than this share are not clipped, as on a printed page
LEAST_INSIDE = 0.25


def rounding(bits: int) -> float:
    """Standard deviation of the error that rounding to ``bits`` per sample makes, on the [0, 1] scale."""
    return 1 / (math.pow(2, bits) - 1) / math.sqrt(12)


def level_beneath(picture: Picture, file: JpegFile, noted: float | None) -> Level:
    """The noise that a picture carried before it became the JPEG ``file``, for which no level was stated.

    In flat parts of the picture the codes are those of the noise, or of texture, which looks the same. Only what is
    more than the error of the quantisation itself counts as noise, and then all of it: the two are independent.
    """
    if noted is not None:
        return Level(noted, "noted")
    luma = file.components[0]
    codes, table = np.asarray(luma.codes).reshape(-1, 8, 8), np.asarray(luma.table)
    codes = _not_clipped(codes, table)
    found = beneath(codes[:: -(-len(codes) // MOST_BLOCKS)].astype(np.float64), table)
    told = found is not None and found.told_by(table)
    std = found.std / (LUMA_SHARE if file.space == "ycbcr" else 1.0) if found is not None and told else 0.0
    return Level(min(1.0, std), "estimated") if std > of_tables(file).own_noise else Level(0.0, "rounding")


def _not_clipped(codes: NDArray[np.int64], table: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes (count, 8, 8) of blocks whose noise is not clipped; all of them where these are few."""
    means = 128 + codes[:, 0, 0] * table[0, 0] / 8
    inside = (means > CLIPPED) & (means < 255 - CLIPPED)
    return codes[inside] if inside.mean() >= LEAST_INSIDE else codes


def level_of(picture: Picture, operator: LinearOperator, y: Tensor, noted: float | None) -> Level:
    """The noise of an observation y (1, *out_shape) for which no level was stated.

    A level that `zsir degrade` ``noted`` in the file is taken as it is, else the level is estimated. What cannot be
    estimated is at least rounded.
    """
    least = rounding(picture.bits)
    if noted is not None:
        return Level(math.hypot(noted, least), "noted")
    try:
        found = estimate_of(operator, y)
    except BadInput as error:
        why = str(error).partition("; ")[0].rstrip(".")
        told = f"it is taken as {least:.2g}, that of rounding to {picture.bits} bits; state more, as in --noise 5/255."
        return Level(least, "rounding", f"{why}; {told}")
    if found.std <= least:
        return Level(least, "rounding", found.note)
    return Level(min(1.0, found.std), "estimated", found.note)
