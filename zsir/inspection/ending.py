"""Spectra that end: a sharp low-pass filter, or an enlargement, has left nothing above some frequency.

Such a filter keeps everything below its end, and looks like a blur or a disc to the other hypotheses, which would make
the picture worse if they were undone. `ending` knows no more than that there is an end. `sharp_end` compares the exact
kernel, ``sinc`` of `zsir.operators`: its passband ripples and its stopband leaks as its size and cut-off say.
"""

from __future__ import annotations

import math

import numpy as np

from zsir.inspection.findings import Blur
from zsir.inspection.pieces import Floats
from zsir.inspection.spectrum import BLOCK, WIDTH, Fit, Spectrum, design, fit
from zsir.inspection.widths import Gauss, gauss_of
from zsir.operators.blurs.low_pass import low_pass

#: ends that are tried, in cycles per pixel, and sides of the filters, in pixels: the shorter, the softer the end
ENDS, SIDES = np.arange(0.1, 0.47, 0.02), (11, 15, 21)
#: steepness of the fall of a filter's transfer function for each pixel of its side
STEEP = 2.2
#: power that is left beyond, as a share
LEFT_BEYOND = 1e-5
#: gain in log-likelihood over a Gaussian blur alone from which an end is believed
CLEAR_END = 40.0
#: sizes that are tried, coarsely and then all, in pixels, and cut-offs, in radians a pixel
SIZES, ALL_SIZES = (7, 11, 15, 19), (7, 9, 11, 13, 15, 17, 19, 21)
CUTOFFS = np.arange(0.6, 3.05, 0.1)
#: rounds of refinement of the cut-off, each with half the step
ROUNDS, STEP = 3, 0.05
#: gain in log-likelihood over everything else from which such a filter is believed: at most 10 on sharp photographs and
#: those with Gaussian blur, 20 to 370 on draws of `wild` that have one
CLEAR_OF_ALL = 25.0
#: a squared width below this says that the picture is too sharp for the filter; beyond the other, that it was blurred
#: before (in pixels)
TOO_SHARP, BLURRED = -0.2, 0.3
#: power that is left everywhere, as a share
LEFT = 1e-6


def soft_end(s: Spectrum, end: float, side: int) -> Floats:
    """|K|^2 of a filter of ``side`` pixels that keeps the frequencies below ``end``."""
    fall = np.clip(STEEP * side * (s.radius - end), -50, 50)
    power: Floats = 1 / (1 + np.exp(fall)) ** 2 + LEFT_BEYOND
    return power


def ending(s: Spectrum, gauss: Fit) -> Fit | None:
    """The fit of a spectrum that ends, blurred by a Gaussian below its end; None where it is not clearly likelier."""
    columns = design(s)
    best = min(
        (fit(s, columns, soft_end(s, end, side), gauss.values) for end in ENDS for side in SIDES),
        key=lambda one: one.loss,
    )
    return best if best.loss < gauss.loss - CLEAR_END else None


def transfer(s: Spectrum, size: int, cutoff: float) -> Floats:
    """|K|^2 of a filter at the frequencies of a spectrum, as a tapered block sees it."""
    grid = np.zeros((BLOCK, BLOCK))
    grid[:size, :size] = low_pass(size, cutoff).numpy()
    power = np.abs(np.fft.fft2(grid)) ** 2
    for axis in (0, 1):  # the spectrum of the taper's square
        power = (np.roll(power, 1, axis) + 4 * power + np.roll(power, -1, axis)) / 6
    rows, columns = (np.round(f * BLOCK).astype(int) % BLOCK for f in (s.down, s.across))
    found: Floats = power[rows, columns] + LEFT
    return found


def sharp_end(s: Spectrum, gauss: Gauss, rival: float) -> tuple[Blur, float] | None:
    """The filter that is clearly likelier than a Gaussian and than all else, with its loss.

    Args:
        s: The spectrum, of blocks of `BLOCK` pixels.
        gauss: The likeliest Gaussian.
        rival: The least loss of the other hypotheses, the Gaussian among them.

    Returns:
        The filter, blurred before where the fit says so, or None.
    """
    columns = design(s)

    def tried(size: int, cutoff: float) -> tuple[float, int, float, Fit]:
        found = fit(s, columns, transfer(s, size, cutoff), gauss.fit.values)
        return found.loss, size, cutoff, found

    def best(pairs: list[tuple[int, float]]) -> tuple[float, int, float, Fit]:
        return min((tried(*pair) for pair in pairs), key=lambda one: one[:3])

    loss, size, cutoff, found = best([(n, float(w)) for n in SIZES for w in CUTOFFS])
    if loss > gauss.fit.loss - CLEAR_OF_ALL / 2:
        return None
    loss, size, cutoff, found = best([(n, cutoff + d) for n in ALL_SIZES for d in (-STEP, 0.0, STEP)])
    step = STEP / 2
    for _ in range(ROUNDS):
        loss, size, cutoff, found = best([(size, min(math.pi, cutoff + d)) for d in (-step, 0.0, step)])
        step /= 2
    square = float(found.values[WIDTH])
    if loss > rival - CLEAR_OF_ALL or square < TOO_SHARP:
        return None
    spec = f"sinc:cutoff={cutoff:.2f},size={size}"
    if square > BLURRED:
        spec = f"blur:sigma={gauss_of(s, found).width:.2f} | {spec}"
    return Blur("sinc", cutoff, STEP, spec), loss
