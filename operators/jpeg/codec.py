"""JPEG there and back, for simulations: pictures encoded by Pillow, and codes decoded in floating point."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.operators.jpeg.coded import JpegFile

#: decoders round halves up; flat blocks often end on one, and float32 misses it by some 1e-5
HALF = 0.5 + 1e-3
#: pixels a side that libjpeg writes at most
LONGEST = 65500
SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def encoded(x: Tensor, quality: int, sampling: str = "4:2:0", progressive: bool = False) -> bytes:
    """The JPEG file that Pillow (libjpeg-turbo) makes of a picture.

    Args:
        x: The picture, (1, C, height, width) in [0, 1], C = 1 or 3. It is rounded to 8 bits.
        quality: 1 to 100.
        sampling: ``4:4:4``, ``4:2:2`` or ``4:2:0``.
        progressive: Write a progressive file.

    Returns:
        The file. The same picture gives the same file.

    Raises:
        ShapeError: The picture has another shape.
        BadSpec: Quality or sampling is none of those above.
        BadInput: A side is longer than the 65,500 pixels that libjpeg writes.
    """
    if x.ndim != 4 or x.shape[0] != 1 or x.shape[1] not in (1, 3):
        raise ShapeError(f"A picture (1, C, height, width) with C = 1 or 3 is needed, got {tuple(x.shape)}.")
    if not 1 <= quality <= 100:
        raise BadSpec(f"The JPEG quality must be from 1 to 100, got {quality}.")
    if sampling not in SAMPLINGS:
        raise BadSpec(f"The chroma sampling must be one of {', '.join(SAMPLINGS)}, got {sampling}.")
    check_sides(x)
    values = (x[0].detach().double().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    image = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else np.ascontiguousarray(values))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=SAMPLINGS[sampling], progressive=progressive)
    return file.getvalue()


def check_sides(x: Tensor) -> None:
    """Refuse a picture (..., height, width) with longer sides than libjpeg writes; raises `BadInput`."""
    height, width = x.shape[-2:]
    if max(height, width) > LONGEST:
        raise BadInput(f"A JPEG has at most {LONGEST} pixels a side, got {width}x{height}; cut it into parts.")


def decoded(file: JpegFile) -> Tensor:
    """The picture that viewers show: dequantised, transformed back, chroma enlarged, converted to RGB.

    The steps are those of libjpeg-turbo in floating point. They differ from its integers by at most 3 grey levels.

    Args:
        file: A file with codes.

    Returns:
        The picture as stored, float32 (1, C, height, width) in [0, 1] in steps of 1/255, C = 1 or 3. The EXIF
        orientation is not applied.

    Raises:
        BadInput: The file holds CMYK or YCCK, or only its headers were read.
    """
    if file.space in ("cmyk", "ycck"):
        raise BadInput(f"The JPEG holds {file.space.upper()} inks and no RGB colours; save it as RGB.")
    width, height = file.size
    x = torch.empty(len(file.components), height, width)
    for i, (part, (fy, fx)) in enumerate(zip(file.components, file.factors, strict=True)):
        if part.codes is None:
            raise BadInput("Only the headers of the JPEG were read; read it with read_jpeg.")
        plane = plane_of(part.codes, part.table)[: -(-height // fy), : -(-width // fx)]
        x[i] = _enlarged(plane, fy, fx)[:height, :width]
    if file.space == "ycbcr":
        _to_rgb(x)
    return x.round_().clamp_(0, 255).div_(255)[None]


def dct_matrix(dtype: torch.dtype = torch.float32) -> Tensor:
    """The orthonormal DCT-II of 8 samples.

    Args:
        dtype: Type of the numbers.

    Returns:
        (8, 8); row u holds the cosine of frequency u.
    """
    u, n = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)
    rows = torch.cos((2 * n + 1) * u * torch.pi / 16) / 2
    rows[0] /= 2**0.5
    return rows.to(dtype)


def plane_of(codes: Tensor, table: Tensor) -> Tensor:
    """The samples of a component as a decoder makes them.

    Args:
        codes: (block rows, block columns, 8, 8).
        table: The quantisation steps, (8, 8).

    Returns:
        Whole numbers from 0 to 255 as float32, (8 block rows, 8 block columns).
    """
    rows, columns = codes.shape[:2]
    dct = dct_matrix()
    blocks = dct.T @ (codes * table.to(torch.float32)) @ dct + 128
    return blocks.add_(HALF).floor_().clamp_(0, 255).permute(0, 2, 1, 3).reshape(8 * rows, 8 * columns)


def _enlarged(plane: Tensor, fy: int, fx: int) -> Tensor:
    """A component at the size of the picture: smoothly where libjpeg-turbo does so, else by repeating.

    It rounds first and second samples of a pair differently, so that the errors cancel in the mean.
    """
    smooth = (fy, fx) in ((1, 2), (2, 1), (2, 2))
    if not smooth or (fx == 2 and plane.shape[1] <= 2):
        return plane.repeat_interleave(fy, 0).repeat_interleave(fx, 1)
    if fx == 1:
        return _doubled(plane, (1 / 4, 1 / 2))
    if fy == 1:
        return _doubled(plane.T, (1 / 4, 1 / 2)).T
    return _doubled(_doubled(plane, None).T, (8 / 16, 7 / 16)).T


def _doubled(plane: Tensor, shares: tuple[float, float] | None) -> Tensor:
    """Twice the rows: each gives two, of 3/4 itself and 1/4 its nearer neighbour, rounded down after adding a share."""
    padded = pad(plane[None, None], (0, 0, 1, 1), mode="replicate")[0, 0]
    pair = [plane.mul(0.75).add_(padded[:-2], alpha=0.25), plane.mul(0.75).add_(padded[2:], alpha=0.25)]
    if shares is not None:
        pair = [rows.add_(share).floor_() for rows, share in zip(pair, shares, strict=True)]
    return torch.stack(pair, dim=1).reshape(-1, plane.shape[1])


def _to_rgb(x: Tensor) -> None:
    """Y, Cb and Cr (3, height, width) become RGB in place: BT.601, full range."""
    y, blue, red = x[0].clone(), x[1].clone().sub_(128), x[2].clone().sub_(128)
    x[0] = y.add(red, alpha=1.402)
    x[1] = y.add(blue, alpha=-0.344136286).add_(red, alpha=-0.714136286)
    x[2] = y.add_(blue, alpha=1.772)
