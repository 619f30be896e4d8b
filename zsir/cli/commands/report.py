"""``zsir report``: a run as one web page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from zsir.cli import options


@dataclass(frozen=True)
class ReportOptions:
    """The options of ``zsir report``."""

    folder: Path
    out: Path | None
    quiet: bool


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", metavar="FILE.html", type=click.Path(path_type=Path), help="The page.  [default: RUN/report.html]"
)
@options.quiet
@options.into(ReportOptions)
def report(settings: ReportOptions) -> None:
    """Write the run in the folder RUN as one web page with tables, plots, pictures to compare, and provenance.

    The page holds everything that it shows and loads nothing. The run need not be finished.
    """
    from zsir.experiments.report import write_report

    written = write_report(settings.folder, settings.out)
    if not settings.quiet:
        for note in written.notes:
            click.echo(note)
        click.echo(f"{written.path} ({written.size / 1e6:.1f} MB)")
