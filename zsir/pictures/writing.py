"""Pictures into files: 8 or 16 bits, transparency, colour profile, notes of the camera; whole or not at all."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from zsir import files
from zsir.errors import BadInput, OutputError, PictureWarning
from zsir.pictures import png16
from zsir.pictures.exif import DIRECTORIES, MOST_IN_JPEG, for_tiff

WRITABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


def write(
    path: str | Path,
    pixels: Tensor,
    *,
    bits: int = 8,
    alpha: Tensor | None = None,
    text: Mapping[str, str] | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write a picture, clipped to [0, 1] and rounded, in the format of the suffix.

    PNG, TIFF and WebP are lossless. JPEG has quality 95 without chroma subsampling. The file appears whole or not at
    all. What a format cannot keep is dropped with a `PictureWarning`.

    Args:
        path: The file; it ends in ``.png``, ``.jpg``, ``.jpeg``, ``.tif``, ``.tiff`` or ``.webp``.
        pixels: The picture, (1, 1 or 3, height, width).
        bits: Bits per sample, 8 or 16. Only PNG and grey TIFF have 16. By default 8.
        alpha: The transparency, (1, 1, height, width) in [0, 1]. JPEG has none.
        text: Text entries, kept by PNG alone.
        icc: The colour profile.
        exif: The EXIF block of a `Picture`. A TIFF file with the notes of a camera is not compressed.
        dpi: Pixels per inch across and down. WebP has no place for them outside EXIF.

    Raises:
        OutputError: The file cannot be written, or its suffix is not known.
        BadInput: The picture holds NaN or infinite values.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise OutputError(f"{path} cannot be written: use a name that ends in {', '.join(WRITABLE)}.")
    if not bool(torch.isfinite(pixels).all()):
        raise BadInput(f"{path} was not written: the picture holds NaN or infinite values.")
    planes = pixels[0]
    if alpha is not None and suffix in (".jpg", ".jpeg"):
        warnings.warn(f"{path}: JPEG cannot keep transparency.", PictureWarning, stacklevel=2)
    elif alpha is not None:
        planes = torch.cat([planes, alpha[0].to(planes)])
    if bits == 16 and not (suffix == ".png" or (suffix in (".tif", ".tiff") and len(planes) == 1)):
        warnings.warn(f"{path} has 8 bits per sample; a PNG keeps 16.", PictureWarning, stacklevel=2)
        bits = 8
    if exif is not None and len(exif) > MOST_IN_JPEG and suffix in (".jpg", ".jpeg"):
        warnings.warn(f"{path}: JPEG has no room for so large an EXIF block.", PictureWarning, stacklevel=2)
        exif = None
    values = planes.detach().cpu().double().clamp(0, 1).permute(1, 2, 0).numpy()
    samples = np.rint(values * 65535).astype(np.uint16) if bits == 16 else np.rint(values * 255).astype(np.uint8)
    if bits == 16 and suffix == ".png":
        data = png16.encode(samples, text=text, icc=icc, exif=exif, dpi=dpi)
    else:
        data = _encode(samples, suffix, text, {"icc_profile": icc, "exif": exif, "dpi": dpi})
    files.write_bytes(path, data)


def write_animation(path: str | Path, frames: Sequence[Tensor], duration: int) -> None:
    """Write ``frames`` (1, 1 or 3, height, width) in [0, 1] as a GIF or WebP that repeats, ``duration`` ms each.

    The last frame stays four times as long. A GIF has 256 colours per frame; WebP is lossless. Raises `OutputError`.
    """
    path = Path(path)
    kind = {".gif": "GIF", ".webp": "WEBP"}.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path} cannot be written: use a name that ends in .gif or .webp.")
    pictures = []
    for frame in frames:
        values = frame[0].detach().cpu().double().clamp(0, 1).permute(1, 2, 0).numpy()
        samples = np.rint(values * 255).astype(np.uint8)
        pictures.append(Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples).convert("RGB"))
    durations = [duration] * (len(pictures) - 1) + [4 * duration]
    more = {"lossless": True} if kind == "WEBP" else {}
    buffer = io.BytesIO()
    try:
        pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **more)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be written ({error}); choose the other kind of animation.") from None
    files.write_bytes(path, buffer.getvalue())


def _encode(
    samples: NDArray[np.unsignedinteger], suffix: str, text: Mapping[str, str] | None, beside: Mapping[str, Any]
) -> bytes:
    """File content of samples (height, width, channels) by Pillow; ``beside`` is what else the file holds."""
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    given = {key: value for key, value in beside.items() if value}
    buffer = io.BytesIO()
    if suffix == ".png":
        entries = PngInfo()
        for key, value in (text or {}).items():
            entries.add_itxt(key, value)
        image.save(buffer, "PNG", pnginfo=entries, **given)
    elif suffix == ".webp":
        given.pop("dpi", None)
        try:
            image.save(buffer, "WEBP", lossless=True, exact=True, **given)
        except (OSError, ValueError) as error:
            raise OutputError(f"This picture does not fit into a WebP file ({error}); write a PNG.") from None
    elif suffix in (".tif", ".tiff"):
        if "exif" in given:
            given["exif"] = for_tiff(given["exif"])
        # Pillow compresses by libtiff, which cannot write the directories of EXIF
        nested = any(tag in given.get("exif", ()) for tag in DIRECTORIES)
        image.save(buffer, "TIFF", compression="raw" if nested else "tiff_adobe_deflate", **given)
    else:
        image.save(buffer, "JPEG", quality=95, subsampling=0, **given)
    return buffer.getvalue()
