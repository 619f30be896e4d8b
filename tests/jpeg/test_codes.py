"""The codes of JPEG files: against recorded ones, against codes that were written, and against Pillow's pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.jpeg.pictures import picture, saved, shown
from tests.jpeg.writer import Layout, random_codes, written
from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.operators.jpeg.codec import decoded, encoded
from zsir.operators.jpeg.coded import JpegFile, read_jpeg
from zsir.operators.jpeg.scans import huffman

#: codes by jpeglib's read_dct of files that libjpeg-turbo 3 wrote through Pillow, and Pillow's decode
RECORDED = Path(__file__).parent / "data" / "codes.npz"

#: options of Pillow: every sampling it writes, restart markers, own tables, grey, RGB without conversion
FILES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RGB", {"quality": 75, "subsampling": 0}),
    ("RGB", {"quality": 30, "subsampling": 1, "restart_marker_blocks": 3}),
    ("RGB", {"quality": 90, "subsampling": 2, "restart_marker_rows": 1}),
    ("RGB", {"quality": 100, "subsampling": 2}),
    ("RGB", {"quality": 1, "subsampling": 2, "restart_marker_blocks": 1}),
    ("RGB", {"quality": 85, "keep_rgb": True}),
    ("L", {"quality": 60, "restart_marker_blocks": 2}),
    ("L", {"quality": 97}),
)
SIZES = ((41, 67), (8, 8), (1, 1), (17, 3), (64, 33))


def codes_of(file: JpegFile) -> list[np.ndarray[Any, np.dtype[np.int16]]]:
    return [part.codes.numpy() for part in file.components if part.codes is not None]


def same(one: JpegFile, other: JpegFile) -> bool:
    pairs = zip(codes_of(one), codes_of(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("case", ["q10_444", "q50_420", "q75_422"])
def test_recorded_codes(case: str) -> None:
    with np.load(RECORDED) as recorded:
        file = read_jpeg(recorded[f"{case}_bytes"].tobytes())
        for name, codes, part in zip(("Y", "Cb", "Cr"), codes_of(file), file.components, strict=True):
            assert codes.dtype == np.int16
            assert np.array_equal(codes, recorded[f"{case}_{name}"])
            assert np.array_equal(part.table, recorded[f"{case}_tables"][int(name != "Y")])
        height, width = recorded[f"{case}_decoded"].shape[:2]
        assert file.size == (width, height)
        assert file.quality == int(case[1:3])
        assert file.sampling.replace(":", "") == case[4:]


@pytest.mark.parametrize("options", FILES)
def test_progressive_files_have_the_codes_of_baseline_files(options: tuple[str, dict[str, Any]]) -> None:
    mode, how = options
    for i, size in enumerate(SIZES):
        image = picture(*size, mode=mode, seed=i)
        plain = read_jpeg(saved(image, **how))
        assert plain.kind == "baseline"
        assert same(plain, read_jpeg(saved(image, optimize=True, **how)))
        progressive = read_jpeg(saved(image, progressive=True, **how))
        assert progressive.progressive
        assert same(plain, progressive)


def test_long_runs_of_empty_blocks() -> None:
    """A flat picture has end-of-band runs of thousands of blocks in every scan of a progressive file."""
    image = picture(24, 24).resize((1200, 900))
    image.paste((90, 120, 30), (0, 0, 1200, 880))
    plain, progressive = (read_jpeg(saved(image, quality=95, progressive=p)) for p in (False, True))
    assert same(plain, progressive)


@pytest.mark.parametrize("progressive", [False, True])
def test_pieces_meet(monkeypatch: pytest.MonkeyPatch, progressive: bool) -> None:
    """Long scans are decoded in pieces; the codes do not depend on where the pieces end."""
    data = saved(picture(203, 150), quality=95, progressive=progressive)
    whole = read_jpeg(data)
    monkeypatch.setattr(huffman, "PIECE", 500)
    assert same(whole, read_jpeg(data))


@pytest.mark.parametrize("options", FILES)
def test_decode_is_pillows(options: tuple[str, dict[str, Any]]) -> None:
    mode, how = options
    for i, size in enumerate(SIZES):
        data = saved(picture(*size, mode=mode, seed=i), **how)
        x = decoded(read_jpeg(data))
        assert x.dtype == torch.float32
        error = np.abs(255 * x[0].permute(1, 2, 0).numpy() - shown(data))
        assert error.max() < 3.01
        if min(size) > 32:
            assert error.mean() < 0.1


GREY, YCC = ((1, 1),), ((1, 1), (1, 1))
LAYOUTS = {
    "4:4:4": Layout(19, 27, ((1, 1), *YCC)),
    "4:4:0": Layout(37, 50, ((1, 2), *YCC)),
    "4:1:1": Layout(71, 21, ((4, 1), *YCC)),
    "4:2:0": Layout(41, 45, ((2, 2), *YCC), interleaved=False),
    "4:2:2": Layout(41, 45, ((2, 1), *YCC), interleaved=False, interval=2),
    "4:1:0": Layout(41, 45, ((4, 2), *YCC), interval=1, fill=3),
    "2x2 2x1 1x2": Layout(50, 39, ((2, 2), (2, 1), (1, 2)), deep=True),
    "1x1 2x2 1x1": Layout(50, 39, ((1, 1), (2, 2), (1, 1)), interval=3, frame=0xC1),
    "": Layout(30, 40, ((2, 2),), deep=True, fill=1, frame=0xC1),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_written_codes(name: str) -> None:
    """Layouts that Pillow does not write: other samplings, several scans, 16-bit tables, fill bytes, sampled grey."""
    layout = LAYOUTS[name]
    codes = random_codes(layout, seed=len(name))
    file = read_jpeg(written(layout, codes, steps=700 if layout.deep else 3))
    assert file.sampling == name
    assert file.size == (layout.width, layout.height)
    assert file.kind == ("extended" if layout.frame == 0xC1 else "baseline")
    for part, expected in zip(file.components, codes, strict=True):
        assert part.codes is not None
        assert np.array_equal(part.codes, expected)
        assert np.all(part.table.numpy() == (700 if layout.deep else 3))


@pytest.mark.parametrize("name", ["4:4:0", "4:1:1", "4:2:0"])
def test_decode_of_written_codes(name: str) -> None:
    layout = LAYOUTS[name]
    codes = [np.where(np.abs(c) < 30, c, 0).astype(np.int16) for c in random_codes(layout, seed=1)]
    data = written(layout, codes)
    error = np.abs(255 * decoded(read_jpeg(data))[0].permute(1, 2, 0).numpy() - shown(data))
    assert error.max() < 3.01


def test_encoded_is_pillows_file_of_the_rounded_picture() -> None:
    image = picture(30, 45)
    x = torch.from_numpy(np.asarray(image) / 255).permute(2, 0, 1)[None]
    data = encoded(x + 0.4 / 255, 80, "4:2:2", progressive=True)
    assert data == saved(image, quality=80, subsampling=1, progressive=True)
    assert data == encoded(x, 80, "4:2:2", progressive=True)
    file = read_jpeg(data)
    assert (file.quality, file.sampling, file.progressive) == (80, "4:2:2", True)
    assert read_jpeg(encoded(x[:, :1], 35)).space == "grey"


def test_encoded_refuses() -> None:
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(BadSpec, match="from 1 to 100, got 0"):
        encoded(x, 0)
    with pytest.raises(BadSpec, match="one of 4:4:4"):
        encoded(x, 50, "4:1:1")
    with pytest.raises(ShapeError, match=r"got \(2, 3, 8, 8\)"):
        encoded(x.expand(2, 3, 8, 8), 50)
    with pytest.raises(BadInput, match="65500"):
        encoded(torch.zeros(1, 1, 1, 65501), 50)
