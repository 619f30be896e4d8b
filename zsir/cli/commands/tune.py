"""``zsir tune``: choose a sampler's parameters on the user's own pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zsir.cli import options
from zsir.cli.batch import Display, notes
from zsir.cli.outputs import check_free, check_source, expand
from zsir.errors import BadSpec, ShapeError
from zsir.names.registry import Range, number
from zsir.priors.wrappers.settings import Wrapping

if TYPE_CHECKING:
    from zsir.pictures import Picture
    from zsir.tuning import Case, Goal, Preset, Trial
    from zsir.workflow.method import Method

#: a range given without a word about its spacing is searched evenly in ratio from this ratio on
LOG_FROM = 10.0


@dataclass(frozen=True)
class TuneOptions:
    """The options of ``zsir tune``."""

    inputs: tuple[Path, ...]
    op: str
    prior: str
    sampler: str | None
    nfe: int | None
    noise: float | None
    parameters: tuple[str, ...]
    goal: str | None
    trials: int
    seed: int
    device: str
    dtype: str
    tile: int | None
    precision: str
    output: Path
    simulate: bool
    crop: int | None
    size: tuple[int, int] | None
    ignore_jpeg: bool
    overwrite: bool
    quiet: bool


@click.command()
@options.inputs
@options.op
@options.prior
@options.sampler
@options.nfe
@options.noise_or_auto
@click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME[=LOW:HIGH]",
    help="A parameter to choose. Repeat the option for more.  [default: all to which 'zsir describe SAMPLER' gives a "
    "range]",
)
@click.option(
    "--goal",
    metavar="NAME",
    help="What to optimise: a metric, sure, discrepancy or whiteness.  [default: psnr with --simulate, else sure]",
)
@click.option("--trials", type=click.IntRange(2, 100_000), default=40, show_default=True, help="Settings to try.")
@click.option("--seed", callback=options.one_seed, default="0", show_default=True, help="Seed of noise and search.")
@options.device
@options.dtype
@options.tile
@options.precision
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The preset.")
@click.option("--simulate", is_flag=True, help="The inputs are clean: degrade, restore and measure them.")
@click.option(
    "--crop",
    type=click.IntRange(min=16),
    metavar="N",
    help="With --simulate: use the middle NxN pixels.",
)
@options.size
@options.ignore_jpeg
@options.overwrite
@options.quiet
@options.into(TuneOptions)
def tune(settings: TuneOptions) -> None:
    """Choose the parameters of a sampler for a degradation, and write them as a preset for zsir solve --preset.

    With --simulate the inputs are clean pictures. zsir degrades them and compares the results with them.

    \b
    Without --simulate the inputs are observations of unknown pictures:
      sure         estimates the error of A x, the part that the operator shows
      discrepancy  wants the residual to be as large as the noise
      whiteness    wants the residual to have no structure

    The sampler as given is tried first, so the goal never gets worse on these pictures. FILE always holds the best
    settings so far. Ctrl-C does not lose them.
    """
    from zsir.blind import has_auto
    from zsir.samplers import default
    from zsir.tuning import check_goal, find_goal, ranges_of, tune
    from zsir.workflow.method import load_method

    s = settings
    _check(s)
    if has_auto(s.op):
        raise BadSpec(f"--op '{s.op}': presets are tuned for one degradation; state its numbers in place of auto.")
    goal = find_goal(s.goal or ("psnr" if s.simulate else "sure"))
    spec = _with_calls(s.sampler or default(s.nfe), s.nfe)
    names, given = _parameters(s.parameters)
    check_goal(goal, ranges_of(spec, names, given))
    around = Wrapping(s.tile, s.precision)
    method = load_method(
        s.op, s.noise, s.prior, spec, device=s.device, dtype=s.dtype, wrapping=around, ignore_jpeg=s.ignore_jpeg
    )
    check_free([s.output], s.overwrite)
    with notes():
        cases = _cases(s, method, goal)
    report = Report(s, method, goal, Display(s.quiet, s.trials))
    tried: list[Trial] = []

    def watch(trial: Trial) -> None:
        tried.append(trial)
        report.see(tried)

    try:
        tune(cases, spec, goal, trials=s.trials, names=names, given=given, seed=s.seed, watch=watch)
    finally:
        report.close(tried)


def _check(s: TuneOptions) -> None:
    options.check_simulation(s.simulate, s.size, s.noise)
    if s.crop is not None and not s.simulate:
        raise click.UsageError("--crop is for --simulate: the part of an observation is not the observation of a part.")


def _with_calls(spec: str, nfe: int | None) -> str:
    """The spec with its number of network calls; raises `BadSpec` where it says another."""
    from zsir.samplers.catalogue import SAMPLERS

    parsed = SAMPLERS.parse(spec)
    if nfe is None:
        return parsed.spec
    if parsed.options.get("nfe", nfe) != nfe:
        raise BadSpec(f"--sampler {spec} and --nfe {nfe} name two numbers of calls; give one of them.")
    return replace(parsed, options={**parsed.options, "nfe": nfe}).spec


def _parameters(texts: Sequence[str]) -> tuple[list[str] | None, dict[str, Range]]:
    """The names of ``--parameter`` and the ranges given there."""
    if not texts:
        return None, {}
    names, given = [], {}
    for text in texts:
        match = re.fullmatch(r"(\w+)(?:=([^:]+):([^:]+))?", text.replace(" ", ""))
        if not match:
            raise BadSpec(f"--parameter {text}: write a name, or name=LOW:HIGH as in lam=0.1:10.")
        if match[1] in names:
            raise BadSpec(f"--parameter {text}: {match[1]} is given twice.")
        names.append(match[1])
        if match[2]:
            low, high = number(match[2]), number(match[3])
            if not low < high:
                raise BadSpec(f"--parameter {text}: the first number must be smaller than the second.")
            given[match[1]] = Range(low, high, log=low > 0 and high >= LOG_FROM * low)
    return names, given


def _cases(s: TuneOptions, method: Method, goal: Goal) -> list[Case]:
    """The problems of the pictures, equal to those of `zsir solve` with the same seed."""
    from zsir import pictures
    from zsir.tuning import Case
    from zsir.workflow.pose import pose, warn_of

    if goal.reference and not s.simulate:
        raise BadSpec(
            f"--goal {goal.name} compares with the true picture: add --simulate and give clean pictures, or take "
            "--goal sure, discrepancy or whiteness."
        )
    cases = []
    for path in expand(s.inputs):
        check_source(path)
        if path.resolve() == s.output.resolve():
            raise BadSpec(f"-o {s.output} is one of the inputs; choose another name.")
        picture = pictures.read(path)
        if s.crop is not None:
            picture = _cropped(picture, s.crop)
        posed = pose(picture, method, seed=s.seed, size=s.size, simulate=s.simulate)
        warn_of(picture, posed.remarks)
        if goal.noise and posed.problem.noise_std == 0:
            found = "is estimated as 0" if s.noise is None else "is stated as 0"
            raise BadSpec(f"--goal {goal.name} divides by the noise, which for {path} {found}; give --noise STD.")
        truth = None if posed.truth is None else posed.truth.to(posed.problem.y)
        cases.append(Case(posed.problem, posed.prior, truth, s.seed))
    return cases


def _cropped(picture: Picture, side: int) -> Picture:
    height, width = picture.pixels.shape[-2:]
    if min(height, width) < side:
        raise ShapeError(f"--crop {side}: {picture.path} has {width}x{height} pixels only.")
    top, left = (height - side) // 2, (width - side) // 2
    return replace(picture, pixels=picture.pixels[..., top : top + side, left : left + side])


@dataclass(frozen=True)
class Report:
    """Shows the search to the user, and keeps the best preset in the file."""

    s: TuneOptions
    method: Method
    goal: Goal
    display: Display

    def see(self, tried: Sequence[Trial]) -> None:
        """After every trial."""
        from zsir.tuning import best_of

        best, last = best_of(tried, self.goal), tried[-1]
        self.display.step("tune", len(tried), f"best {self.goal.shown(best.mean)}")
        if best is last:
            self.preset(tried).write(self.s.output)
            self.display.line(f"{len(tried)}/{self.s.trials}  {self.goal.shown(best.mean)}  {best.spec}")

    def preset(self, tried: Sequence[Trial]) -> Preset:
        """The preset of the best trial so far."""
        import zsir
        from zsir.tuning import Preset, best_of

        best, first = best_of(tried, self.goal), tried[0]
        return Preset(
            op=self.s.op,
            noise=self.s.noise,
            prior=self.s.prior,
            sampler=best.spec,
            tile=self.s.tile,
            precision=self.s.precision,
            dtype=self.s.dtype,
            goal=self.goal.name,
            value=best.mean,
            given=first.spec,
            given_value=first.mean,
            pictures=len(first.values),
            trials=len(tried),
            weights_sha256=self.method.prior.fingerprint,
            zsir=zsir.__version__,
        )

    def close(self, tried: Sequence[Trial]) -> None:
        """Write the number of trials into the file, and print the verdict."""
        self.display.close()
        if not tried:
            return
        self.preset(tried).write(self.s.output)
        for line in verdict(tried, self.goal):
            self.display.line(line)
        self.display.line(f"Use it: zsir solve --preset {self.s.output} INPUT")


def verdict(tried: Sequence[Trial], goal: Goal) -> list[str]:
    """Sentences on the gain, the number of pictures that are better, and the number of settings that failed."""
    from zsir.tuning import best_of

    best, first = best_of(tried, goal), tried[0]
    failed = sum(not trial.values for trial in tried)
    lines = [f"{failed} of {len(tried)} settings failed (the sampler diverged or refused them)."] if failed else []
    if best is first:
        return [*lines, f"None of {len(tried)} settings is better than the one given: {goal.shown(first.mean)}."]
    better = sum(goal.beats(a, b) for a, b in zip(best.values, first.values, strict=True))
    gains = [a - b for a, b in zip(best.values, first.values, strict=True)]
    mean = math.fsum(gains) / len(gains)
    return [
        *lines,
        f"{goal.name} {goal.shown(best.mean)}, as given {goal.shown(first.mean)}: {mean:+.3g} on average, better on "
        f"{better} of {len(gains)} picture{'s' if len(gains) > 1 else ''}.",
    ]
