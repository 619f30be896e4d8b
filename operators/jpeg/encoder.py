"""What a JPEG encoder makes of pictures: the codes of a file, and the picture that a viewer decodes."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zsir.errors import BadInput
from zsir.operators.jpeg.codec import check_sides, decoded
from zsir.operators.jpeg.coded import Component, JpegFile, read_jpeg
from zsir.operators.jpeg.decomposed import Colour
from zsir.operators.jpeg.units import Factors, Layout

#: chroma layouts that Pillow writes, by the factors of the chroma
PILLOW = {(1, 1): 0, (1, 2): 1, (2, 2): 2}


def pillow_writes(tables: Tensor, factors: tuple[Factors, ...], colour: Colour) -> bool:
    """Whether Pillow writes files with these tables, factors and colours."""
    if int(tables.max()) > 255 or colour == "rgb":
        return False
    return colour == "grey" or (factors[0] == (1, 1) and factors[1] == factors[2] and factors[1] in PILLOW)


def by_pillow(x: Tensor, tables: Tensor, factors: tuple[Factors, ...]) -> tuple[JpegFile, Tensor]:
    """Encode a picture by Pillow, and decode it again.

    Args:
        x: The picture, (C, height, width) in [0, 1]. It is rounded to 8 bits.
        tables: Quantisation steps of each component, (components, 8, 8).
        factors: How many rows and columns share one sample of each component, as `pillow_writes` allows.

    Returns:
        The codes, and the decoded picture (C, height, width), float32 in [0, 1].

    Raises:
        BadInput: A side is longer than libjpeg writes.
    """
    check_sides(x)
    samples = (x.detach().double().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    image = Image.fromarray(samples[:, :, 0] if len(tables) == 1 else np.ascontiguousarray(samples))
    steps = [table.flatten().tolist() for table in tables]
    file = io.BytesIO()
    image.save(file, "JPEG", qtables=steps, subsampling=PILLOW[factors[-1]] if len(tables) > 1 else 0)
    with Image.open(file) as opened:
        shown = np.asarray(opened, dtype=np.float32).reshape(samples.shape)
    return read_jpeg(file.getvalue()), torch.from_numpy(shown / 255).permute(2, 0, 1)


def dequantised(file: JpegFile) -> list[Tensor]:
    """The coefficients that the codes of a file stand for.

    Args:
        file: A file with codes.

    Returns:
        For each component (blocks, 64) float64 on the 0..255 scale, with 128 subtracted as encoders do.

    Raises:
        BadInput: Only the headers of the file were read.
    """
    made = []
    for part in file.components:
        if part.codes is None:
            raise BadInput("Only the headers of the JPEG were read; read it with read_jpeg.")
        made.append(part.codes.double().reshape(-1, 64) * part.table.double().flatten())
    return made


def in_floats(
    coefficients: Tensor, layout: Layout, tables: Tensor, colour: Colour, offset: Tensor
) -> tuple[JpegFile, Tensor]:
    """Round coefficients to codes, and decode them again, for layouts that Pillow does not write.

    Args:
        coefficients: ``T M x`` of one picture, (numbers,), on the 0..255 scale.
        layout: Where codes stand.
        tables: Quantisation steps of each component, (components, 8, 8).
        colour: Colour space of the file.
        offset: What is subtracted before the codes, (components, 64).

    Returns:
        The codes, and the decoded picture (C, height, width), float32 in [0, 1].
    """
    most = tuple(max(f[axis] for f in layout.factors) for axis in (0, 1))
    parts = []
    for i, plane in enumerate(layout.planes(coefficients)):
        codes = ((plane - offset[i]) / tables[i].flatten()).round().to(torch.int16)
        fy, fx = layout.factors[i]
        parts.append(Component(i + 1, most[1] // fx, most[0] // fy, tables[i], codes.view(*plane.shape[:2], 8, 8)))
    _, height, width = layout.in_shape
    file = JpegFile((width, height), tuple(parts), colour, "baseline", 1, None)
    return file, decoded(file)[0]
