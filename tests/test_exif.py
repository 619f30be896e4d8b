"""What a camera notes in a file comes through: date, place, resolution; the old thumbnail and orientation do not."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import zsir
from zsir import pictures

MAKE, MODEL, ORIENTATION, DATE, EXIF, GPS = 0x010F, 0x0110, 0x0112, 0x9003, 0x8769, 0x8825
KINDS = ("jpg", "png", "tif", "webp")


def thumbnail():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 10, 10)).save(buffer, "JPEG")
    return buffer.getvalue()


def camera_block(order="<", small=b"", after=b""):
    """An EXIF block made by hand: maker, orientation 6, a directory of one date, GPS, and a thumbnail."""
    make, date = b"Zorki\0", b"2026:11:28 10:20:30\0"
    place = {"main": 8}
    place["exif"] = 8 + 2 + 12 * 4 + 4
    place["gps"] = place["exif"] + 2 + 12 + 4
    place["second"] = place["gps"] + 2 + 12 + 4
    place["make"] = place["second"] + 2 + 12 * 2 + 4
    place["date"] = place["make"] + len(make)
    place["small"] = place["date"] + len(date)

    def entry(tag, kind, count, value):
        return struct.pack(order + "HHI", tag, kind, count) + value

    def number(value):
        return struct.pack(order + "I", value)

    def directory(entries, following=0):
        return struct.pack(order + "H", len(entries)) + b"".join(entries) + number(following)

    main = [
        entry(MAKE, 2, len(make), number(place["make"])),
        entry(ORIENTATION, 3, 1, struct.pack(order + "HH", 6, 0)),
        entry(EXIF, 4, 1, number(place["exif"])),
        entry(GPS, 4, 1, number(place["gps"])),
    ]
    second = [entry(0x0201, 4, 1, number(place["small"])), entry(0x0202, 4, 1, number(len(small)))]
    block = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8)
    block += directory(main, place["second"] if small else 0)
    block += directory([entry(DATE, 2, len(date), number(place["date"]))])
    block += directory([entry(0x0001, 2, 2, b"N\0\0\0")])
    return b"Exif\0\0" + block + directory(second) + make + date + small + after


def photo(path, **options):
    values = np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3)
    Image.fromarray(values).save(path, **options)
    return path


def notes_of(path):
    with Image.open(path) as image:
        exif = image.getexif()
        date, place = exif.get_ifd(EXIF).get(DATE), exif.get_ifd(GPS).get(1)
        return exif.get(MAKE), exif.get(ORIENTATION, 1), date, place, image.info.get("dpi")


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_notes_of_the_camera_come_through(tmp_path, source, target):
    options = {} if source == "webp" else {"dpi": (300, 300)}
    read = pictures.read(photo(tmp_path / f"x.{source}", exif=camera_block(), **options))
    out = tmp_path / f"y.{target}"
    zsir.restore(read, "identity", noise=0.02, prior="gaussian").save(out)
    *notes, dpi = notes_of(out)
    assert notes == ["Zorki", 1, "2026:11:28 10:20:30", "N"]
    if "webp" not in (source, target):
        assert dpi == pytest.approx((300, 300), abs=0.02)
    assert pictures.read(out).shape == read.shape == (3, 24, 16)


def test_a_result_with_16_bits_has_them_too(tmp_path):
    pictures.write(tmp_path / "x.png", torch.rand(1, 3, 8, 9), bits=16, exif=camera_block(), dpi=(240, 240))
    assert notes_of(tmp_path / "x.png")[:4] == ("Zorki", 6, "2026:11:28 10:20:30", "N")
    again = pictures.read(tmp_path / "x.png")
    assert again.bits == 16
    assert again.dpi == pytest.approx((240, 240), abs=0.02)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("after", [b"", b"notes of the maker"])
def test_the_block_stays_byte_for_byte_but_for_two_things(tmp_path, order, after):
    small = thumbnail()
    block = camera_block(order, small, after)
    read = pictures.read(photo(tmp_path / "x.jpg", exif=block))
    assert read.orientation == 6 and read.exif is not None
    assert small not in read.exif and small[20:40] not in read.exif
    rest = len(block) - len(small) - len(after)
    changed = [k for k in range(rest) if block[k] != read.exif[k]]
    # the low byte of the orientation, and the link to the second directory
    orientation = 6 + 8 + 2 + 12 + 8 + (order == ">")
    link = range(6 + 8 + 2 + 48, 6 + 8 + 2 + 52)
    assert orientation in changed and set(changed) - {orientation} <= set(link)
    assert read.exif[orientation] == 1
    assert read.exif[rest:] == (bytes(len(small)) + after if after else b"")


@pytest.mark.parametrize(
    "block", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_a_damaged_block_is_left_out_with_a_note(tmp_path, block):
    path = photo(tmp_path / "x.png")
    data = path.read_bytes()
    from zsir.pictures import png16

    path.write_bytes(data[:33] + png16._chunk(b"eXIf", block[6:]) + data[33:])
    with pytest.warns(pictures.PictureWarning, match="EXIF block is damaged"):
        assert pictures.read(path).exif is None


def test_a_block_too_large_for_jpeg_is_named(tmp_path):
    block = camera_block(after=bytes(70000))
    with pytest.warns(pictures.PictureWarning, match="EXIF"):
        pictures.write(tmp_path / "x.jpg", torch.rand(1, 3, 8, 8), exif=block)
    assert notes_of(tmp_path / "x.jpg")[0] is None


def test_the_layout_of_a_tiff_file_is_not_carried(tmp_path):
    path = photo(tmp_path / "x.tif", exif=camera_block())
    read = pictures.read(path)
    grey = torch.rand(1, 1, 30, 40, generator=torch.Generator().manual_seed(0))
    pictures.write(tmp_path / "y.tif", grey, exif=read.exif)
    with Image.open(tmp_path / "y.tif") as image:
        assert image.size == (40, 30) and image.mode == "L" and image.tag_v2[259] == 1
        assert image.tag_v2[MAKE] == "Zorki"
    assert pictures.read(photo(tmp_path / "plain.tif")).exif is None


def test_pillow_pictures_keep_theirs(tmp_path):
    with Image.open(photo(tmp_path / "x.jpg", exif=camera_block(), dpi=(72, 72))) as image, warnings.catch_warnings():
        warnings.simplefilter("error")
        read = pictures.as_picture(image)
    assert read.exif is not None and read.dpi == (72, 72)
