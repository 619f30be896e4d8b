"""Arrays of numbers from files that hold no picture: .npy, .npz, MATLAB's .mat and text, told by their content."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsir.errors import BadInput

#: suffixes of text files with numbers
TEXT = (".txt", ".csv", ".dat", ".tsv")
#: MATLAB's numbers for the types of stored values
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, COMPRESSED = 14, 15
#: no array in a file is larger than this number of bytes: a small file may claim any size
LARGEST = 2**30


def read_array(path: Path, name: str = "") -> NDArray[np.float64] | None:
    """The two-dimensional array in a file; None if the file is of none of the kinds above.

    Args:
        path: The file.
        name: Which array, of a file that holds several. By default the only one of two dimensions.

    Returns:
        (height, width). Axes of length 1 before or after those two are dropped.

    Raises:
        BadInput: The file holds no such array, or several.
    """
    found = _arrays(path)
    if found is None:
        return None
    shaped = {key: _plain(array) for key, array in found.items()}
    usable = {key: array for key, array in shaped.items() if array is not None and key in (name or key, "")}
    if len(usable) == 1:
        return next(iter(usable.values()))
    if len(usable) > 1:
        raise BadInput(f"{path} holds several arrays, {', '.join(sorted(usable))}; say which, as with name=k.")
    if name and name not in shaped:
        raise BadInput(f"{path} holds no array {name}; it has {', '.join(sorted(shaped)) or 'none at all'}.")
    what = ", ".join(f"shape {array.shape} of {array.dtype}" for array in found.values())
    raise BadInput(f"{path} must hold a two-dimensional array of finite numbers, got {what or 'no array'}.")


def _plain(array: NDArray[Any]) -> NDArray[np.float64] | None:
    """An array of numbers without its axes of length 1 around the last two others; None for any other array."""
    if array.dtype.kind not in "biuf":
        return None
    while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        return None
    return np.asarray(array, dtype=np.float64)


def _arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    with path.open("rb") as file:
        head = file.read(128)
    if head.startswith(b"\x93NUMPY"):
        return {"": np.load(path, allow_pickle=False)}
    if head.startswith(b"PK") and zipfile.is_zipfile(path):
        return _zipped(path)
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        return dict(_matrices(path.read_bytes(), path))
    if head.startswith(b"MATLAB 7.3") or (head.startswith(b"\x89HDF") and path.suffix.lower() == ".mat"):
        raise BadInput(f"{path} is a MATLAB file of version 7.3; save it with save(..., '-v7'), or as .npy or .txt.")
    if path.suffix.lower() in (".npy", ".npz", ".mat"):
        raise BadInput(f"{path} is damaged or no {path.suffix.lower()} file; save the array anew.")
    return {"": _text(path)} if path.suffix.lower() in TEXT else None


def _zipped(path: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
            raise BadInput(f"{path} holds more than {LARGEST >> 30} GiB; save the one array that is meant.")
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _text(path: Path) -> NDArray[np.float64]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    cells = [line.partition("#")[0].replace(",", " ").replace(";", " ").split() for line in lines]
    try:
        rows = [[float(cell) for cell in row] for row in cells if row]
    except ValueError as error:
        raise BadInput(f"{path} is no table of numbers ({error}); write one row of numbers a line.") from None
    if len({len(row) for row in rows}) != 1:
        raise BadInput(f"{path} must have the same number of numbers in every line; it holds {len(rows)} lines.")
    return np.array(rows)


def _matrices(data: bytes, path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Name and values of every numeric array in a MATLAB file of version 5 to 7."""
    order = "<" if data[126:128] == b"IM" else ">"
    for kind, body in _elements(data[128:], order):
        if kind == COMPRESSED:
            inflater = zlib.decompressobj()
            whole = inflater.decompress(body, LARGEST)
            if inflater.unconsumed_tail:
                raise BadInput(f"{path} holds more than {LARGEST >> 30} GiB; save the one array that is meant.")
            kind, body = next(_elements(whole, order))
        if kind == MATRIX:
            yield from _matrix(body, order)


def _matrix(body: bytes, order: str) -> Iterator[tuple[str, NDArray[Any]]]:
    parts = list(_elements(body, order))
    flags = struct.unpack(order + "I", parts[0][1][:4])[0]
    # classes 6 to 15 are numbers; the flag is that of complex ones
    if not 6 <= flags & 0xFF <= 15 or flags & 0x0800 or parts[3][0] not in STORED:
        return
    shape = np.frombuffer(parts[1][1], order + "i4")
    values = np.frombuffer(parts[3][1], order + STORED[parts[3][0]])
    if math.prod(shape.tolist()) == values.size:
        yield parts[2][1].decode("latin-1"), values.reshape(shape.tolist(), order="F")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and content of the elements that follow each other; small ones stand inside their tag."""
    stream = io.BytesIO(data)
    while len(tag := stream.read(8)) == 8:
        kind, size = struct.unpack(order + "II", tag)
        if kind >> 16:
            yield kind & 0xFFFF, tag[4 : 4 + (kind >> 16)]
            continue
        content = stream.read(size)
        if len(content) < size:
            raise EOFError("the file ends in the middle of an array")
        yield kind, content
        if kind != COMPRESSED:
            stream.read(-size % 8)
