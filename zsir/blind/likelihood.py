"""Blurs of one or two numbers, by the exact likelihood of the observation under a Gaussian prior.

With the spectrum S = b f^-a of photographs, the observation of a blur with transfer function K has the spectrum
``P = |K|^2 S + noise^2``; its periodogram I has the log-likelihood ``-sum(log P + I / P)``. Level b and slope a are
fitted for every candidate; the best candidate is refined, and its error follows from the curvature.

Motion of a picture with lines of its own may be mistaken by any method that sees the spectrum alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zsir.errors import BadInput, ShapeError
from zsir.operators.blurs.fourier import transfer
from zsir.operators.blurs.kernels import levy, motion

#: frequencies that are looked at, in cycles per pixel; lower ones leak through the window
LOWEST, HIGHEST = 0.015, 0.4
#: side of the part in the middle that is looked at, and steps of the fit of a level
LARGEST, LEVEL_STEPS = 384, 5
#: noise below this level is taken for it: in the zeros of a motion's spectrum stands what leaks through the window. A
#: Gaussian has no zeros, and only rounding
FLOOR, ROUNDED = 4 / 255, 0.3 / 255
#: slopes of the power spectrum, and their mean and precision beforehand
SLOPES, SLOPE, PRECISION = (2.0, 2.3, 2.6, 2.9, 3.2), 2.6, 20.0
#: candidates: lengths and angles of motion, standard deviations of Gaussians
LENGTHS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.5, 11.0, 13.0, 15.0, 17.0, 19.0, 21.5, 24.0, 27.0, 30.0, 34.0)
WIDTHS = tuple(0.4 * 1.15**i for i in range(21))
ANGLES = 30
#: candidates of motion that are refined
BEST = 6
#: error of the model of a Gaussian width, relative, on top of the curvature: photographs have not exactly one
#: slope in their spectrum. Measured for the fit of `zsir.inspection`, whose widths are of the same kind
RELATIVE = 0.06
#: rounds of the refinement, each with half the steps of the round before
ROUNDS = 5
#: likelihoods count this much: neighbouring frequencies of a windowed picture are not independent
INDEPENDENT = 0.4


@dataclass(frozen=True)
class Parameters:
    """Numbers of a blur with their standard errors.

    Attributes:
        values: The numbers: a width; or length and angle.
        errors: One standard error each, from the curvature of the likelihood; infinite where it is not curved. That of
            a Gaussian width holds the error of the model too.
        gain: How much more likely (logarithm) the observation is than with no blur at all.
    """

    values: tuple[float, ...]
    errors: tuple[float, ...]
    gain: float


class Seen:
    """The periodogram of an observation, and the likelihood of blurs."""

    def __init__(self, y: Tensor, noise_std: float, floor: float) -> None:
        if y.ndim != 4 or len(y) != 1:
            raise ShapeError(f"A blur is estimated from one observation (1, c, h, w), not from {tuple(y.shape)}.")
        if min(y.shape[-2:]) < 48 or not bool(torch.isfinite(y).all()) or float(y.std()) < 1e-3:
            raise BadInput(
                f"No blur can be estimated from {y.shape[-1]}x{y.shape[-2]} pixels that are too few (48 on a side are "
                "needed), flat or NaN; state its numbers, as in motion:length=15,angle=30 or blur:sigma=2."
            )
        power, rows, columns = periodogram(y[0].double().mean(0))
        self.size = (len(rows), min(LARGEST, y.shape[-1]))
        radius = (rows[:, None] ** 2 + columns**2).sqrt()
        kept = (radius > LOWEST) & (radius <= HIGHEST)
        self.kept, self.power, self.falls = kept, power[kept], -torch.log(radius[kept] / 0.1)
        self.noise = max(noise_std, floor) ** 2 / y.shape[1]

    def gain(self, kernel: Tensor) -> float:
        """How much more likely (logarithm) the observation is by a kernel than with no blur."""
        return self.loss(motion(1, 0)) - self.loss(kernel)

    def loss(self, kernel: Tensor, slopes: tuple[float, ...] = SLOPES) -> float:
        """Minus the log-likelihood of a kernel, level and slope fitted."""
        size = (transfer(kernel, *self.size).abs() ** 2)[self.kept]
        best = math.inf
        for slope in slopes:
            signal = size * torch.exp(slope * self.falls)
            level = (self.power - self.noise).clamp_min(0).sum() / signal.sum().clamp_min(1e-300)
            level = level.clamp_min(1e-12)
            for _ in range(LEVEL_STEPS):
                total = level * signal + self.noise
                part = level * signal / total
                step = (part * (self.power / total - 1)).sum() / part.square().sum().clamp_min(1e-12)
                level = level * torch.exp(step.clamp(-2, 2))
            total = level * signal + self.noise
            value = INDEPENDENT * float((total.log() + self.power / total).sum())
            best = min(best, value + 0.5 * PRECISION * (slope - SLOPE) ** 2)
        return best


def periodogram(grey: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Power spectrum of the middle of a picture under a window, so that white noise has its variance everywhere.

    Args:
        grey: The picture, (height, width) float64.

    Returns:
        The power (rows, columns) and the frequencies down and to the right, in cycles per pixel; rows as `torch.fft`
        orders them.
    """
    top, left = (max(0, n - LARGEST) // 2 for n in grey.shape)
    grey = grey[top : top + LARGEST, left : left + LARGEST]
    lines = [torch.sin(math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n) ** 2 for n in grey.shape]
    window = torch.outer(*lines)
    grey = (grey - (grey * window).sum() / window.sum()) * window
    power: Tensor = torch.fft.rfft2(grey).abs() ** 2 / window.square().sum()
    rows = torch.fft.fftfreq(grey.shape[0], dtype=torch.float64)
    return power, rows, torch.fft.rfftfreq(grey.shape[1], dtype=torch.float64)


def motion_of(y: Tensor, noise_std: float, length: float | None = None, angle: float | None = None) -> Parameters:
    """Length and angle of a straight motion.

    Args:
        y: The observation, (1, channels, height, width) in [0, 1].
        noise_std: Standard deviation of its noise.
        length: The length in pixels, if it is known. By default it is found, from 2 to 40.
        angle: The angle in degrees, if it is known. By default it is found, from 0 to 180.

    Returns:
        Length and angle, with their errors; the error of a number that was given is 0.

    Raises:
        ShapeError: There is not one observation.
        BadInput: The observation is too small, flat or not finite.
    """
    seen = Seen(y, noise_std, FLOOR)
    lengths = LENGTHS if length is None else (length,)
    angles = tuple(180 * i / ANGLES for i in range(ANGLES)) if angle is None else (angle,)
    rough = {(n, a): seen.loss(motion(n, a), (SLOPE,)) for n in lengths for a in angles}
    starts = sorted(rough, key=lambda pair: rough[pair])[:BEST]

    def loss(values: tuple[float, ...]) -> float:
        return seen.loss(motion(min(max(values[0], 1.0), 60.0), values[1]))

    none, turn = seen.loss(motion(1, 0)), 0.0 if angle is not None else 90 / ANGLES
    tries = [_refined(loss, start, (0.0 if length is not None else 0.08 * start[0], turn), none) for start in starts]
    found = max(tries, key=lambda one: one.gain)
    return Parameters((max(found.values[0], 1.0), found.values[1] % 180), found.errors, found.gain)


def width_of(y: Tensor, noise_std: float, power: float = 2.0) -> Parameters:
    """Standard deviation of a Gaussian blur, or sigma of a Lévy blur.

    Args:
        y: The observation, (1, channels, height, width) in [0, 1].
        noise_std: Standard deviation of its noise.
        power: Power of the Lévy blur; 2, the default, is a Gaussian.

    Returns:
        The width in pixels, from 0.3 to 7, with its error: that of the curvature and 6 % for the model.

    Raises:
        ShapeError: There is not one observation.
        BadInput: The observation is too small, flat or not finite.
        BadSpec: There is no such power.
    """
    seen = Seen(y, noise_std, ROUNDED)
    start = min(WIDTHS, key=lambda width: seen.loss(levy(width, power), (SLOPE,)))

    def loss(values: tuple[float, ...]) -> float:
        return seen.loss(levy(min(max(values[0], 0.3), 7.0), power))

    found = _refined(loss, (start,), (0.15 * start,), seen.loss(motion(1, 0)))
    return replace(found, errors=(math.hypot(found.errors[0], RELATIVE * found.values[0]),))


def _refined(
    loss: Callable[[tuple[float, ...]], float], start: tuple[float, ...], steps: tuple[float, ...], none: float
) -> Parameters:
    """The minimum near ``start``, one number after the other with steps that halve, and its curvature."""
    values, best = start, loss(start)
    for turn in range(ROUNDS):
        for k, step in enumerate(steps):
            for way in (-1, 1) if step > 0 else ():
                trial = _moved(values, k, way * step / 2**turn)
                if (value := loss(trial)) < best:
                    values, best = trial, value
    errors = []
    for k, step in enumerate(steps):
        width = step / 2 ** (ROUNDS - 2)
        bend = loss(_moved(values, k, width)) + loss(_moved(values, k, -width)) - 2 * best if step > 0 else 0.0
        errors.append(0.0 if step == 0 else width / math.sqrt(bend) if bend > 0 else math.inf)
    return Parameters(values, tuple(errors), none - best)


def _moved(values: tuple[float, ...], k: int, by: float) -> tuple[float, ...]:
    return (*values[:k], values[k] + by, *values[k + 1 :])
