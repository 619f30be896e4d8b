"""Tables out of the records of a run: the same bytes, whatever the order in which the records were made."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zsir.experiments import measures
from zsir.experiments.manifest import Record, RunFolder, item_key

INTERVAL = "means over pictures; ± half the 95 % confidence interval (Student's t)"
PARTIAL = (
    "(k of n): only k of n results have a finite value, and the mean is theirs; exact results have an infinite PSNR, "
    "and the records say of others why they could not be measured."
)
#: fields of a row that table.json does not hold, or writes in another way
APART = ("place", "seconds", "metrics", "done", "counted")


@dataclass(frozen=True)
class Mean:
    """Mean over ``n`` pictures and half of its 95 % confidence interval, None for fewer than two."""

    mean: float
    half: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """One method on one task, all seeds and samples together; ``nfe`` and ``seconds`` are means for a picture.

    ``done`` are the results that the means are over: picture, seed and sample. ``counted``: metric -> how many of them
    have a value; the others are not finite or could not be measured.
    """

    place: int
    task: str
    op: str
    noise: str
    told: str
    method: str
    prior: str
    sampler: str
    pictures: int
    failed: int
    nfe: float
    seconds: float
    metrics: dict[str, Mean] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    done: frozenset[tuple[str, int, int]] = frozenset()
    counted: dict[str, int] = field(default_factory=dict)


def student(degrees: int, level: float = 0.95) -> float:
    """The half-width, in standard errors, of the two-sided confidence interval of a mean, by Student's t.

    >>> round(student(1), 4), round(student(9), 4)
    (12.7062, 2.2622)
    """
    low, high = 0.0, 1.0
    while _inside(high, degrees) < level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, degrees) < level else (low, middle)
    return high


def _inside(t: float, degrees: int) -> float:
    """P(|T| < t) of Student's t with a whole number of degrees of freedom, as a finite sum."""
    angle = math.atan2(t, math.sqrt(degrees))
    square = math.cos(angle) ** 2
    odd = degrees % 2
    term = total = math.cos(angle) if odd else 1.0
    if degrees == 1:
        return 2 * angle / math.pi
    for k in range(2 if odd else 1, degrees - 1, 2):
        term *= square * k / (k + 1)
        total += term
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if odd else share


def summary(values: Sequence[float]) -> Mean:
    """Mean and 95 % interval of independent values."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Mean(mean, None, n)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Mean(mean, student(n - 1) * deviation / math.sqrt(n), n)


def chosen(records: Iterable[Record]) -> list[Record]:
    """One record for each cell, picture and sample, sorted: one that did not fail where there is one."""
    best: dict[tuple[str, str, int], Record] = {}
    for record in records:
        key = item_key(record)
        if key not in best or _order(record) < _order(best[key]):
            best[key] = record
    return sorted(best.values(), key=lambda r: (r["place"], r["index"], r["sample"]))


def _order(record: Record) -> tuple[bool, str, float]:
    numbers = json.dumps([record["metrics"], record["error"]], sort_keys=True)
    return record["status"] != "ok", numbers, record["seconds"]


def rows(records: Iterable[Record]) -> list[Row]:
    """One row for each method on each task, in the order of the spec."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in chosen(records):
        groups.setdefault(tuple(record[key] for key in ("task", "noise", "told", "method")), []).append(record)
    return [_row(group) for group in groups.values()]


def _row(group: Sequence[Record]) -> Row:
    first = group[0]
    fine = [record for record in group if record["status"] == "ok"]
    texts = {key: first[key] for key in ("task", "op", "noise", "told", "method", "prior", "sampler")}
    return Row(
        place=first["place"],
        pictures=len({record["picture"] for record in fine}),
        failed=len(group) - len(fine),
        nfe=_mean([record["nfe"] for record in fine]),
        seconds=_mean([record["seconds"] for record in fine]),
        metrics={name: summary(values) for name in _names(fine) if (values := _by_picture(fine, name))},
        values=first["values"],
        done=frozenset((record["picture"], record["seed"], record["sample"]) for record in fine),
        counted={name: sum(record["metrics"].get(name) is not None for record in fine) for name in _names(fine)},
        **texts,
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _names(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record["metric_names"]))


def _by_picture(records: Iterable[Record], name: str) -> list[float]:
    """The metric of every picture, the mean over its seeds and samples; values that are not finite do not count."""
    pictures: dict[str, list[float]] = {}
    for record in records:
        value = record["metrics"].get(name)
        if value is not None:
            pictures.setdefault(record["picture"], []).append(value)
    return [_mean(values) for _, values in sorted(pictures.items())]


def metric_names(found: Iterable[Row]) -> list[str]:
    """All metrics of a table, those without any value too, in the order in which they were asked for."""
    return list(dict.fromkeys(name for row in found for name in row.counted))


def markdown(found: Sequence[Row]) -> str:
    """The table for people."""
    names = metric_names(found)
    told = any(row.told != row.noise for row in found)
    failed = any(row.failed for row in found)
    head = ["task", "noise", *["told"] * told, "method", "calls", "pictures", *["failed"] * failed, *names]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in found:
        cells = [row.task, row.noise, *[row.told] * told, row.method, _number(row.nfe, 0), str(row.pictures)]
        cells += [str(row.failed)] * failed
        cells += [in_words(row, name) for name in names]
        lines.append("| " + " | ".join(" ".join(cell.splitlines()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", caption(found), ""])


def caption(found: Sequence[Row]) -> str:
    """What the numbers of a table are, in sentences."""
    partial = any(count < len(row.done) for row in found for count in row.counted.values())
    return f"{INTERVAL[:1].upper()}{INTERVAL[1:]}.{f' {PARTIAL}' * partial}"


def in_words(row: Row, metric: str) -> str:
    """The metric of a row, ``23.41 ± 0.52``; with ``(2 of 3)`` where not all results have a value."""
    if metric not in row.counted:
        return ""
    count, total = row.counted[metric], len(row.done)
    if metric not in row.metrics:
        return f"none of {total}"
    return with_error(row.metrics[metric], metric) + (f" ({count} of {total})" if count < total else "")


def with_error(value: Mean, metric: str) -> str:
    """``23.41 ± 0.52``, in as many digits as the metric deserves."""
    digits = measures.digits(metric)
    half = "" if value.half is None else f" ± {value.half:.{digits}f}"
    return f"{value.mean:.{digits}f}{half}"


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def comma_separated(found: Sequence[Row]) -> str:
    """The table for other programs: mean, half interval and count of every metric."""
    names = metric_names(found)
    texts = ["task", "op", "noise", "told", "method", "prior", "sampler"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        [*texts, "values", "pictures", "failed", "nfe", *(f"{n}{s}" for n in names for s in ("", "_half", "_n"))]
    )
    for row in found:
        numbers: list[Any] = []
        for name in names:
            held = row.metrics.get(name)
            numbers += ["", "", 0] if held is None else [held.mean, "" if held.half is None else held.half, held.n]
        values = ";".join(f"{k}={v}" for k, v in row.values.items())
        nfe = "" if math.isnan(row.nfe) else row.nfe
        writer.writerow([*(getattr(row, key) for key in texts), values, row.pictures, row.failed, nfe, *numbers])
    return buffer.getvalue()


def as_json(found: Sequence[Row], spec: str) -> str:
    """The table as JSON, with the hash of the spec; without times."""
    entries = []
    for row in found:
        entry: dict[str, Any] = {k: v for k, v in vars(row).items() if k not in APART}
        entry["nfe"] = None if math.isnan(row.nfe) else row.nfe
        entry["metrics"] = {name: vars(held) for name, held in row.metrics.items()}
        entries.append(entry)
    return json.dumps({"spec": spec, "interval": INTERVAL, "rows": entries}, indent=2, allow_nan=False) + "\n"


def timings(found: Sequence[Row]) -> str:
    """Seconds for a picture, in a file of their own: they are never the same twice."""
    lines = ["task,noise,told,method,seconds_per_picture"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in found:
        writer.writerow([row.task, row.noise, row.told, row.method, _number(row.seconds, 3)])
    return "\n".join(lines) + "\n" + buffer.getvalue()


def files(records: Iterable[Record], spec: str) -> Mapping[str, str]:
    """All tables of a run: name of the file -> text."""
    found = rows(records)
    return {
        "table.md": markdown(found),
        "table.csv": comma_separated(found),
        "table.json": as_json(found, spec),
        "timings.csv": timings(found),
    }


def write_tables(folder: RunFolder, spec: str) -> list[Record]:
    """Write the tables of what is done so far and return the records; of several processes the last one knows all."""
    with folder.locked():
        records = folder.records()
        for name, text in files(records, spec).items():
            folder.write(name, text.encode())
    return chosen(records)
