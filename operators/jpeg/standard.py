"""Constants of the JPEG standard (ITU T.81): the zigzag, and the example tables that libjpeg scales by quality."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray


def _zigzag() -> NDArray[np.int64]:
    """Row-major index of the k-th coefficient of the zigzag (T.81 figure 5): diagonals, alternately up and down."""
    places = [(v, u) for v in range(8) for u in range(8)]
    places.sort(key=lambda place: (sum(place), place[sum(place) % 2 == 0]))
    return np.array([8 * v + u for v, u in places])


#: row-major index of the k-th coefficient of the zigzag
ZIGZAG = _zigzag()

#: T.81 tables K.1 and K.2, row-major, [vertical frequency][horizontal frequency]
LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
CHROMA = np.full((8, 8), 99)
CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


def scaled_table(base: NDArray[np.int64], quality: int) -> NDArray[np.int64]:
    """The table that libjpeg makes of a base table.

    Args:
        base: The table of quality 50, (8, 8).
        quality: 1 to 100.

    Returns:
        The quantisation steps, (8, 8), each from 1 to 255.
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * scale + 50) // 100, 1, 255)


@cache
def _qualities() -> tuple[dict[bytes, set[int]], dict[bytes, set[int]]]:
    """Quality numbers by the bytes of the luma and the chroma table."""
    found: tuple[dict[bytes, set[int]], dict[bytes, set[int]]] = ({}, {})
    for known, base in zip(found, (LUMA, CHROMA), strict=True):
        for quality in range(1, 101):
            known.setdefault(scaled_table(base, quality).astype(np.int64).tobytes(), set()).add(quality)
    return found


def libjpeg_quality(tables: Sequence[NDArray[np.int64]], luma_alone: bool) -> int | None:
    """The quality number with which libjpeg makes these tables.

    Args:
        tables: The table of each component, (8, 8), in the order of the components.
        luma_alone: Whether libjpeg quantises every component by the luma table, as in grey and RGB files.

    Returns:
        The number, 1 to 100, or None where the tables are not exactly those of any.
    """
    luma, chroma = _qualities()
    fits = set(range(1, 101))
    for i, table in enumerate(tables):
        known = luma if luma_alone or i in (0, 3) else chroma
        fits &= known.get(np.ascontiguousarray(table, dtype=np.int64).tobytes(), set())
    return max(fits, default=None)
