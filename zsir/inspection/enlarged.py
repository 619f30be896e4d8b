"""Enlargement: an enlarged picture lies in the small space of all pictures that an interpolation makes.

The energy outside this space is that of rounding and later noise, if factor, kernel and grid are right. Shifted by half
a pixel of the small picture, the same space misses fine detail. The ratio of both energies tells an enlargement from a
blur, which has no grid. Factors that are no whole number leave a period in the second differences, too, which
says which factors to try.

Where nothing but rounding came after the enlargement, the small picture is the least-squares solution, to about one
grey value. It shows what had happened before.

Source: Gallagher 2005, Detection of linear and cubic interpolation in JPEG compressed images, CRV (the period); the
ratio of energies is our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsir.inspection.findings import Enlargement
from zsir.inspection.pieces import Floats, luma, spread

#: kernels with their half widths, in pixels of the small picture; ``cubic`` is OpenCV's
KERNELS = {"bilinear": 1, "bicubic": 2, "cubic": 2, "lanczos": 3}
#: the parameter of the cubic ones
CUBIC = {"bicubic": -0.5, "cubic": -0.75}
#: kernels that are looked for, and those that each may turn out to be once the small picture is computed
LOOKS = {"bilinear": ("bilinear",), "bicubic": ("bicubic", "cubic"), "lanczos": ("lanczos",)}
#: side and number of the windows on each axis
WINDOW, WINDOWS = 48, 6
#: logarithm of the ratio of energies: at most 0.15 on half of eval34 and scikit-image's photographs, sharp or blurred,
#: but for factors of 4 and more, where the 4x4 blocks of WebP have left up to 0.6
CLEAR, CLEAR_LARGE, LARGE = 0.3, 0.9, 3.5
#: small pictures have few windows: up to 0.31 on blurred crops of 100 to 160 pixels
CLEAR_SMALL, SMALL_SIDE = 0.5, 200
#: what coarse steps of JPEG leave is smooth, and its colour is enlarged: up to 0.29 at quality 15, 0.63 at 10 and 1.06
#: at 5, where the mean steps are 167, 196 and 229. Blurred pictures behind JPEG are smoother still, and look enlarged
#: by 2: up to 0.87 at quality 20, 0.62 at 40, 0.44 at 80 and 0.36 at 92, where true ones have 0.72 to 3.2
COARSE, CLEAR_CODED = 140.0, 0.65
#: factors always tried, and the largest
ALWAYS, LARGEST = (2.0, 3.0, 4.0), 8.5
#: a period in the second differences is worth a try from this many times the median power
PEAK, LOWEST_PEAK = 12.0, 0.09
#: rows or columns that the second differences are the mean of
LINES = 512
#: singular values below this share of the largest are outside the space
RANK = 1e-3
#: of large pictures a piece of this side is reduced, and this many of its outermost pixels are left out
PIECE, EDGE = 1024, 3
#: what rounding to 8 bits leaves outside the space, and how many times as much is still no other damage: up to 1.3
#: where nothing else came after the enlargement, 1.9 and more where something did
ROUNDING, LEFT_OVER = 1 / math.sqrt(12), 1.5
#: turns of the small picture and of the values that were clipped, and the ridge of the small picture
ROUNDS, TINY = 4, 1e-9


@dataclass(frozen=True)
class Fitted:
    """One factor and kernel: the energy outside their space, and the log of its ratio to that half a pixel away."""

    factor: tuple[float, float]
    kernel: str
    outside: float
    clear: float


def find_enlargement(x: NDArray[np.float32], blocks: bool = False, step: float = 0.0) -> Enlargement | None:
    """The enlargement that a picture (channels, height, width) has been through, or None.

    ``blocks`` says that JPEG has left its own period, 8 pixels, and ``step`` is the mean of its steps.
    """
    if min(x.shape[1:]) < WINDOW:
        return None
    pairs = [(f, f) for f in ALWAYS] + candidates(x, blocks)
    tried = [fitted(x, pair, kernel) for pair in dict.fromkeys(pairs) for kernel in LOOKS]
    least = max(CLEAR if min(x.shape[1:]) >= SMALL_SIDE else CLEAR_SMALL, step / COARSE)

    def needed(factor: tuple[float, float]) -> float:
        if max(factor) >= LARGE:
            return max(CLEAR_LARGE, least)
        return max(CLEAR_CODED, least) if blocks and factor == (2.0, 2.0) else least

    clear = [one for one in tried if one.clear >= needed(one.factor)]
    if not clear:
        return None
    best = max(clear, key=lambda one: one.clear)
    alike = [one.kernel for one in clear if one.factor == best.factor and one.outside < 1.02 * best.outside]
    factor = sum(best.factor) / 2
    return Enlargement(factor, factor / min(x.shape[1:]), best.kernel if len(alike) == 1 else "")


def weights(kernel: str, t: Floats) -> Floats:
    """Values of an interpolation kernel at distances t."""
    t = np.abs(t)
    if kernel == "bilinear":
        return np.clip(1 - t, 0, None)
    if kernel in CUBIC:
        a = CUBIC[kernel]
        near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * (t**3 - 5 * t**2 + 8 * t - 4)
        return np.where(t < 1, near, np.where(t < 2, far, 0.0))
    return np.where(t < 3, np.sinc(t) * np.sinc(t / 3), 0.0)


def _first(kernel: str, where: Floats) -> int:
    """The first pixel that counts at the places ``where``."""
    return math.floor(float(where[0])) - KERNELS[kernel] + 1


def interpolation(kernel: str, where: Floats, low: float = -math.inf, high: float = math.inf) -> Floats:
    """The matrix that interpolates at ascending places, (places, pixels), from the pixels ``low`` to ``high``."""
    last = min(high, math.ceil(where[-1]) + KERNELS[kernel] - 1)
    matrix = weights(kernel, where[:, None] - np.arange(max(low, _first(kernel, where)), last + 1)[None])
    normed: Floats = matrix / matrix.sum(axis=1, keepdims=True)
    return normed


def space(kernel: str, factor: float, start: int, shift: float) -> Floats:
    """An orthonormal basis (`WINDOW`, dimension) of what enlargement makes of pixels from ``start`` on."""
    where: Floats = (start + np.arange(WINDOW, dtype=np.float64) + 0.5 + shift) / factor - 0.5
    matrix = interpolation(kernel, where)
    basis, singular, _ = np.linalg.svd(matrix, full_matrices=False)
    found: Floats = basis[:, singular > RANK * singular[0]]
    return found


def undone(x: NDArray[np.float32], found: Enlargement) -> tuple[NDArray[np.uint8], str] | None:
    """The small picture (height, width, channels) that was enlarged, or a piece of it, and the kernel; None where more
    than rounding came after the enlargement, or it is too small."""
    looks = [found.kernel] if found.kernel else list(LOOKS)
    tried = {one: _reduced(x, found.factor, one) for look in looks for one in LOOKS.get(look, ())}
    if not tried:
        return None
    best = min(tried, key=lambda kernel: tried[kernel][0])
    left, small = tried[best]
    if left > LEFT_OVER or min(small.shape[1:]) < WINDOW:
        return None
    rounded: NDArray[np.uint8] = np.clip(np.round(small), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return rounded, best


def _reduced(x: NDArray[np.float32], factor: float, kernel: str) -> tuple[float, Floats]:
    """What the least-squares solution leaves, relative to rounding, and the solution, 0 to 255."""
    rows, columns = (slice((n - min(n, PIECE)) // 2, (n + min(n, PIECE)) // 2) for n in x.shape[1:])
    piece = 255 * x[:, rows, columns].astype(np.float64)
    axes = {n: _axis(n, factor, kernel) for n in set(x.shape[1:])}
    (down, undo_down, high), (across, undo_across, wide) = (axes[n] for n in x.shape[1:])
    filled = piece
    for _ in range(ROUNDS):
        small = undo_down @ filled @ undo_across.T
        made = down @ small @ across.T
        # what overshot black or white was clipped
        beyond = (piece <= 0) & (made < 0) | (piece >= 255) & (made > 255)
        filled = np.where(beyond, made, piece)
        if not beyond.any():
            break
    rest = (made - filled)[:, EDGE:-EDGE, EDGE:-EDGE]
    lost = 1 - small[0].size / piece[0].size
    return float(np.sqrt((rest**2).mean() / lost)) / ROUNDING, small[:, high, wide]


def _inverse(matrix: Floats) -> Floats:
    """The pseudo-inverse of an enlargement. Small pixels that a piece hardly holds are kept from growing."""
    product = matrix.T @ matrix
    found: Floats = np.linalg.solve(product + TINY * np.eye(len(product)), matrix.T)
    return found


def _axis(length: int, factor: float, kernel: str) -> tuple[Floats, Floats, slice]:
    """The enlargement of the middle `PIECE` of an axis (pixels, small pixels), its inverse, and the small pixels that
    it determines, from a multiple of 8 on: there blocks of JPEG begin."""
    kept, count = min(length, PIECE), round(length / factor)
    where = ((length - kept) // 2 + np.arange(kept) + 0.5) * count / length - 0.5
    first = max(0, _first(kernel, where))
    begin = 0 if kept == length else EDGE + -(first + EDGE) % 8
    matrix = interpolation(kernel, where, 0, count - 1)
    return matrix, _inverse(matrix), slice(begin, None if kept == length else -EDGE)


def fitted(x: NDArray[np.float32], factor: tuple[float, float], kernel: str) -> Fitted:
    """How well luma of a picture lies in the space of a factor (down, across) and a kernel."""
    downs, acrosses = (spread(n, WINDOW, 12, WINDOWS) for n in x.shape[1:])
    energies = []
    for share in (0.0, 0.5):
        rows = {i: space(kernel, factor[0], i, share * factor[0]) for i in downs}
        columns = {j: space(kernel, factor[1], j, share * factor[1]) for j in acrosses}
        total = 0.0
        for i in downs:
            for j in acrosses:
                piece = luma(x[:, i : i + WINDOW, j : j + WINDOW])
                piece = piece - piece.mean()
                for basis, turned in ((rows[i], piece), (columns[j], piece.T)):
                    kept = basis.T @ turned
                    outside = max(0.0, float((turned**2).sum() - (kept**2).sum()))
                    total += outside / (WINDOW * max(1, WINDOW - basis.shape[1]))
        energies.append(total / (2 * len(downs) * len(acrosses)) + 1e-3)
    return Fitted(factor, kernel, energies[0], float(np.log(energies[1] / energies[0])))


def candidates(x: NDArray[np.float32], blocks: bool) -> list[tuple[float, float]]:
    """Factors (down, across) whose period stands out in the second differences of both axes."""
    down, across = (_periods(x, axis, blocks) for axis in (0, 1))
    return [(f, g) for f in down for g in across if abs(f / g - 1) < 0.02]


def _periods(x: NDArray[np.float32], axis: int, blocks: bool, most: int = 3) -> list[float]:
    """Factors n / k for the strongest frequencies k / n of the second differences along an axis."""
    other, length = x.shape[2 - axis], x.shape[1 + axis]
    kept = luma(np.take(x, np.linspace(0, other - 1, min(other, LINES)).astype(int), axis=2 - axis))
    line = np.log(np.abs(np.diff(kept, 2, axis=axis)).mean(axis=1 - axis) + 1e-3)
    line = np.pad(line, (1, 1), mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(np.pad(line, 4, mode="reflect"), 9)
    power = np.abs(np.fft.rfft(line - np.median(near, axis=-1))) ** 2
    power[: int(LOWEST_PEAK * length)] = 0
    if blocks:
        eighths = 8 * np.arange(len(power)) / length
        power[np.abs(eighths - np.round(eighths)) < 16 / length + 0.02] = 0
    floor = float(np.median(power[power > 0])) if (power > 0).any() else 1.0
    found: list[float] = []
    for k in np.argsort(-power)[:most]:
        if power[k] > PEAK * floor:
            found += [length / n for n in (int(k), length - int(k)) if 1.1 < length / n < LARGEST]
    return found


def repeats(x: NDArray[np.float32]) -> int:
    """The factor by which every pixel is repeated in both directions, 1 for none."""
    for factor in (8, 7, 6, 5, 4, 3, 2):
        rows, columns = (n // factor * factor for n in x.shape[1:])
        piece = x[:, : min(rows, 96 * factor), : min(columns, 96 * factor)]
        small = piece[:, ::factor, ::factor]
        if np.array_equal(piece, small.repeat(factor, axis=1).repeat(factor, axis=2)):
            return factor
    return 1
