"""The one solver loop: every sampler, prior and operator meet here and nowhere else."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zsir.errors import BadInput, Incompatible, SolveError
from zsir.linalg import CGReport, recorded_cg
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior, Sampler
from zsir.registry import spec_of
from zsir.rng import ImageNoise
from zsir.timing import Stopwatch, TimedOperator, TimedPrior


@dataclass(frozen=True)
class Event:
    """What a callback sees after a step: its number (from 1) of ``steps``, the noise level and the estimate."""

    step: int
    steps: int
    sigma: float
    x0: Tensor = field(repr=False)


@dataclass(frozen=True)
class Stats:
    """What a solve cost and how well it fits.

    ``nfe`` calls of the prior; ``operator_calls`` by method; ``cg_iterations`` of iterative inverses;
    ``seconds`` in all, in the prior and in the operator; ``residual`` per image, see `Problem.residual`.
    """

    nfe: int
    operator_calls: dict[str, int]
    cg_iterations: int
    seconds: float
    seconds_prior: float
    seconds_data: float
    residual: list[float]


@dataclass(frozen=True)
class Solution:
    """The restored pictures ``x`` (batch, channels, height, width), not clipped, with cost and provenance."""

    x: Tensor = field(repr=False)
    stats: Stats
    provenance: dict[str, Any]


def solve(
    problem: Problem,
    prior: Prior,
    sampler: Sampler,
    *,
    seed: int = 0,
    indices: Sequence[int] | None = None,
    callbacks: Sequence[Callable[[Event], None]] = (),
    noise: NoiseSource | None = None,
) -> Solution:
    """Restore a batch of observations.

    Every image draws its random numbers from a generator of its own, seeded by (``seed``, its number): image k of a
    batch equals the same image solved alone with ``indices=[k]``. ``noise`` replaces the generators (replays).
    Raises `Incompatible` before the first step when prior and picture do not fit, `SolveError` when the result is
    not finite.

    >>> import torch
    >>> from zsir import operators, priors, samplers
    >>> op = operators.make("sr2x", in_shape=(1, 16, 16))
    >>> y = op.forward(torch.full((1, 1, 16, 16), 0.25))
    >>> solution = solve(Problem(y, op), priors.load("gaussian"), samplers.make("cm4ir"), seed=0)
    >>> solution.stats.nfe
    4
    """
    check_compatible(problem, prior)
    watch_prior, watch_data = Stopwatch(), Stopwatch()
    task = Problem(problem.y, TimedOperator(problem.operator, watch_data), problem.noise_std)
    timed = TimedPrior(prior, watch_prior)
    numbers = list(indices) if indices is not None else list(range(problem.y.shape[0]))
    if len(numbers) != problem.y.shape[0]:
        raise BadInput(f"indices has {len(numbers)} numbers for {problem.y.shape[0]} images; give one per image.")
    rng = noise if noise is not None else ImageNoise(seed, numbers)
    began = time.perf_counter()
    with torch.no_grad(), recorded_cg() as reports:
        state = sampler.init(task, timed, rng)
        for number in range(1, sampler.steps + 1):
            state = sampler.step(task, timed, state, rng)
            for callback in callbacks:
                callback(Event(number, sampler.steps, state.sigma, state.x0))
    data_seconds, prior_seconds = watch_data.seconds(), watch_prior.seconds()
    seconds = time.perf_counter() - began
    stats = Stats(
        nfe=watch_prior.calls["denoise"],
        operator_calls=dict(watch_data.calls),
        cg_iterations=_total(reports),
        seconds=seconds,
        seconds_prior=prior_seconds,
        seconds_data=data_seconds,
        residual=problem.residual(state.x0),
    )
    if not bool(torch.isfinite(state.x0).all()):
        raise SolveError("The result is not finite; try a larger noise_std, or another sampler for this operator.")
    return Solution(state.x0, stats, provenance(problem, prior, sampler, seed, numbers))


def check_compatible(problem: Problem, prior: Prior) -> None:
    """Raise `Incompatible` when the prior knows another number of channels than the picture has."""
    channels = problem.operator.in_shape[0]
    if prior.channels not in (0, channels):
        raise Incompatible(
            f"The prior {prior!r} is for pictures with {_channels(prior.channels)}, "
            f"this one has {_channels(channels)}; convert the picture, or use another prior."
        )


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count != 1 else ''}"


def provenance(problem: Problem, prior: Prior, sampler: Sampler, seed: int, indices: Sequence[int]) -> dict[str, Any]:
    """What a solve was made of, as JSON-able values: enough to repeat it where the parts came from specs.

    An operator or prior made by hand is named by its repr, which does not hold the numbers of a mask or kernel.
    """
    import zsir

    return {
        "operator": spec_of(problem.operator) or repr(problem.operator),
        "in_shape": list(problem.operator.in_shape),
        "noise_std": problem.noise_std,
        "prior": spec_of(prior) or repr(prior),
        "weights_sha256": prior.fingerprint,
        "sampler": repr(sampler),
        "seed": seed,
        "indices": list(indices),
        "dtype": str(problem.y.dtype).removeprefix("torch."),
        "device": str(problem.y.device),
        "versions": {
            "zsir": zsir.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _total(reports: list[CGReport]) -> int:
    return sum(r.iterations for r in reports)
