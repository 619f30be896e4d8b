"""The sizes of a network, told by its tensors.

One damaged tensor must not decide the shape of the network that all others are then compared with. So every size is
put to the vote among the tensors that depend on it, and `load_into` (tensors.py) names the one that differs.
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
    """The tensors whose names match ``names`` (``*`` stands for anything) say ``(shape[axis] - more) / times``.

    Tensors with another number of dimensions than ``ndim`` have no vote, nor have those with which that is no positive
    whole number.
    """

    names: str
    axis: int = 0
    ndim: int = 4
    times: int = 1
    more: int = 0

    def of(self, name: str, tensor: Tensor) -> int:
        """The size that a tensor votes for; 0 for none."""
        if tensor.ndim != self.ndim or not fnmatchcase(name, self.names):
            return 0
        whole, rest = divmod(tensor.shape[self.axis] - self.more, self.times)
        return 0 if rest else max(whole, 0)


def voted(tensors: Mapping[str, Tensor], path: str | Path, *votes: Vote, usual: tuple[int, ...] = ()) -> int:
    """The size that most votes are for; where ``usual`` ones are among them, one of these.

    Raises `BadInput` that names the tensors where there are no votes or as many for another size.
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
    """How many of ``prefix0``, ``prefix1``, ... (or every ``step``-th) there are names for, up to the first gap."""
    found = {name[len(prefix) :].split(".")[0] for name in tensors if name.startswith(prefix)}
    number = 0
    while str(number * step) in found:
        number += 1
    return number


def _undecided(tensors: Mapping[str, Tensor], path: str | Path, votes: tuple[Vote, ...]) -> BadInput:
    """No tensor says how large the network is: the first that should."""
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
