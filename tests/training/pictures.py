"""Folders of small pictures, made by formula."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, height: int = 40, width: int = 52) -> np.ndarray:
    """Waves and edges (height, width, 3), uint8, different for every number."""
    y, x = np.mgrid[0:height, 0:width] / 8.0
    waves = [np.sin(x * (1 + 0.3 * number) + c) * np.cos(y * (1 + 0.2 * c) + number) for c in range(3)]
    steps = 0.4 * ((x + y + number) % 3 > 1.5)
    return np.uint8(np.clip(255 * (0.3 + 0.2 * np.stack(waves, -1) + steps[..., None]), 0, 255))


def folder(path: Path, count: int = 6) -> Path:
    """A folder with ``count`` pictures."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(picture(number)).save(path / f"p{number}.png")
    return path
