"""``zsir run``: experiments from specs."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zsir.cli import options
from zsir.cli.batch import Display
from zsir.cli.exits import FAILURE, INTERRUPTED, fail, say

if TYPE_CHECKING:
    import torch

    from zsir.experiments.manifest import Record, RunFolder
    from zsir.experiments.observing import Item
    from zsir.experiments.plan import Plan
    from zsir.experiments.workers import Worker
    from zsir.loop.solver import Event


@dataclass(frozen=True)
class RunOptions:
    """The options of ``zsir run``."""

    spec: str
    out: Path | None
    dry: bool
    changes: tuple[str, ...]
    device: str
    quiet: bool


@click.command()
@click.argument("spec")
@click.option("-o", "--out", metavar="RUN", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--dry-run", "dry", is_flag=True, help="Print the work to do and the missing files; compute nothing.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the spec: data.pictures=2 or method.0.nfe=[1,2]. Repeat the option for more keys.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@options.quiet
@options.into(RunOptions)
def run(settings: RunOptions) -> None:
    """Run an experiment. SPEC is a file, or the name of a shipped experiment ('zsir list specs').

    zsir writes records, pictures and tables into RUN. To go on after an interruption, give the same command again.

    \b
    Several processes share the work. Start them in one of two ways, on CPUs too:
      torchrun --nproc_per_node 4 -m zsir run SPEC --out RUN
      accelerate launch --multi_gpu --num_processes 4 -m zsir run SPEC --out RUN
    """
    from zsir.experiments.plan import make_plan

    plan = make_plan(settings.spec, settings.changes)
    for sentence in (*_eclipsed(settings), *(() if settings.dry else plan.left_out)):
        say(f"note: {sentence}")
    if settings.dry:
        click.echo("\n".join(_survey(plan, settings.out)))
        return
    if settings.out is None:
        raise click.UsageError("--out RUN is needed: the folder that receives records, pictures and tables.")
    if plan.gone is not None:
        source = plan.spec.provenance.get("data")
        say(f"note: data: {source}" if source else f"note: 'zsir run {settings.spec} --dry-run' says what is missing")
        raise plan.gone
    _run(plan, settings.out, settings)


def _eclipsed(s: RunOptions) -> list[str]:
    """Notes on folders that a shipped set of the same name hides. Shipped specs always mean the set."""
    from zsir.experiments.sets import eclipsed
    from zsir.experiments.spec import read_spec

    named = any(change.strip().startswith(("data.folder", "data.observed")) for change in s.changes)
    return eclipsed(read_spec(s.spec, s.changes)) if named or Path(s.spec).is_file() else []


def _survey(plan: Plan, out: Path | None) -> list[str]:
    """The lines that the dry run prints."""
    from zsir.experiments.plan import calls, kept, missing

    spec, nfe = plan.spec, calls(plan)
    count = len(plan.pictures) if plan.gone is None else "no"
    lines = [f"{spec.name}: {len(plan.cells)} cells, {count} pictures, {spec.run.samples} sample(s) each"]
    lines += [f"  {key}: {text}" for key, text in spec.provenance.items()]
    lines.append("cells")
    for cell in plan.cells:
        around = f" with {cell.wrapping}" if str(cell.wrapping) else ""
        means = (f"prior {cell.prior}{around}", f"sampler {cell.sampler}")
        by = (f"restorer {cell.restorer}",) if cell.restorer else means
        parts = (cell.key, f"op {cell.op}", *by, f"{nfe[cell.sampler or cell.restorer]} calls")
        lines.append("  " + "; ".join(parts))
    single = sum(nfe[cell.sampler or cell.restorer] for cell in plan.cells) * spec.run.samples
    lines.append(f"for each picture: {len(plan.cells) * spec.run.samples} solves, {single} network calls")
    if plan.gone is None:
        files, megabytes = kept(plan)
        lines.append(f"in all: {plan.solves} solves, {single * len(plan.pictures)} network calls")
        lines.append(f"output: at most {files} pictures, {_rounded(megabytes)} MB, in {out or 'the folder of --out'}")
    else:
        lines.append("in all: as many times that as there are pictures, of which none was found")
    gaps = missing(plan)
    return [*lines, "missing" if gaps else "missing: nothing", *(f"  {gap}" for gap in gaps)]


def _rounded(megabytes: float) -> str:
    """Whole megabytes; one decimal below ten."""
    return f"{megabytes:.0f}" if megabytes >= 10 else f"{megabytes:.1f}"


class _Show:
    """Shows the engine's progress on the terminal of the first process."""

    def __init__(self, display: Display, todo: Sequence[Item]) -> None:
        self._display, self._total, self.done = display, len(todo), 0
        self._left = Counter(item.cell.key for item in todo)  # so that the end of a cell can be told
        self._told: set[str] = set()

    def step(self, item: Item, done: int, event: Event | None) -> None:
        """A step of ``item``."""
        part = 0.0 if event is None else event.step / event.steps
        state = "" if event is None else f"step {event.step} of {event.steps}"
        self._display.step(f"{item.cell.key} {item.picture.name}", done + part, f"{done} of {self._total}  {state}")

    def finished(self, record: Record) -> None:
        """A picture is done, and maybe its cell."""
        cell = record["cell"]
        self.done += 1
        if record["error"] is not None and record["error"] not in self._told:
            self._told.add(record["error"])  # one cause mostly hits all pictures of a cell
            say(f"{cell} | {record['picture']}: {record['error']}")
        for metric, why in record["unmeasured"].items():
            if metric not in self._told:
                self._told.add(metric)
                say(f"note: {cell} | {record['picture']}: no {metric}: {why}")
        self._left[cell] -= 1
        if not self._left[cell]:
            self._display.line(f"done: {cell}")


def _run(plan: Plan, out: Path, s: RunOptions) -> None:
    from zsir.experiments import hardware, measures, named_files, workers
    from zsir.experiments.engine import Engine
    from zsir.experiments.manifest import Manifest, RunFolder
    from zsir.experiments.observing import all_items, remaining
    from zsir.experiments.plan import calls
    from zsir.experiments.summary import write_tables

    calls(plan)  # options that a sampler refuses come to light now
    for error in measures.lacking(plan.spec.run.metrics, download=True):
        raise error
    named_files.check_present(plan.cells, plan.spec.run.metrics)
    me = workers.worker(os.environ)
    alone = workers.started_alone(os.environ)
    if alone:
        say(f"note: {alone}")
    device = _device(s.device, me)
    folder = RunFolder(out)
    spec_hash = folder.claim(plan.spec)
    items = all_items(plan.cells, plan.pictures, plan.spec.run.samples)
    quiet = s.quiet or me.rank > 0
    with closing(workers.Meeting(me, device.type == "cuda")) as meeting, closing(Manifest(folder, me.rank)) as manifest:
        todo = remaining(items, me.mine, folder.done())
        if todo:
            folder.begun(hardware.session(_command(s), len(items), me.rank, device))
        display = Display(quiet, len(todo))
        display.line(_headline(plan, me, device, len(todo), len(items)))
        show = _Show(display, todo)
        try:
            Engine(plan.spec, spec_hash, folder, device, show).run(todo, manifest)
        except KeyboardInterrupt:
            display.close()
            text = f"interrupted; {show.done} of {len(todo)} pictures were done: give the same command to go on"
            fail(text, INTERRUPTED)
        finally:
            display.close()
            write_tables(folder, spec_hash)
        meeting.wait()
        records = write_tables(folder, spec_hash)
        folder.sweep()
    _end(records, len(items), folder, quiet)


def _command(s: RunOptions) -> str:
    """The command line that gives the parsed options again."""
    changes = [part for change in s.changes for part in ("--set", change)]
    return shlex.join(["zsir", "run", s.spec, "--out", str(s.out), *changes, "--device", s.device])


def _headline(plan: Plan, me: Worker, device: torch.device, todo: int, total: int) -> str:
    threads = f", {plan.spec.run.threads} thread(s) each" if device.type == "cpu" else ""
    already = f", {total - todo} of them done or other processes' share" if todo < total else ""
    return f"{plan.spec.name}: {total} solves{already}; {me.count} process(es) on {device.type}{threads}"


def _end(records: Sequence[Record], total: int, folder: RunFolder, quiet: bool) -> None:
    """Print the table, and how many results failed or are still to come."""
    failed = [record for record in records if record["status"] != "ok"]
    if not quiet:
        click.echo()
        click.echo((folder.path / "table.md").read_text(encoding="utf-8"))
        click.echo(f"{folder.path / 'table.md'}")
        if len(records) < total:
            click.echo(f"{len(records)} of {total} are done; other processes are at work, or have yet to be started")
    if failed:
        advice = "give the same command to try them again"
        if not quiet:
            say(f"{len(failed)} of {total} failed; {advice}")
        raise click.exceptions.Exit(FAILURE)


def _device(name: str, me: Worker) -> torch.device:
    """The device of this process. On a machine with several GPUs, process k takes GPU k."""
    import torch

    from zsir.workflow.method import pick_device

    if name in ("auto", "cuda") and me.count > 1 and torch.cuda.is_available():
        name = f"cuda:{me.local % torch.cuda.device_count()}"
    return pick_device(name)
