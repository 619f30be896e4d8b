"""Pieces of a picture that the estimators look at: few enough for any size, spread over all of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from zsir.metrics.noise import LUMA
from zsir.operators.jpeg.codec import dct_matrix

Floats: TypeAlias = NDArray[np.float64]

#: side of the blocks of JPEG
SIDE = 8


def spread(length: int, side: int, step: int, most: int) -> list[int]:
    """Starts of pieces of ``side`` in ``length``: every ``step``, or ``most`` of them where that would be more.

    Starts are multiples of ``step``, the last one aside, which ends where the picture does.
    """
    if length < side:
        return []
    starts = list(range(0, length - side + 1, step))
    if len(starts) > most:
        return [starts[round(i * (len(starts) - 1) / (most - 1))] for i in range(most)]
    return starts


def windows(x: NDArray[np.float32], side: int, step: int, most: int) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Square pieces of a picture (channels, height, width), at most about ``most``, with their upper left corners."""
    _, height, width = x.shape
    rows, columns = max(1, (height - side) // step + 1), max(1, (width - side) // step + 1)
    shrink = max(1.0, math.sqrt(rows * columns / most))
    down = spread(height, side, step, max(2, round(rows / shrink)))
    across = spread(width, side, step, max(2, round(columns / shrink)))
    for i in down:
        for j in across:
            yield i, j, x[:, i : i + side, j : j + side]


def luma(x: NDArray[np.float32]) -> Floats:
    """Luma (height, width), 0 to 255, of a picture (channels, height, width) in [0, 1]."""
    if len(x) == 1:
        grey: Floats = 255.0 * x[0].astype(np.float64)
        return grey
    plane: Floats = np.tensordot(255 * np.array(LUMA), x.astype(np.float64), 1)
    return plane


def transformed(planes: Floats) -> Floats:
    """DCT coefficients (..., blocks down, blocks across, 8, 8) of planes (..., height, width), multiples of 8."""
    *front, height, width = planes.shape
    cut = planes.reshape(*front, height // SIDE, SIDE, width // SIDE, SIDE).swapaxes(-3, -2)
    matrix = dct_matrix(torch.float64).numpy()
    coefficients: Floats = matrix @ cut @ matrix.T
    return coefficients


def blocks_of(
    x: NDArray[np.float32], phase: tuple[int, int] = (0, 0), most: int = 16384
) -> tuple[Floats, NDArray[np.bool_]]:
    """DCT coefficients (count, 8, 8) of luma minus 128 on the grid from ``phase`` on, and which blocks are whole.

    A block is whole where no sample is 0 or 255: rounding to the limits of a file spoils all its coefficients.
    """
    _, height, width = x.shape
    shifted = x[:, phase[0] :, phase[1] :]
    side = next((s for s in (64, 32, 16, 8) if s <= min(height - phase[0], width - phase[1])), 0)
    if not side:
        return np.empty((0, SIDE, SIDE)), np.empty(0, dtype=bool)
    found, whole = [], []
    for _, _, piece in windows(shifted, side, side, max(1, most * SIDE**2 // side**2)):
        found.append(transformed(luma(piece) - 128).reshape(-1, SIDE, SIDE))
        clipped = ((piece <= 0) | (piece >= 1)).any(axis=0)
        cut = clipped.reshape(side // SIDE, SIDE, side // SIDE, SIDE)
        whole.append(~cut.any(axis=(1, 3)).reshape(-1))
    return np.concatenate(found), np.concatenate(whole)
