"""Work on many files. A file that fails is named, and the others go on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from zsir.cli.exits import HARM, INTERRUPTED, exit_code, fail, say
from zsir.cli.outputs import Job, check_source
from zsir.errors import ZsirError, bug, debugging, out_of_memory

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from zsir.loop.solver import Event


#: seconds left that are worth a line where there is no bar, and seconds between two lines
LONG, APART = 60.0, 20.0


def about(seconds: float) -> str:
    """Time that is left, as the end of a sentence; empty for less than a second.

    >>> about(41.2), about(200), about(5000), about(0.2)
    (', about 41 s left', ', about 3 min left', ', about 1.4 h left', '')
    """
    if seconds < 1:
        return ""
    if seconds < 90:
        return f", about {seconds:.0f} s left"
    return f", about {seconds / 60:.0f} min left" if seconds < 3600 else f", about {seconds / 3600:.1f} h left"


class Display:
    """The progress of a batch: a bar on a terminal, plain lines elsewhere, nothing with ``--quiet``."""

    def __init__(self, quiet: bool, total: int) -> None:
        self.quiet = quiet
        self._stack = ExitStack()
        self._bar: Progress | None = None
        self._row: TaskID | None = None
        if not quiet and sys.stderr.isatty():
            self._open(total)

    def _open(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
        console = Console(stderr=True)
        bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._bar = self._stack.enter_context(bar)
        self._row = bar.add_task("", total=total, state="")

    @property
    def plain(self) -> bool:
        """Whether lines take the place of a bar."""
        return self._bar is None and not self.quiet

    def step(self, name: str, done: float, state: str) -> None:
        """``done`` (counted in results) of the batch; ``state`` says where ``name`` stands."""
        if self._bar is not None and self._row is not None:
            from rich.markup import escape

            self._bar.update(self._row, description=escape(name), completed=done, state=state)

    def line(self, text: str) -> None:
        """One line about a result."""
        if not self.quiet:
            click.echo(text)

    def close(self) -> None:
        """Remove the bar and keep the lines."""
        self._stack.close()


class Batch:
    """Runs jobs one after the other, and counts the files written and the jobs that failed."""

    def __init__(self, jobs: Sequence[Job], *, quiet: bool) -> None:
        self.jobs = jobs
        self.results = sum(len(job.results) for job in jobs)
        self.display = Display(quiet, self.results)
        self.written = 0
        self.position = 0  # results that are behind us, written or not: where the bar stands
        self._failed: list[tuple[Path, int]] = []

    def run(self, work: Callable[[Job], None]) -> None:
        """Call ``work`` for every job. Ends the program with an exit code if a job fails or the user presses Ctrl-C."""
        try:
            for job in self.jobs:
                end = self.position + len(job.results)
                self._attempt(job, work)
                self.position = end
        except KeyboardInterrupt:
            self.display.close()
            fail(f"interrupted; {self.written} of {self.results} files were written", INTERRUPTED)
        finally:
            self.display.close()
        if self._failed:
            codes = {code for _, code in self._failed}
            failed = dict.fromkeys(path for path, _ in self._failed)
            if len(self.jobs) > 1:
                names = ", ".join(map(str, failed))
                say(f"{len(failed)} of {len(self.jobs)} failed: {names}")
            # a mixture of causes is a failure of files, unless a bug is among them
            raise click.exceptions.Exit(codes.pop() if len(codes) == 1 else 70 if 70 in codes else 1)

    def _attempt(self, job: Job, work: Callable[[Job], None]) -> None:
        try:
            with notes():
                check_source(job.source)
                if job.refused is not None:
                    raise job.refused
                work(job)
        except ZsirError as error:
            self._note_failure(job, str(error), exit_code(error))
        except Exception as error:
            if debugging():
                raise
            translated = out_of_memory(error)
            message = bug(error) if translated is None else str(translated)
            self._note_failure(job, message, exit_code(translated or error))

    def _note_failure(self, job: Job, message: str, code: int) -> None:
        self._failed.append((job.source, code))
        named = str(job.source) in message or any(str(result.target) in message for result in job.results)
        say(message if named else f"{job.source}: {message}")

    def refuse(self, job: Job, target: Path, sentence: str) -> None:
        """Count a result that is worse than its observation and say that it was not written."""
        self.position += 1
        self._failed.append((job.source, HARM))
        say(f"{job.source}: {sentence} {target} was not written; --force writes it.")

    def follow(self, name: str) -> Callable[[Event], None]:
        """A callback of `zsir.solve` that moves the bar through the result that is being computed.

        Where there is no bar, a line now and then says how a long one goes on.
        """
        done = self.position
        first = spoken = 0.0
        self.display.step(name, done, "")

        def show(event: Event) -> None:
            nonlocal first, spoken
            now = monotonic()
            if event.step == 1:  # of another attempt, too; what came before it took its own time
                first = now
            left = (now - first) / max(1, event.step - 1) * (event.steps - event.step)
            state = f"step {event.step} of {event.steps}{about(left)}"
            self.display.step(name, done + event.step / event.steps, state)
            if self.display.plain and left >= LONG and now - spoken >= APART:
                spoken = now
                say(f"{name}: {state}")

        return show

    def done(self, line: str) -> None:
        """Count a result that was written and say so."""
        self.written += 1
        self.position += 1
        self.display.line(line)


@contextmanager
def notes() -> Iterator[None]:
    """Print the warnings of zsir, each once, as one line. Warnings of other packages are hidden."""
    from zsir.pictures import PictureWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", PictureWarning)
        try:
            yield
        finally:
            for message in dict.fromkeys(str(warning.message) for warning in caught):
                say(f"note: {message}")
