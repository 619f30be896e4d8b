"""The sizes of a network, read from the shapes of its tensors.

One damaged tensor must not decide the shape of the whole network. So all tensors that depend on a size vote for it.
`load_into` (tensors.py) then compares each tensor with the winning size, and names the damaged one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor

from zsir.errors import BadInput


@dataclass(frozen=True)
class Vote:
    """Each tensor whose name matches ``names`` (``*`` stands for anything) votes for ``(shape[axis] - more) / times``.

    A tensor votes only if it has ``ndim`` dimensions and the formula gives a positive integer.
    """

    names: str
    axis: int = 0
    ndim: int = 4
    times: int = 1
    more: int = 0

    def of(self, name: str, tensor: Tensor) -> int:
        """The size that a tensor votes for; 0 if it has no vote."""
        if tensor.ndim != self.ndim or not fnmatchcase(name, self.names):
            return 0
        whole, rest = divmod(tensor.shape[self.axis] - self.more, self.times)
        return 0 if rest else max(whole, 0)


def voted(tensors: Mapping[str, Tensor], path: str | Path, *votes: Vote, usual: tuple[int, ...] = ()) -> int:
    """The size with the most votes. If any tensor votes for a size in ``usual``, only those sizes can win.

    Raises `BadInput` if there are no votes, or if two sizes share the most votes; the message names the tensors.
    """
    ballots: dict[int, list[str]] = {}
    for vote in votes:
        for name, tensor in tensors.items():
            if size := vote.of(name, tensor):
                ballots.setdefault(size, []).append(name)
    if not ballots:
        raise _undecided(tensors, path, votes)
    ranked = sorted(ballots, key=lambda size: (size in usual, len(ballots[size])), reverse=True)
    best = ranked[0]
    for other in ranked[1:]:
        if (other in usual, len(ballots[other])) == (best in usual, len(ballots[best])):
            one, two = (f"'{ballots[size][0]}' of shape {_shape(tensors[ballots[size][0]])}" for size in (best, other))
            raise BadInput(f"{path}: the sizes of the tensors {one} and {two} disagree; one of them is damaged.")
    return best


def counted(tensors: Mapping[str, Tensor], prefix: str, step: int = 1) -> int:
    """The number of ``prefix0``, ``prefix1``, ... (or of every ``step``-th) among the names, up to the first gap."""
    found = {name[len(prefix) :].split(".")[0] for name in tensors if name.startswith(prefix)}
    number = 0
    while str(number * step) in found:
        number += 1
    return number


def _undecided(tensors: Mapping[str, Tensor], path: str | Path, votes: tuple[Vote, ...]) -> BadInput:
    """The error for a size without votes. It names the first tensor that should have one."""
    vote = votes[0]
    name = next((name for name in tensors if fnmatchcase(name, vote.names)), "")
    if not name:
        return BadInput(f"{path} lacks the tensor '{vote.names}', which tells a size of the network.")
    return BadInput(
        f"{path}: the tensor '{name}' has shape {_shape(tensors[name])}, expected were {vote.ndim} dimensions that "
        "tell a size of the network."
    )


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
