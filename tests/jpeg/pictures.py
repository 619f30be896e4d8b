"""Pictures and files of them for the tests of JPEG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zsir.rng import generator


def picture(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Waves, a chessboard and grain: every frequency is there."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    colours = [127 + 80 * np.sin(x / 7 + y / 11 + c) + 30 * ((x // 9 + y // 5) % 2) * (c == 0) for c in range(3)]
    values = np.stack(colours, axis=-1) + rng.normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, **options: Any) -> bytes:
    """The file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, options.pop("format", "JPEG"), **options)
    return file.getvalue()


def shown(data: bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What Pillow decodes, (height, width, C) in grey levels."""
    values = np.asarray(Image.open(io.BytesIO(data)), dtype=np.float64)
    return values[:, :, None] if values.ndim == 2 else values


def waves(shape: tuple[int, ...], batch: int = 1, seed: int = 0) -> Tensor:
    """Smooth colour waves with some grain, in [0, 1], float64."""
    c, h, w = shape
    rows, columns = torch.arange(h, dtype=torch.float64)[:, None], torch.arange(w, dtype=torch.float64)
    phases = torch.arange(batch * c, dtype=torch.float64).view(batch, c, 1, 1)
    wave = 0.5 + 0.3 * torch.sin(rows / 5 + phases) * torch.cos(columns / 7 - 2 * phases)
    grain = torch.randn(batch, *shape, generator=generator(seed), dtype=torch.float64)
    return (wave + 0.04 * grain).clamp(0, 1)
