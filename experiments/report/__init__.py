"""A run folder as one HTML page that needs nothing beside itself; the engine behind ``zsir report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsir.errors import BadSpec
from zsir.files import check_target, write_bytes


@dataclass(frozen=True)
class Report:
    """What was written: where, how many bytes, and sentences on what the page lacks."""

    path: Path
    size: int
    notes: list[str]


def write_report(run: Path, out: Path | None = None) -> Report:
    """Write the report of the folder ``run`` to ``out`` (``run/report.html``) in one stroke.

    Raises `BadInput` where ``run`` holds no run or nothing is done yet, `BadSpec` where ``out`` is not named .html,
    `OutputError` where it cannot be written, `Incompatible` without matplotlib.
    """
    from zsir.experiments.report import facts, gallery, page, plots

    found = facts.read(run)
    target = run / "report.html" if out is None else out
    if target.suffix.lower() not in (".html", ".htm"):
        raise BadSpec(f"-o {target}: a report is a web page; give a name that ends in .html.")
    check_target(target)
    plots.check()
    shown = gallery.collect(found)
    data = page.build(found, shown).encode()
    write_bytes(target, data)
    return Report(target, len(data), [*found.gaps, *shown.notes])
