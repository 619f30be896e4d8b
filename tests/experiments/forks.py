"""Runs of ``zsir`` in forks of one process that has loaded everything, so that a start takes no time.

python -m tests.experiments.forks kill SPEC RUN        kill a run ten times, then let it end
python -m tests.experiments.forks share SPEC RUN N     N processes at once, then their exit codes
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

from zsir.cli import main

for name in (
    "workflow.restore",
    "experiments.engine",
    "experiments.plan",
    "experiments.summary",
    "priors.exact",
    "samplers",
):
    import_module(f"zsir.{name}")


def start(arguments: list[str], **environment: str) -> int:
    """Begin a command in a fork; returns its process id."""
    child = os.fork()
    if child:
        return child
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        main(arguments)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    finally:
        os._exit(99)


def lines(run: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in run.glob("manifest.*.jsonl"))


def kill(spec: str, run: Path, times: int = 10) -> None:
    """Every kill comes at a random moment of a random picture; then one run to the end."""
    generator = random.Random(0)
    killed = 0
    for _ in range(times):
        wanted = lines(run) + generator.randrange(4)
        child = start(["run", spec, "-o", str(run)])
        while lines(run) < wanted and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        with Path(f"{run}.log").open("a") as log:
            log.write(f"{lines(run)}\n")
    _, status = os.waitpid(start(["run", spec, "-o", str(run)]), 0)
    print(killed, os.waitstatus_to_exitcode(status))


def share(spec: str, run: Path, count: int) -> None:
    """``count`` processes that know of each other by the environment only."""
    children = [
        start(["run", spec, "-o", str(run)], RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank))
        for rank in range(count)
    ]
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    command, spec, run, *rest = sys.argv[1:]
    if command == "kill":
        kill(spec, Path(run))
    else:
        share(spec, Path(run), int(rest[0]))
