"""Kernels and masks as arrays in files: .npy, .npz, .mat, text, float TIFF, told by their content."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsir import pictures
from zsir.errors import BadInput

ARRAY = np.arange(12.0).reshape(3, 4) - 2.5


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    if 0 < len(content) <= 4:
        return struct.pack(order + "I", len(content) << 16 | kind) + content.ljust(4, b"\0")
    return struct.pack(order + "II", kind, len(content)) + content + bytes(-len(content) % 8)


def matlab(arrays: dict[str, np.ndarray], *, order: str = "<", packed: bool = False) -> bytes:
    """A MATLAB file of version 5, or 7 if packed, by its published description."""
    data = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x0100) + (b"IM" if order == "<" else b"MI")
    for name, array in arrays.items():
        body = element(6, struct.pack(order + "II", 6, 0), order)
        body += element(5, np.array(array.shape, order + "i4").tobytes(), order)
        body += element(1, name.encode(), order) + element(9, array.astype(order + "f8").tobytes("F"), order)
        whole = element(14, body, order)
        squeezed = zlib.compress(whole)
        data += struct.pack(order + "II", 15, len(squeezed)) + squeezed if packed else whole
    return data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_matlab(tmp_path: Path, order: str, packed: bool) -> None:
    (tmp_path / "k.mat").write_bytes(matlab({"kernel": ARRAY}, order=order, packed=packed))
    assert np.array_equal(pictures.read_gray(tmp_path / "k.mat"), ARRAY)
    (tmp_path / "k.mat").write_bytes(matlab({"f": ARRAY, "x": ARRAY.T}, order=order, packed=packed))
    assert np.array_equal(pictures.read_gray(tmp_path / "k.mat", "x"), ARRAY.T)
    with pytest.raises(BadInput, match=r"holds several arrays, f, x; say which, as with name=k"):
        pictures.read_gray(tmp_path / "k.mat")
    with pytest.raises(BadInput, match=r"holds no array y; it has f, x"):
        pictures.read_gray(tmp_path / "k.mat", "y")


def test_matlab_as_scipy_writes_it(tmp_path: Path) -> None:
    """Bytes, structures and several dimensions beside the kernel."""
    io = pytest.importorskip("scipy.io")
    for packed in (False, True):
        content = {"k": (ARRAY * 2).astype(np.uint8), "text": "abc", "s": {"a": 1.0}, "cube": np.ones((2, 2, 2))}
        io.savemat(tmp_path / "k.mat", content, do_compression=packed)
        assert np.array_equal(pictures.read_gray(tmp_path / "k.mat"), (ARRAY * 2).astype(np.uint8))


@pytest.mark.parametrize("name", ["k.npz", "renamed.npy"])
def test_archives_by_their_content(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        np.savez(file, k=ARRAY, label=np.array("abc"))
    assert np.array_equal(pictures.read_gray(tmp_path / name), ARRAY)
    with pytest.raises(BadInput, match=r"must hold a two-dimensional array"):
        pictures.read_gray(tmp_path / name, "label")


def test_text(tmp_path: Path) -> None:
    for text in ("1 2\n3 4\n", "# kernel\n1, 2\n\n3, 4", "1;2\n3;4\n", "\ufeff1\t2 # first\n3\t4\n"):
        (tmp_path / "k.txt").write_text(text, encoding="utf-8")
        assert pictures.read_gray(tmp_path / "k.txt").tolist() == [[1, 2], [3, 4]]


def test_axes_of_length_one_are_dropped(tmp_path: Path) -> None:
    for shape in ((1, 1, 3, 4), (3, 4, 1), (1, 3, 4, 1)):
        np.save(tmp_path / "k.npy", ARRAY.reshape(shape))
        assert np.array_equal(pictures.read_gray(tmp_path / "k.npy"), ARRAY)
    np.save(tmp_path / "k.npy", np.ones((1, 1)))
    assert pictures.read_gray(tmp_path / "k.npy").shape == (1, 1)


def test_float_tiff_of_any_scale(tmp_path: Path) -> None:
    Image.fromarray((1000 * ARRAY).astype(np.float32)).save(tmp_path / "k.tif")
    assert np.allclose(pictures.read_gray(tmp_path / "k.tif"), 1000 * ARRAY)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("k.txt", b"1 2\n3\n", "same number of numbers in every line"),
        ("k.txt", b"", "same number of numbers in every line; it holds 0 lines"),
        ("k.txt", b"a b\n", "is no table of numbers"),
        ("k.txt", b"nan 1\n1 1\n", "two-dimensional array of finite numbers"),
        ("k.mat", b"\x89HDF\r\n\x1a\n", "version 7.3"),
        ("k.mat", b"junk", "damaged or no .mat file"),
        ("k.npy", b"junk", "damaged or no .npy file"),
        ("k.mat", matlab({"k": ARRAY})[:-40], "ends in the middle of an array"),
        ("k.mat", matlab({}), "got no array"),
        ("k.npz", b"PK\x03\x04junk", "damaged or no .npz file"),
    ],
)
def test_files_that_hold_no_array(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words):
        pictures.read_gray(tmp_path / name)
