"""Several posterior samples of one picture: their mean, and maps of how far and where they differ."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zsir import files, images, metrics
from zsir.errors import SolveError
from zsir.loop import Solution, solve
from zsir.problem import Problem

if TYPE_CHECKING:
    from zsir.cli.restore import Method, Posed

#: samples that are drawn together
TOGETHER = 8
#: a standard deviation of this much is white in the maps
WHITE = 0.25
QUANTILES = (0.05, 0.95)
ENDINGS = ("std", "std_null", "q05", "q95")


@dataclass(frozen=True)
class Spread:
    """What K samples say of a picture, each (1, C, height, width): their mean, standard deviation, that of what the
    operator cannot see (None where its pseudo-inverse does not converge), and the 5 % and 95 % quantiles."""

    samples: Tensor
    mean: Tensor
    std: Tensor
    std_null: Tensor | None
    quantiles: tuple[Tensor, Tensor]
    solution: Solution


def draw(posed: Posed, how: Method, seed: int, count: int, together: int = TOGETHER) -> Spread:
    """Draw ``count`` >= 2 results for one observation. Sample k uses the random numbers of picture k under ``seed``,
    whatever is drawn with it: the first is the result without ``--samples``."""
    parts, solution = [], None
    for start in range(0, count, together):
        numbers = range(start, min(start + together, count))
        y = posed.problem.y.expand(len(numbers), -1, -1, -1)
        problem = Problem(y, posed.problem.operator, posed.problem.noise_std)
        found = solve(problem, posed.prior, how.sampler, seed=seed, indices=list(numbers))
        parts.append(found.x)
        solution = solution or found
    assert solution is not None
    raw = torch.cat(parts)
    try:
        unseen = metrics.split(posed.problem.operator, raw)[1].std(dim=0, keepdim=True).cpu().float()
    except SolveError:
        unseen = None
    samples = raw.clamp(0, 1).cpu().float()
    low, high = (samples.quantile(q, dim=0, keepdim=True) for q in QUANTILES)
    mean, std = samples.mean(dim=0, keepdim=True), samples.std(dim=0, keepdim=True)
    return Spread(samples, mean, std, unseen, (low, high), solution)


def maps(target: Path) -> list[Path]:
    """The files that go with a mean at ``target``, besides it: NAME_std.png, NAME_std.npy, NAME_q05.png, ..."""
    pictures = [target.with_name(f"{target.stem}_{ending}.png") for ending in ENDINGS]
    return [*pictures, target.with_name(f"{target.stem}_std.npy")]


def write_maps(spread: Spread, target: Path) -> None:
    """Write the maps beside the mean: standard deviations as 16-bit pictures in which 0.25 is white, and that of all as
    float32 (C, height, width) without a scale; the quantiles as pictures. Raises `OutputError`."""
    std, std_null, low, high, numbers = maps(target)
    images.write(std, spread.std / WHITE, bits=16)
    if spread.std_null is not None:
        images.write(std_null, spread.std_null / WHITE, bits=16)
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
        "std_rms": total**0.5,
        "std_null_rms": None if unseen is None else unseen**0.5,
        "white_of_std_maps": WHITE,
        "quantiles": list(QUANTILES),
    }


def remark(spread: Spread, sampler: str) -> str:
    """A sentence where all samples are one picture, else ""."""
    if bool((spread.samples == spread.samples[:1]).all()):
        return (
            f"all {len(spread.samples)} samples are the same picture: {sampler} draws nothing, it estimates; take a "
            "sampler of the posterior, such as ddrm, mmps or gibbs."
        )
    return ""
