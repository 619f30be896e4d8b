"""The JPEG operator of a file, or of a quality."""

from __future__ import annotations

from typing import Annotated, cast

import torch
from torch import Tensor

from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.names.registry import Option
from zsir.operators.jpeg.blockwise import JpegOperator
from zsir.operators.jpeg.coded import JpegFile, read_tables
from zsir.operators.jpeg.decomposed import Colour
from zsir.operators.jpeg.quantised import equivalent_noise
from zsir.operators.jpeg.standard import CHROMA, LUMA, scaled_table
from zsir.operators.jpeg.units import Factors
from zsir.protocols import Shape

#: rows and columns that share one sample of the chroma
SAMPLINGS: dict[str, Factors] = {"444": (1, 1), "422": (1, 2), "420": (2, 2), "440": (2, 1), "411": (1, 4)}


def jpeg(
    in_shape: Shape,
    q: Annotated[int, Option("quality as libjpeg counts it", "1..100")] = 75,
    sampling: Annotated[str, Option("layout of the chroma", choices=tuple(SAMPLINGS))] = "420",
    path: Annotated[str | None, Option("a JPEG file, whose tables and layout take the place of both")] = None,
) -> JpegOperator:
    """Coding as a JPEG file: colours, means of the chroma, blockwise DCT, quantisation.

    forward ``A x = level diag(1/s) T M x``; adjoint ``A^T y = M^T T^T diag(level/s) y``;
    pinv unit by unit, in the norm of Y, Cb and Cr. The operator is the linear part. Observations are the coefficients
    of the file, each divided by the standard deviation s of its error, s^2 = (q^2 + 1)/12.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range.
        BadInput: The file cannot be read, or holds inks.
        ShapeError: The file is grey and the picture is not, or the other way round.
    """
    if path is not None:
        return of_tables(read_tables(path), in_shape)
    if not 1 <= q <= 100:
        raise BadSpec(f"jpeg:q={q} must be a whole number from 1 to 100, as in jpeg:q=75.")
    if sampling not in SAMPLINGS:
        raise BadSpec(f"jpeg:sampling={sampling}: choose one of {', '.join(SAMPLINGS)}.")
    if in_shape[0] not in (1, 3):
        raise ShapeError(f"A JPEG file has 1 or 3 channels, but the picture has {in_shape[0]}.")
    grey = in_shape[0] == 1
    steps = [scaled_table(base, q) for base in ([LUMA] if grey else [LUMA, CHROMA, CHROMA])]
    factors = ((1, 1),) if grey else ((1, 1), SAMPLINGS[sampling], SAMPLINGS[sampling])
    tables = torch.stack([torch.from_numpy(table) for table in steps])
    colour: Colour = "grey" if grey else "ycbcr"
    return JpegOperator(in_shape, tables, factors, colour, equivalent_noise(tables, factors, colour))


def of_tables(file: JpegFile, in_shape: Shape | None = None) -> JpegOperator:
    """The operator with the tables, the layout and the colour space of a file.

    Args:
        file: The file. If it has codes, the error of its pixels is judged by them.
        in_shape: (channels, height, width) of the picture. By default the size of the file.

    Returns:
        The operator.

    Raises:
        BadInput: The file holds inks (CMYK) in place of colours.
        ShapeError: ``in_shape`` has another number of channels than the file.
    """
    if file.space not in ("grey", "ycbcr", "rgb"):
        raise BadInput(f"The JPEG holds {file.space.upper()} inks and no RGB colours; save it as RGB.")
    colour = cast(Colour, file.space)
    parts = file.components
    tables = torch.stack([part.table for part in parts])
    codes: list[Tensor] | None = [part.codes for part in parts if part.codes is not None]
    if not codes or in_shape is not None:
        codes = None
    shape = in_shape or (len(parts), file.size[1], file.size[0])
    return JpegOperator(shape, tables, file.factors, colour, equivalent_noise(tables, file.factors, colour, codes))


def measurement(file: JpegFile) -> tuple[JpegOperator, Tensor]:
    """A JPEG file as what it is: an observation of the picture.

    Args:
        file: A file with codes, as ``read_jpeg`` gives it.

    Returns:
        The operator, whose ``own_noise`` is the noise level of the observation, and the observation, (1, numbers)
        float64.

    Raises:
        BadInput: The file holds inks (CMYK), or only its headers were read.
    """
    operator = of_tables(file)
    return operator, operator.measured(file)
