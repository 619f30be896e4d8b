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
    """Mean squares of a picture's parts, one number for each picture. They add up to the mean square of the whole.

    Attributes:
        determined: The part in the row space of the operator.
        free: The part in its null space.
    """

    determined: list[float]
    free: list[float]


def split(operator: LinearOperator, x: Tensor) -> tuple[Tensor, Tensor]:
    """Split pictures into the part that the operator sees and the part that it is blind to.

    With ``P = A^+ A`` the parts are ``P x`` and ``x - P x``. They are orthogonal.

    Args:
        operator: The operator A.
        x: Pictures, (batch, *in_shape), with any values.

    Returns:
        ``(P x, x - P x)`` in float64, because A^+ magnifies rounding.

    Raises:
        SolveError: The operator has no closed form and its pseudo-inverse does not converge.
    """
    whole = x.double()
    seen = operator.pinv(operator.forward(whole))
    return seen, whole - seen


def energies(operator: LinearOperator, x: Tensor) -> Energies:
    """Mean squares of the two parts of a picture, see `split`.

    Of an estimate they say how much was imagined. Of an error (estimate minus truth) they say how much of it the data
    could not have prevented.

    Args:
        operator: The operator A.
        x: Pictures or errors, (batch, *in_shape).

    Returns:
        The mean squares, one number for each picture and part.

    Raises:
        SolveError: The pseudo-inverse does not converge.
    """
    determined, free = (part.square().flatten(1).mean(dim=1).tolist() for part in split(operator, x))
    return Energies(determined, free)


def contradiction(problem: Problem, x: Tensor) -> list[str]:
    """Say in a sentence where a picture cannot have led to its observation by noise as stated.

    The residual of the true picture is the noise. A residual far above it means that the noise is larger, that the
    operator is another one, or that the sampler was given too few calls to fit the data. Only this direction is
    reliable: many samplers fit the noise too, and end far below it whatever was stated. `doubts` (noise.py) asks the
    observation itself.

    Args:
        problem: The observations, their operator and the noise as stated.
        x: The pictures, (batch, *in_shape).

    Returns:
        A sentence for each picture, empty where nothing is wrong.

    Raises:
        ShapeError: The numbers of pictures and observations differ.
    """
    limit = MOST_RELATIVE * problem.noise_std + UNSTATED
    return ["" if rms <= limit else _misfit(rms, problem.noise_std) for rms in residual(problem, x).rms]


def _misfit(rms: float, noise_std: float) -> str:
    return (
        f"The result misses the observation by {rms:.3g} (root mean square), but the noise was given as "
        f"{noise_std:.3g}: state more noise (or --noise auto), check the operator, or give the sampler more calls."
    )
