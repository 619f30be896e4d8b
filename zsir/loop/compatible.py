"""Check before the first step that operator, prior and sampler fit together."""

from __future__ import annotations

from zsir.capabilities import (
    METHODS,
    condition_of,
    conditioned,
    is_conditional,
    is_differentiable,
    makes_pictures,
    needs_of,
    offers,
)
from zsir.errors import Incompatible
from zsir.problem import Problem
from zsir.protocols import LinearOperator, Prior, Sampler


def check_compatible(problem: Problem, prior: Prior, sampler: Sampler) -> None:
    """Raise `Incompatible` if the prior is for another number of channels, or if operator, prior or observation lack
    something that the sampler needs."""
    channels = problem.operator.in_shape[0]
    if prior.channels not in (0, channels):
        raise Incompatible(
            f"The prior {prior!r} is for pictures with {_channels(prior.channels)}, "
            f"this one has {_channels(channels)}; convert the picture, or use another prior."
        )
    name = type(sampler).__name__
    for need in needs_of(sampler):
        if need in METHODS and not offers(problem.operator, need):
            raise Incompatible(
                f"{name} needs {METHODS[need]} of the operator, which {problem.operator!r} does not offer; "
                f"use {_alternatives(problem.operator)}."
            )
        if need == "gradient" and not is_differentiable(prior):
            raise Incompatible(
                f"{name} needs gradients through the prior, and {prior!r} has none; use a network, or a sampler "
                "without gradients such as diffpir, ddrm or hqs."
            )
        if need == "noise" and problem.noise_std == 0:
            raise Incompatible(
                f"{name} divides by the noise of the observation, which is given as 0. State it (--noise, noise_std): "
                "0.001 covers the rounding of an 8-bit file."
            )


def _alternatives(operator: LinearOperator) -> str:
    """Samplers that work with the methods of ``operator``."""
    if offers(operator, "prox"):
        return "one that needs less, such as hqs, diffpir or cm4ir (or an operator with closed form: boundary=circular)"
    if offers(operator, "adjoint"):
        return "pgd, red or red-diff, which need forward and adjoint only"
    return "dps, which needs forward only"


def conditioned_by(problem: Problem, prior: Prior) -> Prior:
    """Condition a prior that was trained on pairs of pictures (an IR-SDE network); return every other prior unchanged.

    The condition is the first of these that exists:

    - the initial picture that the user gave
    - the observation, if it has the size of the picture
    - the ridge solution
    """
    if not is_conditional(prior) or condition_of(prior) is not None:
        return prior
    if problem.x_init is not None:
        return conditioned(prior, problem.x_init)
    if problem.operator.in_shape == problem.operator.out_shape and makes_pictures(problem.operator):
        return conditioned(prior, problem.y)
    return conditioned(prior, problem.operator.pinv(problem.y, max(problem.noise_std**2, 1e-6)))


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count != 1 else ''}"
