"""First kernels as paths of a camera: few numbers, and a score that needs no restored picture.

A path passes ``p(t) = sum_m c_m cos(pi m t)`` at equal times, so its kernel has the transfer function
``K(f) = mean_t exp(-2 pi i f.p(t))``. Any path can be written so, one with a corner too: its c_m fall as 1/m^2. Its
score is the sum of three parts:

1. Minus the log-likelihood of the power spectrum I of the observation, ``log P + I / P``, ``P = |K|^2 S + noise^2``.
   The spectrum S of the picture is ``exp(b) f^-a``, times a factor that depends on the direction; these numbers are
   fitted with the path. |K| does not tell a path from its mirror image.
2. WEIGHT times the logarithm of how evenly the gradients of ``conj(K) Y / (|K|^2 + RIDGE)`` are spread, for each of
   them: mean over root mean square. The phase of a wrong kernel makes waves of edges, and waves are even.
3. Minus the log-density of a Gaussian: c_m has the standard deviation ``REACH / m^1.5`` in both directions.

It has many minima. So many paths are drawn, at first few frequencies count, and what is worst is left behind before
more frequencies come in.

Source: Goldstein and Fattal 2012, Blur-kernel estimation from spectral irregularities, ECCV (the power spectrum, and
that directions of a picture differ); Krishnan, Tay and Fergus 2011, Blind deconvolution using a normalized sparsity
measure, CVPR (the evenness); written from the formulas
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from zsir.blind.likelihood import FLOOR, INDEPENDENT, LOWEST, SLOPE, periodogram
from zsir.blind.simplex import recentred
from zsir.operators.blurs.kernels import path

#: side of the part in the middle that is looked at, margin that is mirrored around it, and gradients left out beside it
LARGEST, MARGIN, RIM = 256, 22, 2
#: weight of the evenness, and ridge of the filter that sharpens
WEIGHT, RIDGE = 0.1, 0.1
#: standard deviation of c_1 in pixels, and how the c_m fall
REACH, FALL = 7.0, 1.5
#: numbers of the spectrum: logarithm of its level, slope, and two harmonics of the direction; their mean and deviation
MEANS, DEVIATIONS = (0.0, SLOPE, 0.0, 0.0, 0.0, 0.0), (10.0, 0.3, 0.3, 0.3, 0.3, 0.3)
#: paths that are drawn, and that are fitted at once
DRAWN, TOGETHER = 128, 32
#: steps of the descent in pixels and in the numbers of the spectrum; they fall to LAST of it as a cosine does
STEP, STEP_SPECTRUM, LAST = 0.3, 0.08, 0.05
#: kernels that are more alike than this count as one
ALIKE = 0.9


@dataclass(frozen=True)
class Stage:
    """A part of the search.

    Attributes:
        top: Frequencies up to this count, in cycles per pixel.
        modes: Numbers c_m of each direction that are free.
        times: Points of the path.
        steps: Steps of the descent.
        kept: Paths that go on.
        offered: Paths whose kernels are returned: high frequencies may lead a right path astray.
    """

    top: float
    modes: int
    times: int
    steps: int
    kept: int
    offered: int


STAGES = (
    Stage(0.1, 4, 32, 40, 48, 0),
    Stage(0.16, 6, 48, 40, 24, 1),
    Stage(0.25, 8, 64, 40, 12, 3),
    Stage(0.35, 12, 64, 50, 12, 2),
)


def path_kernels(y: Tensor, taps: int, noise: float) -> list[Tensor]:
    """The kernels of the paths of the best scores. Paths are drawn with a fixed seed.

    Args:
        y: The observation with its noise, (1, channels, height, width).
        taps: Side of the kernels, odd.
        noise: Noise of the observation, > 0.

    Returns:
        At most as many kernels as the stages offer: (taps, taps) float64, sum 1. No two are alike.
    """
    top, left = (max(0, n - LARGEST) // 2 for n in y.shape[-2:])
    y = y[..., top : top + LARGEST, left : left + LARGEST]
    modes = STAGES[-1].modes
    widths = _widths(modes)
    drawn = torch.randn(DRAWN, modes, 2, generator=torch.Generator().manual_seed(0))
    c = drawn * widths * torch.linspace(0.4, 1.6, DRAWN)[:, None, None]
    n = _Spectrum(y, noise, STAGES[0].top).first().expand(DRAWN, -1)
    found: list[Tensor] = []
    for stage in STAGES:
        score = _Score(_Spectrum(y, noise, stage.top), _Sharpened(y, stage.top))
        parts = [score.fitted(a, b, stage) for a, b in zip(c.split(TOGETHER), n.split(TOGETHER), strict=True)]
        c, n, values = (torch.cat(part) for part in zip(*parts, strict=True))
        best = values.argsort()[: stage.kept]
        c, n = c[best], n[best]
        kernels = [kernel_of(one, taps) for one in c]
        found += _different(kernels, found)[: stage.offered]
    return found


def points(c: Tensor, times: int) -> Tensor:
    """The path ``sum_m c_m cos(pi m t)`` at equal times.

    Args:
        c: The numbers of paths, (paths, modes, 2), down and right.
        times: How many.

    Returns:
        Points in pixels, (paths, times, 2).
    """
    m, t = torch.arange(1, c.shape[1] + 1), (torch.arange(times) + 0.5) / times
    return torch.cos(math.pi * t[:, None] * m).to(c) @ c


def transfers(p: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The transfer functions of paths, ``mean_t exp(-2 pi i f.p(t))``.

    Args:
        p: Points, (paths, times, 2).
        rows: Frequencies down, in cycles per pixel.
        columns: Frequencies to the right.

    Returns:
        Complex numbers, (paths, rows, columns).
    """
    one = torch.ones((), dtype=p.dtype)
    down, right = (torch.polar(one, -2 * math.pi * p[..., k, None] * f) for k, f in ((0, rows), (1, columns)))
    return down.transpose(1, 2) @ right / p.shape[1]


def kernel_of(c: Tensor, taps: int) -> Tensor:
    """The kernel of a path; what lies outside the array is moved to its border.

    Args:
        c: The numbers of the path, (modes, 2).
        taps: Side of the kernel, odd.

    Returns:
        The kernel, (taps, taps) float64, sum 1, its centre of mass in the middle.
    """
    p = points(c[None].double(), 32 * taps)[0]
    p = p - (p.amax(0) + p.amin(0)) / 2
    kernel = path(p.clamp(-(taps // 2), taps // 2 - 1e-6).numpy(), taps)
    return recentred(kernel / kernel.sum())


class _Spectrum:
    """Part 1 of the score."""

    def __init__(self, y: Tensor, noise: float, top: float) -> None:
        power, rows, columns = periodogram(y[0].double().mean(0))
        near, low = rows.abs() <= top, columns <= top
        self.rows, self.columns = rows[near].float(), columns[low].float()
        self.power = power[near][:, low].float()
        radius = (self.rows[:, None] ** 2 + self.columns**2).sqrt()
        angle = torch.atan2(self.rows[:, None].expand_as(radius), self.columns.expand_as(radius))
        # of the column 0, half is the complex conjugate of the other half
        twice = (self.rows[:, None] < 0) & (self.columns == 0)
        self.kept = ((radius > LOWEST) & (radius <= top) & ~twice).float()
        harmonics = [part(k * angle) for k in (2, 4) for part in (torch.cos, torch.sin)]
        falls = -(radius.clamp_min(1e-3) / 0.1).log()
        self.forms = torch.stack([torch.ones_like(falls), falls, *harmonics])
        self.noise = max(noise, FLOOR) ** 2 / y.shape[1]
        self.means, self.deviations = torch.tensor(MEANS), torch.tensor(DEVIATIONS)

    def first(self) -> Tensor:
        """Numbers of the spectrum to begin with: the level is that of the lowest frequencies."""
        shape = torch.exp(SLOPE * self.forms[1])
        level = (self.power * self.kept).sum() / (shape * self.kept).sum()
        return self.means + torch.tensor([float(level.clamp_min(1e-12).log()), *[0.0] * (len(MEANS) - 1)])

    def loss(self, k: Tensor, n: Tensor) -> Tensor:
        """Minus the log-likelihood of transfer functions (paths, rows, columns) and numbers of the spectrum."""
        logs = torch.einsum("pj,jrc->prc", n, self.forms).clamp(-25, 10)
        total = (k.real**2 + k.imag**2) * torch.exp(logs) + self.noise
        misfit = INDEPENDENT * ((total.log() + self.power / total) * self.kept).sum((1, 2))
        return misfit + 0.5 * (((n - self.means) / self.deviations) ** 2).sum(1)


class _Sharpened:
    """Part 2 of the score, on a picture of fewer pixels where high frequencies do not count."""

    def __init__(self, y: Tensor, top: float) -> None:
        full = pad(y.float().mean(1, keepdim=True), (MARGIN,) * 4, mode="reflect")[0, 0]
        h, w = full.shape
        self.size = (_fewer(h, top), _fewer(w, top))
        height, width = self.size
        kept = torch.cat([torch.arange(height // 2), torch.arange(h - height // 2, h)])
        self.rows, self.columns = torch.fft.fftfreq(h)[kept], torch.fft.rfftfreq(w)[: width // 2 + 1]
        spectrum = torch.fft.rfft2(full - full.mean())[kept][:, : width // 2 + 1] * (height * width / (h * w))
        if height < h - 1:  # without a soft end every edge would have ripples
            ends = [torch.cos(math.pi * f / 2 / f.abs().max()) for f in (self.rows, self.columns)]
            spectrum = spectrum * torch.outer(*ends)
        self.spectrum, self.margin = spectrum, math.ceil(MARGIN * height / h) + RIM
        self.count = 2 * (height - 2 * self.margin) * (width - 2 * self.margin)

    def loss(self, k: Tensor) -> Tensor:
        """Weighted logarithm of the evenness of the gradients, for transfer functions (paths, rows, columns)."""
        x = torch.fft.irfft2(k.conj() * self.spectrum / (k.real**2 + k.imag**2 + RIDGE), s=self.size)
        x = x[:, self.margin : -self.margin, self.margin : -self.margin]
        parts = [x.diff(dim=axis) for axis in (-1, -2)]
        # the small number makes the magnitude smooth at 0
        even = [(g**2 + 1e-8).sqrt().mean((1, 2)) / g.square().mean((1, 2)).sqrt().clamp_min(1e-6) for g in parts]
        loss: Tensor = WEIGHT * self.count * ((even[0] + even[1]) / 2).log()
        return loss


@dataclass(frozen=True)
class _Score:
    """All parts, and the descent."""

    spectrum: _Spectrum
    sharpened: _Sharpened

    def loss(self, c: Tensor, n: Tensor, times: int) -> Tensor:
        p = points(c, times)
        mine = self.spectrum.loss(transfers(p, self.spectrum.rows, self.spectrum.columns), n)
        sharp = self.sharpened.loss(transfers(p, self.sharpened.rows, self.sharpened.columns))
        return mine + sharp + 0.5 * ((c / _widths(c.shape[1])) ** 2).sum((1, 2))

    @torch.enable_grad()
    def fitted(self, c: Tensor, n: Tensor, stage: Stage) -> tuple[Tensor, Tensor, Tensor]:
        """Paths and spectra after the steps of a stage, by Adam, and their scores before the last, small step."""
        free, numbers = c[:, : stage.modes].clone().requires_grad_(), n.clone().requires_grad_()
        groups = [{"params": [free], "lr": STEP}, {"params": [numbers], "lr": STEP_SPECTRUM}]
        descent = torch.optim.Adam(groups, betas=(0.8, 0.95))
        falling = torch.optim.lr_scheduler.LambdaLR(
            descent, lambda k: (1 + math.cos(math.pi * k / stage.steps)) / 2 + LAST
        )
        for _ in range(stage.steps):
            values = self.loss(free, numbers, stage.times)
            descent.zero_grad()
            values.sum().backward()
            descent.step()
            falling.step()
        found = pad(free.detach(), (0, 0, 0, c.shape[1] - stage.modes))
        return found, numbers.detach(), values.detach()


def _widths(modes: int) -> Tensor:
    return (REACH / torch.arange(1, modes + 1) ** FALL)[:, None].expand(modes, 2)


def _fewer(n: int, top: float) -> int:
    """Even number of pixels that carry twice the frequencies up to ``top``, at most ``n``."""
    return n - n % 2 if 4 * top >= 1 else min(n - n % 2, max(32, 2 * math.ceil(2 * top * n)))


def _different(kernels: list[Tensor], others: list[Tensor]) -> list[Tensor]:
    """The kernels that are like none of the others and none before them."""
    kept: list[Tensor] = []
    for kernel in kernels:
        if all(_likeness(kernel, other) < ALIKE for other in (*others, *kept)):
            kept.append(kernel)
    return kept


def _likeness(a: Tensor, b: Tensor) -> float:
    """The largest correlation of two kernels of one size over all shifts."""
    side = [2 * n for n in a.shape]
    f, g = torch.fft.rfft2(a, s=side), torch.fft.rfft2(b, s=side)
    return float(torch.fft.irfft2(f.conj() * g, s=side).max() / (a.norm() * b.norm()))
