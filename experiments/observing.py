"""What there is to do, item by item, and what is observed of each item's picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from zsir import operators
from zsir.errors import ZsirError
from zsir.experiments import cropping
from zsir.experiments.grid import Cell
from zsir.experiments.sets import PictureFile
from zsir.operators import Operator, Traced
from zsir.operators.catalogue import OPERATORS
from zsir.workflow.pose import Observed, observation_noise, observe

#: plans of operators are large, and a folder may have pictures of many sizes
REMEMBERED = 32


@dataclass(frozen=True)
class Item:
    """One sample of one picture in one cell: what is done or not done as a whole."""

    cell: Cell
    picture: PictureFile
    sample: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """As `item_key` has it for the item's record."""
        return self.cell.key, self.picture.name, self.sample

    @property
    def op(self) -> str:
        """The operator of the item. What ``wild`` draws follows from the seed and the place of the picture."""
        parsed = OPERATORS.parse(self.cell.op)
        if parsed.name != "wild" or "seed" in parsed.options:
            return self.cell.op
        return replace(parsed, options={**parsed.options, "seed": self.cell.seed, "number": self.picture.index}).spec


@dataclass(frozen=True)
class Ready:
    """An item with truth (1, c, h, w) and observation, or with the error that came in the way."""

    item: Item
    truth: Tensor | None = field(default=None, repr=False)
    made: Observed | None = field(default=None, repr=False)
    error: ZsirError | None = None


@dataclass(frozen=True)
class Solved:
    """A ready item with its estimate on the CPU (1, c, h, w) in [0, 1], or with an error."""

    ready: Ready
    x: Tensor | None = field(default=None, repr=False)
    seconds: float = 0.0
    nfe: int = 0
    residual: float = 0.0
    fingerprint: str = ""
    error: ZsirError | None = None


def all_items(cells: Iterable[Cell], pictures: Sequence[PictureFile], samples: int) -> list[Item]:
    """Everything there is to do, in the order of the spec."""
    return [Item(cell, picture, k) for cell in cells for picture in pictures for k in range(samples)]


def remaining(items: Sequence[Item], mine: Callable[[int], bool], done: set[tuple[str, str, int]]) -> list[Item]:
    """The items of this process that are not done yet. Shares follow from the whole list, so that processes agree
    on them without speaking to each other."""
    return [item for position, item in enumerate(items) if mine(position) and item.key not in done]


class Observations:
    """Makes the observations of items; remembers operators."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._operators: dict[tuple[str, tuple[int, ...]], Operator] = {}

    def of(self, item: Item, truth: Tensor) -> Observed:
        """``A x + noise n``, n from seed and index alone; or the observation's file. What a mask hides stays black.

        The operator of ``wild`` is the one that the draw holds, with the noise that the draw left in this picture.
        """
        operator = self._operator(item.op, truth)
        if item.picture.observed is not None:
            y = cropping.observation(item.picture.observed, self._size, operator)
            return Observed(y, y, operator, item.cell.noise)
        if isinstance(operator, Traced):
            y, trace = operator.trace.observe(truth)
            known = Traced(trace, operator.label)
            return Observed(y, y, known, known.own_noise)
        return observe(operator, truth, item.cell.noise, observation_noise(item.cell.seed, item.picture.index))

    def _operator(self, spec: str, x: Tensor) -> Operator:
        shape = tuple(x.shape[1:])
        found = self._operators.get((spec, shape))
        if found is None:
            if len(self._operators) > REMEMBERED:
                self._operators.clear()
            found = operators.make(spec, in_shape=(shape[0], shape[1], shape[2]))
            self._operators[spec, shape] = found
        return found
