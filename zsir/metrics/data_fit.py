"""How well a picture fits its observation, and which part of it the observation could determine at all.

With the pseudo-inverse A^+, ``P x = A^+ A x`` is the part of a picture that the operator sees (its row space; "range"
part) and ``x - P x`` the part that it is blind to (the null space): noise-free data determine the first, the prior
imagines the second. For a picture the two say how much was imagined, for an error how much of it the data could have
prevented. A^+ knows no noise: what a blur damps far below the noise counts as determined.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zsir.problem import Problem, residual
from zsir.protocols import LinearOperator

#: a residual (rms) above this many times the noise, plus what a file and a sampler for noise-free data may miss, is a
#: contradiction; samplers at their settings for photographs stay below, some just so (zsir/metrics/README.md)
MOST_RELATIVE = 3.0
UNSTATED = 8 / 255


@dataclass(frozen=True)
class Energies:
    """Mean squares of a picture's parts, one number for each picture; they add up to the mean square of the whole.

    ``determined`` is the part in the row space of the operator, ``free`` the part in its null space.
    """

    determined: list[float]
    free: list[float]


def split(operator: LinearOperator, x: Tensor) -> tuple[Tensor, Tensor]:
    """``(P x, x - P x)`` with ``P = A^+ A``: what the operator sees of x and what it is blind to, orthogonal.

    x (batch, *in_shape), any values; computed and returned in float64, because A^+ magnifies rounding. Raises
    `zsir.errors.SolveError` where the operator has no closed form and its pseudo-inverse does not converge.
    """
    whole = x.double()
    seen = operator.pinv(operator.forward(whole))
    return seen, whole - seen


def energies(operator: LinearOperator, x: Tensor) -> Energies:
    """Mean squares of the two parts of x, see `split`: of an estimate how much was imagined, of an error (estimate
    minus truth) how much of it the data could not have prevented."""
    determined, free = (part.square().flatten(1).mean(dim=1).tolist() for part in split(operator, x))
    return Energies(determined, free)


def contradiction(problem: Problem, x: Tensor) -> list[str]:
    """For each picture a sentence where it cannot have led to its observation by noise as stated, else "".

    The residual of the true picture is the noise, so that one far above it means that the noise is larger, that the
    operator is another one, or that the sampler was given too few calls to fit the data. Only this direction is
    reliable: many samplers fit the noise too, and end far below it whatever was stated. `doubts` (noise.py) asks
    the observation itself.
    """
    limit = MOST_RELATIVE * problem.noise_std + UNSTATED
    return ["" if rms <= limit else _misfit(rms, problem.noise_std) for rms in residual(problem, x).rms]


def _misfit(rms: float, noise_std: float) -> str:
    return (
        f"The result misses the observation by {rms:.3g} (root mean square), but the noise was given as "
        f"{noise_std:.3g}: state more noise (or --noise auto), check the operator, or give the sampler more calls."
    )
