"""Scans of a band of AC codes in progressive files (ITU T.81, G.1.2.2 and G.1.2.3)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from zsir.operators.jpeg.scans.entropy import Work, each_bit
from zsir.operators.jpeg.scans.huffman import DAMAGED, Band, History, HuffmanTable, Refined, walk_band, walk_refined

Found: TypeAlias = "Band | Refined"


class BandScan(Work):
    """A scan of AC codes of one component: the first one of a band, or one that adds a bit to each code."""

    def decode(self) -> None:
        """Store the codes of the scan.

        Raises:
            BadInput: The scan is truncated or damaged.
        """
        (_, _, table), *_ = self.scan.parts
        assert table is not None, "decode_scan has looked"
        self.table: HuffmanTable = table
        if self.scan.high:
            self._remember()
        self._follow(Refined() if self.scan.high else Band())

    def _remember(self) -> None:
        """Note which codes of the band are not zero before the scan."""
        first, span = self.scan.first, self.scan.last + 1 - self.scan.first
        full = self.store.codes[self.flat, first : self.scan.last + 1] != 0
        total = np.concatenate([[0], np.cumsum(np.count_nonzero(full, axis=1))])
        # a stable sort of False and True puts the zeros first, in order
        zeros = np.argsort(full, axis=1, kind="stable").astype(np.uint8)
        self.history = History(first, span, zeros.tobytes(), total.tolist())
        self.full = np.flatnonzero(full)
        self.corrected = 0

    def _follow(self, found: Found) -> None:
        """Follow the codes through all stretches, and store their values piece by piece."""
        bits, band = self.bits, (self.scan.first, self.scan.last)
        for i, (block, end_block) in enumerate(self.spans):
            p, end = self.stretch(i)
            while block < end_block and p < end:
                if not bits.base <= p < bits.base + bits.limit:
                    found = self._keep(found)
                    bits.look(p)
                limit, at = min(bits.limit, end - bits.base), p - bits.base
                if isinstance(found, Refined):
                    block, p = walk_refined(bits.view, at, limit, self.table.ac, self.history, block, end_block, found)
                else:
                    block, p = walk_band(bits.view, at, limit, self.table.ac, band, block, end_block, found)
                if p == DAMAGED:
                    raise self.damaged(block)
                p += bits.base
            if block < end_block or p > end:
                raise self.truncated(block - (p > end))
        self._keep(found)

    def _keep(self, found: Found) -> Found:
        """Store what was found in the piece that is laid out, and begin anew."""
        if isinstance(found, Refined):
            self._add_bits(found)
            return Refined()
        if found.starts:
            self._set_values(found)
        return Band()

    def _set_values(self, found: Band) -> None:
        """Store the codes of a first scan."""
        at = np.array(found.starts)
        run, size, value = self.read(at, [self.table], np.zeros(1, np.int64))
        lengths = np.diff(found.ends, prepend=0)
        block = np.repeat(found.blocks, lengths)
        reached = np.cumsum(run + 1)
        before = np.concatenate([[0], reached])[np.cumsum(lengths) - lengths]
        k = self.scan.first + reached - np.repeat(before, lengths) - 1
        kept = size > 0
        if np.any(k[kept] > self.scan.last):
            raise self.damaged(int(block[np.argmax(kept & (k > self.scan.last))]))
        self.store.codes[self.flat[block[kept]], k[kept]] = value[kept] << self.scan.low

    def _add_bits(self, found: Refined) -> None:
        """Store the new codes of a refining scan, and correct those that there were."""
        codes, low = self.store.codes, self.scan.low
        if found.starts:
            _, size, value = self.read(np.array(found.starts), [self.table], np.zeros(1, np.int64))
            places = np.array(found.places)
            if np.any(size > 1):
                raise self.damaged(int(places[np.argmax(size > 1)]) // 64)
            new = places[size == 1]
            codes[self.flat[new // 64], new % 64] = value[size == 1] << low
        if found.corrections:
            begins, counts = np.array(found.corrections).T
            bit = self.bits.at(self.bits.base + each_bit(begins, counts))
            chosen = self.full[self.corrected : self.corrected + len(bit)]
            self.corrected += len(bit)
            chosen, step = chosen[bit == 1], 1 << low
            block, k = self.flat[chosen // self.history.span], self.scan.first + chosen % self.history.span
            codes[block, k] += np.where(codes[block, k] > 0, step, -step).astype(np.int16)
