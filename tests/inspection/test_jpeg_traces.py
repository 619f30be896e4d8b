"""JPEG from files and from pixels, and the noise beneath it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.inspection.conftest import coded, damaged, decoded, photograph, planes
from zsir import inspect
from zsir.inspection.beneath import beneath
from zsir.inspection.comb import find_comb, libjpeg_table, quality_of
from zsir.inspection.jpeg_tables import jpeg_of_file


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 92])
@pytest.mark.parametrize("sampling", [0, 2])
def test_file(tmp_path, quality, sampling):
    path = tmp_path / "photo.jpg"
    path.write_bytes(coded(damaged(photograph("monuments_wonders_petra")), quality, sampling))
    jpeg = jpeg_of_file(path)
    assert jpeg is not None and jpeg.from_file
    assert (jpeg.quality, jpeg.sampling) == (quality, {0: "4:4:4", 2: "4:2:0"}[sampling])
    assert np.array_equal(np.reshape(jpeg.tables[0], (8, 8)), libjpeg_table(quality))
    assert len(jpeg.tables) == 2


@pytest.mark.parametrize("quality", [20, 50, 75, 90, 95])
def test_pixels(photo, quality):
    down, across = quality % 8, 5
    y = decoded(coded(damaged(photo), quality))[down:, across:]
    found = find_comb(planes(y))
    assert found is not None
    assert found.phase == (-down % 8, -across % 8)
    assert found.quality == quality


def test_table_that_is_not_libjpegs(tmp_path):
    from PIL import Image

    table = [3 + (u + 2 * v) for u in range(8) for v in range(8)]
    path = tmp_path / "camera.jpg"
    Image.fromarray(damaged(photograph("monuments_wonders_petra"))).save(path, qtables=[table, table])
    told = jpeg_of_file(path)
    assert told is not None and told.quality is None
    found = find_comb(planes(decoded(path.read_bytes())))
    assert found is not None and found.quality is None
    known = found.table.ravel() > 0
    assert known.sum() > 40
    assert np.array_equal(found.table.ravel()[known], np.array(told.tables[0])[known])


@pytest.mark.parametrize("op", ["", "blur:sigma=1.2,boundary=reflect"])
def test_never_compressed(photo, op):
    assert find_comb(planes(damaged(photo, op))) is None
    assert find_comb(planes(damaged(photo, op, 5 / 255))) is None


def test_pattern_is_no_comb():
    tile = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((25, 25))) * 200 + 20
    assert inspect(tile.astype(np.uint8)).findings.jpeg is None


def test_quality_of_tables():
    for quality in range(1, 101):
        found = quality_of(libjpeg_table(quality))
        assert found is not None
        assert np.array_equal(libjpeg_table(found), libjpeg_table(quality))
    assert quality_of(libjpeg_table(50) + 1) is None


@pytest.mark.parametrize("sigma", [3.0, 8.0])
@pytest.mark.parametrize("quality", [60, 85])
def test_codes_of_noise_alone(sigma, quality):
    """Codes drawn from the model. Where most are 0, texture explains them nearly as well, and the error bar is wide."""
    table = libjpeg_table(quality)
    codes = np.round(np.random.default_rng(0).normal(0, sigma, (2000, 8, 8)) / table)
    found = beneath(codes, table)
    assert found is not None
    assert 255 * found.std == pytest.approx(sigma, rel=0.08, abs=255 * 2 * found.error)


def test_texture_that_falls_slowly_is_no_noise():
    """as grass does that fills a picture: its variance falls with the power 2.5 of the frequency."""
    table, order = libjpeg_table(80), np.indices((8, 8)).sum(axis=0)
    texture = 15 * (3 / np.maximum(order, 1)) ** 1.25
    found = beneath(np.round(np.random.default_rng(0).normal(0, texture, (2000, 8, 8)) / table), table)
    assert found is not None
    assert 255 * found.std < 1.25 * texture.min()


def test_codes_without_noise():
    table = libjpeg_table(50)
    found = beneath(np.zeros((500, 8, 8)), table)
    assert found is not None and found.std == 0
    assert 0 < 255 * found.bound < table.min() / 2


@pytest.mark.parametrize("noise", [0.03, 0.06])
def test_phone_picture(tmp_path, noise):
    x = torch.nn.functional.interpolate(photograph("farm_animals_animals_pig"), scale_factor=2, mode="bicubic").clamp(
        0, 1
    )
    path = tmp_path / "phone.jpg"
    path.write_bytes(coded(damaged(x, "", noise), 80))
    found = inspect(path).findings.noise
    assert found is not None and found.beneath_jpeg
    assert found.std == pytest.approx(noise, rel=0.15)


def test_coarse_steps_hide_the_noise(tmp_path):
    """What is not 0 at such steps is texture."""
    path = tmp_path / "coarse.jpg"
    path.write_bytes(coded(damaged(photograph("monuments_wonders_petra")), 12))
    found = inspect(path)
    assert found.findings.noise is None or found.findings.noise.std == 0
    assert found.noise < 0.002
