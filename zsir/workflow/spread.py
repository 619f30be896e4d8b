"""Several posterior samples of one picture: their mean, and maps of how far and where they differ."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zsir import files, metrics
from zsir.cli.outputs import MAP_ENDINGS
from zsir.errors import SolveError
from zsir.loop.solve import Event, Solution, Stats, solve
from zsir.pictures import picture as images
from zsir.problem import Problem
from zsir.protocols import Sampler

if TYPE_CHECKING:
    from zsir.workflow.restore import Method, Posed

#: samples that are drawn together
TOGETHER = 8
#: a standard deviation of this much is white in the maps
WHITE = 0.25
QUANTILES = (0.05, 0.95)
ENDINGS = MAP_ENDINGS
#: what is to be said of the spread, by what a sampler says of its draws
DRAWS = {
    "limit": "draws from the posterior only as its calls grow: with few the spread is too small",
    "approximate": "does not draw from the posterior, however many calls it gets: the spread may be several times too "
    "small or too large",
    "estimate": "is an estimator: its results hardly differ, and the spread says nothing of how sure they are",
    "unknown": "does not say what its draws are: the spread need not be that of the posterior",
}


@dataclass(frozen=True)
class Spread:
    """What K samples say of a picture, each clipped to [0, 1] and of shape (1, C, height, width): their mean, standard
    deviation, that of what the operator cannot see (None where its pseudo-inverse does not converge), and the 5 % and
    95 % quantiles.

    ``solution`` is that of the mean: its own residual, the calls and seconds of all samples. ``residuals`` has those
    of the samples, see `Problem.residual`.
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
    how: Method,
    seed: int,
    count: int,
    together: int = TOGETHER,
    callbacks: Sequence[Callable[[Event], None]] = (),
) -> Spread:
    """Draw ``count`` >= 2 results for one observation. Sample k uses the random numbers of picture k under ``seed``,
    whatever is drawn with it: the first is the result without ``--samples``. ``callbacks`` see the steps of all samples
    numbered on end."""
    if "gradient" in getattr(how.sampler, "needs", ()):
        together = 1  # activations are kept for the way back: memory is that of one picture
    groups = [range(start, min(start + together, count)) for start in range(0, count, together)]
    parts = []
    for place, numbers in enumerate(groups):
        y = posed.problem.y.expand(len(numbers), -1, -1, -1)
        problem = Problem(y, posed.problem.operator, posed.problem.noise_std)
        shown = [_numbered(callback, place, len(groups)) for callback in callbacks]
        parts.append(solve(problem, posed.prior, how.sampler, seed=seed, indices=list(numbers), callbacks=shown))
    clipped = torch.cat([part.x for part in parts]).clamp(0, 1)
    try:
        unseen = metrics.split(posed.problem.operator, clipped)[1].std(dim=0, keepdim=True).cpu().float()
    except SolveError:
        unseen = None
    samples = clipped.cpu().float()
    low, high = (samples.quantile(q, dim=0, keepdim=True) for q in QUANTILES)
    mean, std = samples.mean(dim=0, keepdim=True), samples.std(dim=0, keepdim=True)
    residuals = [value for part in parts for value in part.stats.residual]
    return Spread(samples, mean, std, unseen, (low, high), _of_mean(posed, mean, parts), residuals)


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


def maps(target: Path) -> list[Path]:
    """The files that go with a mean at ``target``, besides it: NAME_std.png, NAME_std.npy, NAME_q05.png, ..."""
    pictures = [target.with_name(f"{target.stem}_{ending}.png") for ending in ENDINGS]
    return [*pictures, target.with_name(f"{target.stem}_std.npy")]


def write_maps(spread: Spread, target: Path) -> None:
    """Write the maps beside the mean: standard deviations as 16-bit pictures in which 0.25 is white, and that of all as
    float32 (C, height, width) without a scale; the quantiles as pictures. A map of the unseen part that is left from
    another run is deleted where this one has none. Raises `OutputError`."""
    std, std_null, low, high, numbers = maps(target)
    images.write(std, spread.std / WHITE, bits=16)
    if spread.std_null is not None:
        images.write(std_null, spread.std_null / WHITE, bits=16)
    else:
        files.remove(std_null)
    for path, quantile in zip((low, high), spread.quantiles, strict=True):
        images.write(path, quantile)
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, spread.std[0].numpy())
    files.write_bytes(numbers, buffer.getvalue())


def about(spread: Spread) -> dict[str, Any]:
    """What the record says of the spread; mean squares over the picture, on the [0, 1] scale."""
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
    """A sentence where the spread of a sampler's results is not that of the posterior, else ""; see
    `zsir.protocols.Sampler` for what samplers say of their draws."""
    name, kind = type(sampler).__name__, getattr(sampler, "draws", "unknown")
    if kind == "posterior":
        return ""
    return (
        f"{name} {DRAWS.get(kind, DRAWS['unknown'])}; mmps with kernel=covariance draws from the posterior, where the "
        "prior has gradients."
    )


def remarks(spread: Spread, target: Path, estimator: bool = False) -> list[str]:
    """Sentences about this spread that the user should know; of an ``estimator`` equal samples are no surprise."""
    found = []
    if not estimator and bool((spread.samples == spread.samples[:1]).all()):
        found.append(
            f"all {len(spread.samples)} samples are the same picture: the sampler draws nothing, it estimates."
        )
    if spread.std_null is None:
        found.append(
            f"there is no {maps(target)[1].name}: the pseudo-inverse of the operator does not converge, so that what "
            "it cannot see is unknown (boundary=circular has a closed form)."
        )
    return found
