"""The kernel of an unknown motion blur, from the observation alone.

1. The noise is taken out of y by the prior; this works well, because a blurred picture is smooth.
2. First kernels are made in two ways. Coarse to fine, the picture of few edges and the kernel are found in turn, from
   several starts (`zsir.blind.starts`). And paths of a camera are searched by the power spectrum of y and by how
   uneven the gradients of the sharpened picture are (`zsir.blind.paths`); no picture is restored for that.
3. The prior's own restoration takes the place of the edges, again in turn with the kernel: Fast Diffusion EM's
   alternation inside half-quadratic splitting. The kernel is the solution of least squares on the simplex, with the
   posterior covariance of x as in an M-step. Every first kernel has one turn, and the best go on.
4. The kernel whose picture has the fewest edges is taken: a wrong kernel makes waves.
5. Its last turns are least squares by gradients without that covariance: a kernel that is a little too narrow harms a
   restoration less than one that is a little too wide, which makes waves.

What is not handled: kernels that change over the picture, saturated light sources, and gamma. Pictures are taken as
they are stored, not linearised. The border is no part of what is fitted. The noise level must be about right, and the
motion must fit in ``size`` pixels.

Source: Laroche, Almansa and Coupete 2024, Fast diffusion EM, WACV (the alternation); Levin et al. 2011, Efficient
marginal likelihood optimization in blind deconvolution, CVPR (the covariance)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

from zsir.blind.grids import Grid
from zsir.blind.lags import by_gradients
from zsir.blind.likelihood import FLOOR, Seen, motion_of
from zsir.blind.paths import path_kernels
from zsir.blind.simplex import least_squares, recentred, thresholded
from zsir.blind.starts import STARTS, coarse_to_fine
from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.protocols import Prior

#: turns of picture and kernel with the prior, first kernels that have more than one, turns by gradients at the end, and
#: the share of the largest below which taps are dropped
FINE_TURNS, FINALISTS, LAST_TURNS, FINE_SHARE = 3, 2, 2, 0.03
#: levels of the prior's x-step, and the weight of the prior, as in HQS
LEVELS, WEIGHT = (60 / 255, 25 / 255, 10 / 255), 0.23
#: a kernel is looked for in an array that is this much larger: its centre of mass is not the middle of its path
ROOM = 1.2
#: noise below this is that of rounding
LEAST_NOISE = 1 / 255
#: a kernel that explains less than this share of what y lost against its own sharpest view is no blur
SINGLE = 0.9
#: a kernel must be more likely than none by this (logarithm), and by so many times as much as the best straight motion:
#: many numbers always explain a little. Right kernels had up to 0.88 (spread) and 0.083 (outside), and only 1.08
#: times the gain of a straight motion, where doubt would have cost 5.4 and 5.9 dB. Of 21 kernels of the search in two
#: states, on 16 problems that these limits were chosen on, the 16 that pass gain -0.6 to 6.4 dB, and the five that do
#: not would have gained -0.4 to 1.5 dB
LEAST_GAIN, RATIO, MOST_SPREAD, MOST_OUTSIDE_RANGE = 20.0, 1.05, 0.89, 0.1
#: pixels at the border that the judgement of x0 leaves out, and what still counts as inside the range
RIM, SLACK = 4, 0.02


@dataclass(frozen=True, eq=False)
class KernelEstimate:
    """A kernel found in an observation.

    Attributes:
        kernel: The kernel, (n, n) float64, not negative, sum 1. Its centre of mass is at tap ``n // 2`` as far as the
            array has room.
        x0: The picture it was found with, cut to the observation, (1, channels, height, width).
        residual: Misfit of ``kernel * x0`` and the observation inside the border, relative to the noise.
        movement: Distance of the kernels of the last two turns, relative to their norm: small where it has settled.
        gain: How much more likely (logarithm) the spectrum of the observation is by this kernel than with no blur.
        gain_straight: The same for the best straight motion. A wrong kernel is seldom much likelier than that.
        spread: How evenly the gradients of the picture before the last turns are spread, relative to those of the
            observation without its noise. A sharper picture has few gradients, and 0.8 or so; what a wrong kernel
            makes is full of waves, and near 1.
        outside: Share of x0 that lies outside [0, 1] by more than 0.02. Waves go there.
    """

    kernel: Tensor = field(repr=False)
    x0: Tensor = field(repr=False)
    residual: float
    movement: float
    gain: float = 0.0
    gain_straight: float = 0.0
    spread: float = 0.0
    outside: float = 0.0

    @property
    def blurred(self) -> bool:
        """Whether the kernel is a blur: one tap alone is none."""
        return float(self.kernel.max()) < SINGLE

    @property
    def doubt(self) -> str:
        """A sentence why the kernel should not be used; empty where nothing speaks against it."""
        least = max(LEAST_GAIN, RATIO * self.gain_straight)
        if not self.blurred:
            return "The kernel that was found is a single pixel, which is no blur."
        if self.gain < least:
            return (
                "No kernel was found that explains the spectrum of the picture much better than a straight line does "
                f"(gain {self.gain:.0f}, and {least:.0f} is needed)."
            )
        if self.spread > MOST_SPREAD or self.outside > MOST_OUTSIDE_RANGE:
            return "The kernel that was found makes waves in place of sharp edges, so it is not the right one."
        return ""


@torch.no_grad()
def estimate_kernel(y: Tensor, size: int, noise_std: float, prior: Prior) -> KernelEstimate:
    """The kernel that blurred an observation. The random numbers of its search have a fixed seed.

    Args:
        y: The observation, (1, channels, height, width) in [0, 1], where no border was made up.
        size: Side of the square that the motion fits in, in pixels, odd, from 3 to 63.
        noise_std: Standard deviation of its noise, on the [0, 1] scale.
        prior: A denoiser of pictures with these channels, such as ``photo``.

    Returns:
        The kernel and what it was found with. It has about 1.2 ``size`` taps a side.

    Raises:
        BadSpec: The size is no odd number from 3 to 63.
        BadInput: The observation is flat, or smaller than three times the kernel.
        ShapeError: There is not one observation.
    """
    _check(y, size)
    noise = max(noise_std, LEAST_NOISE)
    taps = taps_for(size)
    calm = _denoised(prior, y.float(), noise)
    search = _Search(Grid(calm, taps, noise), Grid(y.float(), taps, noise), prior)
    grey = calm.mean(1, keepdim=True)
    firsts = [coarse_to_fine(grey, taps, noise, start) for start in STARTS] + path_kernels(y, taps, noise)
    tries = [search.turned(first, 1, _by_moments) for first in firsts]
    best = sorted(tries, key=search.spread)[:FINALISTS]
    last = min((search.turned(one.kernel, FINE_TURNS, _by_moments) for one in best), key=search.spread)
    spread = search.spread(last)
    last = search.turned(last.kernel, LAST_TURNS, by_gradients)
    seen, x = Seen(y, noise, FLOOR), search.cut(last.x)
    outside = float(((x < -SLACK) | (x > 1 + SLACK)).float().mean())
    gains = (seen.gain(last.kernel), motion_of(y, noise).gain)
    movement = float((last.kernel - last.before).norm() / last.kernel.norm())
    return KernelEstimate(last.kernel, x.to(y), search.misfit(last) / noise, movement, *gains, spread, outside)


@dataclass(frozen=True)
class _Turn:
    """What a turn of picture and kernel gave: the kernel, the one before, and the picture made with that."""

    kernel: Tensor
    before: Tensor
    x: Tensor


@dataclass(frozen=True)
class _Search:
    """The observation without its noise and with it, and the prior that the pictures are made with."""

    calm: Grid
    noisy: Grid
    prior: Prior

    def turned(self, kernel: Tensor, turns: int, fitted: Callable[[Grid, Tensor, Tensor], Tensor]) -> _Turn:
        """The kernel after so many turns, in each ``fitted`` to the picture that the prior makes with the last one."""
        x, before = self.noisy.filled, kernel
        for _ in range(turns):
            x, before = _restored(self.noisy, kernel, self.prior), kernel
            kernel = recentred(thresholded(fitted(self.calm, x, kernel), FINE_SHARE))
        return _Turn(kernel, before, x)

    def cut(self, x: Tensor) -> Tensor:
        """A picture without its margins."""
        m = self.noisy.margin
        return x[..., m:-m, m:-m]

    def spread(self, turn: _Turn) -> float:
        """`KernelEstimate.spread` of its picture."""
        return _evenness(self.cut(turn.x)) / _evenness(self.calm.y)

    def misfit(self, turn: _Turn) -> float:
        """Root mean square of what its picture leaves unexplained."""
        again = self.noisy.back(self.noisy.spectrum(turn.before) * torch.fft.rfft2(turn.x))
        return float(self.cut(again - self.noisy.filled).square().mean().sqrt())


def _evenness(x: Tensor) -> float:
    """Mean over root mean square of the gradients of the mean channel: small where a few are large."""
    grey = x.mean(1)[..., RIM:-RIM, RIM:-RIM]
    parts = [grey.diff(dim=axis) for axis in (-1, -2)]
    return sum(float(part.abs().mean() / part.square().mean().sqrt().clamp_min(1e-12)) for part in parts) / 2


def taps_for(size: int) -> int:
    """Side of the array that a kernel is looked for in.

    Args:
        size: Side of the square that the motion fits in, in pixels.

    Returns:
        Taps, odd.
    """
    return math.ceil(ROOM * size) // 2 * 2 + 1


def _check(y: Tensor, size: int) -> None:
    if y.ndim != 4 or len(y) != 1:
        raise ShapeError(f"A kernel is estimated from one observation (1, c, h, w), not from {tuple(y.shape)}.")
    if size % 2 == 0 or not 3 <= size <= 63:
        raise BadSpec(f"kernel:size={size} must be an odd number from 3 to 63 pixels, such as 31.")
    if min(y.shape[-2:]) < max(3 * size, 32):
        raise BadInput(
            f"A kernel of {size} pixels cannot be found in {y.shape[-1]}x{y.shape[-2]} pixels; the picture must have "
            f"at least {max(3 * size, 32)} on a side. Give a smaller size."
        )
    if not bool(torch.isfinite(y).all()) or float(y.std()) < 1e-3:
        raise BadInput("No kernel can be found in a picture that is flat or holds NaN; give the kernel in a file.")


def _denoised(prior: Prior, x: Tensor, sigma: float) -> Tensor:
    """One call of the prior, for sides that need not be multiples of anything."""
    h, w = x.shape[-2:]
    return prior.denoise(pad(x, (0, -w % 8, 0, -h % 8), mode="reflect"), x.new_tensor([sigma]))[..., :h, :w]


def _by_moments(grid: Grid, x: Tensor, kernel: Tensor) -> Tensor:
    """The M-step: the kernel that explains the observation by x and its posterior covariance."""
    form, right = grid.normal_equations(x, kernel)
    return least_squares(form, right, kernel)


def _restored(grid: Grid, kernel: Tensor, prior: Prior) -> Tensor:
    """Half-quadratic splitting with the prior, on the picture with its margins."""
    k = grid.spectrum(kernel)
    z = grid.filled
    for level in LEVELS:
        rho, x = WEIGHT * grid.noise_std**2 / level**2, z
        for _ in range(2):
            data = k.conj() * torch.fft.rfft2(grid.completed(k, x))
            x = grid.back((data + rho * torch.fft.rfft2(z)) / (k.abs() ** 2 + rho))
        z = _denoised(prior, x, level)
    return z
