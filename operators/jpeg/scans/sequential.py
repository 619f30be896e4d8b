"""Scans of whole blocks or of their DC codes (ITU T.81, F.2 and G.1.2.1)."""

from __future__ import annotations

import numpy as np

from zsir.operators.jpeg.scans.entropy import Work
from zsir.operators.jpeg.scans.huffman import DAMAGED, walk_mcus


class BlockScan(Work):
    """A sequential scan, or a scan of DC codes alone."""

    def decode(self) -> None:
        """Store the codes of the scan.

        Raises:
            BadInput: The scan is truncated or damaged.
        """
        if self.scan.first == 0 and self.scan.high:
            self._refine()
            return
        # each block takes a bit at least; this refuses a huge picture without data before anything is made for it
        if self.bits.edges[-1] < len(self.flat):
            raise self.truncated(0)
        self._prepare()
        self._follow()
        self._sum_differences()

    def _prepare(self) -> None:
        """The tables of the scan, and which of them each block of an MCU has."""
        mine = {part: (dc, ac) for part, dc, ac in self.scan.parts}
        known = [table for _, dc, ac in self.scan.parts for table in (dc, ac) if table]
        self.tables = list({id(table): table for table in known}.values())
        which = {id(table): i for i, table in enumerate(self.tables)}
        self.dc = np.array([which.get(id(mine[owner][0]), 0) for owner in self.owners])
        self.ac = np.array([which.get(id(mine[owner][1]), 0) for owner in self.owners])
        self.layout = [(self.tables[i].dc, self.tables[j].ac) for i, j in zip(self.dc, self.ac, strict=True)]

    def _follow(self) -> None:
        """Follow the codes through all stretches, and store their values piece by piece."""
        bits, starts, width, stored = self.bits, list[int](), len(self.owners), 0
        begin = 1 if self.scan.last else 64
        for i, (mcu, end_mcu) in enumerate(self.spans):
            p, end = self.stretch(i)
            while mcu < end_mcu and p < end:
                if not bits.base <= p < bits.base + bits.limit:
                    self._keep(starts, stored)
                    starts.clear()
                    stored = mcu * width
                    bits.look(p)
                limit = min(bits.limit, end - bits.base)
                done, p = walk_mcus(bits.view, p - bits.base, limit, self.layout, begin, end_mcu - mcu, starts)
                mcu += done
                if p == DAMAGED:
                    self._keep(starts, stored)
                    raise self.damaged(mcu * width)
                p += bits.base
            if mcu < end_mcu or p > end:
                self._keep(starts, stored)
                raise self.truncated((mcu - (p > end)) * width)
        self._keep(starts, stored)

    def _keep(self, starts: list[int], before: int) -> None:
        """Read the symbols that begin at ``starts`` and store their values.

        Args:
            starts: Positions in the piece that is laid out, those of DC codes as ~position.
            before: Number of blocks of the scan that come before.
        """
        if not starts:
            return
        marked = np.array(starts, dtype=np.int32)
        heads = marked < 0
        block = np.cumsum(heads, dtype=np.int32) + (before - 1)
        place = block % len(self.owners)
        which = np.where(heads, self.dc[place], self.ac[place])
        run, size, value = self.read(np.where(heads, ~marked, marked), self.tables, which)
        if np.any(size < 0):
            raise self.damaged(int(block[np.argmax(size < 0)]))
        reached = np.cumsum(np.where(heads, 0, run + 1), dtype=np.int32)
        k = reached - reached[heads][block - before]
        kept = heads | (size > 0)
        if np.any(k[kept] > 63) or np.any(run[heads]):
            raise self.damaged(int(block[np.argmax((kept & (k > 63)) | (heads & (run > 0)))]))
        self.store.codes[self.flat[block[kept]], k[kept]] = value[kept]

    def _sum_differences(self) -> None:
        """Make DC codes of their differences, which begin anew at each restart."""
        codes, width = self.store.codes, len(self.owners)
        begins, ends = np.array(self.spans).T
        for part in dict.fromkeys(self.owners):
            mine = self.flat.reshape(-1, width)[:, np.array(self.owners) == part]
            per = mine.shape[1]
            total = np.cumsum(codes[mine.reshape(-1), 0], dtype=np.int64)
            before = np.concatenate([[0], total])[begins * per]
            values = (total - np.repeat(before, (ends - begins) * per)) << self.scan.low
            wrong = np.abs(values) > 32767
            if np.any(wrong):
                raise self.damaged(int(np.argmax(wrong)))
            codes[mine.reshape(-1), 0] = values

    def _refine(self) -> None:
        """Add one more bit to every DC code."""
        width = len(self.owners)
        for i, (mcu, end_mcu) in enumerate(self.spans):
            p, end = self.stretch(i)
            n = (end_mcu - mcu) * width
            if p + n > end:
                raise self.truncated(mcu * width + end - p)
            chosen = self.flat[mcu * width : end_mcu * width]
            self.store.codes[chosen, 0] |= (self.bits.at(np.arange(p, p + n)) << self.scan.low).astype(np.int16)
