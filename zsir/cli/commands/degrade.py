"""``zsir degrade``: make observations out of clean pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zsir.cli import options
from zsir.cli.batch import Batch
from zsir.cli.outputs import Job, ResultFiles, plan, with_traces
from zsir.errors import BadSpec

if TYPE_CHECKING:
    from torch import Tensor

    from zsir.names.parsed import Parsed
    from zsir.pictures import Picture

#: operators that are a whole process, noise included
PROCESSES = ("wild", "trace")


@dataclass(frozen=True)
class DegradeOptions:
    """The options of ``zsir degrade``."""

    inputs: tuple[Path, ...]
    op: str
    noise: float
    severity: float | None
    trace: Path | None
    seed: int
    bits: str
    output: str | None
    overwrite: bool
    quiet: bool


@dataclass(frozen=True)
class Degraded:
    """An observation y (1, C, h, w): what the file says of it, what the line about it adds, and the trace's text."""

    y: Tensor
    op: str
    noise: float
    remark: str = ""
    trace: str = ""


@click.command()
@options.inputs
@options.op
@options.noise
@click.option(
    "--severity",
    type=float,
    metavar="MU",
    help="Choose the strength of --op so that the mean absolute error is MU, on the [0, 1] scale: the width of a blur, "
    "the share that a mask keeps, the noise of identity.",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --op wild: write what was drawn to a JSON file, or for several pictures into a folder. "
    "--op trace:path=FILE does the same again.",
)
@click.option(
    "--seed",
    callback=options.one_seed,
    default="0",
    show_default=True,
    help="Seed of the noise, and of what wild draws if --op states none; each picture of a command has its own draw. "
    "Masks and shakes have a seed in --op, as in mask:keep=0.3,seed=1.",
)
@click.option(
    "--bits",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="Bits per sample. Rounding to 8 bits adds an error of 1/255/sqrt(12) = 0.0011.",
)
@click.option("-o", "--output", metavar="OUT", help="A PNG file for a single result, or a folder.")
@options.overwrite
@options.quiet
@options.into(DegradeOptions)
def degrade(settings: DegradeOptions) -> None:
    """Degrade clean pictures as --op says and add noise.

    Without -o a result is written beside its input as NAME_degraded.png. Pixels that a mask hides are black. The PNG
    file notes operator, noise, seed and original size. zsir solve with the same --op restores to the original size.

    \b
    --op wild draws a chain of real-world degradations for each picture, noise and JPEG included:
      zsir degrade --op wild --seed 3 --trace t.json photo.png
      zsir degrade --op wild:pipeline=esrgan photo.png
    """
    from zsir.operators.catalogue import OPERATORS
    from zsir.workflow.partly import refuse_simulation

    s = settings
    refuse_simulation(s.op)
    parsed = OPERATORS.parse(s.op)
    _check(s, parsed.name)
    ending, suffixes = "degraded", [".png"]
    reads = [Path(path) for path in parsed.paths]
    jobs = plan(
        s.inputs, s.output, seeds=[s.seed], ending=ending, suffixes=suffixes, reads=reads, overwrite=s.overwrite
    )
    if s.trace is not None:
        jobs = with_traces(jobs, s.trace, s.overwrite)
    batch = Batch(jobs, quiet=s.quiet)
    numbers = {job.source: number for number, job in enumerate(jobs)}
    batch.run(lambda job: _degrade_job(job, numbers[job.source], s, batch))


def _check(s: DegradeOptions, name: str) -> None:
    """Raise a usage error for options that contradict each other."""
    if s.trace is not None and name != "wild":
        raise click.UsageError("--trace writes down what --op wild drew; other operators are described by --op alone.")
    if s.severity is not None:
        from zsir.workflow.calibrate import check

        check(s.op, s.severity, s.noise)
    if name in PROCESSES and s.noise:
        raise click.UsageError(f"--op {name} adds its own noise; leave --noise out.")


def _degrade_job(job: Job, number: int, s: DegradeOptions, batch: Batch) -> None:
    from zsir import pictures

    (planned,) = job.results
    picture = pictures.read(job.source)
    done = _degraded(picture, number, s)
    _write(planned, picture, done, s)
    (_, height, width), (h, w) = picture.shape, done.y.shape[-2:]
    batch.done(f"{planned.target}  {w}x{h}  from {width}x{height}{done.remark}")


def _degraded(picture: Picture, number: int, s: DegradeOptions) -> Degraded:
    """The observation of the picture that is number ``number`` of the command."""
    from zsir import operators
    from zsir.capabilities import makes_pictures
    from zsir.operators.catalogue import OPERATORS
    from zsir.processes import process_of
    from zsir.workflow.calibrate import calibrate
    from zsir.workflow.pose import observation_noise, observe

    parsed = OPERATORS.parse(s.op)
    op, noise, remark = s.op, s.noise, ""
    if s.severity is not None:
        found = calibrate(s.op, picture.pixels, s.severity, noise_std=s.noise, seed=s.seed)
        op, noise = found.spec, found.noise_std
        remark = f"  severity {found.mu:.4f} by {op}" + (f", noise {noise:.4f}" if noise else "")
    elif parsed.name in PROCESSES:
        return _process(picture, _numbered(parsed, s.seed, number))
    operator = operators.make(op, in_shape=picture.shape)
    if not makes_pictures(operator) and process_of(operator) is None:
        raise BadSpec(f"{s.op} does not make a picture of 1 or 3 channels in [0, 1], and no other is written.")
    return Degraded(observe(operator, picture.pixels, noise, observation_noise(s.seed)).seen, op, noise, remark)


def _numbered(parsed: Parsed, seed: int, number: int) -> str:
    """The spec of the draw for one picture: what the command's seed and the picture's place decide stands in it."""
    if parsed.name != "wild":
        return parsed.spec
    options = {**parsed.options, "seed": parsed.options.get("seed", seed)}
    if number and "number" not in options:
        options["number"] = number
    return replace(parsed, options=options).spec


def _process(picture: Picture, spec: str) -> Degraded:
    """What a pipeline or a trace makes of the picture."""
    from zsir import operators
    from zsir.operators import Traced
    from zsir.operators.wild.history import text

    operator = operators.make(spec, in_shape=picture.shape)
    assert isinstance(operator, Traced)
    y, trace = operator.trace.observe(picture.pixels)
    kinds = ", ".join(stage.kind for stage in trace.stages)
    return Degraded(y, spec, 0.0, f"  {kinds}", text(trace))


def _write(planned: ResultFiles, picture: Picture, done: Degraded, s: DegradeOptions) -> None:
    """The trace first: a picture that is there has its trace."""
    from zsir import files, pictures

    (_, height, width), (h, w) = picture.shape, done.y.shape[-2:]
    notes = {"op": done.op, "noise": _noise_text(done.noise), "seed": str(s.seed), "size": f"{width}x{height}"}
    text = {f"zsir:{key}": value for key, value in notes.items()}
    if planned.trace is not None:
        files.write_bytes(planned.trace, done.trace.encode())
    pictures.write(
        *(planned.target, done.y),
        bits=int(s.bits),
        alpha=picture.alpha_at((h, w)),
        text=text,
        icc=picture.icc,
        exif=picture.exif,
        dpi=picture.dpi,
    )


def _noise_text(std: float) -> str:
    """A noise level as people write it: ``5/255`` where it is that, else the number."""
    levels = round(std * 255, 9)
    return f"{levels:g}/255" if levels and levels == round(levels, 1) else f"{std:.9g}"
