"""``zsir train`` and ``zsir distill``: priors of one's own."""

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
    help="Pictures to measure on; without it one in 16 of the others is kept back.",
)
device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
workers = click.option(
    "--workers",
    type=click.IntRange(0, MOST_WORKERS),
    default=0,
    show_default=True,
    help="Processes that prepare examples; a GPU wants about 8.",
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
    help="tiny, small, base, with changes as in small:steps=30000, or a JSON file.",
)
@click.option(
    "--start",
    metavar="PRIOR",
    help="Begin as photo or trained:path=..., whose network and noise range are kept, not at random.",
)
@validation
@device
@workers
@options.quiet
@options.into(TrainSettings)
def train(settings: TrainSettings) -> None:
    """Train a denoiser on folders of pictures: a prior for what they show.

    Writes into the folder of the run: preview.png and curve.tsv to look at while it goes on, checkpoint.pt, and the
    prior with its card, prior.safetensors and card.md. Run the same command again to go on after an interruption.
    Several GPUs: accelerate launch -m zsir train ...
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
    help="Steps, batch and noise levels, as in distill:steps=9000; the network is PRIOR's.",
)
@validation
@device
@workers
@options.quiet
@options.into(DistillSettings)
def distill(settings: DistillSettings) -> None:
    """Distil a denoiser into a consistency model, which needs few calls to give one plausible picture.

    PRIOR is photo or trained:path=RUN/prior.safetensors. Files and interruptions are as for zsir train.
    """
    from zsir import priors
    from zsir.training import distill as start
    from zsir.training import recipe

    s = settings
    r = recipe(s.recipe)
    teacher = priors.load(s.teacher)
    with _run(s) as run:
        start(run, r, teacher)
    _finished(s)


@contextmanager
def _run(s: TrainSettings | DistillSettings) -> Iterator[Run]:
    """The run of a command, with a bar on the terminal and the files that were left out named at the end."""
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
    """Say what there is now, and what was left out; of several processes the first speaks."""
    import json
    import os

    if s.quiet or os.environ.get("RANK", "0") != "0":
        return
    folder = s.out
    for sentence in json.loads((folder / "pictures.json").read_text("utf-8"))["skipped"]:
        click.echo(f"left out: {sentence}")
    click.echo(f"wrote {folder / 'prior.safetensors'}; use it: --prior trained:path={folder / 'prior.safetensors'}")
