"""Linear degradations ``y = A x`` with hand-written adjoints and exact inverses. See README.md to add one."""

from __future__ import annotations

if __name__ == "operators":
    raise ImportError("This folder is installed as 'zsir.operators'; write 'from zsir import operators'.")

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from zsir.errors import BadSpec
from zsir.lazy import on_first_use
from zsir.names.parsed import Parsed
from zsir.operators.catalogue import OPERATORS

if TYPE_CHECKING:
    from zsir.operators.base import Adjoint, Composed, Operator, Scaled
    from zsir.operators.blurs.blur import (
        convolution,
        disc_blur,
        gaussian_blur,
        kernel_blur,
        motion_blur,
        shake_blur,
        sinc_blur,
        uniform_blur,
    )
    from zsir.operators.blurs.bounded import BoundedBlur
    from zsir.operators.blurs.cosine import CosineBlur
    from zsir.operators.blurs.fourier import CircularBlur
    from zsir.operators.chains import Noise, StageChain, noise_stage
    from zsir.operators.colours import Channels, Mosaic, channels, grey, mosaic
    from zsir.operators.mask import Identity, Mask, box_mask, identity, random_mask
    from zsir.operators.own.callables import Functions, from_functions
    from zsir.operators.own.matrix import Matrix, SparseMatrix, from_matrix
    from zsir.operators.painted import SoftMask, file_mask
    from zsir.operators.plans import SVD
    from zsir.operators.resampling import downsample
    from zsir.operators.separable import Separable
    from zsir.operators.sizes.resizing import resize
    from zsir.operators.sizes.striding import Stride, StridedBlur, stride
    from zsir.operators.sizes.window import Crop, crop
    from zsir.operators.stacked import Stacked, stack
    from zsir.operators.wild.history import Trace, read_trace
    from zsir.operators.wild.pipelines import degrade
    from zsir.operators.wild.traced import Traced
    from zsir.protocols import Shape

__all__ = [
    "SVD",
    "Adjoint",
    "BoundedBlur",
    "Channels",
    "CircularBlur",
    "Composed",
    "CosineBlur",
    "Crop",
    "Functions",
    "Identity",
    "Mask",
    "Matrix",
    "Mosaic",
    "Noise",
    "Operator",
    "Scaled",
    "Separable",
    "SoftMask",
    "SparseMatrix",
    "Stacked",
    "StageChain",
    "Stride",
    "StridedBlur",
    "Trace",
    "Traced",
    "box_mask",
    "channels",
    "convolution",
    "crop",
    "degrade",
    "disc_blur",
    "downsample",
    "file_mask",
    "from_functions",
    "from_matrix",
    "gaussian_blur",
    "grey",
    "identity",
    "kernel_blur",
    "make",
    "mosaic",
    "motion_blur",
    "noise_stage",
    "random_mask",
    "read_trace",
    "resize",
    "shake_blur",
    "sinc_blur",
    "stack",
    "stride",
    "uniform_blur",
]

__getattr__ = on_first_use(__name__, __file__)


def make(spec: str | Parsed, *, in_shape: Shape | None = None, out_shape: Shape | None = None) -> Operator:
    """Build an operator from a spec, for pictures of one shape.

    One of the two shapes is needed. From ``out_shape`` an operator that changes the size takes the picture to be the
    factor times as large.

    Args:
        spec: A name with options, such as ``sr4x`` or ``blur:sigma=3``. ``zsir list ops`` shows all names.
        in_shape: (channels, height, width) of the picture.
        out_shape: (channels, height, width) of the observation.

    Returns:
        The operator.

    Raises:
        UnknownName: No operator or option has that name.
        BadSpec: The spec does not parse, an option lies outside its range, or not exactly one shape was given.
        ShapeError: The operator does not fit pictures of this shape.

    >>> make("sr4x", out_shape=(3, 32, 48)).in_shape
    (3, 128, 192)
    """
    if (in_shape is None) == (out_shape is None):
        raise BadSpec("operators.make needs either in_shape (the picture) or out_shape (the observation).")
    parsed = OPERATORS.parse(spec) if isinstance(spec, str) else spec
    if in_shape is None:
        assert out_shape is not None
        in_shape = picture_shape(parsed, out_shape)
    return cast("Operator", parsed.build(tuple(in_shape)))


def picture_shape(parsed: Parsed, out_shape: Shape) -> Shape:
    """The shape of the pictures that an observation is taken to come from.

    Args:
        parsed: The operator's spec, taken apart by ``OPERATORS.parse``.
        out_shape: (channels, height, width) of the observation.

    Returns:
        (channels, height, width) of the picture. For a chain the stages are asked from the last to the first.
    """
    for stage in reversed(parsed.stages or (parsed,)):
        rule = OPERATORS.in_shape_rule(stage.name)
        out_shape = rule(out_shape, stage.options) if rule else out_shape
    return out_shape


def picture_channels(parsed: Parsed, out_shape: Shape) -> int:
    """The channels of the pictures that an observation is taken to come from, whether or not their size can be told.

    Args:
        parsed: The operator's spec, taken apart by ``OPERATORS.parse``.
        out_shape: (channels, height, width) of the observation.

    Returns:
        Channels of the picture: 3 for a grey observation of ``grey``.
    """
    for stage in reversed(parsed.stages or (parsed,)):
        rule = OPERATORS.in_shape_rule(stage.name)
        with suppress(BadSpec):  # by which a rule says that it knows no size
            out_shape = rule(out_shape, stage.options) if rule else out_shape
    return out_shape[0]
