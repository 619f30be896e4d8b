"""Noise that nothing has coded or blurred since: its level, and whether it is white."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from zsir.inspection.findings import Noise
from zsir.inspection.pieces import SIDE, Floats, transformed, windows
from zsir.metrics.noise import estimate

#: relative standard error of the level, measured on photographs (see EVIDENCE), and the error that texture makes
RELATIVE, ABSOLUTE = 0.03, 0.25 / 255
#: share of the 8x8 pieces that is flat enough to measure noise in
FLAT_SHARE, LEAST_FLAT = 0.02, 16
#: noise is white where its power in the highest frequencies is at least this share of that in the middle ones: blurred
#: by 0.8 pixels it is a tenth, and texture may take half of it away
WHITE = 0.3
#: pictures up to this many pixels are looked at as a whole, others in pieces of this side; patches that are compared
SMALL, PIECE, PATCHES = 2**21, 128, 2**16
#: noise of less than this cannot be told from rounding and texture
LEAST = 1 / 255


def grain(x: NDArray[np.float32]) -> Noise:
    """Noise of a picture (channels, height, width) in [0, 1].

    Raises:
        BadInput: There are too few patches, or nearly all of them are clipped.
    """
    found = estimate(torch.from_numpy(_sample(x))[None], None, PATCHES)
    std = min(1.0, found.std)
    error = math.hypot(RELATIVE * std, ABSOLUTE)
    white = is_white(x) if std >= LEAST else None
    return Noise(std, error, std + 2 * error, white=white, grey=len(x) == 1 or bool(found.note))


def _sample(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The picture, or of a large one pieces from all over it, side by side."""
    if x.shape[1] * x.shape[2] <= SMALL or min(x.shape[1:]) < PIECE:
        return x
    across = 12
    pieces = [piece for _, _, piece in windows(x, PIECE, PIECE, across * across)]
    rows = [np.concatenate(pieces[k : k + across], axis=2) for k in range(0, len(pieces) - across + 1, across)]
    return np.ascontiguousarray(np.concatenate(rows, axis=1))


def is_white(x: NDArray[np.float32]) -> bool | None:
    """Whether the noise in flat pieces is alike in all frequencies; None where no piece is flat.

    Pieces are chosen by every second of their middle DCT frequencies, and measured by the others.
    """
    pieces = _pieces(x)
    u, v = np.indices((SIDE, SIDE))
    order, odd = u + v, (u + v) % 2 == 1
    energy = np.square(pieces)
    choose = odd & (order >= 1) & (order <= 9)
    flattest = np.argsort(energy[:, choose].sum(axis=1), kind="stable")
    count = max(LEAST_FLAT, round(FLAT_SHARE * len(pieces)))
    if len(flattest) < 4 * count:
        return None
    power: Floats = energy[flattest[:count]].mean(axis=0)
    middle, high = power[~odd & (order >= 4) & (order <= 6)].mean(), power[~odd & (order >= 10)].mean()
    if middle <= 0:
        return None
    return bool(high >= WHITE * middle)


def _pieces(x: NDArray[np.float32], most: int = 256, side: int = 64) -> Floats:
    """DCT coefficients (count, 8, 8) of the channels' mean, of pieces that are nowhere clipped."""
    side = min(side, min(x.shape[1:]) // SIDE * SIDE)
    if side < SIDE:
        return np.empty((0, SIDE, SIDE))
    found = []
    for _, _, window in windows(x, side, side, most):
        whole = ((window > 0) & (window < 1)).all(axis=0)
        cut = whole.reshape(side // SIDE, SIDE, side // SIDE, SIDE).all(axis=(1, 3)).reshape(-1)
        found.append(transformed(window.mean(axis=0, dtype=np.float64)).reshape(-1, SIDE, SIDE)[cut])
    return np.concatenate(found) if found else np.empty((0, SIDE, SIDE))
