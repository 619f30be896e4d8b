"""``zsir degrade``: make observations out of clean pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from zsir.cli import options
from zsir.cli.batch import Batch
from zsir.cli.outputs import Task, check_free, plan


@dataclass(frozen=True)
class Settings:
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
    help="Bits per sample; rounding to 8 adds an error of 1/255/sqrt(12) = 0.0011.",
)
@click.option("-o", "--output", metavar="OUT", help="A PNG file for one result, else a folder.")
@options.overwrite
@options.quiet
@options.into(Settings)
def degrade(settings: Settings) -> None:
    """Degrade clean pictures as --op says and add noise.

    Results go to -o, or beside the input as NAME_degraded.png. Pixels that a mask hides are black. The PNG notes
    operator, noise, seed and original size; solve with the same --op then restores to that size.
    """
    from zsir.operators.catalogue import OPERATORS

    s = settings
    OPERATORS.parse(s.op)
    tasks = plan(s.inputs, s.output, seeds=[s.seed], ending="degraded", suffixes=[".png"])
    batch = Batch(tasks, quiet=s.quiet)
    batch.run(lambda task: _degrade_file(task, s, batch))


def _degrade_file(task: Task, s: Settings, batch: Batch) -> None:
    from zsir import operators
    from zsir.pictures import picture as images
    from zsir.workflow.restore import observe, resized_alpha, shape_of

    ((seed, target),) = task.targets
    check_free([target], s.overwrite)
    picture = images.read(task.source)
    channels, height, width = shape_of(picture.pixels)
    operator = operators.make(s.op, in_shape=(channels, height, width))
    y = observe(operator, picture.pixels, s.noise, seed)
    h, w = y.shape[-2:]
    notes = {"op": s.op, "noise": _noise_text(s.noise), "seed": str(seed), "size": f"{width}x{height}"}
    text = {f"zsir:{key}": value for key, value in notes.items()}
    images.write(target, y, bits=int(s.bits), alpha=resized_alpha(picture, (h, w)), text=text, icc=picture.icc)
    batch.done(f"{target}  {w}x{h}  from {width}x{height}")


def _noise_text(std: float) -> str:
    """A noise level as people write it: ``5/255`` where it is that, else the number."""
    levels = round(std * 255, 9)
    return f"{levels:g}/255" if levels and levels == round(levels, 1) else f"{std:.9g}"
