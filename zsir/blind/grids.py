"""What the search for a kernel computes on: pictures continued beyond their border, and quadratic forms of kernels.

The observation is a valid convolution: its margins are filled by mirroring and, in every x-step, anew by ``k * x``. A
window takes the margins out of the kernel's fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from zsir.operators.blurs.fourier import transfer

#: power spectrum of photographs, f^-SLOPE, and the band (cycles per pixel) that its level is read from
SLOPE, BAND = 2.5, (0.02, 0.1)
#: the kernel is fitted to pictures whose spectrum is multiplied by f^WHITENING (1: gradients, 0: intensities)
WHITENING = 0.7
#: share of the Gaussian posterior covariance that the fit takes for that of the estimate: 0 narrows kernels, 1 widens
POSTERIOR = 0.3


@dataclass(frozen=True, eq=False)
class Grid:
    """An observation on a periodic grid that has room around it.

    Attributes:
        y: The observation, (1, channels, height, width) float32.
        taps: Side of the kernel, odd.
        noise_std: Noise that is left in y, on the [0, 1] scale, > 0.
    """

    y: Tensor
    taps: int
    noise_std: float

    @property
    def margin(self) -> int:
        """Pixels added on every side."""
        return self.taps // 2 + 2

    @cached_property
    def filled(self) -> Tensor:
        """The observation with mirrored margins."""
        return pad(self.y, (self.margin,) * 4, mode="reflect")

    @cached_property
    def mean(self) -> Tensor:
        """The mean of every channel, (1, channels, 1, 1)."""
        return self.filled.mean((-1, -2), keepdim=True)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width with the margins."""
        return self.y.shape[-2] + 2 * self.margin, self.y.shape[-1] + 2 * self.margin

    @cached_property
    def known(self) -> Tensor:
        """1 on the observation, 0 on its margins, (height, width)."""
        return pad(torch.ones_like(self.y[0, 0]), (self.margin,) * 4)

    @cached_property
    def window(self) -> Tensor:
        """`known` with soft edges."""
        lines = []
        for n in self.y.shape[-2:]:
            at = torch.arange(n) + 0.5
            edge = max(4, min(2 * self.margin, n // 6))
            ramp = (torch.minimum(at, n - at) / edge).clamp(max=1)
            lines.append(torch.sin(ramp * math.pi / 2) ** 2)
        return pad(torch.outer(*lines), (self.margin,) * 4).to(self.y)

    @cached_property
    def radius(self) -> Tensor:
        """Frequency without direction, cycles per pixel."""
        rows, columns = torch.fft.fftfreq(self.size[0])[:, None], torch.fft.rfftfreq(self.size[1])
        radius: Tensor = (rows**2 + columns**2).sqrt()
        return radius

    @cached_property
    def power(self) -> Tensor:
        """Power spectrum of the observation, mean over channels."""
        found: Tensor = torch.fft.rfft2(self.filled - self.mean).abs().square().mean((0, 1))
        return found / (self.size[0] * self.size[1])

    def spectrum(self, kernel: Tensor) -> Tensor:
        """Transfer function of a kernel on this grid."""
        return transfer(kernel, *self.size).to(torch.complex64)

    def back(self, spectrum: Tensor) -> Tensor:
        """The inverse transform."""
        found: Tensor = torch.fft.irfft2(spectrum, s=self.size)
        return found

    def completed(self, k: Tensor, x: Tensor) -> Tensor:
        """The observation, its margins filled with what the kernel of spectrum ``k`` makes of x."""
        return torch.where(self.known > 0, self.filled, self.back(k * torch.fft.rfft2(x)))

    def normal_equations(self, x: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """Quadratic form (taps^2, taps^2) and right side (taps^2,) of the kernel's least squares.

        They are those of an expectation over x: the covariance of x joins the autocorrelation, as in the M-step of EM.
        It is that of the Gaussian prior of photographs, 1 / (|K|^2/noise^2 + 1/S) at every frequency.

        Args:
            x: The picture with its margins, (1, channels, height, width).
            kernel: The kernel that x was found with, (taps, taps).

        Returns:
            The form and the right side, float64.
        """
        gain = self.radius**WHITENING
        a, b = (
            torch.fft.rfft2((self.window * self.back(torch.fft.rfft2(z - self.mean) * gain)).double())
            for z in (x, self.filled)
        )
        size = self.spectrum(kernel).abs() ** 2
        shape = self.radius.clamp_min(1 / self.size[0]) ** -SLOPE
        band = (self.radius > BAND[0]) & (self.radius < BAND[1])
        prior = shape * (self.power[band].sum() / (size[band] * shape[band]).sum().clamp_min(1e-12))
        left = 1 / (size / self.noise_std**2 + 1 / prior.clamp_min(1e-12))
        count = float(self.window.square().sum()) * x.shape[1]
        own = self.back((a.conj() * a).sum((0, 1)).real + 0j)
        own = own + POSTERIOR * count * self.back((left * gain**2).double() + 0j)
        cross = self.back((a.conj() * b).sum((0, 1)))
        at = torch.arange(self.taps)
        rows, columns = at.repeat_interleave(self.taps), at.repeat(self.taps)
        form = own[(rows[:, None] - rows) % self.size[0], (columns[:, None] - columns) % self.size[1]]
        lags = at - self.taps // 2
        return form, cross[lags % self.size[0]][:, lags % self.size[1]].flatten()
