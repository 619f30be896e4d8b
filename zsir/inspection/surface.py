"""What a picture is like on the surface: clipped pixels, flat areas, few colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zsir.inspection.findings import Clipping
from zsir.inspection.pieces import windows

#: a drawing: pixels that equal their right and lower neighbours exactly, clipped ones aside, or colours, or greys
FLAT, FEW_COLOURS, FEW_GREYS = 0.4, 256, 16
#: pixels looked at
SIDE, MOST = 64, 256


def clipping(x: NDArray[np.float32]) -> Clipping:
    """Shares of pixels of a picture (channels, height, width) with a channel at 0 or at 1."""
    return Clipping(float((x <= 0).any(axis=0).mean()), float((x >= 1).any(axis=0).mean()))


def is_drawing(x: NDArray[np.float32]) -> bool:
    """Whether a picture has the exact repetitions that no camera makes.

    A share `FLAT` of the pixels equals two neighbours in all channels, or there are at most `FEW_COLOURS` colours of a
    picture in colour, or `FEW_GREYS` of a grey one.
    """
    few = FEW_COLOURS if len(x) == 3 else FEW_GREYS
    equal, count = 0, 0
    colours = set[bytes]()
    for _, _, piece in windows(x, min(SIDE, *x.shape[1:]), SIDE, MOST):
        inner = piece[:, :-1, :-1]
        same = (inner == piece[:, 1:, :-1]).all(axis=0) & (inner == piece[:, :-1, 1:]).all(axis=0)
        equal, count = equal + int(same.sum()), count + same.size
        if len(colours) <= few:
            rows = np.unique(piece.reshape(len(x), -1).T, axis=0)
            colours.update(row.tobytes() for row in rows)
    return count > 0 and (equal >= FLAT * count or (0 < len(colours) <= few and count > 4096))


def is_flat(x: NDArray[np.float32]) -> bool:
    """Whether all pixels are the same."""
    return bool((x == x[:, :1, :1]).all())
