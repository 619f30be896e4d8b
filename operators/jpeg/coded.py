"""JPEG files as they are coded: the integers, the quantisation tables and the sampling, never recompressed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsir.errors import BadInput
from zsir.operators.jpeg.scans.markers import Scan, Segments
from zsir.operators.jpeg.scans.progressive import BandScan
from zsir.operators.jpeg.scans.sequential import BlockScan
from zsir.operators.jpeg.scans.store import Store
from zsir.operators.jpeg.standard import libjpeg_quality
from zsir.pictures.orientation import orientation_in

#: names of chroma layouts by (horizontal, vertical) reduction
LAYOUTS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (1, 2): "4:4:0", (2, 2): "4:2:0", (4, 1): "4:1:1", (4, 2): "4:1:0"}
SPACES = {"grey": "grey", "ycbcr": "YCbCr", "rgb": "RGB", "cmyk": "CMYK", "ycck": "YCCK"}


@dataclass(frozen=True, eq=False)
class Component:
    """A component of a JPEG file: luma, one chroma, or one colour.

    Attributes:
        id: The identifier in the file.
        h: Horizontal sampling factor, 1 to 4.
        v: Vertical sampling factor.
        table: The quantisation steps, int64 (8, 8) as [vertical][horizontal frequency].
        codes: The quantised coefficients, int16 (block rows, block columns, 8, 8) as [vertical][horizontal frequency];
            None where only the headers were read. Blocks that lie wholly beyond the picture are left out.
    """

    id: int
    h: int
    v: int
    table: Tensor = field(repr=False)
    codes: Tensor | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class JpegFile:
    """A JPEG file as it is coded.

    Attributes:
        size: (width, height) in pixels, as stored: before the EXIF orientation is applied.
        components: The components, in the order of the frame header.
        space: What they mean: ``grey``, ``ycbcr``, ``rgb``, ``cmyk`` or ``ycck``.
        kind: ``baseline``, ``extended`` or ``progressive``.
        orientation: The EXIF orientation, 1 to 8.
        quality: The number with which libjpeg makes these very tables, 1 to 100, else None.
    """

    size: tuple[int, int]
    components: tuple[Component, ...]
    space: str
    kind: str
    orientation: int
    quality: int | None

    @property
    def progressive(self) -> bool:
        """Whether the file is progressive."""
        return self.kind == "progressive"

    @property
    def factors(self) -> tuple[tuple[int, int], ...]:
        """How far each component is reduced, (vertical, horizontal): (1, 1) for luma, (2, 2) for 4:2:0 chroma."""
        h, v = max(part.h for part in self.components), max(part.v for part in self.components)
        return tuple((v // part.v, h // part.h) for part in self.components)

    @property
    def sampling(self) -> str:
        """The chroma layout in words, such as ``4:2:0``; empty for a grey picture."""
        if len(self.components) == 1:
            return ""
        (v0, h0), *others = self.factors[:3]
        if (v0, h0) == (1, 1) and len(set(others)) == 1 and (others[0][1], others[0][0]) in LAYOUTS:
            return LAYOUTS[others[0][1], others[0][0]]
        return " ".join(f"{part.h}x{part.v}" for part in self.components)

    @property
    def text(self) -> str:
        """A line for people."""
        width, height = self.size
        known = "tables that are not libjpeg's" if self.quality is None else f"quality {self.quality}"
        space = " ".join([SPACES[self.space], self.sampling]).strip()
        turned = "" if self.orientation == 1 else f", EXIF orientation {self.orientation}"
        return f"JPEG, {width}x{height}, {space}, {self.kind}, {known}{turned}"


def read_jpeg(source: bytes | str | Path) -> JpegFile:
    """Read the codes of a JPEG file.

    Baseline, extended and progressive files with 8 bits per sample are read. Of a file with several pictures (MPO) the
    first is read.

    Args:
        source: The file, or its content.

    Returns:
        What the file holds, with codes.

    Raises:
        BadInput: There is no such file, or it is no JPEG, damaged, truncated, or of a kind that is not read.
    """
    return _named(source, codes=True)


def read_tables(source: bytes | str | Path) -> JpegFile:
    """Read the headers of a JPEG file: tables, sampling and size. The picture itself is not decoded.

    Args:
        source: The file, or its content.

    Returns:
        What the headers hold; the components have no codes.

    Raises:
        BadInput: There is no such file, or its headers are damaged or of a kind that is not read.
    """
    return _named(source, codes=False)


def _named(source: bytes | str | Path, codes: bool) -> JpegFile:
    """The file, its path named in errors."""
    name = "" if isinstance(source, bytes) else f"{source}: "
    try:
        return _file(source if isinstance(source, bytes) else _content(Path(source)), codes)
    except BadInput as error:
        raise BadInput(f"{name}{error}") from None
    except MemoryError:
        raise BadInput(f"{name}There is not enough memory for a picture of this size; cut it into parts.") from None


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise BadInput("This is a folder, device or pipe; give the path of a JPEG file.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"The file cannot be read ({error.strerror}); give the path of a JPEG file.") from None


def _file(data: bytes, codes: bool) -> JpegFile:
    """The file of its content."""
    segments, store, tables = Segments(data, inside=codes), None, dict[int, NDArray[np.int64]]()
    for scan in segments.scans():
        assert segments.frame is not None, "a scan comes after the frame header"
        for part, _, _ in scan.parts:
            number = segments.frame.parts[part].table
            if number not in segments.tables and part not in tables:
                raise BadInput(
                    f"The quantisation table {number} is missing in the file, so it is damaged; get the original again."
                )
            tables.setdefault(part, segments.tables.get(number, np.zeros(0, np.int64)))
        if codes:
            store = store or Store(segments.frame)
            decode_scan(store, scan, segments.frame.kind == "progressive")
        elif len(tables) == len(segments.frame.parts):
            break
    frame = segments.frame
    if frame is None or len(tables) < len(frame.parts):
        raise BadInput("The file ends before its picture is complete, so it is truncated; get the whole file again.")
    if store is not None:
        _check_complete(store, segments.ended)
    known = [tables[i] for i in range(len(frame.parts))]
    planes = [None if store is None else torch.from_numpy(store.natural(i)) for i in range(len(frame.parts))]
    parts = tuple(
        Component(part.id, part.h, part.v, torch.from_numpy(table.copy()), plane)
        for part, table, plane in zip(frame.parts, known, planes, strict=True)
    )
    space = _space(segments, [part.id for part in frame.parts])
    quality = libjpeg_quality(known, luma_alone=space in ("grey", "rgb", "cmyk"))
    return JpegFile((frame.width, frame.height), parts, space, frame.kind, orientation_in(data), quality)


def decode_scan(store: Store, scan: Scan, progressive: bool) -> None:
    """Decode a scan into the store.

    Args:
        store: Where the codes go.
        scan: The scan.
        progressive: Whether the file is progressive.

    Raises:
        BadInput: The scan is truncated or damaged, or cannot follow on the scans before.
    """
    possible = scan.first <= scan.last <= 63 and scan.low <= 13
    if progressive:
        possible &= scan.last == 0 if scan.first == 0 else len(scan.parts) == 1
    if len(scan.parts) > 1:
        possible &= sum(store.grids[part].h * store.grids[part].v for part, _, _ in scan.parts) <= 10
    for part, dc, ac in scan.parts:
        known = store.bits[part]
        possible = possible and bool(np.all(known[scan.first : scan.last + 1] == (scan.high or -1)))
        possible &= (scan.first == 0 or bool(known[0] >= 0)) and (not scan.high or scan.low == scan.high - 1)
        if (dc is None and scan.first == 0 and not scan.high) or (ac is None and scan.last > 0):
            raise BadInput(
                "A Huffman table is missing in the file, as in single pictures of a video; save the picture as a JPEG."
            )
    if not possible:
        raise BadInput("The scans of the file contradict each other, so it is damaged; get the original file again.")
    (BandScan if scan.first else BlockScan)(store, scan).decode()
    for part, _, _ in scan.parts:
        store.bits[part, scan.first : scan.last + 1] = scan.low


def _check_complete(store: Store, ended: bool) -> None:
    """Refuse codes that are not known to their last bit."""
    if np.any(store.bits > 0) or np.any(store.bits[:, 0] < 0) or (not ended and np.any(store.bits < 0)):
        total = len(store.codes)
        raise BadInput(
            f"The file is truncated: not all scans that make its {total} blocks precise are there; get the whole file "
            "again."
        )


def _space(segments: Segments, ids: list[int]) -> str:
    """The colour space, as libjpeg finds it."""
    if len(ids) == 1:
        return "grey"
    if len(ids) == 4:
        return "ycck" if segments.adobe == 2 else "cmyk"
    if segments.jfif:
        return "ycbcr"
    if segments.adobe is not None:
        return "rgb" if segments.adobe == 0 else "ycbcr"
    return "rgb" if bytes(ids) == b"RGB" else "ycbcr"
