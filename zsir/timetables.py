"""Time maps: the one place where the time of a VP, flow or IR-SDE model becomes a noise level sigma, and back.

Everything outside a model speaks of ``x = x0 + sigma n`` (variance exploding). A model with another clock is told its
own time, looked up here. Tables are float64; levels are in the units of the model (a model of pictures in [-1, 1] has
levels twice as large as ours).

    VP (DDPM)   x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) n        sigma_t = sqrt((1 - abar_t)/abar_t)
    flow        x_t = (1 - t) x0 + t n                            sigma_t = t/(1 - t)
    IR-SDE      x_t = mu + m_t (x0 - mu) + lambda sqrt(1 - m_t^2) n   sigma_t = lambda sqrt(1/m_t^2 - 1)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zsir.errors import BadSpec


@lru_cache
def ddpm_alphas_bar() -> np.ndarray:
    """abar_0..abar_999 of DDPM's linear table, beta from 1e-4 to 0.02."""
    return alphas_bar("linear")


def alphas_bar(schedule: str, steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> np.ndarray:
    """abar_0, ... of a table of betas by the name that diffusers gives it; raises `BadSpec` for another.

    ``linear``: betas from ``start`` to ``end``; ``scaled_linear``: their square roots; ``sigmoid``: a logistic curve
    between them; ``squaredcos_cap_v2``: abar = cos^2, betas at most 0.999, without start and end.
    Source: Ho et al. 2020 [ddpm]; cosine: Nichol and Dhariwal 2021
    """
    if schedule == "linear":
        betas = np.linspace(start, end, steps, dtype=np.float64)
    elif schedule == "scaled_linear":
        betas = np.linspace(start**0.5, end**0.5, steps, dtype=np.float64) ** 2
    elif schedule == "sigmoid":
        betas = start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, steps, dtype=np.float64)))
    elif schedule == "squaredcos_cap_v2":
        angles = (np.arange(steps + 1) / steps + 0.008) / 1.008 * math.pi / 2
        bar = np.cos(angles) ** 2
        betas = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    else:
        raise BadSpec(f"The table of betas '{schedule}' is not linear, scaled_linear, sigmoid or squaredcos_cap_v2.")
    return np.asarray(np.cumprod(1 - betas))


def checked_bar(bar: np.ndarray) -> np.ndarray:
    """abar itself if it is a table that a network can have been trained with; raises `BadSpec`."""
    if bar.ndim != 1 or len(bar) < 2 or not (bar > 0).all() or not (bar < 1).all() or not (np.diff(bar) < 0).all():
        raise BadSpec("its betas do not give a falling table between 1 and 0.")
    return bar


def zero_terminal(bar: np.ndarray) -> np.ndarray:
    """abar rescaled so that the last time has no signal at all, without that time, whose level is infinite.

    Source: Lin et al. 2024 [zerosnr], algorithm 1
    """
    root = np.sqrt(bar)
    return np.asarray(((root - root[-1]) * root[0] / (root[0] - root[-1]))[:-1] ** 2)


@dataclass(frozen=True, eq=False)
class TimeTable:
    """Noise levels of a model's integer times ``first, first + 1, ...``, rising and positive; between them the
    logarithm of the level is linear in time.

    >>> table = TimeTable.vp(ddpm_alphas_bar())
    >>> round(float(table.time(table.level(torch.tensor([12.25])))), 9)
    12.25
    """

    levels: np.ndarray = field(repr=False)
    first: int = 0

    @classmethod
    def vp(cls, alphas_bar: np.ndarray) -> TimeTable:
        """The table of a variance-preserving model with the given abar_0, abar_1, ..."""
        abar = np.asarray(alphas_bar, np.float64)
        return cls(np.sqrt((1 - abar) / abar))

    @cached_property
    def _copies(self) -> dict[torch.device, Tensor]:
        """Logarithms of the levels, one copy per device that asked."""
        return {torch.device("cpu"): torch.from_numpy(np.log(np.asarray(self.levels, np.float64)))}

    def _logs(self, device: torch.device) -> Tensor:
        if device not in self._copies:
            self._copies[device] = self._copies[torch.device("cpu")].to(device)
        return self._copies[device]

    def time(self, sigma: Tensor) -> Tensor:
        """The (fractional) time of levels ``sigma``, float64; those outside the table take its ends."""
        logs = self._logs(sigma.device)
        if len(logs) == 1:
            return torch.full_like(sigma, self.first, dtype=torch.float64)
        wanted = sigma.double().clamp_min(torch.finfo(torch.float64).tiny).log().clamp(logs[0], logs[-1]).contiguous()
        upper = torch.searchsorted(logs, wanted).clamp(1, len(logs) - 1)
        low, high = logs[upper - 1], logs[upper]
        return self.first + upper - 1 + (wanted - low) / (high - low)

    def level(self, time: Tensor) -> Tensor:
        """The noise level of (fractional) times, float64; times outside the table take its ends."""
        logs = self._logs(time.device)
        if len(logs) == 1:
            return logs.exp().expand(time.shape)
        place = (time.double() - self.first).clamp(0, len(logs) - 1)
        lower = place.floor().clamp_max(len(logs) - 2).long()
        return torch.lerp(logs[lower], logs[lower + 1], place - lower).exp()

    def nearest(self, sigma: float) -> float:
        """The level of the table that is nearest to ``sigma``."""
        return float(self.levels[np.abs(self.levels - sigma).argmin()])


def flow_time(sigma: Tensor) -> Tensor:
    """Time t in [0, 1) of a flow ``x_t = (1 - t) x0 + t n``: t = sigma/(1 + sigma)."""
    return sigma / (1 + sigma)


def flow_level(time: Tensor) -> Tensor:
    """Noise level of a flow's time: sigma = t/(1 - t)."""
    return time / (1 - time)


def inverted(level: Callable[[Tensor], Tensor], sigma: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Times t in [low, high] at which the rising function ``level`` of t (batch,) takes the values ``sigma`` (batch,),
    by bisection to the last digit; ``low`` or ``high`` where it does not reach them.

    >>> inverted(lambda t: t**2, torch.tensor([0.25, 4.0], dtype=torch.float64))
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    below, above = torch.full_like(sigma, low), torch.full_like(sigma, high)
    for _ in range(54 if sigma.dtype == torch.float64 else 25):
        middle = (below + above) / 2
        less = level(middle) < sigma
        below, above = torch.where(less, middle, below), torch.where(less, above, middle)
    return above


@dataclass(frozen=True)
class IRSDESchedule:
    """The mean-reverting SDE ``dx = theta_t (mu - x) dt + sqrt(2 lambda^2 theta_t) dw``, discretised exactly.

    ``max_sigma`` is lambda on the [0, 1] scale (the published options say 10, 30 or 50, of 255); ``eps`` is the share
    m_T of x0 - mu that is left at the end. Arrays have ``steps`` + 1 entries, index 0 being the clean end.
    Source: Luo et al. 2023 [irsde] and the code released with it
    """

    steps: int = 100
    max_sigma: float = 50 / 255
    eps: float = 0.005
    kind: Literal["cosine", "linear", "constant"] = "cosine"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadSpec(f"steps={self.steps}: a schedule needs at least one step, usually 100.")
        if not 0 < self.max_sigma <= 1:
            raise BadSpec(
                f"max_sigma={self.max_sigma:g} must lie in (0, 1]; the published options are 10, 30, 50 of 255: "
                "write 50/255."
            )
        if not 0 < self.eps < 1:
            raise BadSpec(f"eps={self.eps:g} must lie between 0 and 1; the published value is 0.005.")
        if self.kind not in ("cosine", "linear", "constant"):
            raise BadSpec(f"schedule '{self.kind}' is not one of cosine, linear, constant.")

    @cached_property
    def theta(self) -> np.ndarray:
        """Speeds theta_0..theta_T; only their ratios matter."""
        n = self.steps + 1
        if self.kind == "constant":
            return np.ones(n)
        if self.kind == "linear":
            return np.linspace(0.1 / n, 20 / n, n)
        k = np.arange(n + 2)  # the cosine table of N = T + 2 intervals, without its ends
        g = np.cos((k / (n + 1) + 0.008) / 1.008 * math.pi / 2) ** 2
        return np.asarray(1 - (g / g[0])[1:-1])

    @cached_property
    def h(self) -> np.ndarray:
        """theta_t dt for t = 1..T (h[0] = 0), with dt such that they add up to -ln(eps)."""
        speeds = np.concatenate([[0.0], self.theta[1:]])
        return np.asarray(-math.log(self.eps) * speeds / speeds.sum())

    @cached_property
    def m(self) -> np.ndarray:
        """m_t = exp(-sum of h up to t): the share of x0 - mu in x_t; m_0 = 1, m_T = eps."""
        return np.asarray(np.exp(-np.cumsum(self.h)))

    @cached_property
    def v(self) -> np.ndarray:
        """Variance of x_t: lambda^2 (1 - m_t^2)."""
        return np.asarray(-(self.max_sigma**2) * np.expm1(-2 * np.cumsum(self.h)))

    @cached_property
    def sigma(self) -> np.ndarray:
        """Noise levels of the VE view ``u_t = mu + (x_t - mu)/m_t = x0 + sigma_t n``, [0, 1] scale; sigma_0 = 0."""
        return np.asarray(np.sqrt(self.v) / self.m)

    @cached_property
    def table(self) -> TimeTable:
        """Times 1..T of the levels."""
        return TimeTable(self.sigma[1:], first=1)
