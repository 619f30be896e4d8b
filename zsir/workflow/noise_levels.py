"""The noise level of an observation: stated, noted in the file, estimated, or at least that of its rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from zsir.errors import BadInput
from zsir.metrics.noise import estimate_of
from zsir.pictures import Picture
from zsir.protocols import LinearOperator


@dataclass(frozen=True)
class Level:
    """A noise level on the [0, 1] scale, where it comes from, and a sentence about it or an empty string."""

    std: float
    source: Literal["stated", "noted", "estimated", "rounding"]
    remark: str = ""


NO_NOISE = Level(0.0, "stated")


def rounding(bits: int) -> float:
    """Standard deviation of the error that rounding to ``bits`` per sample makes, on the [0, 1] scale."""
    return 1 / (math.pow(2, bits) - 1) / math.sqrt(12)


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
