"""Random search: the defaults first, then draws over the whole ranges, then draws around the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor

from zsir import samplers
from zsir.errors import BadSpec, ZsirError
from zsir.loop.solver import solve
from zsir.names.parsed import Parsed
from zsir.names.registry import Range, suggest
from zsir.problem import Problem
from zsir.protocols import Prior
from zsir.rng import generator
from zsir.samplers.catalogue import SAMPLERS
from zsir.tuning.goals import Goal

#: share of the trials that look everywhere; the others move the best found so far
EVERYWHERE = 0.6
#: standard deviation of such a move, as a share of the range
MOVE = 0.12
#: draws that a sampler may refuse (a last level above the first, say) before the ranges are called impossible
MOST_REFUSALS = 1000


@dataclass(frozen=True, eq=False)
class Case:
    """One picture to tune on: a problem (a batch of 1), its prior, its truth where that is known, its random seed."""

    problem: Problem
    prior: Prior
    truth: Tensor | None = field(default=None, repr=False)
    seed: int = 0


@dataclass(frozen=True)
class Trial:
    """A sampler's spec, the goal's number for every case (empty where it failed) and their mean (then NaN)."""

    spec: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the cases."""
        return fmean(self.values) if self.values else math.nan


def ranges_of(
    spec: str, names: Sequence[str] | None = None, given: Mapping[str, Range] | None = None
) -> dict[str, Range]:
    """The parameters of a sampler that are to be chosen, and where to look for them.

    ``names`` picks from the declared ranges (all of them, without what the spec sets, if None); ``given`` replaces or
    adds ranges. Raises `BadSpec` or `UnknownName`.
    """
    parsed, given = SAMPLERS.parse(spec), given or {}
    declared = {**SAMPLERS.ranges(parsed.name), **given}
    if names is None:
        names = list(given) or [name for name in declared if name not in parsed.options]
    numeric = SAMPLERS.numbers(parsed.name)
    for name in names:
        if name not in numeric:
            raise BadSpec(f"'{parsed.name}' has no number '{name}' to choose{suggest(name, numeric)}")
        if name in parsed.options:
            raise BadSpec(f"'{spec}' sets {name}; leave it out there if it is to be chosen.")
        if name not in declared:
            raise BadSpec(f"'{parsed.name}' declares no range for {name}; give one, as in {name}=0.1:10.")
    if not names:
        known = f"; give one, as in {next(iter(numeric))}=LOW:HIGH." if numeric else "."
        raise BadSpec(f"There is nothing to choose: '{spec}' leaves no parameter that has a range{known}")
    return {name: declared[name] for name in names}


def tune(
    cases: Sequence[Case],
    spec: str,
    goal: Goal,
    *,
    trials: int,
    names: Sequence[str] | None = None,
    given: Mapping[str, Range] | None = None,
    seed: int = 0,
    watch: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """All trials, the first with the sampler as ``spec`` says; `best_of` picks one.

    The same cases, spec, trials and seed give the same trials. ``watch`` sees each. Raises what `ranges_of` and the
    first trial raise; a later one that fails counts as a bad setting.
    """
    ranges = ranges_of(spec, names, given)
    check_goal(goal, ranges)
    draw = generator(seed, stream="tune")
    parsed = SAMPLERS.parse(spec)
    tried = [Trial(parsed.spec, _values(parsed.spec, cases, goal))]
    watch(tried[0])
    best, place = tried[0], dict[str, float]()
    for number in range(1, trials):
        around = place if number >= EVERYWHERE * trials else {}
        where, candidate = _draw(parsed, ranges, around, draw)
        try:
            trial = Trial(candidate, _values(candidate, cases, goal))
        except ZsirError:  # a setting that diverges, or whose levels the prior does not know
            trial = Trial(candidate, ())
        tried.append(trial)
        if best_of([best, trial], goal) is trial:
            best, place = trial, where
        watch(trial)
    return tried


def check_goal(goal: Goal, ranges: Mapping[str, Range]) -> None:
    """Raise `BadSpec` where one equation is to settle several parameters."""
    if goal.single and len(ranges) > 1:
        raise BadSpec(
            f"The goal {goal.name} is one equation, and {', '.join(ranges)} are {len(ranges)} parameters: many bad "
            f"settings fulfil it. Choose one (-p {next(iter(ranges))}), or take the goal sure."
        )


def best_of(trials: Sequence[Trial], goal: Goal) -> Trial:
    """The best trial; of equals the first, so that the sampler as given wins where nothing is better."""
    best = trials[0]
    for trial in trials[1:]:
        if goal.beats(trial.mean, best.mean):
            best = trial
    return best


def _values(spec: str, cases: Sequence[Case], goal: Goal) -> tuple[float, ...]:
    sampler = samplers.make(spec)
    values = []
    for case in cases:

        def restore(problem: Problem, case: Case = case) -> Tensor:
            return solve(problem, case.prior, sampler, seed=case.seed, indices=[0]).x

        values.append(goal.judge(case.problem, restore, case.truth))
    return tuple(values)


def _rounded(value: float, span: Range) -> str:
    """With as few digits as stay in the range, four at least."""
    texts = (f"{value:.{digits}g}" for digits in range(4, 17))
    return next((text for text in texts if span.low <= float(text) <= span.high), repr(value))


def _draw(
    parsed: Parsed, ranges: Mapping[str, Range], around: Mapping[str, float], draw: torch.Generator
) -> tuple[dict[str, float], str]:
    """A place in the unit cube, uniform or near ``around``, and its spec; drawn again where the sampler refuses it."""
    numeric = SAMPLERS.numbers(parsed.name)
    for _ in range(MOST_REFUSALS):
        where = {}
        for name in ranges:
            if name in around:
                move = MOVE * float(torch.randn((), generator=draw, dtype=torch.float64))
                where[name] = min(1.0, max(0.0, around[name] + move))
            else:
                where[name] = float(torch.rand((), generator=draw, dtype=torch.float64))
        values = {name: ranges[name].at(share) for name, share in where.items()}
        text = ",".join(
            f"{n}={round(v)}" if numeric[n] is int else f"{n}={_rounded(v, ranges[n])}" for n, v in values.items()
        )
        spec = f"{parsed.spec}{',' if parsed.options else ':'}{text}"
        try:
            samplers.make(spec)
        except BadSpec:
            continue
        return where, SAMPLERS.parse(spec).spec
    about = ", ".join(f"{name} {r.low:g} to {r.high:g}" for name, r in ranges.items())
    raise BadSpec(f"'{parsed.spec}' refuses nearly all of these ranges ({about}); give others.")
