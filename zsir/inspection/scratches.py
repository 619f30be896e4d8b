"""Damage that can be seen in the file itself: pixels of one exact colour, and masks that mean the opposite.

A scratch or a painted-out part has one constant in all channels. So has a clipped sky, a black border or the page of a
drawing; what tells them apart stands at `detect_mask`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsir.errors import ShapeError
from zsir.operators.mask import Mask

Flags = NDArray[np.bool_]

#: colours that damage has: black and white
COLOURS = (0.0, 1.0)
#: damage takes at least this share of the pixels, and leaves at least this share
LEAST, MOST = 1e-3, 0.95
#: a neighbour this close to the constant (mean over the channels) continues it: the light there came near saturation
NEAR = 0.12
#: a patch with more than this share of such neighbours is natural saturation
CONTINUED = 0.4
#: of all damage together the share may not be higher than this, nor this many times that of the picture at large
SELDOM, OFTENER = 0.1, 1.5
#: a patch along more than this share of an edge of the picture is a border, not damage
BORDER = 0.9
#: the rest of a photograph has no colour on more than this share of it; a drawing, a page or a screenshot has
DRAWN = 0.15
#: a spot is at most so many pixels long: stars, lamps and glints are spots. Scratches hold this share of the damage
SPOT, SCRATCHED = 10, 0.5
#: pixels called observed that look like damage: one exact colour on the first share of them, while no colour has more
#: than the second share of the others
ONE_COLOUR, MANY_COLOURS = 0.5, 0.25


def detect_mask(picture: Tensor) -> Mask | None:
    """The mask of pure white or pure black damage in a photograph: scratches, tears, text, painted-out parts.

    Pixels of exactly one of these colours, in connected patches, are damage if the picture does not lead up to them:

    - few of a patch's neighbours come near its colour, as they do around a clipped sky or a deep shadow,
    - all patches together have such neighbours about as seldom as any place in the picture,
    - a patch does not run along an edge of the picture, as a border does,
    - together they are 1/1000 of the picture or more,
    - the rest is a photograph: no other exact colour fills much of it, as it does in a drawing.

    Args:
        picture: One picture, (1, channels, height, width), in [0, 1].

    Returns:
        The mask, True where a pixel is intact; None where no such damage is found.

    Raises:
        ShapeError: There is not exactly one picture.
    """
    x = _one(picture)
    damaged = np.zeros(x.shape[1:], dtype=np.bool_)
    for colour in COLOURS:
        damaged |= _damage(x, colour)
    share = float(damaged.mean())
    if not LEAST <= share <= MOST or _commonest(x[:, ~damaged]).share > DRAWN:
        return None
    _, channels, height, width = picture.shape
    return Mask((channels, height, width), torch.from_numpy(~damaged))


def only_spots(mask: Mask) -> bool:
    """Whether what a mask hides is mostly spots, as stars and lamps are, and not scratches.

    Args:
        mask: A mask that `detect_mask` found.

    Returns:
        True if patches longer than `SPOT` pixels hold less than the share `SCRATCHED` of the hidden pixels.
    """
    hidden = ~mask.known.cpu().reshape(-1, *mask.in_shape[1:]).all(dim=0).numpy()
    labels, number = patches(hidden)
    rows, columns = np.nonzero(labels)
    which = labels[rows, columns]
    length = np.zeros(number + 1)
    for place in (rows, columns):
        first, last = np.full(number + 1, np.inf), np.full(number + 1, -np.inf)
        np.minimum.at(first, which, place)
        np.maximum.at(last, which, place)
        length = np.maximum(length, np.where(np.isfinite(first), last - first + 1, 0))
    return float((length[which] > SPOT).mean()) < SCRATCHED


def polarity_doubt(mask: Mask, y: Tensor) -> str:
    """Whether a mask seems to mean the opposite: white on the damage, as OpenCV and paint programs have it.

    Args:
        mask: The mask that was given for the observation.
        y: The observation as it stands in its file, (1, channels, height, width), in [0, 1].

    Returns:
        One sentence if the pixels that the mask calls observed have one colour and the others look like a picture; else
        an empty string.

    Raises:
        ShapeError: There is not exactly one observation, or it has another size than the mask.
    """
    x = _one(y)
    if tuple(y.shape[1:]) != tuple(mask.in_shape):
        raise ShapeError(
            f"The mask is for pictures of shape {mask.in_shape}, the observation has {tuple(y.shape[1:])}."
        )
    known = mask.known.cpu().expand(mask.in_shape).all(dim=0).numpy()
    if known.all() or not known.any():
        return ""
    inside, outside = _commonest(x[:, known]), _commonest(x[:, ~known])
    if inside.share < ONE_COLOUR or outside.share > MANY_COLOURS:
        return ""
    return (
        f"The pixels that the mask calls observed have one colour on {inside.share:.0%} of them, and those that it "
        "calls missing look like a picture: the mask seems to mean the opposite (turn invert of mask-file round)."
    )


@dataclass(frozen=True)
class Commonest:
    """The colour that most pixels of a set have exactly, and their share; 0 for an empty set."""

    share: float


def _commonest(pixels: NDArray[np.float32]) -> Commonest:
    """Of pixels (channels, number), rounded to 8 bits."""
    if not pixels.size:
        return Commonest(0.0)
    codes = np.zeros(pixels.shape[1], dtype=np.int64)
    for channel in np.rint(255 * pixels).astype(np.int64):
        codes = codes * 512 + channel + 128
    _, counts = np.unique(codes, return_counts=True)
    return Commonest(float(counts.max() / counts.sum()))


def _one(picture: Tensor) -> NDArray[np.float32]:
    """(channels, height, width) of a batch of one."""
    if picture.ndim != 4 or picture.shape[0] != 1:
        raise ShapeError(f"One picture (1, channels, height, width) is needed, got {tuple(picture.shape)}.")
    return np.asarray(picture[0].detach().cpu().float().numpy())


def _damage(x: NDArray[np.float32], colour: float) -> Flags:
    """Where pixels of exactly this colour are damage."""
    flags = (x == np.float32(colour)).all(axis=0)
    if not LEAST <= flags.mean() <= MOST:
        return np.zeros_like(flags)
    near = np.abs(x - colour).mean(axis=0) < NEAR
    labels, number = patches(flags)
    around = np.zeros(number + 1)
    close = np.zeros(number + 1)
    for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        label, other = _shifted(labels, down, right)
        outside = (label > 0) & (other == 0)
        around += np.bincount(label[outside], minlength=number + 1)
        close += np.bincount(label[outside & _shifted(near, down, right)[1]], minlength=number + 1)
    wrong = close > CONTINUED * around
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        wrong |= np.bincount(edge, minlength=number + 1) > BORDER * len(edge)
    wrong[0] = True
    kept = ~wrong
    elsewhere = float(near[~flags].mean()) if not flags.all() else 1.0
    often = close[kept].sum() / max(1.0, float(around[kept].sum()))
    if often > max(SELDOM, OFTENER * elsewhere):
        return np.zeros_like(flags)
    return np.asarray(kept[labels], dtype=np.bool_)


def _shifted(a: NDArray[np.generic], down: int, right: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The parts of an array that have a neighbour so many rows down and columns to the right, and the neighbours."""
    h, w = a.shape
    here = a[max(0, -down) : h - max(0, down), max(0, -right) : w - max(0, right)]
    there = a[max(0, down) : h - max(0, -down), max(0, right) : w - max(0, -right)]
    return here, there  # type: ignore[return-value]


def patches(flags: Flags) -> tuple[NDArray[np.int64], int]:
    """Connected patches (with diagonals) numbered from 1, 0 elsewhere, and their number.

    Runs of each row are joined where they touch runs of the next row.
    """
    h, w = flags.shape
    padded = np.zeros((h, w + 2), dtype=np.int8)
    padded[:, 1:-1] = flags
    change = np.diff(padded, axis=1)
    row, start = np.nonzero(change == 1)
    _, end = np.nonzero(change == -1)
    # runs of the next row touch a run if they end at or after its start, and start at or before its end
    line = w + 2
    low = np.searchsorted(row * line + end, (row + 1) * line + start, side="left")
    high = np.searchsorted(row * line + start, (row + 1) * line + end, side="right")
    touching = np.maximum(high - low, 0)
    one = np.repeat(np.arange(len(row)), touching)
    other = np.arange(len(one)) - np.repeat(np.cumsum(touching) - touching, touching) + np.repeat(low, touching)
    unique, number = np.unique(_joined(len(row), one, other), return_inverse=True)
    steps = np.zeros((h, w + 1), dtype=np.int64)
    np.add.at(steps, (row, start), number + 1)
    np.add.at(steps, (row, end), -(number + 1))
    return np.cumsum(steps, axis=1)[:, :w], len(unique)


def _joined(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of ``count`` things the first of those that it is joined with, ``one`` and ``other`` being the pairs."""
    parent = np.arange(count)
    while True:
        a, b = parent[one], parent[other]
        if np.array_equal(a, b):
            return parent
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(parent, shorter := parent[parent]):
            parent = shorter
