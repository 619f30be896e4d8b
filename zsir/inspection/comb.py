"""JPEG from pixels: after decoding, the DCT coefficients of the blocks still lie on multiples of the table.

Source: Fan and de Queiroz 2003, Identification of bitmap compression history, IEEE Transactions on Image Processing
12(2) (the periods by maximum likelihood); the Bayes factor against "never compressed" is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsir.inspection.pieces import SIDE, Floats, blocks_of, luma, transformed, windows

#: the luma table of the standard (Annex K), natural order, which libjpeg scales by its quality
STANDARD = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61),
        *(12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77),
        *(24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101),
        *(72, 92, 95, 98, 112, 100, 103, 99),
    ]
).reshape(SIDE, SIDE)
#: deviation of a decoded coefficient from its multiple: rounding of planes and of colours
JITTER, JITTER_GREY = 0.42, 0.32
#: share of coefficients that the model does not explain, such as those of blocks where a decoder clamped
STRAYS = 0.03
#: histogram of absolute coefficients
WIDTH, TOP = 0.125, 512.0
PERIODS = np.arange(1, 256)
#: natural logarithm of the odds against chance above which a picture counts as decoded JPEG
ODDS = 60.0
#: and above which a drawing does: its patterns repeat, so that blocks are not independent
ODDS_DRAWING = 1500.0
#: fewer blocks than this that differ are a pattern, not a photograph
LEAST_BLOCKS = 32
#: frequencies that show the grid: low ones, where codes are rarely 0
EARLY = [(u, v) for u in range(5) for v in range(5) if 1 <= u + v <= 4]
#: windows for the search of the grid: this many, of this side
LOOKS, LOOK = 48, 71
#: fewer coefficients beyond half a period than this say nothing of the period
LEAST = 3
#: a table of libjpeg is accepted where it has this share of the log-likelihood of the best periods
EXPLAINED = 0.7


@dataclass(frozen=True)
class Comb:
    """The trace of JPEG in pixels.

    Attributes:
        phase: Row and column where the grid of 8x8 blocks begins, each 0 to 7.
        table: Steps of luma (8, 8), natural order; 0 where no coefficient tells.
        quality: The quality of libjpeg whose table explains the coefficients, or None where none does.
        odds: Natural logarithm of the odds against chance.
    """

    phase: tuple[int, int]
    table: NDArray[np.int64]
    quality: int | None
    odds: float


def libjpeg_table(quality: int, base: NDArray[np.int64] = STANDARD) -> NDArray[np.int64]:
    """A table of libjpeg at a quality from 1 to 100, (8, 8), natural order."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    table: NDArray[np.int64] = np.clip((base * scale + 50) // 100, 1, 255)
    return table


def quality_of(table: NDArray[np.int64], base: NDArray[np.int64] = STANDARD) -> int | None:
    """The quality of libjpeg that has this table, or None."""
    return next((q for q in range(100, 0, -1) if np.array_equal(libjpeg_table(q, base), table)), None)


def gains(jitter: float) -> Floats:
    """Log-likelihood (bins, periods) of an absolute coefficient on a comb, over one without a comb.

    Below half a period, a coefficient counts against the period where it is not near zero, but never for it: pictures
    are full of zeros.
    """
    centre = (np.arange(round(TOP / WIDTH)) + 0.5)[:, None] * WIDTH
    period = PERIODS[None].astype(np.float64)
    spread = np.hypot(jitter, WIDTH / 3.5)
    nearest = np.round(centre / period)
    density = np.zeros_like(centre * period)
    for k in (-2, -1, 0, 1, 2):  # of small periods neighbours overlap
        density += np.exp(-(((centre - (nearest + k) * period) / spread) ** 2) / 2)
    density *= period / (spread * np.sqrt(2 * np.pi))
    log: Floats = np.log((1 - STRAYS) * density + STRAYS)
    log[:, 0] = 0
    return np.where(nearest > 0, log, np.minimum(log, 0))


def histograms(coefficients: Floats) -> Floats:
    """Counts (frequencies, bins) of absolute coefficients (count, frequencies)."""
    bins = round(TOP / WIDTH)
    index = np.minimum(np.abs(coefficients) / WIDTH, bins).astype(np.int64)  # the last column takes the rest
    size = (bins + 1) * index.shape[1]
    counts = np.bincount((index + np.arange(index.shape[1])[None] * (bins + 1)).ravel(), minlength=size)
    return counts.reshape(-1, bins + 1)[:, :bins].astype(np.float64)


def distinct(blocks: Floats) -> Floats:
    """Blocks (count, 8, 8) without repetitions: a pattern that repeats is one piece of evidence, however often."""
    # one number a block: blocks that differ have the same one by a chance that does not matter
    keys = np.round(blocks.reshape(-1, SIDE**2), 2) @ np.sqrt(np.arange(2, SIDE**2 + 2))
    return blocks[np.unique(np.round(keys, 4), return_index=True)[1]]


def log_odds(score: Floats) -> Floats:
    """Log of the mean likelihood ratio over periods (..., periods): each period is as likely beforehand."""
    most = score.max(axis=-1)
    total: Floats = most + np.log(np.mean(np.exp(score - most[..., None]), axis=-1))
    return total


def find_comb(x: NDArray[np.float32], least: float = ODDS) -> Comb | None:
    """The trace of JPEG in a picture (channels, height, width) in [0, 1], or None where there is none."""
    gain = gains(JITTER if len(x) > 1 else JITTER_GREY)
    phase, odds = find_phase(x, gain)
    if odds < least:
        return None
    blocks, whole = blocks_of(x, phase)
    table, quality = find_table(distinct(blocks[whole]), gain)
    return Comb(phase, table, quality, odds)


def find_phase(x: NDArray[np.float32], gain: Floats) -> tuple[tuple[int, int], float]:
    """The grid of blocks with the highest odds, and these odds."""
    side = LOOK if min(x.shape[1:]) >= LOOK else (min(x.shape[1:]) - 7) // SIDE * SIDE + 7
    if side < 2 * SIDE - 1:
        return (0, 0), 0.0
    pieces = [(luma(p) - 128, ((p <= 0) | (p >= 1)).any(axis=0)) for _, _, p in windows(x, side, side - 7, 16 * LOOKS)]
    # where little happens all codes are 0
    pieces.sort(key=lambda p: -float(np.abs(np.diff(p[0])).mean() * (1 - p[1].mean())))
    planes, clipped = (np.stack(part) for part in zip(*pieces[:LOOKS], strict=True))
    rows, columns = zip(*EARLY, strict=True)
    best, odds = (0, 0), 0.0
    inner = side - 7
    for i in range(SIDE):
        for j in range(SIDE):
            blocks = transformed(planes[:, i : i + inner, j : j + inner]).reshape(-1, SIDE, SIDE)
            lost = clipped[:, i : i + inner, j : j + inner]
            cut = lost.reshape(len(lost), inner // SIDE, SIDE, inner // SIDE, SIDE).any(axis=(2, 4)).reshape(-1)
            kept = distinct(blocks[~cut])
            if len(kept) < LEAST_BLOCKS:
                continue
            score = float(log_odds(histograms(kept[:, rows, columns]) @ gain).sum())
            if score > odds:
                best, odds = (i, j), score
    return best, odds


def find_table(blocks: Floats, gain: Floats) -> tuple[NDArray[np.int64], int | None]:
    """Table (8, 8) with 0 where unknown, and the quality of libjpeg that explains it, from whole blocks."""
    counts = histograms(blocks.reshape(len(blocks), -1))
    score = counts @ gain
    free = PERIODS[score.argmax(axis=1)]
    beyond = np.array([counts[f, round(q / 2 / WIDTH) :].sum() for f, q in enumerate(free)])
    tables = {q: libjpeg_table(q).ravel() for q in range(1, 101)}
    totals = {q: float(score[np.arange(SIDE**2), t - 1].sum()) for q, t in tables.items()}
    quality = max(totals, key=lambda q: totals[q])
    told = beyond >= LEAST
    if told.any() and totals[quality] >= EXPLAINED * float(score.max(axis=1).sum()):
        return tables[quality].reshape(SIDE, SIDE), quality
    return np.where(told, free, 0).reshape(SIDE, SIDE), None
