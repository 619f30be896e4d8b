"""Which operator a picture came through: by its spec, its size, its borders, and what `zsir degrade` noted in it."""

from __future__ import annotations

import re
from dataclasses import replace
from inspect import signature

from zsir import operators
from zsir.blind import stand_in
from zsir.capabilities import NO_MARGINS, margins_of
from zsir.errors import BadInput, BadSpec, ShapeError, UnknownName
from zsir.inspection.scratches import detect_mask
from zsir.names.parsed import Parsed
from zsir.names.registry import noise_level
from zsir.operators import Mask
from zsir.operators.catalogue import OPERATORS
from zsir.pictures import Picture
from zsir.protocols import LinearOperator, Shape

#: the spec of a degradation that is to be found out
AUTO = "auto"


def parsed_op(op: str) -> Parsed:
    """A spec taken apart; numbers that mean nothing stand in place of ``auto``, the identity in place of `AUTO` alone.

    Raises `BadSpec` or `UnknownName`.
    """
    return OPERATORS.parse("identity" if op.strip() == AUTO else stand_in(op))


def operator_for(shape: tuple[int, ...], op: str | LinearOperator) -> LinearOperator:
    """The operator for pictures of a shape (batch, C, height, width)."""
    in_shape: Shape = (shape[1], shape[2], shape[3])
    if isinstance(op, str):
        return operators.make(op, in_shape=in_shape)
    if tuple(op.in_shape) != in_shape:
        raise ShapeError(f"{op!r} is for pictures of shape {tuple(op.in_shape)}, this one has {in_shape}.")
    return op


def operator_of(picture: Picture, op: str | LinearOperator, size: tuple[int, int] | None) -> LinearOperator:
    """The operator whose observation is ``picture``. Its own pictures have the given ``size`` (height, width), or else
    the size that `zsir degrade` noted in the file."""
    seen = picture.shape
    if not isinstance(op, str):
        if tuple(op.out_shape) != seen:
            raise ShapeError(f"{op!r} makes observations of shape {tuple(op.out_shape)}, this one has {seen}.")
        return op
    if op.strip() == AUTO:
        raise BadSpec(
            "op=auto is for zsir solve and zsir.restore; name the operator here (zsir inspect FILE says which it is)."
        )
    parsed = without_coding(OPERATORS.parse(op))
    if parsed.name == "scratches":
        return _mask_of(picture)
    if not _made_by(picture, op):
        parsed = with_unknown_borders(parsed)
    channels = operators.picture_channels(parsed, seen)
    if size is not None:
        operator = _for_size(parsed, (channels, *size))
        if tuple(operator.out_shape) != seen:
            raise ShapeError(
                f"--size {size[1]}x{size[0]}: {op} makes {operator.out_shape[-1]}x{operator.out_shape[-2]} pixels of "
                f"that, but {picture.path} has {seen[2]}x{seen[1]}."
            )
        return operator
    noted = noted_size(picture, op)
    if noted is not None:
        operator = operators.make(parsed, in_shape=(channels, *noted))
        if tuple(operator.out_shape) == seen:  # else the file was cut or resized since
            return operator
    return operators.make(parsed, out_shape=seen)


def _mask_of(picture: Picture) -> Mask:
    """The mask of the damage in the picture itself; raises `BadInput` where there is none to be seen."""
    mask = detect_mask(picture.pixels)
    if mask is None:
        raise BadInput(
            f"{picture.path} has no damage of pure white or black that could be found; paint a mask and give it as "
            "--op mask-file:path=MASK."
        )
    return mask


def coding_stage(op: str) -> Parsed | None:
    """The last stage of a spec if it is ``jpeg``, with a quality or a file's tables or alone; else None."""
    parsed = parsed_op(op)
    last = parsed.stages[-1] if parsed.stages else parsed
    return last if last.name == "jpeg" else None


def without_coding(parsed: Parsed) -> Parsed:
    """The spec without a last stage ``jpeg``, which the file itself stands for."""
    if parsed.name == "jpeg":
        return OPERATORS.parse("identity")
    if not parsed.stages or parsed.stages[-1].name != "jpeg":
        return parsed
    stages = parsed.stages[:-1]
    return stages[0] if len(stages) == 1 else replace(parsed, stages=stages, options={"stages": stages})


def with_unknown_borders(parsed: Parsed) -> Parsed:
    """The spec of what a camera does: what lies beyond the picture's border is unknown, unless the spec says otherwise.

    Only the stages at the beginning of a chain can look beyond the border.
    """
    stages = list(parsed.stages or (parsed,))
    for place, stage in enumerate(stages):
        if "boundary" not in signature(stage.target).parameters:
            break
        stages[place] = replace(stage, options={"boundary": "unknown"} | stage.options)
    if not parsed.stages:
        return stages[0]
    return replace(parsed, stages=tuple(stages), options={"stages": tuple(stages)})


def _for_size(parsed: Parsed, shape: Shape) -> LinearOperator:
    """The operator whose pictures have a shape (C, height, width) inside their border."""
    operator = operators.make(parsed, in_shape=shape)
    top, bottom, left, right = margins_of(operator)
    if (top, bottom, left, right) == NO_MARGINS:
        return operator
    return operators.make(parsed, in_shape=(shape[0], shape[1] + top + bottom, shape[2] + left + right))


def noted_size(picture: Picture, op: str) -> tuple[int, int] | None:
    """(height, width) that `zsir degrade` noted in the file, if it did so for the same operator."""
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", picture.text.get("zsir:size", ""))
    return (int(match[2]), int(match[1])) if match and _made_by(picture, op) else None


def _made_by(picture: Picture, op: str) -> bool:
    """Whether `zsir degrade` noted the operator ``op`` in the file."""
    try:
        a, b = OPERATORS.parse(op), OPERATORS.parse(picture.text.get("zsir:op", ""))
    except (BadSpec, UnknownName):
        return False
    return (a.name, a.options) == (b.name, b.options)


def any_noted_noise(picture: Picture) -> float | None:
    """The noise level that `zsir degrade` noted in the file, whatever the operator was."""
    try:
        return noise_level(picture.text["zsir:noise"]) if "zsir:noise" in picture.text else None
    except BadSpec:  # the text of a file may be anything
        return None


def noted_noise(picture: Picture, op: str | LinearOperator) -> float | None:
    """The noise level that `zsir degrade` noted in the file, if it did so for the same operator."""
    if isinstance(op, str) and parsed_op(op).name == "trace":
        return 0.0  # a trace has all the noise by itself
    return any_noted_noise(picture) if isinstance(op, str) and _made_by(picture, op) else None
