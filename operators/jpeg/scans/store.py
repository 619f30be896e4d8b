"""The codes of a JPEG file while its scans are read (ITU T.81, A.1 and A.2: blocks, MCUs, interleaving)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsir.operators.jpeg.scans.markers import Frame
from zsir.operators.jpeg.standard import ZIGZAG

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The blocks of a component in the store.

    Attributes:
        rows: Rows of blocks that the picture needs.
        columns: Columns of blocks that it needs.
        wide: Columns that are stored; whole MCUs may need more.
        start: Number of the first block in the store.
        h: Horizontal sampling factor.
        v: Vertical sampling factor.
    """

    rows: int
    columns: int
    wide: int
    start: int
    h: int
    v: int


class Store:
    """The codes of all blocks of a file, filled scan by scan.

    Args:
        frame: The frame header.

    Attributes:
        codes: int16 (blocks, 64), in zigzag order.
        bits: Per component and coefficient the bit down to which it is known; -1 where no scan held it.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        single = len(frame.parts) == 1
        h, v = max(part.h for part in frame.parts), max(part.v for part in frame.parts)
        self.across, self.down = -(-frame.width // (8 * h)), -(-frame.height // (8 * v))
        self.grids: list[Grid] = []
        total = 0
        for part in frame.parts:
            rows, columns = -(-frame.height * part.v // (8 * v)), -(-frame.width * part.h // (8 * h))
            wide, high = (columns, rows) if single else (self.across * part.h, self.down * part.v)
            self.grids.append(Grid(rows, columns, wide, total, part.h, part.v))
            total += wide * high
        self.codes = np.zeros((total, 64), np.int16)
        self.bits = np.full((len(frame.parts), 64), -1)

    def order(self, parts: list[int]) -> tuple[Numbers, list[int]]:
        """The blocks of a scan in the order in which they come.

        Args:
            parts: The components of the scan.

        Returns:
            Their numbers in the store (MCUs, blocks per MCU), and the component of each block of an MCU.
        """
        if len(parts) == 1:
            grid = self.grids[parts[0]]
            rows, columns = np.arange(grid.rows)[:, None], np.arange(grid.columns)
            return (grid.start + rows * grid.wide + columns).reshape(-1, 1), parts
        found, owners = [], []
        for part in parts:
            grid = self.grids[part]
            for y in range(grid.v):
                for x in range(grid.h):
                    rows = (np.arange(self.down) * grid.v + y)[:, None]
                    columns = np.arange(self.across) * grid.h + x
                    found.append((grid.start + rows * grid.wide + columns).reshape(-1))
                    owners.append(part)
        return np.stack(found, axis=1), owners

    def natural(self, part: int) -> NDArray[np.int16]:
        """The codes of one component, (rows, columns, 8, 8) in natural order, without blocks beyond the picture."""
        grid = self.grids[part]
        stored = self.codes[grid.start : grid.start + grid.rows * grid.wide]
        codes = stored.reshape(grid.rows, grid.wide, 64)[:, : grid.columns]
        return codes[:, :, np.argsort(ZIGZAG)].reshape(grid.rows, grid.columns, 8, 8)
