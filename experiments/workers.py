"""Which of how many processes this one is, as accelerate, torchrun or the user say by environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from zsir.errors import BadSpec, Incompatible

#: how long a process may wait for the others at the end: pictures are not equally quick
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Worker:
    """Process ``rank`` of ``count``; ``local`` is its number on its machine, which decides its GPU."""

    rank: int = 0
    count: int = 1
    local: int = 0
    launched: bool = False

    def mine(self, position: int) -> bool:
        """Whether this process does the item at ``position`` of the whole list."""
        return position % self.count == self.rank


def worker(environment: Mapping[str, str] = os.environ) -> Worker:
    """From RANK, WORLD_SIZE and LOCAL_RANK; raises `BadSpec` where they contradict each other.

    ``launched``: a launcher has made a meeting point (MASTER_ADDR), and its processes can wait for each other.
    """
    numbers = []
    for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")):
        text = environment.get(name, default)
        if not text.isdecimal():
            raise BadSpec(f"The environment variable {name}={text} must be a whole number.")
        numbers.append(int(text))
    rank, count, local = numbers
    if rank >= count:
        raise BadSpec(f"The environment says RANK={rank} of WORLD_SIZE={count}; ranks count from 0 to {count - 1}.")
    return Worker(rank, count, local, launched=count > 1 and "MASTER_ADDR" in environment)


def started_alone(environment: Mapping[str, str] = os.environ) -> str:
    """A sentence where accelerate was asked for several processes and has started one, which it does where it finds no
    GPUs; empty otherwise. It then names a meeting point, but no number of processes."""
    asked = "MASTER_ADDR" in environment and "WORLD_SIZE" not in environment
    if not asked or not any(name.startswith("ACCELERATE_") for name in environment):
        return ""
    return (
        "accelerate was asked for several processes and started one; on a CPU it needs --multi_gpu too: "
        "accelerate launch --multi_gpu --num_processes 4 ..., or use torchrun --nproc_per_node 4 ...."
    )


class Meeting:
    """Where launched processes wait for each other; for processes that know nothing of each other, nothing."""

    def __init__(self, me: Worker, cuda: bool) -> None:
        self._state: Any = None
        if me.launched:
            try:
                from accelerate import PartialState
            except ImportError:
                raise Incompatible(
                    "Several launched processes need the package accelerate; pip install 'zsir[hub]', or start them "
                    "without MASTER_ADDR in the environment."
                ) from None
            self._state = PartialState(cpu=not cuda, timeout=PATIENCE)

    def wait(self) -> None:
        """Return when all processes are here. A launcher stops the others when one ends with an error."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def close(self) -> None:
        """Take leave of the other processes."""
        if self._state is not None:
            self._state.destroy_process_group()
