"""Pictures from and to files: any mode in, float tensors in [0, 1] inside, 8 or 16 bits out.

Colours are not managed: values mean what the file's profile says, and the profile travels along. Only CMYK and LAB
are converted, to sRGB, because priors know nothing but grey and RGB.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageFont, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from zsir import files
from zsir.errors import BadInput, OutputError, ZsirError
from zsir.pictures import png16

Array = NDArray[np.float32]  # (height, width, channels)

#: suffixes that a folder is searched for
READABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".pnm", ".jp2")
WRITABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
#: float pictures may hold a noisy observation, which reaches beyond [0, 1]; further out the scale must be wrong
FLOAT_RANGE = (-1.0, 2.0)
ORIENTATION = 0x0112  # EXIF tag


class PictureWarning(UserWarning):
    """Something about a picture that its owner should know, and that does not stop the work."""


@dataclass(frozen=True)
class Picture:
    """A picture as read from a file.

    ``pixels`` (1, C, height, width) float32 in [0, 1], C = 1 or 3; ``alpha`` (1, 1, height, width) or None; ``bits``
    per sample of the file, 8 or 16; ``mode`` as Pillow names it; ``text`` entries of a PNG; ``icc`` colour profile.
    """

    pixels: Tensor = field(repr=False)
    alpha: Tensor | None = field(repr=False)
    bits: int
    mode: str
    path: Path
    text: Mapping[str, str] = field(default_factory=dict)
    icc: bytes | None = field(default=None, repr=False)


def read(path: str | Path) -> Picture:
    """Read a picture of any mode (1, L, LA, P, RGB, RGBA, CMYK, YCbCr, LAB, 16-bit, I, F), upright as EXIF says.

    Of a file with several pictures the first is read, with a `PictureWarning`. Raises `BadInput` for everything that
    is not a usable picture: missing, damaged, too large, NaN, or floats that are not on the [0, 1] scale.
    """
    path = Path(path)
    notes: list[str] = []
    with _reading(path), Image.open(path) as image:
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            notes.append(f"{path} holds several pictures; the first is read.")
        image.load()
        values, bits = _values(image, path, notes)
        values = _upright(values, image.getexif().get(ORIENTATION, 1))
        text = {k: str(v) for k, v in getattr(image, "text", {}).items()}
        icc = None if image.mode in ("CMYK", "LAB") else image.info.get("icc_profile")
    for note in notes:
        warnings.warn(note, PictureWarning, stacklevel=2)
    pixels = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]
    colours = 1 if pixels.shape[1] < 3 else 3
    alpha = pixels[:, colours:] if pixels.shape[1] > colours else None
    return Picture(pixels[:, :colours], alpha, bits, image.mode, path, text, icc)


def read_gray(path: str | Path) -> NDArray[np.float64]:
    """A mask or kernel (height, width): grey value as a fraction of full scale, colours averaged, alpha ignored.

    A ``.npy`` file holds the numbers as they are. Raises `BadInput`.
    """
    if Path(path).suffix.lower() != ".npy":
        return np.asarray(read(path).pixels[0].double().mean(dim=0))
    with _reading(Path(path)):
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise BadInput(
            f"{path} must hold a two-dimensional array of finite numbers, got shape {array.shape} of {array.dtype}."
        )
    return np.asarray(array, dtype=np.float64)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside becomes one `BadInput`; warnings of libraries stay inside."""
    if not path.exists():
        raise BadInput(f"{path}: there is no such file.")
    if not path.is_file():
        raise BadInput(f"{path} is {'a folder' if path.is_dir() else 'a device or pipe'}, not a picture.")
    limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except ZsirError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(f"{path} has more than the {limit} that are allowed; cut it into parts.") from None
    except UnidentifiedImageError:
        raise BadInput(f"{path} is not a picture in a known format (or it is damaged).") from None
    except PermissionError:
        raise BadInput(f"{path} cannot be read: no permission.") from None
    except MemoryError:
        raise BadInput(f"{path} cannot be read: there is not enough memory for it.") from None
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error on damaged files
        what = str(error).split("\n")[0].rstrip(". ")
        raise BadInput(f"{path} is damaged or not a usable picture ({what or type(error).__name__}).") from None


def _values(image: Image.Image, path: Path, notes: list[str]) -> tuple[Array, int]:
    """Values (height, width, 1 to 4 channels) on the scale [0, 1], and the bits per sample they came with."""
    if png16.is_16_bit(path.open("rb").read(32)):
        return _scaled(png16.decode(path.read_bytes()), 65535), 16
    mode = image.mode
    if mode.startswith("I;16"):
        return _scaled(np.asarray(image), 65535), 16
    if mode in ("I", "F"):
        return _wide(np.asarray(image), path), 16
    if mode == "RGB" and image.format == "TIFF" and 16 in image.getexif().get(258, ()):
        notes.append(f"{path}: colour TIFF files are read with 8 of their 16 bits; a PNG keeps all.")
    return _scaled(np.asarray(_standard(image)), 255), 8


def _scaled(array: NDArray[Any], white: int) -> Array:
    values: Array = np.divide(array, np.float32(white), dtype=np.float32)
    return values if values.ndim == 3 else values[:, :, None]


def _wide(array: NDArray[Any], path: Path) -> Array:
    """Floats as they are, integers as fractions of 65535; refused where that cannot be what is meant."""
    if not np.isfinite(array).all():
        raise BadInput(f"{path} holds NaN or infinite values; replace them first.")
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f":
        if low < FLOAT_RANGE[0] or high > FLOAT_RANGE[1]:
            raise BadInput(
                f"{path} holds floats from {low:.4g} to {high:.4g}; divide them by their white level, so that "
                "black is 0 and white is 1."
            )
        return _scaled(array, 1)
    if low < 0 or high > 65535:
        raise BadInput(f"{path} holds integers from {low:.0f} to {high:.0f}; only 0 to 65535 are understood.")
    return _scaled(array, 65535)


def _standard(image: Image.Image) -> Image.Image:
    """An 8-bit picture of any mode as L, LA, RGB or RGBA."""
    mode, clear = image.mode, image.has_transparency_data
    if mode in ("1", "L", "LA", "La"):
        return image.convert("LA" if clear else "L")
    if mode in ("CMYK", "LAB"):
        return _to_srgb(image)
    return image.convert("RGBA" if clear else "RGB")


def _to_srgb(image: Image.Image) -> Image.Image:
    """CMYK or LAB by the file's profile; CMYK without one as plain inverted inks."""
    profile = image.info.get("icc_profile")
    try:
        source = (
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if profile and image.mode == "CMYK"
            else ImageCms.createProfile("LAB")
        )
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        converted = None
    return converted or image.convert("RGB")


def _upright(values: Array, orientation: int) -> Array:
    """Turn and mirror as the EXIF orientation (1 to 8) asks."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)  # what is left is then a mirroring
        orientation = {5: 1, 6: 2, 7: 3, 8: 4}[orientation]
    return {2: values[:, ::-1], 3: values[::-1, ::-1], 4: values[::-1]}.get(orientation, values)


def write(
    path: str | Path,
    pixels: Tensor,
    *,
    bits: int = 8,
    alpha: Tensor | None = None,
    text: Mapping[str, str] | None = None,
    icc: bytes | None = None,
) -> None:
    """Write ``pixels`` (1, 1 or 3, height, width), clipped to [0, 1] and rounded, in the format of the suffix.

    PNG, TIFF and WebP are lossless, JPEG has quality 95 without chroma subsampling. ``bits=16`` holds for PNG and
    grey TIFF, ``alpha`` (1, 1, height, width) for all but JPEG, ``text`` for PNG; what a format cannot keep is dropped
    with a `PictureWarning`. The file appears whole or not at all. Raises `OutputError`, `BadInput` for NaN.
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
    values = planes.detach().cpu().double().clamp(0, 1).permute(1, 2, 0).numpy()
    if bits == 16:
        samples = np.rint(values * 65535).astype(np.uint16)
        data = png16.encode(samples, text=text, icc=icc) if suffix == ".png" else _encode(samples, suffix, text, icc)
    else:
        data = _encode(np.rint(values * 255).astype(np.uint8), suffix, text, icc)
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
    samples: NDArray[np.unsignedinteger], suffix: str, text: Mapping[str, str] | None, icc: bytes | None
) -> bytes:
    """File content of samples (height, width, channels) by Pillow."""
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    buffer = io.BytesIO()
    if suffix == ".png":
        entries = PngInfo()
        for key, value in (text or {}).items():
            entries.add_itxt(key, value)
        image.save(buffer, "PNG", pnginfo=entries, icc_profile=icc)
    elif suffix == ".webp":
        try:
            image.save(buffer, "WEBP", lossless=True, exact=True, icc_profile=icc or b"")
        except (OSError, ValueError) as error:
            raise OutputError(f"This picture does not fit into a WebP file ({error}); write a PNG.") from None
    elif suffix in (".tif", ".tiff"):
        image.save(buffer, "TIFF", compression="tiff_adobe_deflate", icc_profile=icc)
    else:
        image.save(buffer, "JPEG", quality=95, subsampling=0, icc_profile=icc)
    return buffer.getvalue()


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
