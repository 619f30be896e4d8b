"""Several samples of one picture: their mean, and maps of their differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zsir import metrics
from zsir.capabilities import draws_of, needs_of
from zsir.errors import SolveError
from zsir.loop.solver import Event, Solution, Stats, solve
from zsir.problem import Problem
from zsir.protocols import Sampler
from zsir.workflow.pose import Posed

#: samples that are drawn together
TOGETHER = 8
#: a standard deviation of this much is white in the maps
WHITE = 0.25
QUANTILES = (0.05, 0.95)
#: a remark on the spread for each kind of draws (`draws_of`)
DRAWS = {
    "limit": "draws from the posterior only as its calls grow: with few the spread is too small",
    "approximate": "does not draw from the posterior, however many calls it gets: the spread may be several times too "
    "small or too large",
    "estimate": "is an estimator: its results hardly differ, and the spread says nothing of how sure they are",
    "unknown": "does not say what its draws are: the spread need not be that of the posterior",
}


@dataclass(frozen=True)
class Spread:
    """What K samples say of a picture. All pictures are clipped to [0, 1] and of shape (1, C, height, width).

    Attributes:
        samples: The samples, (K, C, height, width).
        mean: Mean of the samples.
        std: Standard deviation of the samples.
        std_null: Standard deviation of what the operator cannot see; None where its pseudo-inverse does not converge.
        quantiles: The 5 % and 95 % quantiles.
        solution: The mean as a solution, with its own residual and the calls and seconds of all samples.
        residuals: For each sample its residual, see `Problem.residual`.
    """

    samples: Tensor
    mean: Tensor
    std: Tensor
    std_null: Tensor | None
    quantiles: tuple[Tensor, Tensor]
    solution: Solution
    residuals: list[float]


def draw(
    posed: Posed,
    sampler: Sampler,
    seed: int,
    count: int,
    together: int = TOGETHER,
    callbacks: Sequence[Callable[[Event], None]] = (),
) -> Spread:
    """Draw ``count`` >= 2 results for one observation.

    Sample k always uses the random numbers of picture k under ``seed``. So the first sample equals the result without
    ``--samples``. ``callbacks`` see the steps of all samples, numbered consecutively.
    """
    if "gradient" in needs_of(sampler):
        together = 1  # activations are kept for the way back: memory is that of one picture
    groups = [range(start, min(start + together, count)) for start in range(0, count, together)]
    parts = []
    for place, numbers in enumerate(groups):
        problem = _repeated(posed.problem, len(numbers))
        shown = [_numbered(callback, place, len(groups)) for callback in callbacks]
        parts.append(solve(problem, posed.prior, sampler, seed=seed, indices=list(numbers), callbacks=shown))
    clipped = torch.cat([part.x for part in parts]).clamp(0, 1)
    try:
        free = posed.shown(metrics.split(posed.problem.operator, clipped)[1])
        unseen = free.std(dim=0, keepdim=True).cpu().float()
    except SolveError:
        unseen = None
    whole, samples = clipped.mean(dim=0, keepdim=True), posed.shown(clipped).cpu().float()
    low, high = (samples.quantile(q, dim=0, keepdim=True) for q in QUANTILES)
    mean, std = samples.mean(dim=0, keepdim=True), samples.std(dim=0, keepdim=True)
    residuals = [value for part in parts for value in part.stats.residual]
    return Spread(samples, mean, std, unseen, (low, high), _of_mean(posed, whole, parts), residuals)


def _repeated(problem: Problem, count: int) -> Problem:
    """The same observation ``count`` times."""

    def repeated(x: Tensor) -> Tensor:
        return x.expand(count, *(-1,) * (x.ndim - 1))

    x_init = None if problem.x_init is None else repeated(problem.x_init)
    return replace(problem, y=repeated(problem.y), x_init=x_init)


def _numbered(callback: Callable[[Event], None], place: int, groups: int) -> Callable[[Event], None]:
    """``callback`` for the group at ``place``, with steps counted through all groups."""

    def see(event: Event) -> None:
        callback(replace(event, step=place * event.steps + event.step, steps=groups * event.steps))

    return see


def _of_mean(posed: Posed, mean: Tensor, parts: Sequence[Solution]) -> Solution:
    """The mean as a solution, with the cost of all samples."""
    x = mean.to(posed.problem.y)
    all_stats = [part.stats for part in parts]
    calls: Counter[str] = Counter()
    for stats in all_stats:
        calls.update(stats.operator_calls)
    total = Stats(
        nfe=sum(len(part.x) * part.stats.nfe for part in parts),
        operator_calls=dict(calls),
        cg_iterations=sum(stats.cg_iterations for stats in all_stats),
        seconds=sum(stats.seconds for stats in all_stats),
        seconds_prior=sum(stats.seconds_prior for stats in all_stats),
        seconds_data=sum(stats.seconds_data for stats in all_stats),
        residual=posed.problem.residual(x),
    )
    numbers = [number for part in parts for number in part.provenance["indices"]]
    return Solution(x, total, {**parts[0].provenance, "indices": numbers})


def about(spread: Spread) -> dict[str, Any]:
    """The entry of the spread in the record. Root mean squares are over the picture, on the [0, 1] scale."""
    total = float(spread.std.square().mean())
    unseen = None if spread.std_null is None else float(spread.std_null.square().mean())
    return {
        "samples": len(spread.samples),
        "residuals": spread.residuals,
        "std_rms": total**0.5,
        "std_null_rms": None if unseen is None else unseen**0.5,
        "white_of_std_maps": WHITE,
        "quantiles": list(QUANTILES),
    }


def about_sampler(sampler: Sampler) -> str:
    """A sentence if the spread of a sampler's results is not that of the posterior, else "". `zsir.protocols.Sampler`
    lists the kinds of draws."""
    name, kind = type(sampler).__name__, draws_of(sampler)
    if kind == "posterior":
        return ""
    return (
        f"{name} {DRAWS.get(kind, DRAWS['unknown'])}; mmps with kernel=covariance draws from the posterior, where the "
        "prior has gradients."
    )


def remarks(spread: Spread, sampler: Sampler) -> list[str]:
    """Sentences for the user about this spread. Equal samples of an estimator are expected and need no sentence."""
    found = []
    if draws_of(sampler) != "estimate" and bool((spread.samples == spread.samples[:1]).all()):
        found.append(
            f"all {len(spread.samples)} samples are the same picture: the sampler draws nothing, it estimates."
        )
    if spread.std_null is None:
        found.append(
            "there is no map of what the operator cannot see (std_null): its pseudo-inverse does not converge "
            "(boundary=circular has a closed form)."
        )
    return found
