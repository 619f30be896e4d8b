"""``zsir solve``: restore pictures."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zsir.cli import options
from zsir.cli.batch import Batch
from zsir.cli.exits import say
from zsir.cli.outputs import Job, plan, with_kernels
from zsir.priors.wrappers.settings import Wrapping

if TYPE_CHECKING:
    from zsir.tuning import Preset
    from zsir.workflow.blending import Blend
    from zsir.workflow.method import Method


MOST_SAMPLES = 1000


@dataclass(frozen=True)
class SolveOptions:
    """The options of ``zsir solve``."""

    inputs: tuple[Path, ...]
    again: Path | None
    preset: Preset | None
    op: str
    mask: str | None
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
    strength: float
    grain: float
    protect: Path | None
    output: str | None
    simulate: bool
    size: tuple[int, int] | None
    ignore_jpeg: bool
    sheet: bool
    samples: int
    record: Path | None
    force: bool
    overwrite: bool
    quiet: bool


@click.command()
@options.inputs_or_none
@click.option(
    "--again",
    type=click.Path(path_type=Path),
    metavar="RECORD",
    help="Repeat every result of a JSON record (--record) with the recorded settings, and name the differences.",
)
@options.preset
@options.op_or_auto
@click.option(
    "--mask",
    metavar="FILE",
    help="A picture, white where INPUT is to be kept: short for --op mask-file:path=FILE. With auto, zsir looks for "
    "scratches of pure white or black (--op scratches).",
)
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
@options.strength
@options.grain
@options.protect
@click.option("-o", "--output", metavar="OUT", help="A file for a single result, or a folder.")
@click.option("--simulate", is_flag=True, help="The input is clean: degrade it, restore it, and report PSNR and SSIM.")
@options.size
@options.ignore_jpeg
@click.option("--sheet", is_flag=True, help="Write a contact sheet too, NAME_sheet.png.")
@click.option(
    "--samples",
    type=click.IntRange(1, MOST_SAMPLES),
    default=1,
    show_default=True,
    metavar="K",
    help="Draw K samples and write their mean with maps of their spread: NAME_std.png, ... "
    "The default sampler is then mmps.",
)
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Write a JSON record of the run too.")
@click.option("--force", is_flag=True, help="Write a result that is worse than its observation too.")
@options.overwrite
@options.quiet
@options.into(SolveOptions)
def solve(settings: SolveOptions) -> None:
    """Restore pictures that were degraded as --op says, or as zsir finds out.

    INPUT is a picture, or a folder: zsir then restores all pictures in it. Without -o a result is written beside its
    input as NAME_restored.png. Grey pictures stay grey, and 16 bits stay 16 bits. Transparency, colour profile, EXIF
    (upright, without the old thumbnail) and dpi are kept. A result that is worse than its observation or does not fit
    it is not written: one sentence says why. The exit code is then 3; of several files with different faults it is 1.

    \b
    Numbers of a blur may be auto, and so may its whole kernel (written too, as NAME_kernel.png and .npy):
      zsir solve --op motion:length=auto,angle=auto photo.png
      zsir solve --op kernel:auto,size=31 photo.png
    """
    from zsir.blind import finds_kernel
    from zsir.pictures import WRITABLE
    from zsir.workflow.blending import load_blend
    from zsir.workflow.method import load_method
    from zsir.workflow.record import paths_of, write_record

    s = settings
    if s.again is not None:
        _repeat(s)
        return
    s = _with_mask(s)
    _check(s)
    _refuse_auto(s)
    several = s.samples > 1
    around = Wrapping(s.tile, s.precision, s.ensemble, s.compiled)
    parts = (s.op, s.noise, s.prior, s.sampler)
    method = load_method(
        *parts, nfe=s.nfe, device=s.device, dtype=s.dtype, wrapping=around, several=several, ignore_jpeg=s.ignore_jpeg
    )
    if s.preset is not None:
        _check_preset(s, s.preset, method)
    blend = load_blend(s.strength, s.grain, s.protect)
    jobs = plan(
        *(s.inputs, s.output),
        seeds=s.seeds,
        ending="restored",
        suffixes=WRITABLE,
        sheet=s.sheet,
        maps=several,
        record=s.record,
        reads=paths_of(method.settings() | blend.settings()),
        overwrite=s.overwrite,
    )
    if finds_kernel(s.op):
        jobs = with_kernels(jobs, s.record, paths_of(method.settings() | blend.settings()), s.overwrite)
    if several:
        _say_what_draws_are(method)
    batch = Batch(jobs, quiet=s.quiet)
    records: list[dict[str, Any]] = []
    try:
        batch.run(lambda job: _restore_job(job, s, (method, blend), batch, records))
    finally:  # also of a run in which some files failed
        if s.record is not None and records:
            write_record(s.record, shlex.join(["zsir", *sys.argv[1:]]), records)


def _restore_job(
    job: Job, s: SolveOptions, parts: tuple[Method, Blend], batch: Batch, records: list[dict[str, Any]]
) -> None:
    """One picture, with every seed."""
    from zsir.cli.results import refused, write_result
    from zsir.pictures import read
    from zsir.workflow.pose import warn_of
    from zsir.workflow.record import digests, summary
    from zsir.workflow.restore import restored

    method, blend = parts
    found = None if s.record is None else digests(job.source, method.settings() | blend.settings())
    picture = read(job.source)
    for planned in job.results:
        follow = batch.follow(job.source.name)
        result = restored(
            *(picture, method),
            seed=planned.seed,
            samples=s.samples,
            size=s.size,
            simulate=s.simulate,
            blend=blend,
            callbacks=[follow],
        )
        if result.harm and not s.force:
            records.append(refused(result, planned))
            batch.refuse(job, planned.target, result.harm)
            continue
        warn_of(picture, [result.harm] if result.harm else [])
        records.append(write_result(result, planned, found, overwrite=s.overwrite))
        batch.done(summary(records[-1]))


def _with_mask(s: SolveOptions) -> SolveOptions:
    """``--mask`` as the operator that it stands for."""
    if s.mask is None:
        return s
    if click.get_current_context().get_parameter_source("op") in options.GIVEN:
        raise click.UsageError("--mask and --op both name the degradation; give one of them.")
    if s.mask != s.mask.strip() or any(sign in s.mask for sign in ",|"):
        raise click.UsageError(
            f"--mask {s.mask}: the name of a mask cannot hold a comma or |, nor begin or end with a space; rename the "
            "file."
        )
    return replace(s, op="scratches" if s.mask == "auto" else f"mask-file:path={s.mask}")


def _check(s: SolveOptions) -> None:
    """Raise a usage error for options that contradict each other."""
    if not s.inputs:
        raise click.UsageError("Missing argument 'INPUT...': name a picture or a folder.")
    if s.op == "auto" and s.simulate:
        raise click.UsageError("--op auto finds out what real pictures have been through; with --simulate name one.")
    if s.preset is not None and s.preset.noise is None and s.noise is None and s.simulate:
        raise click.UsageError("The preset estimates the noise of real observations; with --simulate add --noise STD.")
    options.check_simulation(s.simulate, s.size, s.noise)


def _refuse_auto(s: SolveOptions) -> None:
    """Raise `BadSpec` for ``auto`` in the spec of a simulated observation, before anything is loaded."""
    from zsir.workflow.partly import refuse_simulation

    if s.simulate:
        refuse_simulation(s.op)


def _repeat(s: SolveOptions) -> None:
    """``--again RECORD``: the record holds all settings; only the place of the results is an option."""
    from zsir.cli.again import repeat

    context = click.get_current_context()
    given = [p.name for p in context.command.params if p.name and context.get_parameter_source(p.name) in options.GIVEN]
    wrong = [name for name in given if name not in ("again", "output", "overwrite", "quiet")]
    if wrong:
        raise click.UsageError(
            f"--again takes everything from the record, {wrong[0]} too; give it alone, or with -o FOLDER, --overwrite "
            "or --quiet."
        )
    assert s.again is not None
    repeat(s.again, s.output, overwrite=s.overwrite, quiet=s.quiet)


def _say_what_draws_are(method: Method) -> None:
    from zsir.workflow.spread import about_sampler

    if remark := about_sampler(method.sampler):
        say(f"note: {remark}")


def _check_preset(s: SolveOptions, preset: Preset, method: Method) -> None:
    """Note every option that differs from the preset. A sampler beside a preset is a usage error."""
    if s.sampler != preset.sampler:
        raise click.UsageError("--sampler and --preset both name the sampler; give one of them.")
    for name, mine, tuned in (
        ("--op", s.op, preset.op),
        ("--noise", s.noise, preset.noise),
        ("--prior", s.prior, preset.prior),
    ):
        if mine != tuned:
            say(f"note: the preset was tuned for {name} {'auto' if tuned is None else tuned}.")
    if s.prior == preset.prior and method.prior.fingerprint != preset.weights_sha256:
        say(f"note: the preset was tuned for other weights than {s.prior} has now.")
