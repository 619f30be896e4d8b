"""What a camera notes in a file: EXIF, which is carried from the source to the result.

The block is carried byte for byte, so that the notes of makers, which hold offsets, stay readable. Two things are
changed, because they would be false of the result: the pixels stand upright already, and the thumbnail shows the old
picture.
"""

from __future__ import annotations

import struct

from PIL import Image

from zsir.pictures.orientation import ORIENTATION

#: what the block begins with in a JPEG file
HEAD = b"Exif\0\0"
#: most bytes that a JPEG file has room for
MOST_IN_JPEG = 65533
#: where a thumbnail lies and how long it is: coded as JPEG, and as one strip of pixels
THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))
#: entries that hold a directory: of EXIF and of GPS
DIRECTORIES = (0x8769, 0x8825)
#: entries of TIFF files that say how the pixels are laid out, and not what the picture is
LAYOUT = frozenset(
    [
        *range(254, 260),
        *range(262, 267),
        273,
        ORIENTATION,
        *range(277, 282),
        284,
        *range(288, 294),
        301,
        *range(317, 348),
    ]
).union([*range(512, 533), 700, 33723, 34377, 34675])


def carried(image: Image.Image) -> bytes | None:
    """The EXIF block of a picture for a result that stands upright, without the thumbnail; None where it has none.

    Raises ValueError where the block is damaged.
    """
    raw = image.info.get("exif")
    try:
        if isinstance(raw, bytes):
            block = raw.removeprefix(HEAD)
            return HEAD + _upright(block) if block else None
        exif = image.getexif()  # of a TIFF file, whose block is the file itself, or of a PNG that holds it as text
        return for_tiff(exif.tobytes()).tobytes() if set(exif) - LAYOUT else None
    except Exception as error:  # Pillow raises anything from SyntaxError to struct.error on damaged blocks
        raise ValueError(f"its EXIF block is damaged ({error})") from None


def for_tiff(block: bytes) -> Image.Exif:
    """The entries of the block that may stand in a TIFF file with a layout of its own."""
    exif = Image.Exif()
    exif.load(block)
    for tag in LAYOUT.intersection(exif):
        del exif[tag]
    return exif


def _upright(block: bytes) -> bytes:
    """The block with orientation 1 and without its thumbnail."""
    data = bytearray(block)
    order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]
    (first,) = struct.unpack_from(order + "I", data, 4)
    places, link = _directory(data, order, first)
    if ORIENTATION in places:
        struct.pack_into(order + "HIHH", data, places[ORIENTATION] + 2, 3, 1, 1, 0)  # one short number
    (second,) = struct.unpack_from(order + "I", data, link)
    if second:
        struct.pack_into(order + "I", data, link, 0)
        _erase_thumbnail(data, order, second)
    return bytes(data)


def _directory(data: bytearray, order: str, start: int) -> tuple[dict[int, int], int]:
    """Where the entries of the directory at ``start`` lie, by tag, and where the link to the next directory does."""
    (count,) = struct.unpack_from(order + "H", data, start)
    places = [start + 2 + 12 * k for k in range(count)]
    return {struct.unpack_from(order + "H", data, at)[0]: at for at in places}, start + 2 + 12 * count


def _erase_thumbnail(data: bytearray, order: str, start: int) -> None:
    """Erase the picture that the directory at ``start`` describes: what was cut off may still be seen in it."""
    places, _ = _directory(data, order, start)
    for offset, length in THUMBNAIL:
        if offset in places and length in places:
            at, size = (struct.unpack_from(order + "I", data, places[tag] + 8)[0] for tag in (offset, length))
            if at + size >= len(data):
                del data[at:]
            else:
                data[at : at + size] = bytes(size)
