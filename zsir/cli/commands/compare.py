"""``zsir compare``: the same observation through several samplers and priors."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

from zsir.cli import options
from zsir.cli.batch import Batch
from zsir.cli.exits import FAILURE, say
from zsir.cli.outputs import Job, ResultFiles, check_clashes, check_free, checked, expand
from zsir.cli.tables import aligned, markdown
from zsir.errors import BadSpec, ZsirError
from zsir.priors.wrappers.settings import Wrapping

if TYPE_CHECKING:
    from torch import Tensor

    from zsir.names.parsed import Parsed
    from zsir.pictures import Picture
    from zsir.workflow.method import Method
    from zsir.workflow.pose import Posed

#: pictures in a row of the contact sheet
COLUMNS = 4
#: every table has these columns after those of the metrics
COSTS = ("residual", "nfe", "seconds")


@dataclass(frozen=True)
class CompareOptions:
    """The options of ``zsir compare``."""

    inputs: tuple[Path, ...]
    op: str
    methods: tuple[str, ...]
    prior: str
    noise: float | None
    metrics: str | None
    seed: int
    device: str
    dtype: str
    tile: int | None
    precision: str
    output: str
    simulate: bool
    size: tuple[int, int] | None
    ignore_jpeg: bool
    overwrite: bool
    quiet: bool


@click.command()
@options.inputs
@options.op
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    required=True,
    metavar="SAMPLER[@PRIOR]",
    help="A method to compare, such as hqs:nfe=8 or cm4ir:nfe=4@wavelet. Repeat the option for each method.",
)
@click.option("--prior", default="photo", show_default=True, metavar="SPEC", help="Prior of methods without @.")
@options.noise_or_auto
@click.option(
    "--metrics",
    metavar="NAMES",
    help="Names of metrics, separated by commas.  [default: psnr,ssim with --simulate, else none]",
)
@click.option("--seed", callback=options.one_seed, default="0", show_default=True, help="Seed of noise and methods.")
@options.device
@options.dtype
@options.tile
@options.precision
@click.option("-o", "--output", required=True, metavar="OUT", help="Folder for the results.")
@click.option("--simulate", is_flag=True, help="The inputs are clean: degrade, restore and measure them.")
@options.size
@options.ignore_jpeg
@options.overwrite
@options.quiet
@options.into(CompareOptions)
def compare(settings: CompareOptions) -> None:
    """Restore the same observations with several methods, and put the results side by side.

    \b
    The command writes into OUT:
      NAME_sheet.png  for each input: observation, results, truth if it is known
      table.md        the means over the inputs
      record.json     the numbers of each input

    All methods see the same observation and the same seed. A method that cannot solve the problem is named, and the
    other methods go on. The means are over the inputs that all methods restored.
    """
    from zsir.files import make_folder, write_bytes
    from zsir.workflow.record import write_record

    s = settings
    options.check_simulation(s.simulate, s.size, s.noise)
    names = _metrics(s)
    methods = _methods(s)
    folder = Path(s.output)
    table, record = folder / "table.md", folder / "record.json"
    jobs = [Job(path, (ResultFiles(s.seed, folder / f"{path.stem}_sheet.png"),)) for path in expand(s.inputs)]
    check_clashes(jobs, table, record)
    make_folder(folder)
    check_free([table, record], s.overwrite)
    results: list[dict[str, Any]] = []
    batch = Batch(checked(jobs, s.overwrite), quiet=s.quiet)
    try:
        batch.run(lambda job: _compare_job(job, s, methods, names, batch, results))
    finally:  # also of a run in which some files failed
        if results:
            rows = _table(list(methods), names, results)
            title = _title(s, len(_shared(results)), len(jobs))
            write_bytes(table, f"{title}\n\n{markdown(rows)}".encode())
            write_record(record, shlex.join(["zsir", *sys.argv[1:]]), [_recorded(entry) for entry in results])
            if not s.quiet:
                click.echo("\n".join(aligned(rows)))
    if any("error" in entry for entry in results):
        raise click.exceptions.Exit(FAILURE)


def _metrics(s: CompareOptions) -> list[str]:
    """The names of ``--metrics``, each known and measurable."""
    from zsir.metrics import find

    if s.metrics is None:
        return ["psnr", "ssim"] if s.simulate else []
    names = list(dict.fromkeys(part.strip() for part in s.metrics.split(",") if part.strip()))
    lacking = [name for name in names if find(name).reference and not s.simulate]
    if lacking:
        raise BadSpec(f"--metrics {lacking[0]} compares with the true picture; add --simulate and give clean pictures.")
    return names


def _methods(s: CompareOptions) -> dict[str, Method]:
    """Label -> method; a prior that several use is loaded once. Raises `BadSpec` where two methods are the same, as
    hqs:nfe=8 and dpir are."""
    from zsir import samplers
    from zsir.priors.catalogue import PRIORS
    from zsir.workflow.method import load_method

    around = Wrapping(s.tile, s.precision)
    pairs = [(sampler.strip(), prior.strip() or s.prior) for sampler, _, prior in (m.partition("@") for m in s.methods)]
    priors = {prior: _canonical(PRIORS.parse(prior)) for _, prior in pairs}
    loaded: dict[str, Method] = {}
    found: dict[str, Method] = {}
    given: dict[tuple[str, str], str] = {}
    for text, (sampler, prior) in zip(s.methods, pairs, strict=True):
        made, kind = samplers.make(sampler or None), priors[prior]
        first = given.setdefault((repr(made), kind), text)
        if len(given) == len(found):
            same = "is given twice" if first == text else f"is the same as {first}"
            raise BadSpec(f"--method {text} {same}; give each method once.")
        if kind not in loaded:
            loaded[kind] = load_method(
                s.op, s.noise, prior, device=s.device, dtype=s.dtype, wrapping=around, ignore_jpeg=s.ignore_jpeg
            )
        label = sampler or samplers.default()
        found[label if len(set(priors.values())) == 1 else f"{label}@{prior}"] = loaded[kind].through(made)
    return found


def _canonical(parsed: Parsed) -> str:
    """One text for all ways to write a spec."""
    return replace(parsed, options=dict(sorted(parsed.options.items()))).spec


def _compare_job(
    job: Job,
    s: CompareOptions,
    methods: dict[str, Method],
    names: Sequence[str],
    batch: Batch,
    results: list[dict[str, Any]],
) -> None:
    """All methods on one picture; its numbers are added to ``results``."""
    from zsir import pictures
    from zsir.workflow.pose import pose, warn_of

    (planned,) = job.results
    seed, target = planned.seed, planned.target
    picture = pictures.read(job.source)
    done, cells, lacking = batch.position, list[tuple[str, "Tensor"]](), set[str]()
    # one problem for all: it is estimated and remarked on once
    posed = pose(picture, next(iter(methods.values())), seed=seed, size=s.size, simulate=s.simulate)
    warn_of(picture, posed.remarks)
    for number, (label, method) in enumerate(methods.items()):
        batch.display.step(picture.path.name, done + number / len(methods), label)
        try:
            entry, pixels = _attempt(picture, posed.through(method.prior), method, seed, names)
        except ZsirError as error:
            say(f"{picture.path}: {label}: {error}")
            entry, pixels = {"error": str(error)}, None
        for name, why in entry.get("unmeasured", {}).items():
            if name not in lacking:
                say(f"note: {picture.path}: {name} is left out: {why}")
            lacking.add(name)
        if "misfit" in entry:
            say(f"note: {picture.path}: {label}: {entry['misfit']}")
        results.append({"input": str(picture.path), "method": label, **entry})
        if pixels is not None:
            cells.append((_caption(label, entry, names), pixels))
    if not cells:
        raise BadSpec("None of the methods could restore it; the lines above say why.")
    shape = cells[0][1].shape[-2:]
    enlarged = pictures.enlarge(posed.observation, (shape[0], shape[1]))
    cells = [("observation", enlarged), *cells, *([("ground truth", posed.truth)] if posed.truth is not None else [])]
    pictures.write(target, pictures.contact_sheet(cells, COLUMNS))
    batch.done(str(target))


def _attempt(
    picture: Picture, posed: Posed, method: Method, seed: int, names: Sequence[str]
) -> tuple[dict[str, Any], Tensor]:
    """One method: what the record says of it, and its picture."""
    from zsir.workflow.restore import restored_from

    result = restored_from(picture, posed, method, method.settings(seed=seed))
    stats = result.stats
    truth = None if posed.truth is None else posed.truth.clamp(0, 1)
    values, failures = _measured(names, result.x, truth)
    costs: dict[str, Any] = dict(zip(COSTS, (stats.residual[0], stats.nfe, stats.seconds), strict=True))
    if failures:
        costs["unmeasured"] = failures
    if result.misfit:
        costs["misfit"] = result.misfit
    if result.doubt:
        costs["doubt"] = result.doubt
    return {**values, **costs, "provenance": result.provenance}, result.x


def _measured(
    names: Sequence[str], pixels: Tensor, truth: Tensor | None
) -> tuple[dict[str, float | None], dict[str, str]]:
    """The metrics, None where one cannot be computed of this picture, and why."""
    from zsir.metrics import measure

    values: dict[str, float | None] = {}
    failures: dict[str, str] = {}
    for name in names:
        try:
            values[name] = measure([name], pixels, truth)[name][0]
        except ZsirError as error:
            values[name], failures[name] = None, str(error)
    return values, failures


def _caption(label: str, entry: dict[str, Any], names: Sequence[str]) -> str:
    return f"{label} {_shown(names[0], entry[names[0]])}" if names and entry[names[0]] is not None else label


def _table(labels: Sequence[str], names: Sequence[str], results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and one row per method: means over the pictures of `_shared`, of a metric over those of them for which it
    could be computed; empty where there are none."""
    rows = [["method", *names, *COSTS]]
    shared = _shared(results)
    for label in labels:
        mine = [entry for entry in results if entry["method"] == label and "error" not in entry]
        entries = [entry for entry in mine if entry["input"] in shared]
        rows.append([label, *(_mean(c, entries) if mine else "failed" for c in rows[0][1:])])
    return rows


def _mean(column: str, entries: Sequence[dict[str, Any]]) -> str:
    values = [entry[column] for entry in entries if entry[column] is not None]
    return _shown(column, fmean(values)) if values else ""


def _shared(results: Sequence[dict[str, Any]]) -> set[str]:
    """The inputs that every method restored; a method that restored none does not count."""
    done: dict[str, set[str]] = {}
    for entry in results:
        if "error" not in entry:
            done.setdefault(entry["method"], set()).add(entry["input"])
    return set.intersection(*done.values()) if done else set()


def _recorded(entry: dict[str, Any]) -> dict[str, Any]:
    from zsir.workflow.record import finite

    return {key: finite(value) if isinstance(value, float) else value for key, value in entry.items()}


def _shown(column: str, value: float) -> str:
    """A number with the digits that its column deserves."""
    if column == "nfe":
        return f"{value:g}"
    if column in ("psnr", "psnr-y", "seconds"):
        return f"{value:.2f}"
    return f"{value:.3g}" if column == "residual" else f"{value:.4f}"


def _title(s: CompareOptions, count: int, of: int) -> str:
    """What the table is of: ``count`` pictures that all methods restored, ``of`` those given."""
    what = f"mean over {count} pictures" if count > 1 else "one picture" if count else "no picture"
    if count < of:
        what += f" that every method restored, of {of}"
    noise = "estimated" if s.noise is None else f"{s.noise:g}"
    return f"`{s.op}`, noise {noise}, seed {s.seed}, {what}; residual, calls and seconds per picture."
