"""``zsir train`` and ``zsir distill``: priors from the user's own pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zsir.cli import options

if TYPE_CHECKING:
    from zsir.training.session import Run
    from zsir.training.trainer import Progress

#: more processes wait for each other, and a mistyped number would fill the memory
MOST_WORKERS = 16

folders = click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
out = click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
validation = click.option(
    "--val",
    "validation",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of pictures to measure on.  [default: one in 16 of the pictures, kept back from training]",
)
device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
workers = click.option(
    "--workers",
    type=click.IntRange(0, MOST_WORKERS),
    default=0,
    show_default=True,
    help="Number of processes that prepare examples. A GPU needs about 8.",
)


@dataclass(frozen=True)
class TrainSettings:
    """The options of ``zsir train``."""

    folders: tuple[Path, ...]
    out: Path
    recipe: str
    start: str | None
    validation: Path | None
    device: str
    workers: int
    quiet: bool


@click.command()
@folders
@out
@click.option(
    "--recipe",
    default="tiny",
    show_default=True,
    metavar="SPEC",
    help="tiny, small or base, with changes as in small:steps=30000; or a JSON file.",
)
@click.option(
    "--start",
    metavar="PRIOR",
    help="Begin from this prior, photo or trained:path=..., instead of random weights. Its network and noise range are "
    "kept.",
)
@validation
@device
@workers
@options.quiet
@options.into(TrainSettings)
def train(settings: TrainSettings) -> None:
    """Train a denoiser on folders of pictures. It becomes a prior for pictures like these.

    \b
    The command writes into the folder of the run:
      preview.png, curve.tsv        the progress, to look at during the run
      checkpoint.pt                 the state from which the run goes on
      prior.safetensors, card.md    the prior and its model card

    To go on after an interruption, give the same command again. For several GPUs, write accelerate launch -m zsir
    train ...
    """
    from zsir import priors
    from zsir.training import recipe, train_denoiser

    s = settings
    r = recipe(s.recipe)
    start = priors.load(s.start) if s.start is not None else None
    with _run(s) as run:
        train_denoiser(run, r, start)
    _finished(s)


@dataclass(frozen=True)
class DistillSettings:
    """The options of ``zsir distill``."""

    teacher: str
    folders: tuple[Path, ...]
    out: Path
    recipe: str
    validation: Path | None
    device: str
    workers: int
    quiet: bool


@click.command()
@click.argument("teacher", metavar="PRIOR")
@folders
@out
@click.option(
    "--recipe",
    default="distill",
    show_default=True,
    metavar="SPEC",
    help="Steps, batch and noise levels, as in distill:steps=9000. The network is that of PRIOR.",
)
@validation
@device
@workers
@options.quiet
@options.into(DistillSettings)
def distill(settings: DistillSettings) -> None:
    """Distil a denoiser into a consistency model, which gives one plausible picture in few network calls.

    PRIOR is photo or trained:path=RUN/prior.safetensors. The command writes the same files as zsir train, and goes on
    after an interruption in the same way.
    """
    from zsir import priors
    from zsir.training import distill as distill_prior
    from zsir.training import recipe

    s = settings
    r = recipe(s.recipe)
    teacher = priors.load(s.teacher)
    with _run(s) as run:
        distill_prior(run, r, teacher)
    _finished(s)


@contextmanager
def _run(s: TrainSettings | DistillSettings) -> Iterator[Run]:
    """The run of a command, with a progress bar on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from zsir.training.session import Run

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    hidden = s.quiet or not console.is_terminal
    bar = Progress(*columns, console=console, disable=hidden)
    with nullcontext() if hidden else bar:  # some versions of rich end even a hidden bar with an empty line
        task = bar.add_task("reading pictures", note="")

        def packing(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        yield Run(s.out, s.folders, s.validation, s.device, s.workers, packing, _reporter(bar.update, task, s.quiet))


def _reporter(update: Callable[..., None], task: object, quiet: bool) -> Callable[[Progress], None]:
    """Moves the bar, and prints a line for each new measurement."""
    last: list[object] = [None]

    def report(p: Progress) -> None:
        note = f"loss {p.loss:.4f}, {p.seconds:.2f} s a step"
        update(task, description="training", completed=p.step, total=p.steps, note=note)
        if p.measured is not None and p.measured is not last[0]:
            last[0] = p.measured
            values = " / ".join(f"{value:.2f}" for value in p.measured.psnr)
            if not quiet:
                click.echo(f"step {p.step}: loss {p.loss:.4f}, {values} dB at noise 15 / 25 / 50 of 255")

    return report


def _finished(s: TrainSettings | DistillSettings) -> None:
    """Print the files that were left out and the path of the prior. Of several processes only the first prints."""
    import json
    import os

    if s.quiet or os.environ.get("RANK", "0") != "0":
        return
    folder = s.out
    for sentence in json.loads((folder / "pictures.json").read_text("utf-8"))["skipped"]:
        click.echo(f"left out: {sentence}")
    click.echo(f"wrote {folder / 'prior.safetensors'}; use it: --prior trained:path={folder / 'prior.safetensors'}")
