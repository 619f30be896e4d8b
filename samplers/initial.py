"""Where a sampler begins, and how wrong that beginning is expected to be.

`initial_estimate` is the ridge solution around mid-grey, or for masks a growing-window median. `expected_error`
asks the operator itself, with a synthetic picture of photographic statistics, how much of a picture is lost in the
observation and how much noise the inverse lets through; schedules are chosen from its answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from zsir.capabilities import data_of, known_numbers, offers, original, seen_pixels, statistical_twin
from zsir.problem import Problem
from zsir.protocols import LinearOperator
from zsir.rng import generator

#: an 8-bit file is never more exact than its rounding, whatever its noise is said to be
ROUNDING = 1 / 255 / 12**0.5
#: an observation with no more noise than this is as exact as its file: results are projected onto it
EXACT = 1.5 * ROUNDING
GREY = 0.5


def initial_estimate(problem: Problem, ridge: float | None = None) -> Tensor:
    """The user's own ``x_init`` where given; median fill where the operator shows pixels as they are (a mask, a scaled
    or stacked one); else the ridge solution around mid-grey, ``argmin ||A x - y||^2 + ridge ||x - grey||^2``; mid-grey
    itself for an operator without prox.

    With ridge 0 the solution is the pseudo-inverse one closest to mid-grey; without a ridge the best one is chosen, see
    `expected_start`.
    """
    if problem.x_init is not None:
        return problem.x_init
    operator, y = problem.operator, problem.y
    if ridge is None and seen_pixels(operator) is None and offers(operator, "prox"):
        ridge = expected_start(operator, problem.noise_std, y).ridge
    return _estimate(operator, y, ridge or 0.0)


def _estimate(operator: LinearOperator, y: Tensor, ridge: float) -> Tensor:
    """`initial_estimate` of an observation by itself."""
    seen = seen_pixels(operator)
    if seen is not None:
        return median_fill(operator.pinv(data_of(operator, y)), seen)
    grey = torch.full((y.shape[0], *operator.in_shape), GREY).to(y)
    return operator.prox(grey, y, ridge) if offers(operator, "prox") else grey


def median_fill(y: Tensor, known: Tensor) -> Tensor:
    """Fill unobserved pixels from the outside in, by medians of growing windows.

    In pass w = 2, 3, ... every pixel still unknown takes, channel by channel, the (lower) median of the known
    pixels in the (2w+1)^2 window around it, if there are any; what one pass fills is known to the next.
    y (batch, channels, height, width), known (height, width) or (channels, height, width).

    Source: the initialisation of CM4IR for inpainting [cm4ir]
    """
    x = torch.where(known.to(y.device).expand(y.shape[1:]), y, float("nan"))
    window = 2
    while bool((missing := x[0].isnan()).any()):
        if bool(missing.all()):
            return torch.full_like(y, GREY)
        x = _median_pass(x, missing, window)
        window += 1
    return x


def _median_pass(x: Tensor, missing: Tensor, window: int) -> Tensor:
    padded = torch.nn.functional.pad(x, (window,) * 4, value=float("nan"))
    offsets = torch.arange(2 * window + 1, device=x.device)
    filled = x.clone()
    for places in missing.nonzero().split(max(1, 2**22 // offsets.numel() ** 2)):  # bounded memory
        c, row, column = places.T
        # (batch, places, window, window)
        values = padded[:, c[:, None, None], (row[:, None] + offsets)[:, :, None], (column[:, None] + offsets)[:, None]]
        filled[:, c, row, column] = values.flatten(2).nanmedian(dim=2).values
    return filled


@dataclass(frozen=True)
class Start:
    """How to begin: ``ridge`` with the smallest expected error of the initial estimate, and that error's rms."""

    ridge: float
    error: float


#: operator -> {(noise, dtype, device): Start}; an entry goes when its operator goes
_starts: WeakKeyDictionary[LinearOperator, dict[tuple[float, torch.dtype, torch.device], Start]] = WeakKeyDictionary()


def expected_start(operator: LinearOperator, noise_std: float, like: Tensor) -> Start:
    """Best ridge, and rms error of the initial estimate, for a random picture with photographic statistics.

    The error is the detail that the observation has lost plus the noise that the inverse lets through. Ridges from
    ``noise^2`` to ``4096 noise^2`` are tried, that is unseen detail of standard deviation 1 down to 1/64. Asked once
    per operator and noise level, then remembered.
    """
    key = (noise_std, like.dtype, like.device)
    remembered = _starts.setdefault(original(operator), {})
    if key not in remembered:
        remembered[key] = _probed_start(statistical_twin(operator), max(noise_std, ROUNDING), like)
    return remembered[key]


def _probed_start(operator: LinearOperator, noise: float, like: Tensor) -> Start:
    x = synthetic_photograph(operator, like)
    n = torch.randn(1, *operator.out_shape, generator=generator(0, 0, "probe")).to(like)
    known = known_numbers(operator)
    y = operator.forward(x) + noise * (n if known is None else n * known.to(n))
    if seen_pixels(operator) is not None:  # the median fill has no ridge
        return Start(noise**2, _rms(_estimate(operator, y, 0.0) - x))
    middle, *larger = [noise**2 * 4.0**k for k in range(3, 7)]
    smaller = [noise**2 * 4.0**k for k in range(2, -1, -1)]
    best = Start(middle, _rms(_estimate(operator, y, middle) - x))
    for side in (larger, smaller):  # the error has one valley: walk down into it, stop behind it
        for ridge in side:
            error = _rms(_estimate(operator, y, ridge) - x)
            if error >= best.error:
                break
            best = Start(ridge, error)
    return best


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def synthetic_photograph(operator: LinearOperator, like: Tensor) -> Tensor:
    """A random grey picture (1, *in_shape): mean 1/2, standard deviation 1/4, power spectrum 1/f^2.7.

    With that exponent the expected errors agree with those measured on photographs of 200 to 500 pixels for blur,
    reduction and motion, to about 10 percent.
    """
    c, h, w = operator.in_shape
    white = torch.randn(1, 1, h, w, generator=generator(0, 1, "probe"))
    rows, columns = torch.fft.fftfreq(h, 1 / h)[:, None], torch.fft.fftfreq(w, 1 / w)[: w // 2 + 1]
    amplitude = (1 + rows**2 + columns**2) ** (-2.7 / 4)
    field = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(h, w))
    spread = (field - field.mean()).square().mean().sqrt().clamp_min(1e-6)
    picture: Tensor = (GREY + 0.25 * field / spread).to(like)
    return picture.expand(1, c, h, w)
