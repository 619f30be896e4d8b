"""Blur by the likelihood of the picture's spectrum: the width of a Gaussian, or of a Lévy blur, with its error.

A Gaussian of the width that the highest frequencies tell undoes the middle ones far too much where the kernel falls
more sharply, and too little where it has longer tails. The power of the fall is therefore compared too: a Lévy blur has
``log|K|^2 = -(2 pi sigma f)^power``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zsir.inspection.findings import Blur
from zsir.inspection.pieces import Floats
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
#: powers compared with the Gaussian's 2, and the gain in log-likelihood from which one is believed. On photographs with
#: Gaussian blur, powers below 2 gain at most 3, those above 2 at most 10.2, a sharp end being a matter of texture too
POWERS, TAILS, SHARPER = (1.5, 2.5, 3.0, 4.0), 6.0, 11.0
#: a Lévy blur is believed against a spectrum that ends if it is nearly as likely
NEARLY = 15.0
#: beyond this many pixels the blocks are too small
LARGEST = 8.0


@dataclass(frozen=True)
class Gauss:
    """A width, in pixels, with one standard error, the fit that it is from, and the power: 2 is a Gaussian."""

    width: float
    error: float
    fit: Fit
    power: float = 2.0


def gaussian_width(s: Spectrum) -> Gauss:
    """The width whose spectrum is likeliest; 0 where the spectrum falls more slowly than that of any photograph."""
    return gauss_of(s, fit(s, design(s)))


def gauss_of(s: Spectrum, found: Fit, power: float = 2.0) -> Gauss:
    """The width of the Gaussian, or of the Lévy blur, in a fit."""
    raised = max(0.0, float(found.values[WIDTH]))
    width = float(raised ** (1 / power)) / SHORT
    variance = float(found.covariance[WIDTH, WIDTH]) * max(found.spread, 1 / s.blocks)
    error = math.sqrt(max(variance, 0.0)) / (power * max(width, 0.3) ** (power - 1))
    return Gauss(width, math.hypot(error, RELATIVE * max(width, 0.5)), found, power)


def levy_width(s: Spectrum, gauss: Gauss, ended: Fit | None = None) -> Gauss | None:
    """The likeliest Lévy blur, where it is clearly likelier than a Gaussian, and nearly as likely as an end."""
    last = _last_seen(s, gauss.fit)
    found = [gauss_of(s, fit(s, design(s, p), start=_begun(gauss.fit, p, last)), p) for p in POWERS]
    best = min(found, key=lambda one: one.fit.loss)
    gain = gauss.fit.loss - best.fit.loss
    if gain < (TAILS if best.power < 2 else SHARPER) or (ended and best.fit.loss > ended.loss + NEARLY):
        return None
    return best


def _last_seen(s: Spectrum, gauss: Fit) -> float:
    """The highest frequency where the signal is at least as strong as the noise, in cycles per pixel."""
    signal = np.exp(design(s) @ gauss.values[:-1])
    return float(s.radius[signal >= min(gauss.noise + s.floor, float(signal.max()))].max())


def _begun(gauss: Fit, power: float, last: float) -> Floats:
    """Values to begin with: the width that leaves as much at the ``last`` frequency, where the signal meets the noise.

    A width that leaves less there is a beginning from which noise takes the place of the signal, for good.
    """
    values: Floats = gauss.values.copy()
    values[WIDTH] = max(float(values[WIDTH]), 0.0) * (2 * math.pi * last) ** (2 - power)
    return values


def as_blur(found: Gauss, step: float = 0.0, sharp: float = SHARP) -> Blur | None:
    """The blur, where it is clearly more than that of a ``sharp`` photograph, coded with a mean ``step`` of luma."""
    vague = found.error > VAGUE * found.width
    if vague or found.width <= sharp + CODED * step + found.error or found.width > LARGEST:
        return None
    return blur_of(found)


def blur_of(found: Gauss) -> Blur:
    """A width as a finding."""
    if found.power == 2:
        return Blur("gaussian", found.width, found.error, f"blur:sigma={found.width:.2f}")
    spec = f"blur:sigma={found.width:.2f},power={found.power:g}"
    return Blur("levy", found.width, found.error, spec, power=found.power)
