"""Drawn crops: their types, what they repeat, and how often they come."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.pictures import folder, picture
from zsir.training import shapes
from zsir.training.batches import Batches, crop
from zsir.training.dataset import as_floats, pack
from zsir.training.recipe import Recipe
from zsir.training.shapes import drawn


@pytest.mark.parametrize("channels", [1, 3])
def test_a_drawing_is_a_function_of_the_picture_and_the_generator(channels):
    shown = picture(2)[..., :channels]
    one, again, other = (drawn(shown, 33, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert one.shape == (33, 33, channels) and one.dtype == np.uint8
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_sixteen_bits_use_their_range():
    shown = picture(2)
    deep = drawn(shown.astype(np.uint16) * 257, 32, np.random.default_rng(7))
    assert deep.dtype == np.uint16
    assert np.array_equal(deep, drawn(shown, 32, np.random.default_rng(7)).astype(np.uint16) * 257)


@pytest.mark.parametrize(("patch", "channels", "dtype"), [(2, 3, np.uint8), (5, 1, np.uint16), (16, 3, np.uint8)])
def test_small_crops_of_small_pictures(patch, channels, dtype):
    shown = (picture(1, 20, 17)[..., :channels].astype(dtype) * (257 if dtype == np.uint16 else 1))[::-1]
    for seed in range(30):
        crop = drawn(shown, patch, np.random.default_rng(seed))
        assert crop.shape == (patch, patch, channels) and crop.dtype == dtype


def test_edges_have_no_halo(monkeypatch):
    """Even fills of two colours: whatever is drawn lies between them."""
    monkeypatch.setattr(shapes, "TEXTURED", (0.0,))
    monkeypatch.setattr(shapes, "SHADED", 0.0)
    monkeypatch.setattr(shapes, "_shaded", lambda picture, h, w, rng: np.full((h, w, 1), 60.0))
    shown = np.where(np.arange(50)[:, None, None] % 2, 60, 190).astype(np.uint8) * np.ones((1, 50, 1), np.uint8)
    crops = np.stack([drawn(shown, 32, np.random.default_rng(k)) for k in range(40)])
    assert (crops.min(), crops.max()) == (60, 190)


def test_texture_is_that_of_the_picture(monkeypatch):
    monkeypatch.setattr(shapes, "TEXTURED", (1.0,))
    monkeypatch.setattr(shapes, "BLUR", (0.0,))
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = 200  # of width 2 in the crop
    crops = np.stack([drawn(stripes, 32, np.random.default_rng(k)) for k in range(40)]).astype(float)
    power = (np.abs(np.fft.rfft(crops - crops.mean(2, keepdims=True), axis=2)) ** 2).mean((0, 1, 3))
    assert power[8] > 3 * np.delete(power, [0, 8])[3:].max()  # a period of 4 pixels, 8 in a crop of 32


def test_colours_are_those_of_the_picture():
    shown = np.full((80, 90, 3), (200, 40, 90), np.uint8)
    mean = np.mean([drawn(shown, 32, np.random.default_rng(k)).mean((0, 1)) for k in range(300)], axis=0)
    assert mean == pytest.approx([200, 40, 90], abs=4)


def test_there_are_even_surfaces_and_hard_edges():
    """Black and white noise holds neither; what is drawn in its two colours holds both."""
    shown = np.repeat(np.random.default_rng(0).integers(0, 2, (90, 90, 1)) * 255, 3, axis=2).astype(np.uint8)
    crops = np.stack([drawn(shown, 48, np.random.default_rng(k)) for k in range(40)]).astype(float)
    windows = crops.reshape(40, 6, 8, 6, 8, 3).std(axis=(2, 4)).mean(-1)
    assert 0.3 < (windows < 6).mean() < 0.95
    assert (np.abs(np.diff(crops, axis=2)).max(axis=(1, 2, 3)) > 100).mean() > 0.6


def test_they_come_as_often_as_the_recipe_says(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(np.full((40, 40, 3), 120, np.uint8)).save(source / "even.png")
    packed = pack([source], tmp_path, 3, 16)
    for share, least, most in ((0.0, 0, 0), (0.25, 8, 26), (1.0, 60, 64)):
        x0 = Batches(packed, Recipe(widths=(8, 16), batch=64, patch=16, shapes=share))[0].x0
        made = (x0 != x0[:, :1, :1, :1]).flatten(1).any(1)
        assert least <= int(made.sum()) <= most, share
        assert bool(torch.isfinite(x0).all()) and x0.min() >= 0 and x0.max() <= 1


def test_without_drawings_crops_are_what_they_were(tmp_path):
    """Item i of step k is drawn by the generator of (seed, k, i): the picture, the crop, nothing in between."""
    packed = pack([folder(tmp_path / "in")], tmp_path, 3, 16)
    r = Recipe(widths=(8, 16), batch=4, patch=16, grey=0)
    batch = Batches(packed, r)[3]
    for i in range(4):
        rng = np.random.default_rng([r.seed, 3, i])
        item = packed.training[int(rng.choice(len(packed.training), p=packed.weights))]
        assert torch.equal(batch.x0[i], as_floats(crop(packed.array(item), r, rng)))
