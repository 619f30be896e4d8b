"""The one solver loop: every sampler, prior and operator meet here and nowhere else."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zsir.errors import BadInput, Incompatible, SolveError
from zsir.linalg import CGReport, recorded_cg
from zsir.loop.counted import Stopwatch, TimedOperator, TimedPrior
from zsir.names.registry import spec_of
from zsir.problem import Problem
from zsir.protocols import LinearOperator, NoiseSource, Prior, Sampler
from zsir.rng import ImageNoise


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
    Raises `Incompatible` before the first step when the parts do not fit, `SolveError` with step and last estimate when
    numbers stop being finite.

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
    task = Problem(observed(problem), TimedOperator(problem.operator, watch_data), problem.noise_std, problem.x_init)
    timed = TimedPrior(conditioned(prior, problem), watch_prior)
    finite = FiniteWatch(timed.failed)
    numbers = list(indices) if indices is not None else list(range(problem.y.shape[0]))
    if len(numbers) != problem.y.shape[0]:
        raise BadInput(f"indices has {len(numbers)} numbers for {problem.y.shape[0]} images; give one per image.")
    rng = noise if noise is not None else ImageNoise(seed, numbers)
    began = time.perf_counter()
    with torch.no_grad(), recorded_cg() as reports:
        with finite.during(0):
            state = sampler.init(task, timed, rng)
        for number in range(1, sampler.steps + 1):
            timed.recent.clear()
            with finite.during(number):
                state = sampler.step(task, timed, state, rng)
            finite.see(number, state.x0)
            for callback in callbacks:
                callback(Event(number, sampler.steps, state.sigma, state.x0))
    data_seconds, prior_seconds = watch_data.seconds(), watch_prior.seconds()
    seconds = time.perf_counter() - began
    finite.check()
    stats = Stats(
        nfe=timed.images // max(1, problem.y.shape[0]),
        operator_calls=dict(watch_data.calls),
        cg_iterations=_total(reports),
        seconds=seconds,
        seconds_prior=prior_seconds,
        seconds_data=data_seconds,
        residual=problem.residual(state.x0),
    )
    return Solution(state.x0, stats, provenance(problem, prior, sampler, seed, numbers))


class FiniteWatch:
    """Notices the first step whose estimate is not finite; on a CPU at once, on a GPU at the end, without waiting.

    ``network_failed`` says whether an answer of the network was the first thing to go wrong.
    """

    def __init__(self, network_failed: Callable[[], bool] = lambda: False) -> None:
        self._network_failed = network_failed
        self._first: Tensor | None = None  # per image: number of the first bad step, 0 if none
        self._good: Tensor | None = None  # per image: the last finite estimate

    @contextmanager
    def during(self, number: int) -> Iterator[None]:
        """Errors of the linear algebra inside step ``number`` (0: before the first) get its number and the estimate."""
        try:
            yield
        except (SolveError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            if isinstance(error, SolveError) and error.step is not None:
                raise
            where = f"Step {number}" if number else "The start, before the first step,"
            what = (
                f": {error}" if isinstance(error, SolveError) else f" met values that are not finite: {self._cause()}"
            )
            if self._network_failed():
                what = f" met values that are not finite: {self._cause()}"
            raise SolveError(f"{where} failed{what}", step=number, x0=self._good) from error

    def see(self, number: int, x0: Tensor) -> None:
        """Look at the estimate after step ``number``; raises `SolveError` on a CPU."""
        fine = torch.isfinite(x0).flatten(1).all(dim=1)
        first = torch.where(fine, 0, number)
        self._first = first if self._first is None else torch.where(self._first > 0, self._first, first)
        if not x0.is_cuda:
            self.check()
            self._good = x0
        else:
            keep = fine.view(-1, 1, 1, 1)
            self._good = torch.where(keep, x0, torch.zeros_like(x0) if self._good is None else self._good)

    def check(self) -> None:
        """Raise `SolveError` if a step was bad."""
        if self._first is None or not bool(self._first.any()):
            return
        bad = self._first.nonzero().flatten().tolist()
        step = int(self._first[bad].min())
        raise SolveError(
            f"Step {step} gave values that are not finite for image{'s' if len(bad) > 1 else ''} "
            f"{', '.join(map(str, bad))} of the batch: {self._cause()}",
            step=step,
            x0=self._good,
        )

    def _cause(self) -> str:
        if self._network_failed():
            return "the network answered a finite picture with NaN or infinite values; check its weights and dtype."
        late = self._first is not None and self._first.is_cuda  # noticed at the end only: who began cannot be told
        return (
            f"the {'network or the ' if late else ''}sampler diverged. Try a larger noise_std, fewer or gentler steps, "
            "or another sampler for this operator."
        )


#: what a sampler may need of an operator, in words
CAPABILITIES = {
    "adjoint": "an adjoint",
    "pinv": "a pseudo-inverse (pinv)",
    "prox": "a proximal step (prox)",
    "svd": "a singular value decomposition (svd)",
}


def check_compatible(problem: Problem, prior: Prior, sampler: Sampler) -> None:
    """Raise `Incompatible` when the prior knows another number of channels than the picture has, or when the sampler
    needs what operator, prior or observation do not offer."""
    channels = problem.operator.in_shape[0]
    if prior.channels not in (0, channels):
        raise Incompatible(
            f"The prior {prior!r} is for pictures with {_channels(prior.channels)}, "
            f"this one has {_channels(channels)}; convert the picture, or use another prior."
        )
    name = type(sampler).__name__
    for need in getattr(sampler, "needs", ()):
        if need in CAPABILITIES and not callable(getattr(problem.operator, need, None)):
            raise Incompatible(
                f"{name} needs {CAPABILITIES[need]} of the operator, which {problem.operator!r} does not offer; "
                f"use {_alternatives(problem.operator)}."
            )
        if need == "gradient" and not getattr(prior, "differentiable", True):
            raise Incompatible(
                f"{name} needs gradients through the prior, and {prior!r} has none; use a network, or a sampler "
                "without gradients such as diffpir, ddrm or hqs."
            )
        if need == "noise" and problem.noise_std == 0:
            raise Incompatible(
                f"{name} divides by the noise of the observation, which is given as 0; state it (--noise, noise_std): "
                "0.001 covers the rounding of an 8-bit file."
            )


def _alternatives(operator: LinearOperator) -> str:
    """Samplers that work with what ``operator`` has."""
    if callable(getattr(operator, "prox", None)):
        return "one that needs less, such as hqs, diffpir or cm4ir (or an operator with closed form: boundary=circular)"
    if callable(getattr(operator, "adjoint", None)):
        return "pgd, red or red-diff, which need forward and adjoint only"
    return "dps, which needs forward only"


def observed(problem: Problem) -> Tensor:
    """The observation with zeros where a mask saw nothing: what a file holds there is no data."""
    known = getattr(problem.operator, "known", None)
    return problem.y if known is None else problem.y * known.to(problem.y)


def conditioned(prior: Prior, problem: Problem) -> Prior:
    """A prior that was trained on pairs (an IR-SDE network) learns here what its pictures are to be conditioned on: the
    initial picture where the user gave one, the observation where it has the size of the picture, else the ridge
    solution."""
    condition = getattr(prior, "conditioned_on", None)
    if condition is None or getattr(prior, "mu", None) is not None:
        return prior
    if problem.x_init is not None:
        mean = problem.x_init
    elif problem.operator.in_shape == problem.operator.out_shape:
        mean = problem.y
    else:
        mean = problem.operator.pinv(problem.y, max(problem.noise_std**2, 1e-6))
    made: Prior = condition(mean)
    return made


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
