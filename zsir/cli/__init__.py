"""The command ``zsir``. Nothing in this package imports torch before a command needs it."""

from __future__ import annotations

import click

import zsir
from zsir.cli.commands.compare import compare
from zsir.cli.commands.convert import convert
from zsir.cli.commands.degrade import degrade
from zsir.cli.commands.demo import demo
from zsir.cli.commands.info import cite, describe, list_names
from zsir.cli.commands.inspect import inspect
from zsir.cli.commands.report import report
from zsir.cli.commands.run import run
from zsir.cli.commands.solve import solve
from zsir.cli.commands.trace import trace
from zsir.cli.commands.train import distill, train
from zsir.cli.commands.tune import tune
from zsir.cli.exits import Commands

EPILOG = """\b
Examples:
  zsir solve --op sr4x small.png -o big.png
  zsir solve --op blur:sigma=3 --noise 5/255 photos/ -o restored/
  zsir degrade --op mask:keep=0.3 photo.png -o holes.png
  zsir run smoke --out smoke/
  zsir report smoke/
  zsir describe downsample

\b
Completion of commands and options with the tab key, in your shell's start-up file:
  eval "$(_ZSIR_COMPLETE=bash_source zsir)"     # bash, in ~/.bashrc
  eval "$(_ZSIR_COMPLETE=zsh_source zsir)"      # zsh, in ~/.zshrc

Exit codes: 0 done, 1 a file or a computation failed, 2 the command is wrong, 3 a result is worse than its observation
and was not written, 70 a bug, 130 interrupted.
"""


@click.group(
    cls=Commands,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(zsir.__version__, prog_name="zsir", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Restore pictures: enlarge, deblur, denoise, fill in, with pretrained priors and no training."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


COMMANDS = (
    *(solve, inspect, compare, trace, tune, degrade),
    *(run, report),
    *(train, distill, convert),
    *(demo, list_names, describe, cite),
)

for command in COMMANDS:
    main.add_command(command)

__all__ = ["main"]
