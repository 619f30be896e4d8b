"""The end of a command: every mistake becomes one sentence on stderr and an exit code, never a traceback."""

from __future__ import annotations

import difflib
import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import click

from zsir.errors import BadSpec, Incompatible, UnknownName, ZsirError, bug, debugging

USAGE, FAILURE, HARM, BUG, INTERRUPTED = 2, 1, 3, 70, 130


class Commands(click.Group):
    """A group of commands with the project's way of reporting mistakes and proposing names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command."""
        with reported():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Parse and run the command. Warnings of libraries are hidden."""
        with reported(), warnings.catch_warnings():
            if not debugging():
                warnings.simplefilter("ignore")
            result: object = super().invoke(ctx)
            return result

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or propose a similar name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}."
            raise click.UsageError(f"There is no command '{name}'; {hint}", ctx)
        return super().resolve_command(ctx, args)


@contextmanager
def reported() -> Iterator[None]:
    """Turn every error raised inside into one line on stderr and an exit code."""
    try:
        yield
    except (click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except click.ClickException as error:
        fail(" ".join(error.format_message().split()), error.exit_code)
    except ZsirError as error:
        fail(str(error), exit_code(error))
    except Exception as error:
        if debugging() or (isinstance(error, OSError) and error.errno == errno.EPIPE):
            raise  # a reader such as `head` that has seen enough: click ends quietly
        fail(bug(error), BUG)


def exit_code(error: Exception) -> int:
    """The exit code of an error: 2 for a wrong command, 1 for a file or computation that fails, 70 for a bug."""
    if isinstance(error, BadSpec | UnknownName | Incompatible):
        return USAGE
    return FAILURE if isinstance(error, ZsirError) else BUG


def fail(message: str, code: int) -> None:
    """Say ``message`` on stderr and end with ``code``."""
    say(message)
    raise click.exceptions.Exit(code)


def say(message: str) -> None:
    """One line on stderr."""
    click.echo(f"zsir: {message}", err=True)
