"""Huffman codes of JPEG files, decoded by looking 16 bits ahead (ITU T.81, annexes F and G).

Decoding is inherently sequential: only the length of one code tells where the next one begins. The loops here do
nothing but find these beginnings. Each step is one table look-up, which gives the bits to advance (code and value
together) and the coefficients to advance. NumPy then reads all values at once, from the beginnings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zsir.errors import BadInput

#: coefficients to advance at an end of block of 2^r blocks: END times (r + 1). It exceeds 64, so it ends the block
END = 128
#: coefficients to advance at bits that are no code
WRONG = 20 * END
#: bits that one MCU of 10 blocks takes at most, with room
LONGEST_MCU = 24_000
#: bytes whose bits are looked at in one piece
PIECE = 1 << 19

DAMAGED = -1  # in place of a position

#: the next 16 bits from every position; indexing a memoryview is faster than indexing an array
View: TypeAlias = memoryview


@dataclass(frozen=True, eq=False)
class HuffmanTable:
    """A Huffman table, laid out for every value of the next 16 bits.

    Attributes:
        length: Bits of the code that the 16 bits begin with, uint8 (65536,); 0 where they begin with none.
        symbol: What the code stands for, uint8 (65536,).
        dc: Bits to advance by a DC code with its value; 0 where there is no code.
        ac: Bits to advance by an AC code with its value, plus 32 times the coefficients to advance.
    """

    length: NDArray[np.uint8] = field(repr=False)
    symbol: NDArray[np.uint8] = field(repr=False)
    dc: list[int] = field(repr=False)
    ac: list[int] = field(repr=False)


@lru_cache(maxsize=16)  # most files have the tables of T.81, annex K
def huffman_table(counts: bytes, symbols: bytes) -> HuffmanTable:
    """The table that a DHT segment describes.

    Args:
        counts: Number of codes of 1, 2, ... 16 bits.
        symbols: The symbols in the order of their codes.

    Returns:
        The table.

    Raises:
        BadInput: There are more codes of some length than fit.
    """
    lengths = np.repeat(np.arange(1, 17), np.frombuffer(counts, np.uint8))
    # codes count upwards, so in 16 bits each code's share of the values follows the share of the code before it
    shares = 1 << (16 - lengths)
    used = int(shares.sum())
    if used > 1 << 16 or len(symbols) != len(lengths):
        raise BadInput("The file has an impossible Huffman table, so it is damaged; get the original file again.")
    length, symbol = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
    length[:used] = np.repeat(lengths, shares)
    symbol[:used] = np.repeat(np.frombuffer(symbols, np.uint8), shares)
    run, size = symbol.astype(np.int64) >> 4, symbol.astype(np.int64) & 15
    coded = length > 0
    onward = np.where((size > 0) | (run == 15), run + 1, END * (run + 1))
    ac = np.where(coded, (length + size) + 32 * onward, 32 * WRONG)
    dc = np.where(coded & (symbol < 16), length + size, 0)
    return HuffmanTable(length, symbol, dc.tolist(), ac.tolist())


class Bits:
    """The bits of one scan, without stuffed bytes and restart markers.

    Args:
        parts: The bytes between the restart markers, without stuffed bytes.
    """

    def __init__(self, parts: list[bytes]) -> None:
        ends = 8 * np.cumsum([0, *(len(part) for part in parts)])
        #: where each part begins, and where the last one ends
        self.edges: list[int] = ends.tolist()
        self._bytes = np.frombuffer(b"".join([*parts, bytes(LONGEST_MCU // 8)]), np.uint8)
        self.base = 0
        self.limit = 0
        self.windows = np.zeros(0, np.uint16)
        self.view: View = memoryview(self.windows.data)

    def look(self, position: int) -> None:
        """Lay out the 16 bits from every position on, for one piece of the scan that begins at this position."""
        first = position >> 3
        piece = self._bytes[first : first + PIECE + LONGEST_MCU // 8].astype(np.uint32)
        piece = np.concatenate([piece, np.zeros(2, np.uint32)])
        words = (piece[:-2] << 16) | (piece[1:-1] << 8) | piece[2:]
        self.windows = np.empty((len(words), 8), np.uint16)
        for bit in range(8):
            self.windows[:, bit] = (words >> (8 - bit)) & 0xFFFF
        self.windows = self.windows.reshape(-1)
        self.view = memoryview(self.windows.data)
        self.base = 8 * first
        self.limit = len(self.windows) - LONGEST_MCU

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The single bits at positions of the whole scan, 0 or 1; beyond the end 0."""
        inside = np.minimum(positions >> 3, len(self._bytes) - 1)
        bits: NDArray[np.int64] = (self._bytes[inside].astype(np.int64) >> (7 - (positions & 7))) & 1
        return bits


def walk_mcus(
    view: View, p: int, limit: int, layout: list[tuple[list[int], list[int]]], begin: int, n: int, starts: list[int]
) -> tuple[int, int]:
    """Find where the symbols of whole MCUs begin.

    Args:
        view: The next 16 bits from every position.
        p: Where the first MCU begins.
        limit: No MCU is begun from this position on.
        layout: The look-up tables (DC, AC) of the blocks of an MCU.
        begin: 1 for blocks with AC coefficients, 64 for DC alone.
        n: Number of MCUs.
        starts: Receives the positions, those of DC codes as ~position.

    Returns:
        Number of MCUs done, and where the next one begins, or `DAMAGED`.
    """
    append = starts.append
    for done in range(n):
        if p >= limit:
            return done, p
        for dc, ac in layout:
            step = dc[view[p]]
            append(~p)
            p += step
            k = begin
            while k < 64:
                step = ac[view[p]]
                append(p)
                p += step & 31
                k += step >> 5
            # k >> 7 is 1 after a plain end of block, more after codes that sequential files do not have
            if k != 64 and k >> 7 != 1:
                return done, DAMAGED
    return n, p


@dataclass(eq=False)
class Band:
    """What a walk over blocks of one component has found.

    Attributes:
        starts: Where the symbols begin.
        blocks: The blocks that have symbols of their own.
        ends: Number of symbols up to the end of each of these blocks.
    """

    starts: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)


def walk_band(
    view: View, p: int, limit: int, ac: list[int], band: tuple[int, int], block: int, n: int, found: Band
) -> tuple[int, int]:
    """Find where the symbols of a band of AC coefficients begin, in its first scan.

    Args:
        view: The next 16 bits from every position.
        p: Where the first block begins.
        limit: No block is begun from this position on.
        ac: The look-up table.
        band: First and last coefficient of the band.
        block: The first block.
        n: The block to stop before.
        found: Receives what is found.

    Returns:
        The next block, and where it begins, or `DAMAGED`.
    """
    append, (first, last) = found.starts.append, band
    while block < n:
        if p >= limit:
            return block, p
        k = first
        while k <= last:
            step = ac[view[p]]
            append(p)
            p += step & 31
            k += step >> 5
        found.blocks.append(block)
        found.ends.append(len(found.starts))
        if k < END:
            if k != last + 1:
                return block, DAMAGED
            block += 1
            continue
        r = (k >> 7) - 1
        if r > 14:
            return block, DAMAGED
        block += (1 << r) + (view[p] >> (16 - r))
        p += r
    return block, p if block == n else DAMAGED


@dataclass(eq=False)
class Refined:
    """What a walk over refined blocks of one component has found.

    Attributes:
        starts: Where the symbols of new coefficients begin, with those of runs of 16 zeros.
        places: The new coefficients: 64 times the block plus the index in the zigzag.
        corrections: Where correction bits begin, and how many they are.
    """

    starts: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    corrections: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class History:
    """Which coefficients of a band were not zero before the scan.

    Attributes:
        first: First coefficient of the band.
        span: Number of its coefficients.
        zeros: The zero coefficients of each block, in order, as offsets from ``first``; ``span`` bytes a block.
        total: Number of coefficients other than zero in all blocks before each block.
    """

    first: int
    span: int
    zeros: bytes = field(repr=False)
    total: list[int] = field(repr=False)


def walk_refined(
    view: View, p: int, limit: int, ac: list[int], history: History, block: int, n: int, found: Refined
) -> tuple[int, int]:
    """Find where the symbols and correction bits of a band of AC coefficients begin, in a refining scan.

    A run counts zeros only. Every other coefficient that it passes has one correction bit after the code. The position
    of the j-th zero tells both where the run ends and how many bits there are.

    Args:
        view: The next 16 bits from every position.
        p: Where the first block begins.
        limit: No block is begun from this position on.
        ac: The look-up table.
        history: What was not zero before.
        block: The first block.
        n: The block to stop before.
        found: Receives what is found.

    Returns:
        The next block, and where it begins, or `DAMAGED`.
    """
    zeros, total, span = history.zeros, history.total, history.span
    while block < n:
        if p >= limit:
            return block, p
        zero, k = block * span, 0
        end = zero + span - (total[block + 1] - total[block])
        while k < span:
            step = ac[view[p]]
            onward = step >> 5
            if onward > 16:
                break
            found.starts.append(p)
            p += step & 31
            zero += onward - 1
            if zero >= end:
                return block, DAMAGED
            found.places.append(64 * block + history.first + zeros[zero])
            passed = zeros[zero] - k - (onward - 1)
            if passed:
                found.corrections.append((p, passed))
                p += passed
            k = zeros[zero] + 1
            zero += 1
        block += 1
        if k < span:
            r = (onward >> 7) - 1
            if r > 14:
                return block - 1, DAMAGED
            p += step & 31
            following = block + (1 << r) + (view[p] >> (16 - r)) - 1
            p += r
            if following > n:
                return block - 1, DAMAGED
            passed = (span - k) - (end - zero) + total[following] - total[block]
            if passed:
                found.corrections.append((p, passed))
                p += passed
            block = following
    return block, p
