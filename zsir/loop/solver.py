"""The one solver loop: every sampler, prior and operator meet here and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zsir.errors import BadInput
from zsir.linalg import CGReport, recorded_cg, relaxed
from zsir.loop.compatible import check_compatible, conditioned_by
from zsir.loop.counted import Stopwatch, TimedOperator, TimedPrior
from zsir.loop.provenance import provenance
from zsir.loop.watch import FiniteWatch
from zsir.observation_units import in_picture_units
from zsir.problem import Problem
from zsir.processes import project
from zsir.protocols import NoiseSource, Prior, Sampler
from zsir.rng import PictureNoise


@dataclass(frozen=True)
class Event:
    """What a callback sees after a step.

    Attributes:
        step: Number of the step, from 1.
        steps: Number of all steps.
        sigma: Noise level of the step's denoising, on the [0, 1] scale.
        x0: The estimate of the clean pictures, (batch, channels, height, width).
    """

    step: int
    steps: int
    sigma: float
    x0: Tensor = field(repr=False)


@dataclass(frozen=True)
class Stats:
    """What a solve cost and how well it fits.

    Attributes:
        nfe: Calls of the prior for each picture.
        operator_calls: Calls of the operator by method, such as ``{"forward": 9}``.
        cg_iterations: Iterations of inverses that have no closed form.
        seconds: Time of the whole solve.
        seconds_prior: Time inside the prior.
        seconds_data: Time inside the operator.
        residual: For each picture its residual, see `Problem.residual`.
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
    """The restored pictures, what they cost and how they were made.

    Attributes:
        x: The pictures, (batch, channels, height, width), on the [0, 1] scale and not clipped.
        stats: Calls, seconds and residuals.
        provenance: Specs, weights' digest, noise, seed, dtype, device and versions, as JSON-able values.
    """

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

    Every picture draws its random numbers from a generator of its own, seeded by (``seed``, its number). Picture k of a
    batch equals the same picture solved alone with ``indices=[k]``.

    Args:
        problem: The observations, their operator and their noise.
        prior: The denoiser, see `zsir.priors.load`.
        sampler: The algorithm, see `zsir.samplers.make`.
        seed: Seed of all random numbers. By default 0.
        indices: The number of each picture, which its random numbers are made from. By default 0, 1, 2, ...
        callbacks: Functions that see an `Event` after every step.
        noise: A source of random numbers that replaces the generators, such as a recording.

    Returns:
        The pictures with their cost and provenance.

    Raises:
        Incompatible: The parts do not fit each other. It is raised before the first step.
        BadInput: ``indices`` has another length than the batch.
        SolveError: Numbers stopped being finite. The error has the step and the last estimate.

    >>> import torch
    >>> from zsir import operators, priors, samplers
    >>> op = operators.make("sr2x", in_shape=(1, 16, 16))
    >>> y = op.forward(torch.full((1, 1, 16, 16), 0.25))
    >>> solution = solve(Problem(y, op), priors.load("gaussian"), samplers.make("cm4ir"), seed=0)
    >>> solution.stats.nfe
    4
    """
    check_compatible(problem, prior, sampler)
    watch_prior, watch_data = Stopwatch(), Stopwatch()
    posed = in_picture_units(problem)
    operator = relaxed(posed.operator) if problem.y.dtype == torch.float32 else posed.operator
    counted = Problem(posed.data, TimedOperator(operator, watch_data), posed.noise_std, posed.x_init)
    timed = TimedPrior(conditioned_by(posed, prior), watch_prior)
    finite = FiniteWatch(timed.failed)
    numbers = list(indices) if indices is not None else list(range(problem.y.shape[0]))
    if len(numbers) != problem.y.shape[0]:
        raise BadInput(f"indices has {len(numbers)} numbers for {problem.y.shape[0]} pictures; give one per picture.")
    rng = noise if noise is not None else PictureNoise(seed, numbers)
    began = time.perf_counter()
    with torch.no_grad(), recorded_cg() as reports:
        with finite.during(0):
            state = sampler.init(counted, timed, rng)
        for number in range(1, sampler.steps + 1):
            timed.recent.clear()
            with finite.during(number):
                state = sampler.step(counted, timed, state, rng)
            finite.see(number, state.x0)
            for callback in callbacks:
                callback(Event(number, sampler.steps, state.sigma, state.x0))
    data_seconds, prior_seconds = watch_data.seconds(), watch_prior.seconds()
    seconds = time.perf_counter() - began
    finite.check()
    x = project(problem.operator, state.x0, problem.data)
    stats = Stats(
        nfe=timed.pictures // max(1, problem.y.shape[0]),
        operator_calls=dict(watch_data.calls),
        cg_iterations=_total(reports),
        seconds=seconds,
        seconds_prior=prior_seconds,
        seconds_data=data_seconds,
        residual=problem.residual(x),
    )
    return Solution(x, stats, provenance(problem, prior, sampler, seed, numbers))


def _total(reports: list[CGReport]) -> int:
    return sum(r.iterations for r in reports)
