"""How wrong a decoded JPEG file is expected to be, from its tables and, where they are known, its codes.

Quantisation does not add noise of variance q^2 / 12 to a coefficient that is mostly 0: what is lost there is the
coefficient itself. Coefficients are taken as Laplacian, with a variance that falls with the frequency,

    v(i, j) = a (i^2 + j^2)^-1.2 exp(-c (i^2 + j^2)).

Sharp photographs have c = 0. A blur by a Gaussian of standard deviation w pixels has c = (pi w / 8)^2. The amplitude a
of each component is the one that explains how many of its codes are not 0. Among the values of c, the shares of codes
that are not 0 are most likely under the chosen one, frequency by frequency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zsir.operators.jpeg.decomposed import Colour, colour_matrix
from zsir.operators.jpeg.units import Factors

DECAY = 1.2
#: values of c that are tried, and how much more likely than c = 0 the others must be (log-likelihood of all codes)
FALLS, DOUBT = (0.0, *(0.01 * 1.4**k for k in range(16))), 2.0
#: amplitudes where no codes are known: geometric means over photographs, 0..255 scale
LUMA_AMPLITUDE, CHROMA_AMPLITUDE = 7500.0, 450.0


def equivalent_noise(
    tables: Tensor,
    factors: Sequence[Factors],
    colour: Colour = "ycbcr",
    codes: Sequence[Tensor] | None = None,
    noise_before: float = 0.0,
) -> float:
    """Level of white noise that is as large as the error of a decoded JPEG file.

    The error has three parts: what the quantisation changes, the encoder's rounding, and the detail of the chroma that
    the means have lost. On photographs the level is within 20 % of the true error in most cases.

    Args:
        tables: Quantisation steps of each component, (components, 8, 8).
        factors: For each component how many rows and columns of the picture share one sample of it.
        colour: Colour space of the file, ``ycbcr``, ``rgb`` or ``grey``.
        codes: The codes of each component, (rows, columns, 8, 8). By default those of a typical photograph.
        noise_before: Standard deviation of noise that the picture carried before it was encoded, [0, 1] scale.

    Returns:
        The standard deviation of the error, over all channels, on the [0, 1] scale.
    """
    mixing = colour_matrix(colour)
    gains = torch.linalg.inv(mixing).square().mean(dim=0).tolist()
    total, spectrum = 0.0, Spectrum(0.0)
    for i, (table, (fy, fx), gain) in enumerate(zip(tables, factors, gains, strict=True)):
        noise = float(mixing[i].square().sum()) / (fy * fx) * (255 * noise_before) ** 2
        steps = table.double().flatten()
        if codes is None:
            spectrum = Spectrum(LUMA_AMPLITUDE if i == 0 or colour == "rgb" else CHROMA_AMPLITUDE)
        else:
            # what blurred luma has blurred chroma too, of which too few codes are not 0 to tell
            spectrum = fitted(codes[i], table, noise, FALLS if i == 0 or colour == "rgb" else (spectrum.fall,))
        total += gain * (_error(steps, spectrum, noise) + _lost(spectrum, fy, fx))
    return math.sqrt(total) / 255


@dataclass(frozen=True)
class Spectrum:
    """How the variance of the coefficients of a component falls with the frequency.

    Attributes:
        amplitude: a, on the 0..255 scale.
        fall: c, 0 for a sharp photograph.
    """

    amplitude: float
    fall: float = 0.0

    def variances(self, rows: int, columns: int) -> Tensor:
        """v of a block of any size, (rows, columns) float64; infinite for the mean."""
        i, j = torch.arange(rows, dtype=torch.float64)[:, None], torch.arange(columns, dtype=torch.float64)
        r = i**2 + j**2
        return (self.amplitude * r**-DECAY * torch.exp(-self.fall * r)).clamp_min(1e-9)


def fitted(codes: Tensor, table: Tensor, noise: float = 0.0, falls: Sequence[float] = FALLS) -> Spectrum:
    """The spectrum that explains which codes of a component are not 0.

    Args:
        codes: The codes, (rows, columns, 8, 8).
        table: The quantisation steps, (8, 8).
        noise: Variance of white noise in the coefficients, on the 0..255 scale.
        falls: Values of c to try, in ascending order.

    Returns:
        The spectrum.
    """
    flat, steps = codes.reshape(-1, 64)[:, 1:], table.double().flatten()[1:]
    shares = (flat != 0).double().mean(dim=0)
    best, most = Spectrum(0.0), -math.inf
    for fall in falls:
        spectrum = Spectrum(_amplitude(shares, fall, len(flat), steps, noise), fall)
        kept = _zeroed(spectrum.variances(8, 8).flatten()[1:] + noise, steps)[0].clamp(1e-9, 1 - 1e-9)
        likely = len(flat) * float((shares * kept.log() + (1 - shares) * (-kept).log1p()).sum())
        if likely > most + (DOUBT if best.amplitude and not best.fall else 0.0):
            best, most = spectrum, likely
    return best


def _zeroed(variance: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """For Laplacian coefficients: how often the code is not 0, and the mean square that is lost where it is 0."""
    scale, half = (variance / 2).sqrt(), steps / 2
    kept = torch.exp(-half / scale)
    return kept, 2 * scale**2 - kept * (half**2 + 2 * scale * half + 2 * scale**2)


def _amplitude(shares: Tensor, fall: float, blocks: int, steps: Tensor, noise: float) -> float:
    """The amplitude a with which as many codes are expected not to be 0 as are not, by bisection of log a."""
    wanted = float(shares.sum()) + 0.5 / blocks
    law, low, high = Spectrum(1.0, fall).variances(8, 8).flatten()[1:], -4.0, 18.0
    for _ in range(40):
        middle = (low + high) / 2
        kept, _ = _zeroed(math.exp(middle) * law + noise, steps)
        low, high = (middle, high) if float(kept.sum()) < wanted else (low, middle)
    return math.exp(low)


def _error(steps: Tensor, spectrum: Spectrum, noise: float) -> float:
    """Mean squared error of the coefficients, the encoder's rounding included; the mean is never zeroed."""
    signal = spectrum.variances(8, 8).flatten()[1:]
    kept, lost = _zeroed(signal + noise, steps[1:])
    uniform = (steps**2 + 1) / 12 + noise
    errors = kept * uniform[1:] + lost * signal / (signal + noise)
    return (float(errors.sum()) + float(uniform[0])) / 64


def _lost(spectrum: Spectrum, fy: int, fx: int) -> float:
    """Mean square of the detail that means over (fy, fx) lose: the law goes on beyond the coded frequencies."""
    beyond = spectrum.variances(8 * fy, 8 * fx)
    beyond[:8, :8] = 0
    return float(beyond.mean()) * fy * fx
