"""By what results are judged: a metric where the truth is known, else what the observation itself tells.

In what follows r = y - A x is the residual, n the number of measurements, sigma the standard deviation of their noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.metrics import find, measure, residual
from zsir.problem import Problem
from zsir.rng import PictureNoise

#: the step of the divergence's finite difference, in units of the noise: networks of kinked functions are smooth on
#: this scale, and it is far above the rounding of float32
STEP = 0.1

#: x of a problem, always with the same random numbers
Restore = Callable[[Problem], Tensor]
Judge = Callable[[Problem, Restore, Tensor | None], float]


@dataclass(frozen=True)
class Goal:
    """What to make large or small. ``judge(problem, restore, truth)`` is the number of one picture (a batch of 1).

    ``reference`` says whether it needs the truth, ``noise`` whether it needs to know that the noise is not 0,
    ``single`` that it is one equation, which can settle one parameter and no more.
    """

    name: str
    judge: Judge = field(repr=False)
    better: Literal["higher", "lower"]
    unit: str = ""
    reference: bool = False
    noise: bool = False
    single: bool = False

    def beats(self, a: float, b: float) -> bool:
        """Whether a is better than b; a number is better than NaN."""
        if a != a or b != b:
            return a == a and b != b
        return a > b if self.better == "higher" else a < b

    def shown(self, value: float) -> str:
        """With unit and four digits."""
        return f"{value:.4g} {self.unit}".strip()


def sure(problem: Problem, restore: Restore, truth: Tensor | None = None) -> float:
    """Stein's unbiased estimate of ``E |A x - A x_true|^2 / (sigma^2 n)``: the error of what the operator shows, over
    the variance of the noise.

    ``|r|^2/(sigma^2 n) - 1 + (2/n) div`` with the divergence of ``y -> A x(y)`` by one random direction b of +-1,
    ``b . (A x(y + e b) - A x(y)) / e``. What the operator hides is not judged. It may be negative by chance.
    Sources: Stein 1981; Ramani, Blu and Unser 2008 (the divergence).
    """
    y, op, sigma, n = problem.data, problem.operator, problem.noise_std, problem.operator.measurements
    # of +-1, not normal numbers: exact where the Jacobian is diagonal, and less noisy elsewhere
    b, e = torch.sign(PictureNoise(_seed_of(y), [0], "divergence").randn_like(y)), STEP * sigma
    seen = op.forward(restore(replace(problem, y=y)))
    moved = op.forward(restore(replace(problem, y=y + e * b)))
    divergence = float((b * (moved - seen)).double().sum()) / e
    return float((y - seen).double().square().sum()) / (sigma**2 * n) - 1 + 2 * divergence / n


def _seed_of(y: Tensor) -> int:
    """Another one for every observation, and the same for one observation: pictures average the probe's chance out."""
    digest = hashlib.sha256(y.detach().cpu().numpy().tobytes()).digest()
    return int.from_bytes(digest[:7], "big")


def discrepancy(problem: Problem, restore: Restore, truth: Tensor | None = None) -> float:
    """``| |r| / (sigma sqrt(n)) - 1 |``: the residual should be as large as the noise, no more and no less.

    Source: Morozov 1966, the discrepancy principle.
    """
    return abs(residual(problem, restore(problem)).relative[0] - 1)


def whiteness(problem: Problem, restore: Restore, truth: Tensor | None = None) -> float:
    """``sum_l c_l^2 / c_0^2 - 1`` of the circular autocorrelation c of r: 1 for white noise, more where structure is
    left in it.

    It does not need sigma, and cannot see its size: a method that returns a little noise everywhere leaves a white
    residual too. Source: Almeida and Figueiredo 2013, IEEE Transactions on Image Processing 22(7) (whiteness as a
    criterion); the form with all lags.
    """
    r = problem.data - problem.operator.forward(restore(problem))
    power = torch.fft.fft2(r.double()).abs().square()
    total = power.sum(dim=(-2, -1))
    if not bool((total > 0).all()):
        raise BadSpec(
            "The residual is zero: its whiteness says nothing; take another goal, or a sampler for noisy data."
        )
    pixels = power.shape[-2] * power.shape[-1]
    return float((pixels * power.square().sum(dim=(-2, -1)) / total.square()).mean()) - 1


GOALS: dict[str, Goal] = {
    "sure": Goal("sure", sure, "lower", noise=True),
    "discrepancy": Goal("discrepancy", discrepancy, "lower", noise=True, single=True),
    "whiteness": Goal("whiteness", whiteness, "lower", single=True),
}


def find_goal(name: str) -> Goal:
    """A goal by name: one of `GOALS`, or a metric of `zsir.metrics`; raises `UnknownName`, `BadSpec` or `BadInput`.

    >>> find_goal("psnr").better, find_goal("sure").better
    ('higher', 'lower')
    """
    if name in GOALS:
        return GOALS[name]
    metric = find(name)

    def judge(problem: Problem, restore: Restore, truth: Tensor | None) -> float:
        clean = None if truth is None else truth.to(problem.y).clamp(0, 1)
        return measure([name], restore(problem).clamp(0, 1), clean)[name][0]

    return Goal(name, judge, metric.better, metric.unit, metric.reference)
