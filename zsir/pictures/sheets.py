"""Pictures beside each other: enlarged to one size, and put under titles on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor


def enlarge(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """``pixels`` (1, C, h, w) at ``size`` (height, width), bicubic by Pillow's rule, not clipped."""
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    planes = [Image.fromarray(p.numpy()) for p in pixels[0].detach().cpu().float()]
    resized = [np.asarray(p.resize((size[1], size[0]), Image.Resampling.BICUBIC)) for p in planes]
    return torch.from_numpy(np.stack(resized))[None]


def contact_sheet(pictures: Sequence[tuple[str, Tensor]], columns: int | None = None) -> Tensor:
    """Pictures (1, 1 or 3, height, width) side by side under their titles, on white: (1, 3, height, width).

    ``columns`` pictures in a row at most; all in one row if not given.
    """
    if columns is not None and len(pictures) > columns:
        rows = [contact_sheet(pictures[k : k + columns]) for k in range(0, len(pictures), columns)]
        width = max(row.shape[-1] for row in rows)
        white = [row.new_ones(1, 3, row.shape[-2], width) for row in rows]
        for page, row in zip(white, rows, strict=True):
            page[..., : row.shape[-1]] = row
        return torch.cat(white, dim=2)
    font = ImageFont.load_default(14)
    gap, band = 8, 26
    cells = [max(p.shape[-1], int(font.getlength(title)) + 1) for title, p in pictures]
    height = band + max(p.shape[-2] for _, p in pictures) + gap
    sheet = np.full((height, sum(cells) + gap * (len(cells) + 1), 3), 255, np.uint8)
    places = [gap + sum(cells[:k]) + gap * k for k in range(len(cells))]
    for left, (_, p) in zip(places, pictures, strict=True):
        values = p[0].detach().cpu().double().clamp(0, 1).permute(1, 2, 0).numpy()
        sheet[band : band + p.shape[-2], left : left + p.shape[-1]] = np.rint(values * 255)
    image = Image.fromarray(sheet)
    draw = ImageDraw.Draw(image)
    for left, (title, _) in zip(places, pictures, strict=True):
        draw.text((left, 5), title, fill=(0, 0, 0), font=font)
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()
