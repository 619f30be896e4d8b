"""Drawn crops: plain shapes over one another, in the colours of a photograph ("dead leaves").

Photographs hold few clean edges and even surfaces, and a squared error hardly counts them. So a network learns them
last. The occlusion model of Lee, Mumford and Huang (2001) consists of edges and even surfaces only. Denoisers that
learned from this model alone come close to others (Achddou, Gousseau and Ladjal 2021). The sizes of the shapes follow a
power law, as the sizes of things do.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from zsir.training.dataset import Array

#: radii are drawn from a density r^-2.5 (in pixels of the canvas, which is twice the crop) above one of these
SMALLEST = (6.0, 12.0, 24.0)
#: fills: a crop takes one of these rates of textured fills; from there up to SHADED they are shaded, the rest even
TEXTURED, SHADED = (0.0, 0.1, 0.35), 0.55
#: blur of a crop, in pixels of the canvas: mostly sharp
BLUR = (0.0, 0.0, 0.0, 1.0, 2.5)


def drawn(picture: Array, patch: int, rng: np.random.Generator) -> Array:
    """A crop (patch, patch, channels) of shapes in the colours and textures of ``picture`` (height, width, channels).

    The crop has the type of the picture, uint8 or uint16, and 8 bits of depth in both cases. It is drawn twice as large
    and reduced by means of four pixels, which softens edges without a halo. Another version of Pillow may draw other
    outlines.
    """
    side = 2 * patch
    canvas = _image(_shaded(picture, side, side, rng))
    textured = float(rng.choice(TEXTURED))
    count = round(math.exp(rng.uniform(math.log(2), math.log(max(3, side * side / 500)))))
    low, high = min(float(rng.choice(SMALLEST)), side) ** -1.5, (2.0 * side) ** -1.5
    for _ in range(count):
        radius = (high + rng.random() * (low - high)) ** (-1 / 1.5)
        x, y = rng.uniform(-0.1 * side, 1.1 * side, 2)
        left, top = (max(0, math.floor(c - 2.2 * radius)) for c in (x, y))
        right, bottom = (min(side, math.ceil(c + 2.2 * radius)) for c in (x, y))
        if right - left < 2 or bottom - top < 2:
            continue
        mask = Image.new("L", (right - left, bottom - top))
        _shape(ImageDraw.Draw(mask), x - left, y - top, radius, rng)
        fill = _fill(picture, bottom - top, right - left, textured, rng)
        canvas.paste(_image(fill), (left, top), mask)
    blur = float(rng.choice(BLUR))
    if blur:
        canvas = canvas.filter(ImageFilter.GaussianBlur(blur))
    crop = np.asarray(canvas.reduce(2)).reshape(patch, patch, -1)
    return crop if picture.dtype == np.uint8 else crop.astype(np.uint16) * 257


def _shape(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Fill an ellipse, a polygon, a turned rectangle, a bent stroke or a ring."""
    kind, turn = rng.random(), rng.uniform(0, 2 * math.pi)
    if kind < 0.3:
        flat = radius * rng.uniform(0.4, 1)
        draw.ellipse([x - radius, y - flat, x + radius, y + flat], fill=255)
    elif kind < 0.6:
        angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 8))))
        reach = radius * rng.uniform(0.5, 1.1, len(angles))
        draw.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(reach, angles, strict=True)], fill=255)
    elif kind < 0.8:
        turn, narrow = float(rng.choice([0.0, turn])), rng.uniform(0.15, 1)  # buildings stand upright
        c, s = radius * math.cos(turn), radius * math.sin(turn)
        corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        draw.polygon([(x + c * u - s * v * narrow, y + s * u + c * v * narrow) for u, v in corners], fill=255)
    elif kind < 0.95:
        c, s, bend = 2 * radius * math.cos(turn), 2 * radius * math.sin(turn), rng.normal(0, 0.4 * radius, 2)
        path = [(x - c, y - s), (x + bend[0], y + bend[1]), (x + c, y + s)]
        draw.line(path, fill=255, width=int(rng.integers(1, 11)), joint="curve")
    else:
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=255, width=int(rng.integers(2, 9)))


def _colour(picture: Array, rng: np.random.Generator) -> NDArray[np.float64]:
    y, x = (int(rng.integers(n)) for n in picture.shape[:2])
    return _levels(picture[y, x])


def _levels(samples: Array) -> NDArray[np.float64]:
    """Samples of any type, scaled to 0..255."""
    levels: NDArray[np.float64] = samples * (255 / np.iinfo(samples.dtype).max)
    return levels


def _shaded(picture: Array, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A linear gradient from a colour of the picture to a colour near it."""
    one, turn = _colour(picture, rng), rng.uniform(0, 2 * math.pi)
    change = rng.normal(0, rng.choice([8.0, 25.0, 60.0]), one.shape)
    y, x = np.ogrid[0:height, 0:width]
    t = math.cos(turn) * x / width + math.sin(turn) * y / height
    shades: NDArray[np.float64] = one + change * t[..., None]
    return shades


def _fill(picture: Array, height: int, width: int, textured: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Texture of the picture around another of its colours, a shade, or an even colour."""
    kind = rng.random()
    if kind < textured and min(picture.shape[0] - height, picture.shape[1] - width) >= 0:
        top, left = (int(rng.integers(n + 1)) for n in (picture.shape[0] - height, picture.shape[1] - width))
        piece = _levels(picture[top : top + height, left : left + width])
        detail: NDArray[np.float64] = rng.uniform(0.3, 1) * (piece - piece.mean((0, 1)))
        return _colour(picture, rng) + detail
    if kind < SHADED:
        return _shaded(picture, height, width, rng)
    return np.broadcast_to(_colour(picture, rng), (height, width, picture.shape[2]))


def _image(fill: NDArray[np.float64]) -> Image.Image:
    """The fill as a Pillow picture: 8 bits, grey without a third axis."""
    samples = np.rint(np.clip(fill, 0, 255)).astype(np.uint8)
    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
