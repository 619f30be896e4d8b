"""Straight motion and defocus, by the zeros that they leave in the spectrum.

A Gaussian has no zeros, so that these kernels are compared with it by the likelihood: the gain of the best length and
angle, or radius, over the best Gaussian decides. A spectrum that ends (`zsir.inspection.ending`) looks as if it began
to have a zero, and is compared with both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from zsir.inspection.findings import Blur
from zsir.inspection.pieces import Floats
from zsir.inspection.spectrum import WIDTH, Fit, Spectrum, design, fit

#: gain in log-likelihood over a Gaussian from which a kernel with zeros is believed: at most 7 on sharp photographs
#: (long motions aside) and those with Gaussian blur, 30 and more with motion from 9 pixels on
CLEAR = 14.0
#: and the more so, the more of a Gaussian is beside a disc (by its squared width, in pixels): what is left of a wide
#: blur by noise and coding looks so, and the waves of a wrong disc are worse than their PSNR says
#: long motions need more: rows of windows look like them, with gains up to 60 on two of 43 sharp photographs
LONG, CLEAR_LONG = 18.0, 120.0
#: lengths, angles and radii tried first
LENGTHS, ANGLES = np.geomspace(3, 30, 11), np.arange(0, 180, 10.0)
RADII = np.geomspace(1.5, 10, 13)
#: zeros are believed against a spectrum that ends if they are likelier by this; those of a disc with no Gaussian beside
#: it (its squared width, in pixels, is below `PURE`) if they are nearly as likely. Measured on draws of `wild`: discs
#: that are discs have -0.15 to 0.15, low-pass filters taken for discs 0.7 to 1.2
CLEAR_OF_END, NEARLY, PURE = 60.0, 20.0, 0.3
#: the window of a block fills the zeros: power that remains there, as a share
FILLED = 0.01
#: relative error on top of the curvature, and the least error in pixels
RELATIVE, LEAST_ERROR = 0.05, 0.25
#: rounds of refinement, each with half the step
ROUNDS = 3
#: lengths tried at the best angle: half the length has every second zero of the whole one
FINE = np.geomspace(4, 32, 40)
#: shorter motions look like the texture of a sharp picture
SHORTEST = 3.6
#: and behind JPEG, whose blocks leave a period of 8 pixels, so do those shorter than this, and discs of less radius
SHORTEST_CODED, LEAST_CODED = 7.0, 2.5


@dataclass(frozen=True)
class Kernel:
    """A kernel's numbers (length and angle, or radius), with the fit of the spectrum behind it."""

    numbers: tuple[float, ...]
    fit: Fit


def line(s: Spectrum, length: float, angle: float) -> Floats:
    """|K|^2 of a straight path of ``length`` pixels at ``angle`` degrees, counter-clockwise from the horizontal."""
    along = s.across * math.cos(math.radians(angle)) - s.down * math.sin(math.radians(angle))
    power: Floats = np.sinc(along * (length - 1)) ** 2 + FILLED
    return power


def disc(s: Spectrum, radius: float) -> Floats:
    """|K|^2 of a disc."""
    z = 2 * np.pi * s.radius * radius
    bessel = torch.special.bessel_j1(torch.from_numpy(z)).numpy()
    power: Floats = (2 * bessel / z) ** 2 + FILLED
    return power


def directed_blur(
    s: Spectrum, gauss: Fit, ended: Fit | None = None, coded: bool = False, rival: float = math.inf
) -> Blur | Literal["unclear"] | None:
    """Motion or defocus, where either is clearly likelier than the likeliest Gaussian, and a disc than an end.

    ``coded`` says that the picture was a JPEG; ``rival`` is the loss of another kernel, which either must surpass.
    ``unclear`` says that zeros are likelier than a Gaussian, but that there is much of a Gaussian beside them: neither
    is then to be undone.
    """
    columns = design(s)

    def tried(transfer: Callable[..., Floats], numbers: Sequence[tuple[float, ...]]) -> Kernel:
        fits = [Kernel(tuple(map(float, n)), fit(s, columns, transfer(s, *n), gauss.values)) for n in numbers]
        return min(fits, key=lambda one: one.fit.loss)

    moved = tried(line, [(length, angle) for length in LENGTHS for angle in ANGLES])
    opened = tried(disc, [(radius,) for radius in RADII])
    if min(moved.fit.loss, opened.fit.loss) > gauss.loss - CLEAR:
        return None
    moved = tried(line, [(moved.numbers[0], moved.numbers[1] + turn) for turn in (-5, 0, 5)])
    moved = tried(line, [moved.numbers, *((length, moved.numbers[1]) for length in FINE)])
    step, turn = 1.05, 5.0
    for _ in range(ROUNDS):
        length, angle = moved.numbers
        moved = tried(line, [(length * f, angle + a) for f in (1 / step, 1, step) for a in (-turn, 0, turn)])
        opened = tried(disc, [(opened.numbers[0] * f**2,) for f in (1 / step, 1, step)])
        step, turn = math.sqrt(step), turn / 2
    if rival < min(moved.fit.loss, opened.fit.loss):
        return None
    if moved.fit.loss < opened.fit.loss:
        hidden = ended is not None and moved.fit.loss > ended.loss - CLEAR_OF_END
        return None if hidden or (coded and moved.numbers[0] < SHORTEST_CODED) else _as_motion(moved, gauss)
    if coded and opened.numbers[0] < LEAST_CODED:
        return None
    if ended is not None and not _is_disc(opened.fit, ended):
        return None
    beside = max(0.0, float(opened.fit.values[WIDTH]))
    if opened.fit.loss > gauss.loss - CLEAR * (1 + beside):
        return "unclear"
    radius = opened.numbers[0]
    return Blur("defocus", radius, _error(radius), f"disc:radius={radius:.1f}")


def _is_disc(opened: Fit, ended: Fit) -> bool:
    """Whether zeros of a disc explain a spectrum better than an end of it."""
    pure = abs(float(opened.values[WIDTH])) < PURE
    return opened.loss < ended.loss + (NEARLY if pure else -CLEAR_OF_END)


def _as_motion(moved: Kernel, gauss: Fit) -> Blur | None:
    length, angle = moved.numbers[0], moved.numbers[1] % 180
    if length < SHORTEST or moved.fit.loss > gauss.loss - (CLEAR_LONG if length > LONG else CLEAR):
        return None
    return Blur("motion", length, _error(length), f"motion:length={length:.1f},angle={angle:.0f}", angle)


def _error(size: float) -> float:
    return math.hypot(LEAST_ERROR, RELATIVE * size)
