"""``zsir solve``: restore pictures."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zsir.cli import options
from zsir.cli.batch import Batch
from zsir.cli.exits import say
from zsir.cli.outputs import Task, check_free, plan, sheet_path
from zsir.priors.wrappers.settings import Wrapping

if TYPE_CHECKING:
    from zsir.pictures.picture import Picture
    from zsir.tuning import Preset
    from zsir.workflow.restore import Method


MOST_SAMPLES = 1000


@dataclass(frozen=True)
class Settings:
    """The options of ``zsir solve``."""

    inputs: tuple[Path, ...]
    preset: Preset | None
    op: str
    prior: str
    sampler: str | None
    nfe: int | None
    noise: float | None
    seeds: tuple[int, ...]
    device: str
    dtype: str
    tile: int | None
    precision: str
    ensemble: bool
    compiled: bool
    output: str | None
    simulate: bool
    size: tuple[int, int] | None
    sheet: bool
    samples: int
    record: Path | None
    overwrite: bool
    quiet: bool


@click.command()
@options.inputs
@options.preset
@options.op
@options.prior
@options.sampler
@options.nfe
@options.noise_or_auto
@options.seeds
@options.device
@options.dtype
@options.tile
@options.precision
@options.ensemble
@options.compiled
@click.option("-o", "--output", metavar="OUT", help="A file for one result, else a folder.")
@click.option("--simulate", is_flag=True, help="Take the input as clean: degrade it, restore it, report PSNR and SSIM.")
@options.size
@click.option("--sheet", is_flag=True, help="Also write a contact sheet, NAME_sheet.png.")
@click.option(
    "--samples",
    type=click.IntRange(1, MOST_SAMPLES),
    default=1,
    show_default=True,
    metavar="K",
    help="Draw K results, without --sampler by mmps, and write their mean with maps of their spread: NAME_std.png, ...",
)
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Also write a JSON record of the run.")
@options.overwrite
@options.quiet
@options.into(Settings)
def solve(settings: Settings) -> None:
    """Restore pictures that were degraded as --op says.

    INPUT is a file, or a folder of which all pictures are taken. Results go to -o, or beside the input as
    NAME_restored.png. Grey pictures stay grey, 16 bits stay 16 bits, transparency and colour profile are kept.
    """
    from zsir.pictures.picture import WRITABLE
    from zsir.workflow.restore import method, write_record

    s = settings
    if s.preset is not None and s.preset.noise is None and s.noise is None and s.simulate:
        raise click.UsageError("The preset estimates the noise of real observations; with --simulate add --noise STD.")
    options.check_simulation(s.simulate, s.size, s.noise)
    around = Wrapping(s.tile, s.precision, s.ensemble, s.compiled)
    several = s.samples > 1
    how = method(
        *(s.op, s.noise, s.prior, s.sampler),
        nfe=s.nfe,
        device=s.device,
        dtype=s.dtype,
        wrapping=around,
        several=several,
    )
    if s.preset is not None:
        _check_preset(s, s.preset, how)
    tasks = plan(s.inputs, s.output, seeds=s.seeds, ending="restored", suffixes=WRITABLE)
    _check_extras(s, tasks)
    if several:
        _say_what_draws_are(how)
    batch = Batch(tasks, quiet=s.quiet)
    records: list[dict[str, Any]] = []
    try:
        batch.run(lambda task: _restore_file(task, s, how, batch, records))
    finally:  # also of a run in which some files failed
        if s.record is not None and records:
            write_record(s.record, shlex.join(["zsir", *sys.argv[1:]]), records)


def _say_what_draws_are(how: Method) -> None:
    from zsir.workflow.spread import about_sampler

    if said := about_sampler(how.sampler):
        say(f"note: {said}")


def _check_preset(s: Settings, preset: Preset, how: Method) -> None:
    """Say where the task is not the one that the preset was made for; a sampler of one's own leaves nothing of it."""
    if s.sampler != preset.sampler:
        raise click.UsageError("--sampler and --preset both name the sampler; give one of them.")
    for name, mine, tuned in (
        ("--op", s.op, preset.op),
        ("--noise", s.noise, preset.noise),
        ("--prior", s.prior, preset.prior),
    ):
        if mine != tuned:
            say(f"note: the preset was tuned for {name} {'auto' if tuned is None else tuned}.")
    if s.prior == preset.prior and how.prior.fingerprint != preset.weights_sha256:
        say(f"note: the preset was tuned for other weights than {s.prior} has now.")


def _check_extras(s: Settings, tasks: list[Task]) -> None:
    """Contact sheets, maps and record must not hit an input, a result or each other."""
    taken = {path.resolve() for task in tasks for path in (task.source, *(target for _, target in task.targets))}
    extras = [path for task in tasks for _, target in task.targets for path in _beside(s, target)]
    for path in [*extras, *([s.record] if s.record else [])]:
        if path.resolve() in taken:
            raise click.UsageError(f"{path} is an input or a result already; choose another name.")
        taken.add(path.resolve())
    if s.record is not None:
        check_free([s.record], s.overwrite)


def _beside(s: Settings, target: Path) -> list[Path]:
    """The files that are written with a result."""
    from zsir.workflow.spread import maps

    return ([sheet_path(target)] if s.sheet else []) + (maps(target) if s.samples > 1 else [])


def _restore_file(task: Task, s: Settings, how: Method, batch: Batch, records: list[dict[str, Any]]) -> None:
    from zsir.pictures import picture as images

    beside = [path for _, target in task.targets for path in _beside(s, target)]
    check_free([target for _, target in task.targets] + beside, s.overwrite)
    picture = images.read(task.source)
    for seed, target in task.targets:
        records.append(_restore_seed(picture, seed, target, s, how, batch))


def _restore_seed(picture: Picture, seed: int, target: Path, s: Settings, how: Method, batch: Batch) -> dict[str, Any]:
    from zsir.pictures import picture as images
    from zsir.workflow.restore import record_of, restore, save, sheet, summary

    if s.samples > 1:
        return _draw_samples(picture, seed, target, s, how, batch)
    follow = batch.follow(picture.path.name)
    result = restore(picture, how, seed=seed, size=s.size, simulate=s.simulate, callbacks=[follow])
    save(picture, result.pixels, target)
    if s.sheet:
        images.write(sheet_path(target), sheet(result))
    batch.done(summary(target, result))
    return record_of(picture.path, target, result, how)


def _draw_samples(picture: Picture, seed: int, target: Path, s: Settings, how: Method, batch: Batch) -> dict[str, Any]:
    """As `_restore_seed`, with the mean of several samples as the result, and the maps of their spread."""
    import warnings

    from zsir.pictures import picture as images
    from zsir.workflow.restore import pose, record_of, result_of, save, sheet, summary
    from zsir.workflow.spread import about, draw, remarks, write_maps

    posed = pose(picture, how, seed=seed, size=s.size, simulate=s.simulate)
    spread = draw(posed, how, seed, s.samples, callbacks=[batch.follow(picture.path.name)])
    result = result_of(posed, spread.solution)
    if result.misfit:
        warnings.warn(result.misfit, images.PictureWarning, stacklevel=2)
    save(picture, spread.mean, target)
    write_maps(spread, target)
    if s.sheet:
        images.write(sheet_path(target), sheet(result))
    for said in remarks(spread, target, getattr(how.sampler, "draws", "") == "estimate"):
        say(f"note: {picture.path}: {said}")
    batch.done(summary(target, result))
    return {**record_of(picture.path, target, result, how), "spread": about(spread)}
