"""Pictures in and out: every mode, every orientation, 16 bits, damage, and disks that are full."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from zsir import files, pictures
from zsir.errors import BadInput, OutputError
from zsir.pictures import png16

RNG = np.random.default_rng(0)


def smooth(height=12, width=17, channels=3):
    """A picture (height, width, channels) uint8 whose four corners differ."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [255 * rows / height, 255 * columns / width, 255 * (rows + columns) / (height + width)]
    return np.stack(planes[:channels], axis=2).astype(np.uint8)


@pytest.fixture
def picture():
    return Image.fromarray(smooth())


def saved(tmp_path, image, name="x.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def as_array(read):
    return read.pixels[0].permute(1, 2, 0).numpy()


# --- modes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "name", "channels", "alpha"),
    [
        ("1", "x.png", 1, False),
        ("L", "x.png", 1, False),
        ("LA", "x.png", 1, True),
        ("P", "x.png", 3, False),
        ("RGB", "x.png", 3, False),
        ("RGBA", "x.tif", 3, True),
        ("RGBX", "x.tif", 3, False),
        ("CMYK", "x.jpg", 3, False),
        ("YCbCr", "x.jpg", 3, False),
        ("LAB", "x.tif", 3, False),
    ],
)
def test_8_bit_modes(tmp_path, picture, mode, name, channels, alpha):
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")
    else:
        image = picture.convert(mode)
    read = pictures.read(saved(tmp_path, image, name))
    assert read.pixels.shape == (1, channels, 12, 17) and read.bits == 8
    assert read.pixels.dtype == torch.float32
    assert (read.alpha is not None) == alpha
    if mode in ("L", "LA", "RGB", "RGBA", "RGBX"):
        expected = np.asarray(picture.convert("L"))[:, :, None] if channels == 1 else smooth()
        assert np.array_equal(as_array(read), expected.astype(np.float32) / 255)
    elif mode != "1":
        assert np.abs(as_array(read) - smooth() / 255).mean() < 0.06  # lossy, but the same colours


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    image.putpalette([255, 0, 0, 0, 0, 255])
    read = pictures.read(saved(tmp_path, image, transparency=1))
    assert read.alpha is not None
    assert read.alpha.flatten().tolist() == [1, 0, 0, 1]
    assert read.pixels[0, :, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_16_bit_grey(tmp_path, name):
    values = RNG.integers(0, 65536, (9, 7)).astype(np.uint16)
    read = pictures.read(saved(tmp_path, Image.fromarray(values), name))
    assert read.bits == 16 and read.pixels.shape == (1, 1, 9, 7)
    assert np.array_equal(np.rint(read.pixels[0, 0].numpy() * 65535), values)


def test_integers_and_floats(tmp_path):
    integers = np.array([[0, 65535]], np.int32)
    assert pictures.read(saved(tmp_path, Image.fromarray(integers), "i.tif")).pixels.flatten().tolist() == [0, 1]
    floats = np.array([[-0.1, 1.1]], np.float32)  # a noisy observation keeps what lies outside [0, 1]
    read = pictures.read(saved(tmp_path, Image.fromarray(floats), "f.tif"))
    assert np.array_equal(read.pixels[0, 0].numpy(), floats) and read.bits == 16


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([[0, 70000]], np.int32), "70000"),
        (np.array([[0, np.nan]], np.float32), "NaN"),
        (np.array([[0, 255]], np.float32), "white level"),
    ],
)
def test_numbers_that_mean_nothing(tmp_path, values, says):
    with pytest.raises(BadInput, match=says):
        pictures.read(saved(tmp_path, Image.fromarray(values), "x.tif"))


def test_16_bit_colour_tiff_is_said_to_lose_bits(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, RNG.integers(0, 65536, (8, 9, 3)).astype(np.uint16), photometric="rgb")
    with pytest.warns(pictures.PictureWarning, match="8 of their 16 bits"):
        assert pictures.read(path).bits == 8


def test_profile_is_kept(tmp_path, picture):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    read = pictures.read(saved(tmp_path, picture, icc_profile=icc))
    assert read.icc == icc
    for name, bits in (("a.png", 8), ("b.png", 16), ("c.jpg", 8), ("d.tif", 8), ("e.webp", 8)):
        pictures.write(tmp_path / name, read.pixels, bits=bits, icc=read.icc)
        assert pictures.read(tmp_path / name).icc == icc


# --- orientation and frames ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.webp", "x.jpg"])
def test_orientation(tmp_path, picture, orientation, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    # solid quarters, so that JPEG and chroma subsampling do not matter
    quarters = Image.fromarray(np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((16, 24), np.uint8)))
    options = {"lossless": True} if name == "x.webp" else {}
    read = pictures.read(saved(tmp_path, quarters.convert("RGB"), name, exif=exif, **options))
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    upright = quarters.transpose(turns[orientation]) if orientation > 1 else quarters
    assert read.pixels.shape[-2:] == (upright.height, upright.width)
    assert np.abs(as_array(read)[:, :, 0] - np.asarray(upright) / 255).max() < 0.02


def test_orientation_of_16_bits(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    values = RNG.integers(0, 65536, (3, 5)).astype(np.uint16)
    read = pictures.read(saved(tmp_path, Image.fromarray(values), exif=exif))
    assert np.array_equal(np.rint(read.pixels[0, 0].numpy() * 65535), np.rot90(values, -1))


def test_several_frames(tmp_path, picture):
    path = saved(tmp_path, picture, "x.gif", save_all=True, append_images=[Image.new("RGB", picture.size)])
    with pytest.warns(pictures.PictureWarning, match="first"):
        read = pictures.read(path)
    assert read.pixels.max() > 0.9


# --- 16-bit PNG ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_png16_round_trip(height, width, channels, seed):
    values = np.random.default_rng(seed).integers(0, 65536, (height, width, channels)).astype(np.uint16)
    assert np.array_equal(png16.decode(png16.encode(values)), values)


def filtered(values, kinds):
    """A 16-bit PNG whose rows carry the filters ``kinds``, pixel by pixel as the specification words it."""
    height, width, channels = values.shape
    bpp = 2 * channels
    rows = values.astype(">u2").view(np.uint8).reshape(height, width * bpp).astype(int)
    stream = bytearray()
    for y, kind in enumerate(kinds):
        stream.append(kind)
        for i in range(width * bpp):
            a = rows[y, i - bpp] if i >= bpp else 0
            b = rows[y - 1, i] if y else 0
            c = rows[y - 1, i - bpp] if y and i >= bpp else 0
            p = a + b - c
            paeth = min((abs(p - v), k, v) for k, v in enumerate((a, b, c)))[2]
            stream.append((rows[y, i] - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
    data = png16.encode(values)
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    body = zlib.compress(bytes(stream))
    return data[:start] + png16._chunk(b"IDAT", body[:5]) + png16._chunk(b"IDAT", body[5:]) + data[end:]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=7), st.integers(1, 6), st.sampled_from([1, 3, 4]))
def test_png16_filters(kinds, width, channels):
    values = np.random.default_rng(width).integers(0, 65536, (len(kinds), width, channels)).astype(np.uint16)
    data = filtered(values, kinds)
    assert np.array_equal(png16.decode(data), values)
    with Image.open(io.BytesIO(data)) as image:  # our chunks and sums are right for others, too
        image.load()
        if channels == 1:
            assert np.array_equal(np.asarray(image), values[:, :, 0])


def test_png16_interlaced():
    values = RNG.integers(0, 65536, (11, 13, 3)).astype(np.uint16)
    plain = png16.encode(values)
    stream = b""
    for r, c, dr, dc in png16.ADAM7:
        part = values[r::dr, c::dc]
        stream += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part)
    header = plain[16:28] + b"\x01"
    data = png16.SIGNATURE + png16._chunk(b"IHDR", header)
    data += png16._chunk(b"IDAT", zlib.compress(stream)) + png16._chunk(b"IEND", b"")
    assert np.array_equal(png16.decode(data), values)
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(np.asarray(image).astype(int) - (values >> 8)).max() <= 1


def test_png16_colour_key():
    values = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint16)
    data = png16.encode(values)
    start = data.index(b"IDAT") - 4
    keyed = data[:start] + png16._chunk(b"tRNS", values[0, 1].astype(">u2").tobytes()) + data[start:]
    assert png16.decode(keyed)[0, :, 3].tolist() == [65535, 0]


def test_png16_damage(tmp_path):
    values = RNG.integers(0, 65536, (20, 20, 3)).astype(np.uint16)
    data = png16.encode(values)
    with pytest.raises(ValueError):
        png16.decode(data[: len(data) // 2])
    path = tmp_path / "x.png"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match="damaged"):
        pictures.read(path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_16_bits_survive(tmp_path, channels, with_alpha):
    pixels = torch.from_numpy(RNG.integers(0, 65536, (1, channels, 6, 5))).float() / 65535
    alpha = pixels[:, :1].flip(2) if with_alpha else None
    text = {"zsir:op": "sr4x", "zsir:size": "20x24", "note": "Grüße"}
    pictures.write(tmp_path / "x.png", pixels, bits=16, alpha=alpha, text=text)
    read = pictures.read(tmp_path / "x.png")
    assert torch.equal(read.pixels, pixels) and read.bits == 16 and read.text == text
    assert (alpha is None) == (read.alpha is None)
    assert alpha is None or (read.alpha is not None and torch.equal(read.alpha, alpha))


# --- damage --------------------------------------------------------------------------------------------------------


def test_missing_folder_and_pipe(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        pictures.read(tmp_path / "x.png")
    with pytest.raises(BadInput, match="folder"):
        pictures.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="pipe"):
        pictures.read(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "x.webp", "x.gif"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_truncated(tmp_path, name, share):
    noise = Image.fromarray(RNG.integers(0, 256, (40, 40, 3)).astype(np.uint8))
    path = saved(tmp_path, noise, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadInput, match=r"x\."):
        pictures.read(path)


def test_fake(tmp_path):
    path = tmp_path / "x.png"
    path.write_text("<html>not found</html>")
    with pytest.raises(BadInput, match="known format"):
        pictures.read(path)


@pytest.mark.parametrize("limit", [100, 150])  # Pillow raises above twice its limit and warns above it
def test_decompression_bomb(tmp_path, picture, monkeypatch, limit):
    path = saved(tmp_path, picture)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(BadInput, match="million pixels"):
        pictures.read(path)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes(tmp_path_factory, junk, position):
    path = tmp_path_factory.mktemp("junk") / "x.png"
    good = png16.encode(np.zeros((4, 4, 3), np.uint16))
    path.write_bytes(good[:position] + junk + good[position + len(junk) :])
    with contextlib.suppress(BadInput):
        pictures.read(path)


# --- masks and kernels ---------------------------------------------------------------------------------------------


def test_read_gray(tmp_path):
    mask = np.array([[0, 255], [51, 0]], np.uint8)
    assert np.allclose(pictures.read_gray(saved(tmp_path, Image.fromarray(mask))), mask / 255)
    colour = Image.fromarray(np.full((2, 3, 3), (255, 0, 0), np.uint8))
    assert np.allclose(pictures.read_gray(saved(tmp_path, colour)), np.full((2, 3), 1 / 3))
    np.save(tmp_path / "k.npy", np.array([[1.0, -2.5]]))
    assert pictures.read_gray(str(tmp_path / "k.npy")).tolist() == [[1.0, -2.5]]


@pytest.mark.parametrize("array", [np.zeros(3), np.array([[np.nan]]), np.array([["a"]]), np.array([[None]])])
def test_npy_that_is_no_kernel(tmp_path, array):
    np.save(tmp_path / "k.npy", array, allow_pickle=True)
    with pytest.raises(BadInput, match=r"k\.npy"):
        pictures.read_gray(tmp_path / "k.npy")


# --- writing -------------------------------------------------------------------------------------------------------


def test_write_clips_and_rounds(tmp_path):
    pixels = torch.tensor([-0.2, 0.499 / 255, 0.501 / 255, 1.7]).view(1, 1, 2, 2)
    pictures.write(tmp_path / "x.png", pixels)
    with Image.open(tmp_path / "x.png") as image:
        assert np.asarray(image).flatten().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("name", ["x.png", "x.PNG", "x.tif", "x.webp"])
def test_lossless_formats(tmp_path, name):
    pixels = torch.from_numpy(RNG.integers(0, 256, (1, 3, 20, 31))).float() / 255
    alpha = pixels[:, :1].roll(3, 2)
    pictures.write(tmp_path / name, pixels, alpha=alpha)
    read = pictures.read(tmp_path / name)
    assert torch.equal(read.pixels, pixels)
    assert read.alpha is not None and torch.equal(read.alpha, alpha)


def test_what_a_format_cannot_keep_is_said(tmp_path):
    pixels = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.warns(pictures.PictureWarning, match="transparency"):
        pictures.write(tmp_path / "x.jpg", pixels, alpha=pixels[:, :1])
    with pytest.warns(pictures.PictureWarning, match="8 bits"):
        pictures.write(tmp_path / "x.webp", pixels, bits=16)
    pictures.write(tmp_path / "x.tif", pixels[:, :1], bits=16)
    assert pictures.read(tmp_path / "x.tif").bits == 16


def test_write_refusals(tmp_path):
    pixels = torch.zeros(1, 1, 4, 4)
    with pytest.raises(OutputError, match="ends in"):
        pictures.write(tmp_path / "x.bmp", pixels)
    with pytest.raises(BadInput, match="NaN"):
        pictures.write(tmp_path / "x.png", pixels / 0)
    with pytest.raises(OutputError, match="no folder"):
        pictures.write(tmp_path / "nowhere" / "x.png", pixels)
    with pytest.raises(OutputError, match="WebP"):
        pictures.write(tmp_path / "x.webp", torch.zeros(1, 1, 1, 20000))
    assert list(tmp_path.iterdir()) == []


def test_links_stay_links_and_devices_stay_devices(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_bytes(tmp_path / "link", b"1")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"1"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="pipe"):
        files.write_bytes(tmp_path / "pipe", b"1")
    with pytest.raises(OutputError, match="folder"):
        files.write_bytes(tmp_path, b"1")


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "x", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_full_disk_leaves_the_old_file(tmp_path):
    """A real refusal by the kernel: the process may not make files larger than 100 bytes."""
    (tmp_path / "x").write_bytes(b"precious")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from zsir.files import write_bytes; from zsir.errors import OutputError\n"
        "try:\n    write_bytes(sys.argv[1], bytes(1000))\nexcept OutputError as e:\n    print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, check=True)
    assert "cannot be written: file too large" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_bytes() == b"precious"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interruption_leaves_nothing(tmp_path, monkeypatch, error):
    def fail(self, target):
        raise error

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        files.write_bytes(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_make_folder(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        files.make_folder(tmp_path / "file" / "b")


# --- sheets --------------------------------------------------------------------------------------------------------


def test_enlarge_is_pillow(picture):
    pixels = torch.from_numpy(smooth()).permute(2, 0, 1)[None].float() / 255
    large = pictures.enlarge(pixels, (48, 68))
    expected = np.asarray(picture.resize((68, 48), Image.Resampling.BICUBIC)) / 255
    assert np.abs(large.clamp(0, 1)[0].permute(1, 2, 0).numpy() - expected).max() < 1.01 / 255
    assert pictures.enlarge(pixels, (12, 17)) is pixels


def test_contact_sheet():
    red, grey = torch.zeros(1, 3, 40, 60), torch.full((1, 1, 50, 30), 0.5)
    red[:, 0] = 1
    sheet = pictures.contact_sheet([("a red picture with a long title", red), ("grey", grey)])
    assert sheet.shape[:2] == (1, 3) and sheet.shape[2] == 26 + 50 + 8
    assert sheet[0, :, 26, 8].tolist() == [1, 0, 0]
    assert (sheet == torch.tensor(128 / 255)).all(dim=1).sum() >= 50 * 30
    assert sheet[0, :, :26].min() < 0.2  # the titles


def test_reading_lets_no_warning_out(tmp_path, picture):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures.read(saved(tmp_path, picture.convert("P"), transparency=b"\0\1\2"))
