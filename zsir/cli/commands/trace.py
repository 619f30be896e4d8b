"""``zsir trace``: watch one solve step by step."""

from __future__ import annotations

import csv
import io
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zsir.cli import options
from zsir.cli.batch import Batch
from zsir.cli.outputs import Job, ResultFiles, check_clashes, checked
from zsir.errors import BadInput
from zsir.priors.wrappers.settings import Wrapping

if TYPE_CHECKING:
    from torch import Tensor

    from zsir.loop.solver import Event
    from zsir.workflow.method import Method
    from zsir.workflow.pose import Posed

#: pictures in a row of the strip
COLUMNS = 6
#: the files beside the pictures
BESIDE = ("trace.csv", "curves.svg", "record.json")


@dataclass(frozen=True)
class TraceOptions:
    """The options of ``zsir trace``."""

    source: Path
    op: str
    prior: str
    sampler: str | None
    nfe: int | None
    noise: float | None
    seed: int
    device: str
    dtype: str
    tile: int | None
    precision: str
    output: str
    simulate: bool
    size: tuple[int, int] | None
    ignore_jpeg: bool
    frames: int
    animation: str
    duration: int
    overwrite: bool
    quiet: bool


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path, readable=False))
@options.op
@options.prior
@options.sampler
@options.nfe
@options.noise_or_auto
@click.option("--seed", callback=options.one_seed, default="0", show_default=True, help="Seed of the run.")
@options.device
@options.dtype
@options.tile
@options.precision
@click.option("-o", "--output", required=True, metavar="OUT", help="Folder for the results.")
@click.option("--simulate", is_flag=True, help="The input is clean: degrade it first, and follow PSNR as well.")
@options.size
@options.ignore_jpeg
@click.option(
    "--frames",
    type=click.IntRange(min=1, max=1000),
    default=24,
    show_default=True,
    help="Most pictures in the strip and the animation. They are spaced evenly over the steps and include the last.",
)
@click.option("--animation", type=click.Choice(["gif", "webp"]), default="gif", show_default=True)
@click.option(
    "--duration", type=click.IntRange(min=20, max=10000), default=300, show_default=True, help="Milliseconds per frame."
)
@options.overwrite
@options.quiet
@options.into(TraceOptions)
def trace(settings: TraceOptions) -> None:
    """Restore one picture, and keep the sampler's estimate after every step.

    \b
    The command writes into OUT:
      strip.png, steps.gif       the estimates x0 (steps.webp with --animation webp)
      trace.csv                  noise level, residual and change of every step
      curves.svg                 the same numbers as curves
      restored.png, record.json  the result and its record

    The residual is the one that zsir solve reports. The change is the root mean square of the difference from the
    step before. With --simulate, trace.csv holds PSNR as well.
    """
    from zsir.files import make_folder
    from zsir.workflow.method import load_method

    s = settings
    options.check_simulation(s.simulate, s.size, s.noise)
    around = Wrapping(s.tile, s.precision)
    parts = (s.op, s.noise, s.prior, s.sampler)
    method = load_method(*parts, nfe=s.nfe, device=s.device, dtype=s.dtype, wrapping=around, ignore_jpeg=s.ignore_jpeg)
    folder = Path(s.output)
    if s.source.is_dir():
        raise BadInput(f"{s.source} is a folder; trace takes one picture.")
    beside = tuple(folder / name for name in (f"steps.{s.animation}", *BESIDE))
    jobs = [Job(s.source, (ResultFiles(s.seed, folder / "restored.png", folder / "strip.png", beside),))]
    check_clashes(jobs)
    make_folder(folder)
    batch = Batch(checked(jobs, s.overwrite), quiet=s.quiet)
    batch.run(lambda job: _trace_job(job, s, method, batch))


@dataclass
class Recorder:
    """Collects one row for each step, and the estimates of the ``kept`` steps."""

    posed: Posed
    kept: frozenset[int]
    rows: list[dict[str, float]] = field(default_factory=list)
    frames: list[tuple[str, Tensor]] = field(default_factory=list)
    _previous: Tensor | None = None

    def see(self, event: Event) -> None:
        """Callback of `zsir.solve`."""
        from zsir.metrics import psnr

        x0 = event.x0
        row = {"step": event.step, "sigma": event.sigma, "residual": self.posed.problem.residual(x0)[0]}
        if self._previous is not None:
            row["change"] = float((x0 - self._previous).double().square().mean().sqrt())
        self._previous = x0
        shown = x0.clamp(0, 1).cpu().float()
        if self.posed.truth is not None:
            row["psnr"] = psnr(shown, self.posed.truth.clamp(0, 1))
        self.rows.append(row)
        if event.step in self.kept:
            self.frames.append((f"{event.step}: {event.sigma:.3g}", shown))


def kept_steps(steps: int, frames: int) -> frozenset[int]:
    """At most ``frames`` of the steps 1 to ``steps``, evenly spaced, the last one always.

    >>> sorted(kept_steps(10, 4))
    [1, 4, 7, 10]
    """
    count = min(steps, frames)
    if count == 1:
        return frozenset([steps])
    return frozenset(1 + round(k * (steps - 1) / (count - 1)) for k in range(count))


def _trace_job(job: Job, s: TraceOptions, method: Method, batch: Batch) -> None:
    from zsir import files, pictures
    from zsir.cli.results import write_result
    from zsir.pictures.curves import log_curves
    from zsir.workflow.pose import pose, warn_of
    from zsir.workflow.record import digests, summary, write_record
    from zsir.workflow.restore import restored_from

    (planned,) = job.results
    animation, table, drawing, record = planned.maps
    assert planned.sheet is not None
    found = digests(job.source, method.settings())
    picture = pictures.read(job.source)
    posed = pose(picture, method, seed=planned.seed, size=s.size, simulate=s.simulate)
    warn_of(picture, posed.remarks)
    recorder = Recorder(posed, kept_steps(method.sampler.steps, s.frames))
    settings = method.settings(seed=planned.seed, size=s.size, simulate=s.simulate)
    result = restored_from(picture, posed, method, settings, [recorder.see, batch.follow(picture.path.name)])
    wrong = result.harm or result.misfit
    warn_of(picture, [wrong] if wrong else [])
    pictures.write(planned.sheet, pictures.contact_sheet(recorder.frames, COLUMNS))
    pictures.write_animation(animation, [frame for _, frame in recorder.frames], s.duration)
    files.write_bytes(table, _csv(recorder.rows).encode())
    curves = {"noise level sigma": "sigma", "residual": "residual", "change": "change"}
    drawn = {title: [row.get(key, 0.0) for row in recorder.rows] for title, key in curves.items()}
    files.write_bytes(drawing, log_curves(drawn, "step").encode())
    entry = write_result(result, ResultFiles(planned.seed, planned.target), found)
    write_record(record, shlex.join(["zsir", *sys.argv[1:]]), [entry])
    batch.done(summary(entry))


def _csv(rows: list[dict[str, float]]) -> str:
    """One line for each step; unknown numbers are left empty."""
    names = ["step", "sigma", "residual", "change", *(["psnr"] if "psnr" in rows[0] else [])]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
