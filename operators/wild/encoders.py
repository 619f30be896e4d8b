"""The JPEG stages: Pillow's encoder, and the differentiable stand-in that Real-ESRGAN was trained with."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch
from torch import Tensor

from zsir.errors import ShapeError
from zsir.operators.jpeg.codec import check_sides, dct_matrix

#: rows: Y, Cb, Cr of full-range BT.601
YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=torch.float64
)
RGB = torch.tensor([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], dtype=torch.float64)


def to_bytes(x: Tensor) -> Tensor:
    """x (batch, channels, height, width) as 8-bit numbers 0..255; what lies outside [0, 1] is clipped."""
    return (255 * x).round().clamp(0, 255).to(torch.uint8)


def pillow(x: Tensor, quality: int) -> Tensor:
    """The picture that Pillow reads back from the JPEG file that it writes, chroma reduced twofold (4:2:0).

    Args:
        x: Pictures, (batch, 1 or 3, height, width); what lies outside [0, 1] is clipped.
        quality: 1 to 100.

    Returns:
        Pictures in the shape and dtype of ``x``.

    Raises:
        ShapeError: The pictures have neither one nor three channels.
        BadInput: A side is longer than libjpeg writes.
    """
    from PIL import Image

    _check(x)
    check_sides(x)
    found = []
    for picture in to_bytes(x).permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        grey = picture.shape[2] == 1
        coded = Image.fromarray(picture[:, :, 0] if grey else picture)
        coded.save(file, "JPEG", quality=quality, **({} if grey else {"subsampling": "4:2:0"}))
        with Image.open(file) as decoded:
            pixels = np.asarray(decoded)
        found.append(torch.from_numpy(pixels.reshape(picture.shape).copy()).permute(2, 0, 1))
    return torch.stack(found).to(x) / 255


@cache
def base_tables() -> tuple[Tensor, Tensor]:
    """The tables of the standard for luma and chroma, (8, 8) [vertical][horizontal frequency], float64.

    libjpeg scales them by the quality, and at 50 the scale is 1.
    """
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=50)
    with Image.open(file) as coded:
        tables: dict[int, list[int]] = coded.quantization
    luma, chroma = (torch.tensor(tables[k], dtype=torch.float64).view(8, 8) for k in (0, 1))
    return luma, chroma


def differentiable(x: Tensor, quality: float) -> Tensor:
    """Real-ESRGAN's own JPEG: tables neither rounded nor limited and transposed, chroma averaged and repeated.

    Args:
        x: Pictures, (batch, 1 or 3, height, width); what lies outside [0, 1] is clipped.
        quality: A real number, at least 1 and below 100, where the tables become 0.

    Returns:
        Pictures in the shape and dtype of ``x``.

    Raises:
        ShapeError: The pictures have neither one nor three channels.
    """
    _check(x)
    h, w = x.shape[-2:]
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    colour = x.double().clamp(0, 1).cpu()
    colour = torch.nn.functional.pad(colour, (0, -w % 16, 0, -h % 16))
    planes = torch.einsum("cd,bdhw->bchw", YCBCR, 255 * colour.expand(-1, 3, -1, -1))
    planes[:, 1:] += 128
    luma, chroma = (table.T * scale for table in base_tables())
    bright = _quantised(planes[:, :1], luma)
    tint = _quantised(torch.nn.functional.avg_pool2d(planes[:, 1:], 2), chroma)
    tint = tint.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1) - 128
    decoded = torch.einsum("cd,bdhw->bchw", RGB, torch.cat([bright, tint], dim=1)).clamp(0, 255) / 255
    return decoded[:, : x.shape[1], :h, :w].to(x)


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (batch, channels, height, width) with the coefficients of their blocks rounded to steps of ``table``."""
    b, c, h, w = planes.shape
    d = dct_matrix(torch.float64)
    blocks = planes.view(b, c, h // 8, 8, w // 8, 8).transpose(3, 4) - 128
    coefficients = (d @ blocks @ d.T / table).round() * table
    return (d.T @ coefficients @ d + 128).transpose(3, 4).reshape(b, c, h, w)


def _check(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ShapeError(f"JPEG takes grey or colour pictures (batch, 1 or 3, height, width), got {tuple(x.shape)}.")
