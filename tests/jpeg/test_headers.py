"""What the headers of JPEG files say, and which files are refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.jpeg.pictures import picture, saved
from tests.jpeg.writer import Layout, random_codes, written
from zsir.errors import BadInput
from zsir.operators.jpeg.codec import decoded
from zsir.operators.jpeg.coded import read_jpeg, read_tables
from zsir.operators.jpeg.scans import markers
from zsir.pictures import read
from zsir.workflow.coding import coding_of, measured, operator_of_file


def without(data: bytes, marker: int) -> bytes:
    """The file without its first segment of this kind."""
    at = data.index(bytes([255, marker]))
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def patched(data: bytes, marker: int, offset: int, value: bytes) -> bytes:
    """The file with other bytes at an offset from the first marker of this kind."""
    at = data.index(bytes([255, marker])) + offset
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize("grey", [False, True])
def test_quality_is_found(grey: bool) -> None:
    """Only qualities whose tables are equal cannot be told apart; libjpeg's own are all different."""
    image = picture(8, 8, mode="L" if grey else "RGB")
    assert [read_tables(saved(image, quality=q)).quality for q in range(1, 101)] == list(range(1, 101))


def test_other_tables_have_no_quality() -> None:
    steps = [[3 + i // 8 for i in range(64)], [5] * 64]
    file = read_tables(saved(picture(8, 8), qtables=steps))
    assert file.quality is None
    assert [int(part.table[7, 0]) for part in file.components] == [10, 5, 5]
    assert [int(part.table[0, 7]) for part in file.components] == [3, 5, 5]
    assert file.text == "JPEG, 8x8, YCbCr 4:2:0, baseline, tables that are not libjpeg's"


def test_tables_without_the_picture(tmp_path: Path) -> None:
    data = saved(picture(40, 50), quality=77, progressive=True)
    path = tmp_path / "a.jpg"
    path.write_bytes(data[: len(data) // 2])
    file, whole = read_tables(path), read_jpeg(data)
    assert all(part.codes is None for part in file.components)
    assert file.text == whole.text == "JPEG, 50x40, YCbCr 4:2:0, progressive, quality 77"
    assert file.factors == whole.factors == ((1, 1), (2, 2), (2, 2))
    for one, other in zip(file.components, whole.components, strict=True):
        assert torch.equal(one.table, other.table)
        assert (one.id, one.h, one.v) == (other.id, other.h, other.v)
    with pytest.raises(BadInput, match="read it with read_jpeg"):
        decoded(file)


def test_orientation() -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif[0x0112] = 6
    file = read_tables(saved(picture(8, 16), quality=50, exif=exif))
    assert file.orientation == 6
    assert file.text.endswith("quality 50, EXIF orientation 6")


def exif_of(orientation: int, kind: int = 3) -> bytes:
    """An EXIF segment with the orientation alone; kind 3 is a short number, 4 a long one."""
    entry = b"\x12\x01" + bytes([kind, 0, 1, 0, 0, 0, orientation, 0, 0, 0])
    return segment(b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0")


def segment(body: bytes) -> bytes:
    """An APP1 segment."""
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


XMP = segment(
    b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
STANDING = {
    "short": exif_of(6),
    "long": exif_of(6, 4),
    "xmp": XMP,
    "two": exif_of(3) + exif_of(6),
    "no such orientation": exif_of(9),
    "cut": exif_of(6)[:22].replace(b"\xff\xe1\0\x22", b"\xff\xe1\0\x14"),
}


@pytest.mark.filterwarnings("ignore:.*EXIF block is damaged:zsir.PictureWarning")
@pytest.mark.parametrize("case", STANDING)
def test_codes_stand_as_the_pixels_do(tmp_path: Path, case: str) -> None:
    """Whatever Pillow makes of the entries, the operator of the codes takes the picture that `read` returns."""
    plain = saved(picture(24, 40), quality=95, subsampling=0)
    path = tmp_path / "a.jpg"
    path.write_bytes(plain[:2] + STANDING[case] + plain[2:])
    got, (file, remark) = read(path), (lambda c: (c.file, c.remark))(coding_of(read(path)))
    assert file is not None and not remark
    assert file.orientation == got.orientation == read_tables(path).orientation
    if case in ("short", "long", "xmp"):
        assert got.orientation == 6
    operator = operator_of_file(file)
    assert operator.in_shape == got.shape
    error = operator.forward(got.pixels.double()) - measured(operator, file)
    assert float(error.square().mean().sqrt()) < 3 * operator.own_noise


def test_first_picture_of_several() -> None:
    first, second = picture(16, 24), picture(8, 8)
    file = read_jpeg(saved(first, format="MPO", save_all=True, append_images=[second], quality=50))
    assert file.size == (24, 16)
    alone = read_jpeg(saved(first, quality=50))
    assert np.array_equal(file.components[0].codes, alone.components[0].codes)  # type: ignore[arg-type]


def test_colour_spaces() -> None:
    image = picture(16, 16)
    assert read_tables(saved(image)).space == "ycbcr"
    assert read_tables(saved(image, keep_rgb=True)).space == "rgb"
    assert read_tables(saved(image.convert("L"))).space == "grey"
    inks = read_jpeg(saved(image.convert("CMYK")))
    assert inks.space == "cmyk"
    assert len(inks.components) == 4
    with pytest.raises(BadInput, match="CMYK inks and no RGB colours; save it as RGB"):
        decoded(inks)
    transform = patched(saved(image.convert("CMYK")), 0xEE, 15, b"\x02")
    assert read_jpeg(transform).space == "ycck"


#: the sentence for each way of changing a good file
REFUSED: dict[str, Callable[[bytes], bytes]] = {
    "is a lossless JPEG": lambda d: patched(d, 0xC0, 1, b"\xc3"),
    "is a hierarchical JPEG": lambda d: patched(d, 0xC0, 1, b"\xc5"),
    "is a arithmetically coded JPEG": lambda d: patched(d, 0xC0, 1, b"\xc9"),
    "is an arithmetically coded": lambda d: d[:2] + b"\xff\xcc\x00\x04\x00\x00" + d[2:],
    "12 bits per sample": lambda d: patched(d, 0xC0, 4, b"\x0c"),
    "height only after the picture": lambda d: patched(d, 0xC0, 5, b"\0\0"),
    "has the size 0x40": lambda d: patched(d, 0xC0, 7, b"\0\0"),
    "more than the 89 million": lambda d: patched(d, 0xC0, 5, b"\xff\xff\xff\xff"),
    "ends after 0 of": lambda d: patched(d, 0xC0, 5, b"\x20\x00\x20\x00"),
    "unknown chroma layout 3x2, 2x1, 1x1": lambda d: patched(d, 0xC0, 11, b"\x32\0\x02\x21\x01\x03\x11"),
    "not from 1 to 4": lambda d: patched(d, 0xC0, 11, b"\x02"),
    "with 2 components": lambda d: patched(d, 0xC0, 9, b"\x02"),
    "names its components wrongly": lambda d: patched(d, 0xC0, 10, b"\x02"),
    "two frame headers": lambda d: (
        d[: d.index(b"\xff\xc0")]
        + d[d.index(b"\xff\xc0") :].replace(
            b"\xff\xda", d[d.index(b"\xff\xc0") : d.index(b"\xff\xc0") + 19] + b"\xff\xda"
        )
    ),
    "quantisation table 0 is missing": lambda d: without(d, 0xDB),
    "table is damaged": lambda d: patched(d, 0xDB, 4, b"\x07"),
    "steps of 0": lambda d: patched(d, 0xDB, 9, b"\0"),
    "A Huffman table is missing": lambda d: without(d, 0xC4),
    "impossible Huffman table": lambda d: patched(d, 0xC4, 5, b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    "A Huffman table is damaged": lambda d: patched(d, 0xC4, 4, b"\x25"),
    "no frame header": lambda d: without(d, 0xC0),
    "components that the file does not have": lambda d: patched(d, 0xDA, 5, b"\x09"),
    "header of a scan is damaged": lambda d: patched(d, 0xDA, 4, b"\x00"),
    "ends within a header": lambda d: d[: d.index(b"\xff\xda") + 5],
    "before its picture is complete": lambda d: d[: d.index(b"\xff\xda")],
    "no JPEG": lambda d: b"\x89PNG" + d,
    "contradict each other": lambda d: d[:-2] + d[d.index(b"\xff\xda") :],
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_refusals(sentence: str) -> None:
    data = REFUSED[sentence](saved(picture(40, 56), quality=60))
    with pytest.raises(BadInput, match=sentence) as caught:
        read_jpeg(data)
    assert ";" in str(caught.value) or ":" in str(caught.value), "what to do is missing"


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a folder, device or pipe"):
        read_jpeg(tmp_path)
    with pytest.raises(BadInput, match=r"none\.jpg: The file cannot be read"):
        read_tables(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(BadInput, match=r"text\.jpg: The file is no JPEG"):
        read_jpeg(str(tmp_path / "text.jpg"))


@pytest.mark.parametrize("interval", [0, 3])
def test_truncated_files_tell_the_blocks_that_are_there(interval: int) -> None:
    """The number is exact: the codes that it promises are those of the whole file."""
    layout = Layout(64, 64, ((1, 1),), interval=interval)
    data = written(layout, random_codes(layout, seed=5))
    scan = data.index(b"\xff\xda") + 10
    told = []
    for end in range(scan, len(data) - 4, 211):
        with pytest.raises(BadInput, match=r"truncated: a scan ends after \d+ of 64 blocks") as caught:
            read_jpeg(data[:end])
        told.append(int(str(caught.value).split("after ")[1].split()[0]))
    assert told == sorted(told)
    assert told[0] == 0
    assert told[-1] >= 60


def test_a_missing_end_marker_is_no_loss() -> None:
    data = saved(picture(24, 24))
    assert read_jpeg(data[:-2]).size == (24, 24)


def test_progressive_files_without_their_last_scan_are_truncated() -> None:
    data = saved(picture(24, 24), progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(BadInput, match="not all scans"):
        read_jpeg(data[:last])
    with pytest.raises(BadInput, match="not all scans"):
        read_jpeg(data[:last] + b"\xff\xd9")


def test_endless_scans_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture(24, 24), progressive=True)
    monkeypatch.setattr(markers, "MOST_SCANS", data.count(b"\xff\xda"))
    read_jpeg(data)
    monkeypatch.setattr(markers, "MOST_SCANS", data.count(b"\xff\xda") - 1)
    with pytest.raises(BadInput, match=r"has more than \d+ scans; save the picture anew"):
        read_jpeg(data)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The file with bytes changed, taken out or put in, or cut off."""
    new, at = bytearray(data), rng.randrange(len(data))
    match rng.randrange(5):
        case 0:
            del new[at:]
        case 1:
            new[at : at + 4] = rng.randbytes(rng.randint(1, 4))
        case 2:
            new[rng.randrange(min(620, len(new)))] = rng.randrange(256)
        case 3:
            del new[at : at + rng.randint(1, 50)]
        case _:
            new[at:] = rng.randbytes(200)
    return bytes(new)


@pytest.mark.slow
def test_mutated_files_are_read_or_refused() -> None:
    rng = random.Random(7)
    files = [
        saved(picture(33, 47), quality=80),
        saved(picture(33, 47), quality=40, progressive=True),
        saved(picture(20, 20, mode="L"), quality=90, restart_marker_blocks=2),
    ]
    outcomes = {"read": 0, "refused": 0}
    for n in range(400):
        data = mutated(files[n % 3], rng)
        try:
            file = read_jpeg(data)
        except BadInput as error:
            assert str(error).endswith(".")
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert all(part.codes is not None for part in file.components)
    assert min(outcomes.values()) > 40
