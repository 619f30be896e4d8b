"""The power spectrum of a picture, and its likelihood under blur and noise.

A photograph has the spectrum S(f) = b(theta) f^-alpha, close enough. Blurred by a kernel with transfer function K and
with white noise it has P = |K|^2 S + n. Under the Gaussian prior with this spectrum the picture's periodogram I has the
log-likelihood -sum(log P + I / P) (Whittle). A Gaussian blur of width s is log-linear, log|K|^2 = -4 pi^2 s^2 f^2, so
that s^2 is fitted along with b, alpha and n, and its error comes with the curvature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsir.inspection.pieces import Floats, windows

#: side of a block, and how many blocks are looked at
BLOCK, MOST = 64, 1024
#: lowest frequency fitted, in cycles per block: below, the window leaks
LOWEST = 2.5
#: power beneath everything: rounding to 8 bits, of the mean of three channels
ROUNDING = 1 / 12 / 255**2
#: alpha beforehand, and the precisions of alpha and of the dependence on direction
SLOPE, SLOPE_PRECISION, TURN_PRECISION = 2.6, 20.0, 1.0
#: columns of the design: level, slope, squared width, then the directions
LEVEL, FALL, WIDTH = 0, 1, 2
#: steps of the ascent, and the gain in log-likelihood that ends it
STEPS, ENOUGH = 60, 1e-2
#: a step changes no logarithm of a power by more: one that makes P far too small is never taken back
FARTHEST = 2.0


@dataclass(frozen=True)
class Fit:
    """The likeliest spectrum.

    Attributes:
        values: Coefficients of the columns of the design, then the logarithm of the noise power.
        covariance: Their covariance, from the curvature.
        loss: Minus the log-likelihood and the logarithm of the prior.
        spread: Mean square of I / P - 1: 1 divided by the number of independent blocks where the model holds.
    """

    values: Floats
    covariance: Floats
    loss: float
    spread: float

    @property
    def noise(self) -> float:
        """Noise power."""
        return float(np.exp(self.values[-1]))


@dataclass(frozen=True)
class Spectrum:
    """A mean periodogram at the frequencies of a half plane.

    Attributes:
        power: Mean power (count,), of pixels in [0, 1].
        down: Vertical frequencies (count,), in cycles per pixel.
        across: Horizontal frequencies (count,).
        blocks: How many blocks it is the mean of.
        floor: Power of the rounding.
    """

    power: Floats
    down: Floats
    across: Floats
    blocks: int
    floor: float

    @property
    def radius(self) -> Floats:
        """Frequency without direction."""
        radius: Floats = np.hypot(self.down, self.across)
        return radius

    def below(self, limit: float) -> Spectrum:
        """The frequencies up to a limit."""
        kept = self.radius <= limit
        return Spectrum(self.power[kept], self.down[kept], self.across[kept], self.blocks, self.floor)


def spectrum(x: NDArray[np.float32], side: int = BLOCK, most: int = MOST) -> Spectrum | None:
    """The spectrum of the mean of the channels of a picture (channels, height, width), None where it is too small."""
    if min(x.shape[1:]) < side:
        return None
    line = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)
    taper = np.outer(line, line)
    total, count = np.zeros((side, side)), 0
    for _, _, piece in windows(x, side, side // 2, most):
        grey = piece.mean(axis=0, dtype=np.float64)
        grey = grey - (grey * taper).sum() / taper.sum()
        total += np.abs(np.fft.fft2(grey * taper)) ** 2
        count += 1
    power = total / (count * (taper**2).sum())
    f = np.fft.fftfreq(side)
    down, across = np.meshgrid(f, f, indexing="ij")
    radius = np.hypot(down, across)
    kept = ((down > 0) | ((down == 0) & (across > 0))) & (radius >= LOWEST / side) & (radius <= 0.5)
    return Spectrum(power[kept], down[kept], across[kept], count, ROUNDING / len(x))


def design(s: Spectrum, power: float = 2.0) -> Floats:
    """Columns (count, 7) of log S and of the log|K|^2 of a Gaussian, or of a Lévy blur of another power."""
    angle, radius = np.arctan2(s.down, s.across), s.radius
    turns = [wave(2 * k * angle) for k in (1, 2) for wave in (np.cos, np.sin)]
    fall = -((2 * np.pi * radius) ** power)
    columns: Floats = np.stack([np.ones_like(radius), -np.log(radius / 0.1), fall, *turns], axis=1)
    return columns


def fit(s: Spectrum, columns: Floats, transfer: Floats | float = 1.0, start: Floats | None = None) -> Fit:
    """The likeliest coefficients, by Fisher scoring with damping.

    Args:
        s: The spectrum.
        columns: Of log S, as `design` makes them, (count, columns).
        transfer: |K|^2 of a further blur at the frequencies (count,).
        start: Values to begin with; by default they are read off the lowest and the highest frequencies.

    Returns:
        The fit.
    """
    size = columns.shape[1]
    middle, precision = np.zeros(size + 1), np.full(size + 1, 1e-6)
    middle[FALL], precision[FALL] = SLOPE, SLOPE_PRECISION
    precision[WIDTH + 1 : size] = TURN_PRECISION
    middle[size], precision[size] = np.log(s.floor), 1e-2
    values = _beginning(s, columns, middle) if start is None else start.copy()
    log_transfer = np.log(np.maximum(transfer, 1e-9))

    def parts(values: Floats) -> tuple[float, Floats, Floats, Floats]:
        signal = np.exp(np.clip(columns @ values[:size] + log_transfer, -60, 20))
        noise = np.exp(np.clip(values[size], -60, 20))
        power = signal + noise + s.floor
        loss = np.sum(np.log(power) + s.power / power) + 0.5 * np.sum(precision * (values - middle) ** 2)
        return float(loss), signal, np.full_like(power, noise), power

    loss, signal, noise, power = parts(values)
    damping = 1e-3
    for _ in range(STEPS):
        slope = np.concatenate([columns * (signal / power)[:, None], (noise / power)[:, None]], axis=1)
        gradient = slope.T @ (s.power / power - 1) - precision * (values - middle)
        curvature = slope.T @ slope + np.diag(precision)
        step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), gradient)
        step *= min(1.0, FARTHEST / max(np.abs(columns @ step[:size]).max(), abs(step[size])))
        trial = parts(values + step)
        if trial[0] > loss:
            damping *= 8
            if damping > 1e9:
                break
            continue
        gained, values, damping = loss - trial[0], values + step, max(damping / 8, 1e-7)
        loss, signal, noise, power = trial
        if gained < ENOUGH:
            break
    spread = float(np.mean((s.power / power - 1) ** 2))
    return Fit(values, np.linalg.inv(curvature), loss, spread)


def _beginning(s: Spectrum, columns: Floats, middle: Floats) -> Floats:
    """Values to begin with: level and noise from the lowest and the highest frequencies, the rest from the prior."""
    values: Floats = middle.copy()
    size = columns.shape[1]
    lowest = np.argsort(s.radius)[: max(8, len(s.radius) // 10)]
    values[LEVEL] = np.mean(np.log(s.power[lowest] + 1e-12) - columns[lowest, 1:] @ values[1:size])
    highest = np.argsort(s.radius)[-max(8, len(s.radius) // 20) :]
    values[size] = np.log(np.median(s.power[highest]) + s.floor)
    return values
