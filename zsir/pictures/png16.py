"""PNG files with 16 bits per sample, as numpy arrays: Pillow cuts colour ones down to 8 bits and cannot write them.

Reads all colour types and Adam7 interlacing of the PNG specification (W3C, third edition, sections 7 to 9).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint16]  # (height, width, channels)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: channels -> colour type: grey, grey + alpha, RGB, RGB + alpha
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
#: first row, first column, row step, column step of the seven passes of Adam7
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
PLAIN = ((0, 0, 1, 1),)


def is_16_bit(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (32 bytes are enough) is a PNG with 16 bits per sample."""
    return head.startswith(SIGNATURE) and head[12:16] == b"IHDR" and head[24:25] == b"\x10"


def encode(
    samples: Samples,
    *,
    text: Mapping[str, str] | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """The PNG file of ``samples`` (height, width, 1 to 4 channels), with text entries, a colour profile, an EXIF block
    and pixels per inch."""
    height, width, channels = samples.shape
    rows = np.ascontiguousarray(samples, dtype=">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # filter "up": each byte minus the one above it
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    parts = [_chunk(b"IHDR", header)]
    if icc:
        parts.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if dpi:
        across, down = (round(number / 0.0254) for number in dpi)  # PNG counts in pixels per metre
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if exif:
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    for key, value in (text or {}).items():
        # iTXt, uncompressed, without language and translated keyword: UTF-8 text
        parts.append(_chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + value.encode()))
    parts += [_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6)), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(parts)


def decode(data: bytes) -> Samples:
    """The samples (height, width, channels) of a 16-bit PNG file; a colour key (tRNS) becomes an alpha channel.

    Raises ValueError when the file is damaged.
    """
    chunks = list(_chunks(data))
    header = next((body for kind, body in chunks if kind == b"IHDR"), b"")
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    channels = {code: count for count, code in COLOUR_TYPES.items()}.get(colour, 0)
    if bits != 16 or not channels:
        raise ValueError("not a 16-bit PNG")
    passes = [p for p in (ADAM7 if interlaced else PLAIN) if p[0] < height and p[1] < width]
    sizes = [(len(range(r, height, dr)), len(range(c, width, dc))) for r, c, dr, dc in passes]
    wanted = sum(h * (1 + w * 2 * channels) for h, w in sizes)
    # never more than the header promises, whatever the stream would unpack to
    stream = zlib.decompressobj().decompress(b"".join(b for k, b in chunks if k == b"IDAT"), wanted)
    if len(stream) < wanted:
        raise ValueError("image data end early")
    picture = np.empty((height, width, channels), np.uint16)
    start = 0
    for (r, c, dr, dc), (h, w) in zip(passes, sizes, strict=True):
        end = start + h * (1 + w * 2 * channels)
        lines = np.frombuffer(stream[start:end], np.uint8).reshape(h, -1)
        rows = _unfilter(lines[:, 0], lines[:, 1:].reshape(h, w, 2 * channels))
        picture[r::dr, c::dc] = rows.reshape(h, -1).view(">u2").reshape(h, w, channels)
        start = end
    key = next((body for kind, body in chunks if kind == b"tRNS"), b"")
    return _with_alpha(picture, np.frombuffer(key, ">u2")) if key and channels in (1, 3) else picture


def _with_alpha(picture: Samples, key: NDArray[np.uint16]) -> Samples:
    alpha = np.where((picture == key).all(axis=2, keepdims=True), 0, 65535)
    return np.concatenate([picture, alpha.astype(np.uint16)], axis=2)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        yield kind, body
        position += 12 + length


def _unfilter(kinds: NDArray[np.uint8], raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the row filters ``kinds`` (h,) of ``raw`` (h, w, bytes per pixel).

    A pixel depends on its left, upper and upper-left neighbours, so that all pixels of one anti-diagonal can be
    done at once: h + w steps in numpy instead of h * w in Python.
    """
    if kinds.max(initial=0) > 4:
        raise ValueError("unknown row filter")
    h, w, _ = raw.shape
    # one row of zeros above and one column of zeros to the left, as the specification has it
    done = np.zeros((h + 1, w + 1, raw.shape[2]), np.uint8)
    for diagonal in range(h + w - 1):
        r = np.arange(max(0, diagonal - w + 1), min(h, diagonal + 1))
        c = diagonal - r
        left, up, corner = (done[i, j].astype(np.int16) for i, j in ((r + 1, c), (r, c + 1), (r, c)))
        kind = kinds[r][:, None]
        zero = np.zeros_like(left)
        choices = (zero, left, up, (left + up) // 2, _paeth(left, up, corner) if (kind == 4).any() else zero)
        done[r + 1, c + 1] = (raw[r, c] + np.choose(kind, choices)).astype(np.uint8)
    return np.ascontiguousarray(done[1:, 1:])


def _paeth(left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]) -> NDArray[np.int16]:
    """The neighbour nearest to left + up - corner; ties go to left, then up."""
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    best_of_two = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, best_of_two)
