"""Pictures from files, arrays and Pillow: any mode in, float tensors in [0, 1] inside.

Colours are not managed: values mean what the file's profile says, and the profile travels along. Only CMYK and LAB
are converted, to sRGB, because priors know nothing but grey and RGB.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from zsir.errors import BadInput, PictureWarning, ShapeError, ZsirError
from zsir.pictures import png16
from zsir.pictures.arrays import read_array
from zsir.pictures.exif import carried
from zsir.pictures.orientation import orientation_of
from zsir.pictures.sheets import enlarge

Array = NDArray[np.float32]  # (height, width, channels)

#: whatever `as_picture` understands
PictureLike: TypeAlias = "str | Path | Tensor | NDArray[Any] | Image.Image | Picture"

#: suffixes that a folder is searched for
READABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".pnm", ".jp2")
#: float pictures may hold a noisy observation, which reaches beyond [0, 1]; further out the scale must be wrong
FLOAT_RANGE = (-1.0, 2.0)
#: what messages call a picture that comes from no file
UNNAMED = Path("picture")


@dataclass(frozen=True)
class Picture:
    """A picture as it was read.

    Attributes:
        pixels: The colours, float32 (1, C, height, width) in [0, 1], C = 1 or 3.
        alpha: The transparency, (1, 1, height, width) in [0, 1], or None.
        bits: Bits per sample of the file, 8 or 16.
        mode: The kind of picture as Pillow names it, such as ``RGB``.
        path: The file, or ``picture`` for a picture that comes from no file.
        text: The text entries of a PNG.
        icc: The colour profile of the file, or None.
        format: The format of the file as Pillow names it, such as ``JPEG``; empty where there is no file.
        orientation: The EXIF orientation, 1 to 8, that the pixels of the file were turned by to stand upright.
        exif: The EXIF block of the file, as it goes into a result: upright and without the thumbnail; or None.
        dpi: Pixels per inch across and down, as the file says, or None.
    """

    pixels: Tensor = field(repr=False)
    alpha: Tensor | None = field(repr=False)
    bits: int
    mode: str
    path: Path
    text: Mapping[str, str] = field(default_factory=dict)
    icc: bytes | None = field(default=None, repr=False)
    format: str = ""
    orientation: int = 1
    exif: bytes | None = field(default=None, repr=False)
    dpi: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) without transparency."""
        _, c, h, w = self.pixels.shape
        return c, h, w

    @property
    def from_file(self) -> bool:
        """Whether it was read from a file, and not made of a tensor or array."""
        return self.path is not UNNAMED

    def alpha_at(self, size: tuple[int, int]) -> Tensor | None:
        """The transparency in another size.

        Args:
            size: (height, width) in pixels.

        Returns:
            The transparency (1, 1, height, width) in [0, 1], or None where the picture has none.
        """
        return None if self.alpha is None else enlarge(self.alpha, size).clamp(0, 1)


def read(path: str | Path) -> Picture:
    """Read a picture of any mode: 1, L, LA, P, RGB, RGBA, CMYK, YCbCr, LAB, 16-bit, I, F.

    The picture is turned upright as its EXIF entry says. Of a file with several pictures the first is read, with a
    `PictureWarning`.

    Args:
        path: The file.

    Returns:
        The picture, with transparency, bits per sample and colour profile.

    Raises:
        BadInput: The file is no usable picture: missing, damaged, too large, with NaN, or with floats that are not on
            the [0, 1] scale.
    """
    path = Path(path)
    notes: list[str] = []
    with _reading(path), Image.open(path) as image:
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            notes.append(f"{path} holds several pictures; the first is read.")
        image.load()
        deep = png16.decode(path.read_bytes()) if png16.is_16_bit(path.open("rb").read(32)) else None
        picture = _picture(image, path, notes, deep)
    for note in notes:
        warnings.warn(note, PictureWarning, stacklevel=2)
    return picture


def as_picture(source: PictureLike) -> Picture:
    """A picture of a file's path, a tensor, an array or a Pillow picture; a `Picture` is returned as it is.

    Tensors are (height, width), (C, height, width) or (1, C, height, width), arrays (height, width) or
    (height, width, C), C = 1 or 3, one more with transparency. uint8 and uint16 count from 0 to 255 and 65535, floats
    lie in [0, 1] and may reach beyond as far as noise does. Raises `BadInput` or `ShapeError`.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, str | Path):
        return read(source)
    if isinstance(source, Image.Image):
        notes: list[str] = []
        try:
            picture = _picture(source, UNNAMED, notes)
        except OSError as error:  # Pillow decodes when the values are asked for
            raise BadInput(f"The Pillow picture cannot be decoded ({error}); load it first.") from None
        for note in notes:
            warnings.warn(note, PictureWarning, stacklevel=2)
        return picture
    if isinstance(source, Tensor):
        return from_array(_last(source), "tensor")
    if isinstance(source, np.ndarray):
        return from_array(source)
    raise BadInput(
        f"A picture is a path, a tensor, a NumPy array or a Pillow picture, not {type(source).__name__}; convert it, "
        "as with numpy.asarray(picture)."
    )


def from_array(array: NDArray[Any], kind: str = "array") -> Picture:
    """A picture of an array (height, width) or (height, width, channels); see `as_picture`."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4 or 0 in array.shape:
        wanted = "(channels, height, width)" if kind == "tensor" else "(height, width, channels)"
        raise ShapeError(
            f"One picture is needed as {kind} {wanted} with 1 or 3 channels, or (height, width); this one has "
            f"{array.shape[2] if array.ndim == 3 else '?'} channels in shape {tuple(array.shape)}. For a batch, call "
            "once for each picture or use zsir.solve."
        )
    white = {"u1": 255, "u2": 65535}.get(array.dtype.str[1:])
    if white is not None:
        return _split(_scaled(array, white), 8 if white == 255 else 16)
    if array.dtype.kind != "f":
        raise BadInput(
            f"The {kind} has dtype {array.dtype}; give uint8 (0 to 255), uint16 (0 to 65535) or floats in [0, 1]."
        )
    return _split(_wide(array, Path(f"The {kind}")), 16)


def _last(x: Tensor) -> NDArray[Any]:
    """A tensor with its channels last; shapes that are no picture stay as they are."""
    x = x.detach().cpu()
    if x.is_floating_point():
        x = x.float()
    if x.ndim == 4 and x.shape[0] == 1:
        x = x[0]
    array: NDArray[Any] = (x.permute(1, 2, 0) if x.ndim == 3 else x).numpy()
    return array


def _picture(
    image: Image.Image, path: Path, notes: list[str], deep: NDArray[np.unsignedinteger] | None = None
) -> Picture:
    """A Pillow picture as ours, upright; ``deep`` are the samples of a PNG with 16 bits, which Pillow cuts to 8."""
    values, bits = (_scaled(deep, 65535), 16) if deep is not None else _values(image, path, notes)
    orientation = orientation_of(image)
    values = _upright(values, orientation)
    text = {k: str(v) for k, v in getattr(image, "text", {}).items()}
    icc = None if image.mode in ("CMYK", "LAB") else image.info.get("icc_profile")
    picture = _split(values, bits, image.mode, path, text, icc)
    exif, dpi = _notes_of_camera(image, path, notes)
    return replace(picture, format=image.format or "", orientation=orientation, exif=exif, dpi=dpi)


def _notes_of_camera(
    image: Image.Image, path: Path, notes: list[str]
) -> tuple[bytes | None, tuple[float, float] | None]:
    """EXIF block and pixels per inch, where the file has them and they can be used."""
    try:
        exif = carried(image)
    except ValueError as error:
        exif = None
        notes.append(f"{path}: {error}, and is not carried along.")
    dpi = tuple(float(number) for number in image.info.get("dpi", ()))
    return exif, (dpi[0], dpi[1]) if len(dpi) == 2 and all(0 < number < 1e6 for number in dpi) else None


def _split(
    values: Array,
    bits: int,
    mode: str = "",
    path: Path = UNNAMED,
    text: Mapping[str, str] | None = None,
    icc: bytes | None = None,
) -> Picture:
    """Values (height, width, 1 to 4 channels) as a picture: colours apart from transparency."""
    pixels = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]
    colours = 1 if pixels.shape[1] < 3 else 3
    alpha = pixels[:, colours:] if pixels.shape[1] > colours else None
    mode = mode or ("L", "LA", "RGB", "RGBA")[pixels.shape[1] - 1]
    return Picture(pixels[:, :colours], alpha, bits, mode, path, text or {}, icc)


def read_gray(path: str | Path, name: str = "") -> NDArray[np.float64]:
    """A mask or kernel (height, width): grey value as a fraction of full scale, colours averaged, alpha ignored.

    A .npy, .npz, .mat or text file, and a TIFF file of floats or wide integers, holds the numbers as they are. ``name``
    says which array, where a file has several. Raises `BadInput`.
    """
    with _reading(Path(path)):
        array = read_array(Path(path), name)
        if array is None and Path(path).suffix.lower() in (".tif", ".tiff"):
            array = _measured(Path(path))
    return np.asarray(read(path).pixels[0].double().mean(dim=0)) if array is None else array


def _measured(path: Path) -> NDArray[np.float64] | None:
    """The values of a TIFF file of floats or wide integers, which may have any scale; None for other pictures."""
    with Image.open(path) as image:
        if image.mode not in ("F", "I"):
            return None
        values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise BadInput(f"{path} holds NaN or infinite values; replace them first.")
    return values


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
