"""``zsir inspect``: what pictures have been through, and the command that repairs them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from zsir.cli.exits import FAILURE
from zsir.errors import ZsirError


@click.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a file, each on a line of its own.")
def inspect(sources: tuple[Path, ...], as_json: bool) -> None:
    """Say what pictures have been through: noise, JPEG, blur, enlargement, clipping, with error bars.

    The last line about a picture is the command that repairs it. A picture that needs nothing is told so. What cannot
    be estimated is said, too.

    \b
    Examples:
      zsir inspect photo.jpg
      zsir inspect --json scans/*.png > findings.jsonl
    """
    from zsir.inspection import inspect as look

    failed = False
    for place, source in enumerate(sources):
        try:
            found = look(source)
        except ZsirError as error:
            failed = True
            click.echo(f"zsir: {error}", err=True)
            continue
        if as_json:
            click.echo(json.dumps(found.as_dict()))
            continue
        channels, height, width = found.shape
        click.echo(("\n" if place else "") + f"{source}: {width} x {height}, {'grey' if channels == 1 else 'colour'}")
        for sentence in found.sentences:
            click.echo(f"  {sentence}")
        if command := found.command():
            click.echo(f"To repair it:\n  {command}")
    if failed:
        raise SystemExit(FAILURE)
