"""Whole inspections: enlargements, drawings, pictures that need nothing or tell nothing, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.conftest import Run, run
from tests.inspection.conftest import coded, damaged, photograph, planes
from zsir import inspect
from zsir.errors import BadInput
from zsir.inspection.enlarged import find_enlargement
from zsir.inspection.grain import grain, is_white
from zsir.inspection.scratches import detect_mask

__all__ = ["run"]  # the fixture

KERNELS = {"bilinear": 2, "bicubic": 3, "lanczos": 1}


@pytest.mark.parametrize("factor", [1.5, 2, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_enlargement(factor, kernel):
    small = Image.fromarray(damaged(photograph("monuments_wonders_petra"))).resize((130, 131), 3)
    size = (round(factor * 130), round(factor * 131))
    found = find_enlargement(planes(np.asarray(small.resize(size, KERNELS[kernel]))))
    assert found is not None
    assert found.factor == pytest.approx(factor, rel=0.01)
    # the spaces of bilinear and bicubic enlargement by 2 are the same
    assert found.kernel == ("" if factor == 2 and kernel != "lanczos" else kernel)


@pytest.mark.parametrize("op", ["", "blur:sigma=1.2,boundary=reflect", "blur:sigma=2,boundary=reflect"])
def test_blur_is_no_enlargement(photo, op):
    assert find_enlargement(planes(damaged(photo, op))) is None


@pytest.mark.parametrize("quality", [5, 10])
def test_coarse_codes_are_no_enlargement(tmp_path, quality):
    """What they leave is smooth, and the colour planes are enlarged; a true enlargement is told at quality 40 still."""
    x = damaged(photograph("farm_animals_animals_pig"))
    (tmp_path / "coarse.jpg").write_bytes(coded(x, quality))
    assert inspect(tmp_path / "coarse.jpg").findings.enlargement is None
    large = np.asarray(Image.fromarray(x[64:192, 64:192]).resize((256, 256), Image.Resampling.BICUBIC))
    (tmp_path / "large.jpg").write_bytes(coded(large, 40))
    found = inspect(tmp_path / "large.jpg").findings.enlargement
    assert found is not None and found.factor == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("width, quality", [(1.5, 20), (1.5, 60), (2.5, 80)])
def test_a_blur_behind_jpeg_is_no_enlargement(tmp_path, width, quality):
    """It is smoother than the JPEG's own steps are, so that the spaces of enlargements by 2 hold it well."""
    y = damaged(photograph("farm_animals_animals_cat"), f"blur:sigma={width},boundary=reflect")
    (tmp_path / "soft.jpg").write_bytes(coded(y, quality))
    found = inspect(tmp_path / "soft.jpg").findings
    assert found.enlargement is None
    if quality >= 60:
        assert found.blur is not None and found.blur.width == pytest.approx(width, rel=0.2)


def test_command_of_an_enlargement():
    small = Image.fromarray(damaged(photograph("monuments_wonders_petra"))).resize((130, 131), 3)
    found = inspect(np.asarray(small.resize((390, 393), 3)))
    assert found.findings.blur is None
    assert found.spec == "resize:size=130x131 | resize:size=390x393,kernel=bicubic"
    assert "enlarged 3.00 times with a bicubic kernel" in " ".join(found.sentences)


def test_scratches_are_told_from_stars():
    """A line of pure white is damage; as many white pixels in spots are stars, and stay."""
    y = damaged(photograph("monuments_wonders_petra")) // 2
    scratched, starry = y.copy(), y.copy()
    scratched[60:63, 20:150] = 255
    for k in range(100):
        row, column = 10 + 23 * (k // 10), 8 + 24 * (k % 10)
        starry[row : row + 2, column : column + 2] = 255
    found = inspect(scratched)
    assert found.spec == "scratches" and found.findings.scratches == pytest.approx(390 / y[..., 0].size, rel=1e-6)
    assert "scratches" in found.sentences[0] and "cannot be estimated" in found.findings.unknown["blur"]
    assert detect_mask(torch.from_numpy(planes(starry))[None]) is not None and inspect(starry).findings.scratches == 0


def test_repeated_pixels():
    y = damaged(photograph("monuments_wonders_petra"))[:90, :80]
    found = inspect(y.repeat(3, axis=0).repeat(3, axis=1)).findings.enlargement
    assert found is not None and (found.factor, found.kernel) == (3, "nearest")


@pytest.mark.slow
def test_sharp_photograph_needs_nothing(photo):
    found = inspect(damaged(photo))
    assert found.needs_nothing
    assert found.hypotheses == () and found.command() == "" and found.spec == ""
    assert found.sentences[-1] == "The picture needs nothing that a restoration could give."


def test_screenshot_needs_nothing():
    y = np.full((120, 200, 3), 255, np.uint8)
    y[20:40, 10:150] = (20, 60, 200)
    y[60:62] = 0
    found = inspect(y)
    assert found.needs_nothing and found.findings.drawing
    assert "drawing or screenshot" in found.sentences[0]


def test_a_picture_of_two_greys_is_a_drawing():
    """A dithered photograph has no flat areas, and its spectrum is that of no blur."""
    grey = Image.fromarray(damaged(photograph("monuments_wonders_petra"))).convert("1")
    found = inspect(np.asarray(grey.convert("L")))
    assert found.findings.drawing and found.needs_nothing


@pytest.mark.parametrize("level", [2, 5, 10])
def test_noise(photo, level):
    found = grain(planes(damaged(photo, "", level / 255)))
    assert 255 * found.std == pytest.approx(level, rel=0.1)
    assert not found.beneath_jpeg


def test_whether_noise_is_white():
    x = photograph("farm_animals_animals_pig")
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((3, 258, 258))
    soft = sum(noise[:, i : i + 256, j : j + 256] for i in range(3) for j in range(3)) / 3
    for n, white in ((noise[:, :256, :256], True), (soft, False)):
        y = (x[0].numpy() + 6 / 255 * n).clip(0, 1).astype(np.float32)
        assert is_white(y) is white


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 9, 3), (64, 64, 3)])
def test_nothing_to_estimate(shape):
    found = inspect(np.full(shape, 77, np.uint8))
    assert found.needs_nothing and found.findings.noise is None and found.findings.blur is None
    assert set(found.findings.unknown) == {"noise", "blur", "enlargement"}
    assert all("cannot be" in sentence for sentence in found.findings.unknown.values())


@pytest.mark.slow
def test_pure_noise_is_not_blurred():
    y = np.random.default_rng(0).normal(128, 40, (80, 80, 3)).clip(0, 255).astype(np.uint8)
    found = inspect(y).findings
    assert found.blur is None and found.enlargement is None and found.jpeg is None


def test_command_of_a_chain(tmp_path):
    path = tmp_path / "soft photo.jpg"
    y = damaged(photograph("monuments_wonders_petra"), "blur:sigma=2,boundary=reflect", 4 / 255)
    Image.fromarray(y).save(path, quality=90)
    found = inspect(path)
    command = found.command(output="out.png")
    assert command == f"zsir solve '{path}' -o out.png"
    assert found.command() == f"zsir solve '{path}' -o '{tmp_path / 'soft photo_restored.png'}'"
    assert found.command("-odd.jpg") == "zsir solve ./-odd.jpg -o ./-odd_restored.png"
    assert found.spec.startswith("blur:sigma=") and found.spec.endswith(" | jpeg")
    assert found.hypotheses[0].score == 1 and all(0 < h.score <= 1 for h in found.hypotheses)
    assert found.noise == pytest.approx(4 / 255, rel=0.2)


@pytest.mark.slow
def test_cli(run: Run, tmp_path):
    path = tmp_path / "a.png"
    y = damaged(photograph("monuments_wonders_petra"), "blur:sigma=2,boundary=reflect")
    Image.fromarray(y[:128, :160]).save(path)
    done = run("inspect", path, tmp_path / "none.png")
    assert done.code == 1
    assert done.message == f"{tmp_path / 'none.png'}: there is no such file."
    assert "blurred like a Gaussian" in done.out and f"zsir solve {path} -o {tmp_path / 'a_restored.png'}" in done.out
    done = run("inspect", "--json", path)
    assert done.code == 0
    records = [json.loads(line) for line in done.out.splitlines()]
    assert len(records) == 1
    assert records[0]["findings"]["blur"]["width"] == pytest.approx(2, rel=0.2)
    assert records[0]["command"] in inspect(path).command()


def test_unreadable(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    with pytest.raises(BadInput, match="not a"):
        inspect(path)
