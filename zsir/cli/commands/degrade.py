"""``zsir degrade``: make observations out of clean pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from zsir.cli import options
from zsir.cli.batch import Batch
from zsir.cli.outputs import Job, plan


@dataclass(frozen=True)
class DegradeOptions:
    """The options of ``zsir degrade``."""

    inputs: tuple[Path, ...]
    op: str
    noise: float
    seed: int
    bits: str
    output: str | None
    overwrite: bool
    quiet: bool


@click.command()
@options.inputs
@options.op
@options.noise
@click.option("--seed", callback=options.one_seed, default="0", show_default=True, help="Seed of the noise.")
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
    """
    from zsir.operators.catalogue import OPERATORS

    s = settings
    OPERATORS.parse(s.op)
    ending, suffixes = "degraded", [".png"]
    jobs = plan(s.inputs, s.output, seeds=[s.seed], ending=ending, suffixes=suffixes, overwrite=s.overwrite)
    batch = Batch(jobs, quiet=s.quiet)
    batch.run(lambda job: _degrade_job(job, s, batch))


def _degrade_job(job: Job, s: DegradeOptions, batch: Batch) -> None:
    from zsir import operators, pictures
    from zsir.workflow.pose import observation_noise, observe

    (planned,) = job.results
    picture = pictures.read(job.source)
    _, height, width = picture.shape
    operator = operators.make(s.op, in_shape=picture.shape)
    y = observe(operator, picture.pixels, s.noise, observation_noise(s.seed)).seen
    h, w = y.shape[-2:]
    notes = {"op": s.op, "noise": _noise_text(s.noise), "seed": str(s.seed), "size": f"{width}x{height}"}
    text = {f"zsir:{key}": value for key, value in notes.items()}
    pictures.write(planned.target, y, bits=int(s.bits), alpha=picture.alpha_at((h, w)), text=text, icc=picture.icc)
    batch.done(f"{planned.target}  {w}x{h}  from {width}x{height}")


def _noise_text(std: float) -> str:
    """A noise level as people write it: ``5/255`` where it is that, else the number."""
    levels = round(std * 255, 9)
    return f"{levels:g}/255" if levels and levels == round(levels, 1) else f"{std:.9g}"
