"""Blur by the likelihood of the picture's spectrum: the width of a Gaussian with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zsir.inspection.findings import Blur
from zsir.inspection.spectrum import WIDTH, Fit, Spectrum, design, fit

#: sharp photographs look blurred by up to this many pixels: half of them 0.3, nine in ten 0.5
SHARP = 0.63
#: where the spectrum ends, the width below its end counts from this on: on 39 sharp photographs one has an end, width 0
SHARP_BELOW_END = 0.4
#: and behind JPEG by so many pixels more for each unit of the mean step of luma: up to 0.3 at quality 40, 1.0 at 15
CODED = 0.006
#: widths come out this much too small, measured on half of eval34 for widths from 0.8 to 3
SHORT = 0.965
#: errors of the model on top of the curvature: relative, measured on the same pictures
RELATIVE = 0.06
#: a relative error above this says that the spectrum is not that of a blurred photograph
VAGUE = 0.2
#: beyond this many pixels the blocks are too small
LARGEST = 8.0


@dataclass(frozen=True)
class Gauss:
    """A Gaussian width, in pixels, with one standard error, and the fit that it is from."""

    width: float
    error: float
    fit: Fit


def gaussian_width(s: Spectrum) -> Gauss:
    """The width whose spectrum is likeliest; 0 where the spectrum falls more slowly than that of any photograph."""
    return gauss_of(s, fit(s, design(s)))


def gauss_of(s: Spectrum, found: Fit) -> Gauss:
    """The width of the Gaussian in a fit."""
    square = float(found.values[WIDTH])
    width = math.sqrt(max(0.0, square)) / SHORT
    variance = float(found.covariance[WIDTH, WIDTH]) * max(found.spread, 1 / s.blocks)
    error = math.sqrt(max(variance, 0.0)) / (2 * max(width, 0.3))
    return Gauss(width, math.hypot(error, RELATIVE * max(width, 0.5)), found)


def as_blur(found: Gauss, step: float = 0.0, sharp: float = SHARP) -> Blur | None:
    """The blur, where it is clearly more than that of a ``sharp`` photograph, coded with a mean ``step`` of luma."""
    vague = found.error > VAGUE * found.width
    if vague or found.width <= sharp + CODED * step + found.error or found.width > LARGEST:
        return None
    return Blur("gaussian", found.width, found.error, f"blur:sigma={found.width:.2f}")
