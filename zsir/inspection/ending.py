"""Spectra that end: a sharp low-pass filter, or an enlargement, has left nothing above some frequency.

Such a filter keeps everything below its end, so that there is nothing to sharpen. Without this hypothesis the end is
taken for a blur.
"""

from __future__ import annotations

import numpy as np

from zsir.inspection.pieces import Floats
from zsir.inspection.spectrum import Fit, Spectrum, design, fit

#: ends that are tried, in cycles per pixel, and sides of the filters, in pixels: the shorter, the softer the end
ENDS, SIDES = np.arange(0.1, 0.47, 0.02), (11, 15, 21)
#: steepness of the fall of a filter's transfer function for each pixel of its side
STEEP = 2.2
#: power that is left beyond, as a share
LEFT = 1e-5
#: gain in log-likelihood over a Gaussian blur alone from which an end is believed
CLEAR = 40.0


def low_pass(s: Spectrum, end: float, side: int) -> Floats:
    """|K|^2 of a filter of ``side`` pixels that keeps the frequencies below ``end``."""
    fall = np.clip(STEEP * side * (s.radius - end), -50, 50)
    power: Floats = 1 / (1 + np.exp(fall)) ** 2 + LEFT
    return power


def ending(s: Spectrum, gauss: Fit) -> Fit | None:
    """The fit of a spectrum that ends, blurred by a Gaussian below its end; None where it is not clearly likelier."""
    columns = design(s)
    best = min(
        (fit(s, columns, low_pass(s, end, side), gauss.values) for end in ENDS for side in SIDES),
        key=lambda one: one.loss,
    )
    return best if best.loss < gauss.loss - CLEAR else None
