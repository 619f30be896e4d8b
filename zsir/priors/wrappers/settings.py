"""What is put around a prior, as settings: those of the command line and of experiments. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from zsir.errors import BadSpec

#: windows begin at multiples of it
GRID = 8
#: arithmetic inside a network, the usual one first
PRECISIONS = ("float32", "bf16", "fp16")


@dataclass(frozen=True)
class Wrapping:
    """Which wrappers a prior is to get, by default none; `zsir.priors.wrap` puts them around it.

    Attributes:
        tile: Side of the windows in pixels, a multiple of 8 from 16 on, or None for the whole picture at once.
        precision: Arithmetic inside the network: ``float32`` (the default), ``bf16`` or ``fp16``.
        ensemble: Whether to average over flips and turns, see `zsir.priors.SelfEnsemble`.
        compiled: Whether to compile the network, see `zsir.priors.Compiled`.

    Raises:
        BadSpec: ``tile`` or ``precision`` is not one of these.
    """

    tile: int | None = None
    precision: str = PRECISIONS[0]
    ensemble: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.tile is not None:
            check_tile(self.tile)
        if self.precision not in PRECISIONS:
            raise BadSpec(f"precision={self.precision}: choose {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}.")

    def __str__(self) -> str:
        """The settings that are not the usual ones, as in ``tile=64, precision=bf16, ensemble``."""
        parts = [f"tile={self.tile}"] if self.tile is not None else []
        parts += [f"precision={self.precision}"] if self.precision != PRECISIONS[0] else []
        return ", ".join(parts + ["ensemble"] * self.ensemble + ["compiled"] * self.compiled)


def check_tile(tile: int) -> None:
    """Raise `BadSpec` for what cannot be the side of a window."""
    if tile < 2 * GRID or tile % GRID:
        near = max(2 * GRID, round(tile / GRID) * GRID)
        raise BadSpec(f"tile={tile}: a multiple of {GRID} from {2 * GRID} on is needed, such as {near}.")
