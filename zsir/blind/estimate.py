"""The kernel of an unknown motion blur, from the observation alone.

1. The noise is taken out of y by the prior; this works well, because a blurred picture is smooth.
2. Coarse to fine, the picture of few edges (`zsir.blind.edges`) and the kernel are found in turn, from several starts.
   The start with the likeliest spectrum of y goes on. The kernel is the
   solution of least squares on the simplex, with the posterior covariance of x as in an M-step.
3. The prior's own restoration takes the place of the edges, again in turn with the kernel: Fast Diffusion EM's
   alternation inside half-quadratic splitting.

What is not handled: kernels that change over the picture, saturated light sources, and gamma. Pictures are taken as
they are stored, not linearised. The border is no part of what is fitted. The noise level must be about right, and the
motion must fit in ``size`` pixels.

Source: Laroche, Almansa and Coupete 2024, Fast diffusion EM, WACV (the alternation); Levin et al. 2011, Efficient
marginal likelihood optimization in blind deconvolution, CVPR (the covariance)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from zsir.blind.edges import edges
from zsir.blind.grids import Grid
from zsir.blind.likelihood import FLOOR, Parameters, Seen, motion_of
from zsir.blind.simplex import ladder, least_squares, recentred, resized, thresholded
from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.operators.blurs.kernels import motion
from zsir.protocols import Prior

#: turns of picture and kernel at each scale, and with the prior; taps below these shares of the largest are dropped
TURNS, FINE_TURNS, COARSE_SHARE, FINE_SHARE = 5, 6, 0.05, 0.03
#: levels of the prior's x-step, and the weight of the prior, as in HQS
LEVELS, WEIGHT = (60 / 255, 25 / 255, 10 / 255), 0.23
#: a kernel is looked for in an array that is this much larger: its centre of mass is not the middle of its path
ROOM = 1.2
#: noise below this is that of rounding
LEAST_NOISE = 1 / 255
#: a kernel that explains less than this share of what y lost against its own sharpest view is no blur
SINGLE = 0.9
#: a kernel must be more likely than none by this (logarithm), and by so many times as much as the best straight motion:
#: many numbers always explain a little. On the eight pictures that these four limits were chosen on, kernels that
#: helped had 2.3 and 3.4 times its gain, spreads of 0.75 and 0.89, and 0.7 and 2.9 % outside; the six that harmed, by
#: 2 to 22 dB, broke one limit or more
LEAST_GAIN, RATIO, MOST_SPREAD, MOST_OUTSIDE_RANGE = 20.0, 1.5, 0.92, 0.04
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
        spread: How evenly the gradients of x0 are spread, relative to those of the observation without its noise. A
            sharper picture has few gradients, and 0.8 or so; what a wrong kernel makes is full of waves, and near 1.
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
    """The kernel that blurred an observation. No random numbers are drawn.

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
    seen = Seen(y, noise, FLOOR)
    straight = motion_of(y, noise)
    kernel = max(_beginnings(calm, taps, noise, straight), key=seen.gain)
    grid, noisy = Grid(calm, taps, noise), Grid(y.float(), taps, noise)
    x, before = noisy.filled, kernel
    for _ in range(FINE_TURNS):
        x, before = _restored(noisy, kernel, prior), kernel
        kernel = _refitted(grid, x, kernel, FINE_SHARE)
    m = grid.margin
    again = noisy.back(noisy.spectrum(before) * torch.fft.rfft2(x))
    misfit = ((again - noisy.filled)[..., m:-m, m:-m]).square().mean().sqrt()
    movement = float((kernel - before).norm() / kernel.norm())
    x = x[..., m:-m, m:-m]
    outside = float(((x < -SLACK) | (x > 1 + SLACK)).float().mean())
    gains = (seen.gain(kernel), straight.gain, _evenness(x) / _evenness(calm))
    return KernelEstimate(kernel, x.to(y), float(misfit) / noise, movement, *gains, outside)


def _evenness(x: Tensor) -> float:
    """Mean over root mean square of the gradients of the mean channel: small where a few are large."""
    grey = x.mean(1)[..., RIM:-RIM, RIM:-RIM]
    parts = [grey.diff(dim=axis) for axis in (-1, -2)]
    return sum(float(part.abs().mean() / part.square().mean().sqrt().clamp_min(1e-12)) for part in parts) / 2


def _beginnings(calm: Tensor, taps: int, noise: float, straight: Parameters) -> list[Tensor]:
    """Kernels to begin with: by edges from four directions, and the best straight motion."""
    grey = calm.mean(1, keepdim=True)
    found = [coarse_to_fine(grey, taps, noise, turned) for turned in range(4)]
    length, angle = straight.values
    line = motion(min(length, taps - 2.0), angle).double()
    rows, columns = ((taps - n) // 2 for n in line.shape)
    return [*found, pad(line, (columns, columns, rows, rows))]


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


def _refitted(grid: Grid, x: Tensor, kernel: Tensor, share: float) -> Tensor:
    """The M-step: the kernel that explains the observation by x, recentred."""
    form, right = grid.normal_equations(x, kernel)
    return recentred(thresholded(least_squares(form, right, kernel), share))


def coarse_to_fine(y: Tensor, taps: int, noise: float, turned: int = 0) -> Tensor:
    """A first kernel, from pictures of few edges. It begins as a short line: a single tap would stay one.

    Args:
        y: The observation without its noise, (1, 1, height, width).
        taps: Side of the kernel, odd.
        noise: Noise of the observation, > 0.
        turned: Direction of the line in steps of 45 degrees; 0 is horizontal.

    Returns:
        The kernel, (taps, taps) float64.
    """
    kernel = torch.zeros(3, 3, dtype=torch.float64)
    step = ((0, 1), (-1, 1), (1, 0), (1, 1))[turned]
    for k in (-1, 0, 1):
        kernel[1 + k * step[0], 1 + k * step[1]] = 1 / 3
    for side in ladder(taps):
        sides = [max(8, round(n * side / taps)) for n in y.shape[-2:]]
        small = y if side == taps else interpolate(y, size=sides, mode="bilinear", antialias=True, align_corners=False)
        grid, kernel = Grid(small, side, noise), resized(kernel, side)
        for _ in range(TURNS):
            kernel = _refitted(grid, edges(grid, kernel), kernel, COARSE_SHARE)
    return kernel


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
