"""How a picture stands in its file. Everything that turns pictures asks here, so that codes and pixels agree."""

from __future__ import annotations

import io
import warnings

from PIL import Image

ORIENTATION = 0x0112  # EXIF tag


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of a picture that Pillow opened: 1 to 8, and 1 (upright) where the file says nothing of use.

    Args:
        image: The picture. Pillow looks into its XMP entry, too.

    Returns:
        1 to 8 as EXIF counts.
    """
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # readers of EXIF raise anything from SyntaxError to struct.error on damaged entries
        return 1
    return int(value) if value in range(1, 9) else 1


def orientation_in(data: bytes) -> int:
    """The EXIF orientation of a picture file.

    Args:
        data: The content of the file.

    Returns:
        1 to 8 as EXIF counts; 1, upright, where the file names none or the entry is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return orientation_of(image)
    except Exception:  # readers of EXIF raise anything from SyntaxError to struct.error on damaged entries
        return 1
