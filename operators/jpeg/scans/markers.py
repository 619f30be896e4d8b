"""The segments of a JPEG file: frame, tables, scans, and what applications add (ITU T.81, annex B)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zsir.errors import BadInput
from zsir.operators.jpeg.scans.huffman import HuffmanTable, huffman_table
from zsir.operators.jpeg.standard import ZIGZAG

SOI, EOI, SOS, DQT, DHT, DRI, DAC = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xCC
APP14, APP0 = 0xEE, 0xE0
#: frames whose codes are read, by their marker
FRAMES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
#: frames that are named and refused
REFUSED = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA), "arithmetically coded"),
}
#: more scans than any encoder writes; each costs time, however few bytes it has
MOST_SCANS = 200

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")


@dataclass(frozen=True)
class Part:
    """A component as the frame describes it: identifier, sampling factors, number of its quantisation table."""

    id: int
    h: int
    v: int
    table: int


@dataclass(frozen=True)
class Frame:
    """The frame header: kind of coding, size in pixels, components."""

    kind: str
    width: int
    height: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan.

    Attributes:
        parts: Index of each component in the frame, with its Huffman tables for DC and AC, None where undefined.
        first: First coefficient in the zigzag.
        last: Last coefficient.
        high: Successive approximation: the bit that earlier scans ended at, 0 in a first scan.
        low: The bit that this scan ends at.
        interval: MCUs between restart markers, 0 without.
        stretches: The bytes between restart markers, without stuffed bytes.
    """

    parts: tuple[tuple[int, HuffmanTable | None, HuffmanTable | None], ...]
    first: int
    last: int
    high: int
    low: int
    interval: int
    stretches: list[bytes] = field(repr=False)


@dataclass(eq=False)
class Segments:
    """All that the segments of a file say, up to the scan that is being read.

    Attributes:
        data: The file.
        inside: Whether scans are wanted with what they hold.
        frame: The frame header, once it was met.
        tables: Quantisation tables by number, int64 (8, 8) in natural order.
        jfif: Whether there is a JFIF segment.
        adobe: The colour transform that an Adobe segment names, else None.
        ended: Whether the end of the picture was met.
    """

    data: bytes = field(repr=False)
    inside: bool = True
    frame: Frame | None = None
    tables: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    jfif: bool = False
    adobe: int | None = None
    ended: bool = False
    _huffman: dict[int, HuffmanTable] = field(default_factory=dict)
    _interval: int = 0

    def scans(self) -> Iterator[Scan]:
        """Read the file segment by segment and give each scan.

        Yields:
            The scans. The attributes hold what was met before the scan.

        Raises:
            BadInput: The file is no JPEG, is damaged, or is of a kind that is not read.
        """
        data = self.data
        if data[:2] != b"\xff\xd8":
            raise BadInput("The file is no JPEG: it does not begin as one does; give a JPEG file.")
        at, scans = 2, 0
        while found := _MARKER.search(data, at):
            marker, at = found[1][0], found.end()
            if marker == EOI:
                self.ended = True
                return
            if marker == SOI or marker == 0x01 or 0xD0 <= marker <= 0xD7:
                continue
            size = int.from_bytes(data[at : at + 2], "big")
            body = data[at + 2 : at + size]
            if size < 2 or len(body) != size - 2:
                raise BadInput(
                    "The file ends within a header, so it is truncated or damaged; get the original file again."
                )
            at += size
            if marker != SOS:
                self._take(marker, body)
                continue
            scans += 1
            if scans > MOST_SCANS:
                raise BadInput(f"The file has more than {MOST_SCANS} scans; save the picture anew as a JPEG or PNG.")
            over = _AFTER_SCAN.search(data, at)
            end = over.start() if over else len(data)
            yield self._scan(body, data[at:end] if self.inside else b"")
            at = end

    def _take(self, marker: int, body: bytes) -> None:
        """Note what a segment other than a scan says."""
        if marker in REFUSED:
            raise BadInput(f"The file is a {REFUSED[marker]} JPEG, which is not read; save it as a common JPEG or PNG.")
        if marker == DAC:
            raise BadInput("The file is an arithmetically coded JPEG, which is not read; save it as a JPEG or PNG.")
        try:
            if marker in FRAMES:
                self._take_frame(FRAMES[marker], body)
            elif marker == DQT:
                self._take_tables(body)
            elif marker == DHT and self.inside:
                self._take_huffman(body)
            elif marker == DRI:
                (self._interval,) = struct.unpack(">H", body[:2])
            elif marker == APP0:
                self.jfif |= body[:5] == b"JFIF\0"
            elif marker == APP14 and body[:5] == b"Adobe" and len(body) >= 12:
                self.adobe = body[11]
        except (struct.error, IndexError):
            raise BadInput(
                "A header of the file is cut short, so it is damaged; get the original file again."
            ) from None

    def _take_frame(self, kind: str, body: bytes) -> None:
        if self.frame is not None:
            raise BadInput("The file has two frame headers, so it is damaged; get the original file again.")
        bits, height, width, n = struct.unpack(">BHHB", body[:6])
        if bits != 8:
            raise BadInput(
                f"The file is a JPEG with {bits} bits per sample, and only 8 are read; save it as an 8-bit JPEG."
            )
        if not height and width:
            raise BadInput(
                "The file names its height only after the picture (DNL), which is not read; save it anew as a JPEG."
            )
        if not (height and width):
            raise BadInput(
                f"The picture has the size {width}x{height}, so the file is damaged; get the original again."
            )
        if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
            raise BadInput(
                f"The picture has {width}x{height} pixels, more than the {Image.MAX_IMAGE_PIXELS / 1e6:.0f} million "
                "that are allowed; cut it into parts."
            )
        if n not in (1, 3, 4):
            raise BadInput(f"The file is a JPEG with {n} components; 1, 3 and 4 are read: save it as RGB.")
        parts = tuple(Part(c, hv >> 4, hv & 15, t) for c, hv, t in struct.iter_unpack("BBB", body[6 : 6 + 3 * n]))
        if len(parts) != n or len({part.id for part in parts}) != n:
            raise BadInput("The frame header names its components wrongly, so the file is damaged; get it again.")
        _check_sampling(parts)
        self.frame = Frame(kind, width, height, parts)

    def _take_tables(self, body: bytes) -> None:
        while body:
            deep, number = body[0] >> 4, body[0] & 15
            size = 128 if deep else 64
            steps = body[1 : 1 + size]
            if deep > 1 or number > 3 or len(steps) != size:
                raise BadInput("A quantisation table is damaged; get the original file again.")
            values = np.frombuffer(steps, ">u2" if deep else np.uint8).astype(np.int64)
            if not values.all():
                raise BadInput("A quantisation table has steps of 0, so the file is damaged; get the original again.")
            natural = np.empty(64, np.int64)
            natural[ZIGZAG] = values
            self.tables[number] = natural.reshape(8, 8)
            body = body[1 + size :]

    def _take_huffman(self, body: bytes) -> None:
        while body:
            n = sum(body[1:17])
            if len(body) < 17 + n or body[0] & 15 > 3 or body[0] >> 4 > 1 or n > 256:
                raise BadInput("A Huffman table is damaged; get the original file again.")
            self._huffman[body[0]] = huffman_table(body[1:17], body[17 : 17 + n])
            body = body[17 + n :]

    def _scan(self, body: bytes, coded: bytes) -> Scan:
        frame = self.frame
        if frame is None:
            raise BadInput("The file has no frame header before its picture, so it is damaged; get the original again.")
        n = body[0] if body else 0
        if not 1 <= n <= len(frame.parts) or len(body) < 4 + 2 * n:
            raise BadInput("The header of a scan is damaged; get the original file again.")
        ids = [part.id for part in frame.parts]
        chosen = list(struct.iter_unpack("BB", body[1 : 1 + 2 * n]))
        first, last, bits = body[1 + 2 * n : 4 + 2 * n]
        if any(c not in ids for c, _ in chosen) or len({c for c, _ in chosen}) != n:
            raise BadInput("A scan names components that the file does not have, so it is damaged; get it again.")
        stretches = [part.replace(b"\xff\x00", b"\xff") for part in _RESTART.split(coded.rstrip(b"\xff"))]
        parts = tuple((ids.index(c), self._huffman.get(t >> 4), self._huffman.get(16 + (t & 15))) for c, t in chosen)
        if frame.kind != "progressive":
            first, last, bits = 0, 63, 0
        return Scan(parts, first, last, bits >> 4, bits & 15, self._interval, stretches)


def _check_sampling(parts: tuple[Part, ...]) -> None:
    """Refuse sampling factors whose ratios are no whole numbers."""
    if not all(1 <= part.h <= 4 and 1 <= part.v <= 4 for part in parts):
        raise BadInput(
            "The sampling factors of the file are not from 1 to 4, so it is damaged; get the original again."
        )
    h, v = max(part.h for part in parts), max(part.v for part in parts)
    if any(h % part.h or v % part.v for part in parts):
        layout = ", ".join(f"{part.h}x{part.v}" for part in parts)
        raise BadInput(
            f"The file has the unknown chroma layout {layout}: the factors do not divide each other; save it as 4:4:4."
        )
