"""What all scans of a JPEG file have in common: their blocks, their bits, and how they fail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zsir.errors import BadInput
from zsir.operators.jpeg.scans.huffman import Bits, HuffmanTable
from zsir.operators.jpeg.scans.markers import Scan
from zsir.operators.jpeg.scans.store import Numbers, Store


class Work:
    """One scan that is being decoded.

    Args:
        store: Where the codes go.
        scan: The scan.

    Attributes:
        owners: The component of each block of an MCU.
        flat: Number in the store of each block of the scan, in the order in which they come.
        spans: First MCU, and the MCU to stop before, of each stretch between restart markers.
        bits: The bits of the scan.
    """

    def __init__(self, store: Store, scan: Scan) -> None:
        self.store, self.scan = store, scan
        order, self.owners = store.order([part for part, _, _ in scan.parts])
        self.flat = order.reshape(-1)
        n = len(order)
        interval = scan.interval or n
        self.spans = [(begin, min(begin + interval, n)) for begin in range(0, n, interval)]
        self.bits = Bits(scan.stretches)

    def truncated(self, blocks: int) -> BadInput:
        """The error for a scan that ends after so many blocks."""
        return BadInput(
            f"The file is truncated: a scan ends after {blocks} of {len(self.flat)} blocks; get the whole file again."
        )

    def damaged(self, blocks: int) -> BadInput:
        """The error for bits that no encoder writes, after so many blocks."""
        return BadInput(
            f"The file is damaged: the Huffman codes make no sense after {blocks} of {len(self.flat)} blocks; "
            "get the original again."
        )

    def stretch(self, i: int) -> tuple[int, int]:
        """First bit of the stretch between two restart markers, and the bit to stop before."""
        if i + 1 >= len(self.bits.edges):
            raise self.truncated(self.spans[i][0] * len(self.owners))
        return self.bits.edges[i], self.bits.edges[i + 1]

    def read(self, at: Numbers, tables: list[HuffmanTable], which: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Read symbols with their values.

        Args:
            at: Where they begin in the piece that is laid out.
            tables: The Huffman tables.
            which: The table of each symbol.

        Returns:
            Runs, sizes in bits, and values. The size is -1 where there is no symbol.
        """
        windows = self.bits.windows
        window = windows[at]
        place = (which << 16) + window if len(tables) > 1 else window
        length = np.concatenate([table.length for table in tables])[place]
        symbol = np.concatenate([table.symbol for table in tables])[place].astype(np.int32)
        size = symbol & 15
        raw = windows[at + length] >> (16 - size)
        full = 1 << size
        value = np.where(raw < full >> 1, raw - full + 1, raw)
        return symbol >> 4, np.where(length == 0, -1, size), value


def each_bit(begins: Numbers, counts: Numbers) -> NDArray[np.int64]:
    """The positions begin, begin + 1, ... of all runs, one run after the other.

    Args:
        begins: Where each run begins.
        counts: Number of positions of each run.

    Returns:
        All positions.
    """
    before = np.cumsum(counts) - counts
    return np.repeat(begins - before, counts) + np.arange(int(counts.sum()))
