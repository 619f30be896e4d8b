"""Real observations of pictures that are cut to their centre: the part that belongs to it, if it is exactly one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.experiments.sets import PictureFile, load
from zsir.operators.catalogue import OPERATORS
from zsir.pictures.orientation import orientation_of

if TYPE_CHECKING:
    from torch import Tensor

    from zsir.operators import Operator

#: operators that follow from the size of the whole picture, which the size of a part says nothing of
WHOLE = ("mask", "box", "crop", "mosaic", "resize")
#: operators that change the channels and not the size
COLOURS = ("grey", "channels")
#: EXIF orientations that swap height and width
TURNED = (5, 6, 7, 8)


def check(size: int, ops: Sequence[str], files: Sequence[PictureFile]) -> None:
    """Raise `BadSpec` unless the centres of all pictures, ``size`` pixels a side, have centres of their observations
    that start and end between pixels. Files that cannot be read fail later, each for itself."""
    sizes = [(file, _size(file.path), _size(file.observed)) for file in files if file.observed is not None]
    for op in ops:
        factor = _factor(op)
        for file, whole, seen in sizes:
            if whole is not None and seen is not None:
                _check_pair(size, op, factor, (file, whole, seen))


def _check_pair(size: int, op: str, factor: int, pair: tuple[PictureFile, tuple[int, int], tuple[int, int]]) -> None:
    file, whole, seen = pair
    if whole != (factor * seen[0], factor * seen[1]):
        raise BadSpec(
            f"[data] size: {file.path} has {whole[1]}x{whole[0]} pixels and its observation {seen[1]}x{seen[0]}, which "
            f"for {op} should be {factor} times smaller; only then it can be cut. Cut the files, and leave size out."
        )
    if not _fits(size, factor, whole):
        near = next((s for s in range(size, 0, -1) if _fits(s, factor, whole)), None)
        advice = "leave it out" if near is None else f"take {near}, or leave it out"
        raise BadSpec(
            f"[data] size = {size}: for {op} the centre of {file.path} ({whole[1]}x{whole[0]}) begins or ends inside a "
            f"pixel of its observation; {advice}."
        )


def _fits(size: int, factor: int, whole: tuple[int, int]) -> bool:
    return not size % factor and not any((length - size) // 2 % factor for length in whole)


def _factor(op: str) -> int:
    """How many pixels of a picture an observation's pixel is wide."""
    parsed = OPERATORS.parse(op)
    if parsed.name in WHOLE:
        raise BadSpec(
            f"[data] size: {op} is placed in whole pictures, so their observations cannot be cut; leave it out."
        )
    rule = None if parsed.name in COLOURS else OPERATORS.in_shape_rule(parsed.name)
    if rule is None:
        return 1
    # of an operator whose pictures have margins, a pixel more of the observation says the factor
    return int(rule((3, 2, 2), parsed.options)[1]) - int(rule((3, 1, 1), parsed.options)[1])


def _size(path: Path | None) -> tuple[int, int] | None:
    """(height, width) of a picture by its header, upright; None where it cannot be read."""
    from PIL import Image

    if path is None:
        return None
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = orientation_of(image) in TURNED
    except Exception:  # decoders raise anything on damaged files
        return None
    return (width, height) if turned else (height, width)


def observation(path: Path, size: int | None, operator: Operator) -> Tensor:
    """The observation (1, c, h, w) in a file, or what it has of its picture's centre of ``size`` pixels a side.

    Raises `BadInput` or `ShapeError`.
    """
    y = load(path, None)
    if size is None:
        return y
    height, width = operator.out_shape[-2:]
    factor = size // height
    if (factor * height, factor * width) != (size, size):
        raise ShapeError(f"{operator!r} has no pixels that can be cut from {path}; leave [data] size out.")
    if min(y.shape[-2] - height, y.shape[-1] - width) < 0:
        raise BadInput(f"{path} has {y.shape[-1]}x{y.shape[-2]} pixels, less than {width}x{height} for [data] size.")
    top, left = ((factor * length - size) // 2 // factor for length in y.shape[-2:])
    return y[:, :, top : top + height, left : left + width].contiguous()
