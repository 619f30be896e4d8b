"""A plain writer of sequential JPEG files from codes, for layouts that Pillow does not write."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsir.operators.jpeg.standard import ZIGZAG

DC_SYMBOLS = list(range(12))
AC_SYMBOLS = [0, 0xF0, *(16 * run + size for run in range(16) for size in range(1, 11))]
DC_BITS, AC_BITS = 5, 9


@dataclass(frozen=True)
class Layout:
    """How the file is written.

    Attributes:
        width, height: Size in pixels.
        factors: (h, v) of each component.
        interleaved: One scan for all components, else one for each.
        interval: MCUs between restart markers, 0 without.
        deep: 16 bits for each quantisation step.
        fill: Fill bytes before each marker.
        frame: The marker of the frame.
    """

    width: int
    height: int
    factors: tuple[tuple[int, int], ...]
    interleaved: bool = True
    interval: int = 0
    deep: bool = False
    fill: int = 0
    frame: int = 0xC0

    def blocks(self, i: int) -> tuple[int, int]:
        """Rows and columns of blocks that component i needs."""
        h, v = (max(f[axis] for f in self.factors) for axis in (0, 1))
        return -(-self.height * self.factors[i][1] // (8 * v)), -(-self.width * self.factors[i][0] // (8 * h))

    def mcus(self) -> tuple[int, int]:
        h, v = (max(f[axis] for f in self.factors) for axis in (0, 1))
        return -(-self.height // (8 * v)), -(-self.width // (8 * h))


def random_codes(layout: Layout, seed: int) -> list[NDArray[np.int16]]:
    """Codes with runs of zeros of any length, and values of up to 10 bits."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(len(layout.factors)):
        shape = (*layout.blocks(i), 8, 8)
        size = rng.integers(0, 9, shape)
        codes = (rng.integers(0, 1 << 10, shape) >> (10 - size)) * rng.choice([-1, 1], shape)
        found.append(
            (codes * (rng.random(shape) < rng.choice([0.02, 0.3, 1.0], shape[:2])[..., None, None])).astype("i2")
        )
    return found


def written(layout: Layout, codes: list[NDArray[np.int16]], steps: int = 3) -> bytes:
    """The file of these codes; all quantisation steps are equal."""
    out = [b"\xff\xd8", _segment(layout, 0xFE, b"a comment"), _segment(layout, 0xDB, _table(layout, steps))]
    parts = b"".join(bytes([i + 1, 16 * h + v, 0]) for i, (h, v) in enumerate(layout.factors))
    frame = struct.pack(">BHHB", 8, layout.height, layout.width, len(layout.factors)) + parts
    out.append(_segment(layout, layout.frame, frame))
    out.append(_segment(layout, 0xC4, b"\x00" + _counts(DC_BITS, DC_SYMBOLS)))
    out.append(_segment(layout, 0xC4, b"\x10" + _counts(AC_BITS, AC_SYMBOLS)))
    if layout.interval:
        out.append(_segment(layout, 0xDD, struct.pack(">H", layout.interval)))
    everything = list(range(len(codes)))
    for scan in [everything] if layout.interleaved else [[i] for i in everything]:
        head = bytes([len(scan)]) + b"".join(bytes([i + 1, 0]) for i in scan) + b"\x00\x3f\x00"
        out += [_segment(layout, 0xDA, head), _coded(layout, codes, scan)]
    return b"".join([*out, b"\xff" * layout.fill, b"\xff\xd9"])


def _segment(layout: Layout, marker: int, body: bytes) -> bytes:
    return b"\xff" * layout.fill + bytes([255, marker]) + struct.pack(">H", len(body) + 2) + body


def _table(layout: Layout, steps: int) -> bytes:
    return b"\x10" + struct.pack(">H", steps) * 64 if layout.deep else bytes([0] + 64 * [steps])


def _counts(bits: int, symbols: list[int]) -> bytes:
    counts = [0] * 16
    counts[bits - 1] = len(symbols)
    return bytes(counts + symbols)


def _coded(layout: Layout, codes: list[NDArray[np.int16]], scan: list[int]) -> bytes:
    out, bits, last = [], "", dict.fromkeys(scan, 0)
    for n, mcu in enumerate(_mcus(layout, codes, scan)):
        if layout.interval and n and n % layout.interval == 0:
            out += [_bytes(bits), bytes([255, 0xD0 + (n // layout.interval - 1) % 8])]
            bits, last = "", dict.fromkeys(scan, 0)
        for i, block in mcu:
            if block is None:  # beyond the picture: the DC before, nothing else
                block = np.array([last[i]] + 63 * [0])
            bits += _block(block, last[i])
            last[i] = int(block[0])
    return b"".join([*out, _bytes(bits)])


def _mcus(
    layout: Layout, codes: list[NDArray[np.int16]], scan: list[int]
) -> Iterator[list[tuple[int, NDArray[np.int16] | None]]]:
    flat = {i: codes[i].reshape(*codes[i].shape[:2], 64)[..., ZIGZAG] for i in scan}
    if len(scan) == 1:
        yield from ([(scan[0], block)] for row in flat[scan[0]] for block in row)
        return
    down, across = layout.mcus()
    for y in range(down):
        for x in range(across):
            mcu: list[tuple[int, NDArray[np.int16] | None]] = []
            for i in scan:
                h, v = layout.factors[i]
                rows, columns = flat[i].shape[:2]
                places = [(y * v + b, x * h + a) for b in range(v) for a in range(h)]
                mcu += [(i, flat[i][r, c] if r < rows and c < columns else None) for r, c in places]
            yield mcu


def _block(block: NDArray[np.int16], before: int) -> str:
    bits = _symbol(0, int(block[0]) - before, DC_SYMBOLS, DC_BITS)
    run = 0
    for value in (int(v) for v in block[1:]):
        if value == 0:
            run += 1
            continue
        bits += f"{AC_SYMBOLS.index(0xF0):0{AC_BITS}b}" * (run // 16)
        bits += _symbol(run % 16, value, AC_SYMBOLS, AC_BITS)
        run = 0
    return bits + (f"{0:0{AC_BITS}b}" if run else "")


def _symbol(run: int, value: int, symbols: list[int], width: int) -> str:
    size = abs(value).bit_length()
    code = f"{symbols.index(16 * run + size):0{width}b}"
    return code + (f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else "")


def _bytes(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\x00")
