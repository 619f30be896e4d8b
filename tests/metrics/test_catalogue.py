"""`measure`: every metric for each picture, its border, its refusals, and the table of the README."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tests.sources import ROOT
from zsir.errors import BadInput, BadSpec, ShapeError, UnknownName
from zsir.metrics import METRICS, find, measure, psnr, ssim
from zsir.metrics.fidelity import luma

OWN = ["psnr", "ssim", "psnr-y", "ssim-y"]
SHAPES = [(3, 3, 33, 47), (2, 3, 24, 18), (1, 3, 17, 90)]


def pair(shape, dtype=torch.float64):
    rng = np.random.default_rng(shape)
    a = rng.random(shape)
    b = np.clip(a + 0.2 * rng.standard_normal(shape) * np.arange(1, shape[0] + 1).reshape(-1, 1, 1, 1), 0, 1)
    return torch.from_numpy(a).to(dtype), torch.from_numpy(b).to(dtype)


def reference(name, a, b):
    """scikit-image's value for one picture (channels, height, width)."""
    a, b = a.numpy(), b.numpy()
    if name.endswith("-y"):
        a, b = (rgb2ycbcr(t, channel_axis=0)[:1] / 255 for t in (a, b))
    if name.startswith("psnr"):
        return peak_signal_noise_ratio(a, b, data_range=1.0)
    return structural_similarity(
        a, b, data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("crop", [0, 3])
def test_each_picture_as_scikit_image(name, shape, crop):
    x, truth = pair(shape)
    inside = (slice(None), slice(crop, shape[2] - crop), slice(crop, shape[3] - crop))
    expected = [reference(name, a[inside], b[inside]) for a, b in zip(x, truth, strict=True)]
    assert measure([name], x, truth, crop=crop)[name] == pytest.approx(expected, abs=1e-9)
    assert measure([name], x.float(), truth.float(), crop=crop)[name] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", OWN)
def test_a_picture_has_its_values_in_any_batch(name):
    x, truth = pair((4, 3, 21, 34), torch.float32)
    together = measure([name], x, truth)[name]
    assert len(set(together)) == 4
    alone = [measure([name], x[k : k + 1], truth[k : k + 1])[name][0] for k in range(4)]
    assert together == pytest.approx(alone, abs=1e-12)


def test_batch_means_are_means_of_the_values():
    x, truth = pair((3, 3, 21, 34))
    values = measure(["psnr", "ssim"], x, truth)
    assert list(values) == ["psnr", "ssim"]
    assert psnr(x, truth) == pytest.approx(np.mean(values["psnr"]), abs=1e-12)
    assert ssim(x, truth) == pytest.approx(np.mean(values["ssim"]), abs=1e-12)


@pytest.mark.parametrize(
    ("colour", "y"),
    [((0, 0, 0), 16), ((1, 1, 1), 235), ((1, 0, 0), 81.481), ((0, 1, 0), 144.553), ((0, 0, 1), 40.966)],
)
def test_luma_of_pure_colours(colour, y):
    x = torch.tensor(colour, dtype=torch.float64).view(1, 3, 1, 1).expand(2, 3, 2, 5)
    assert luma(x).shape == (2, 1, 2, 5)
    assert (255 * luma(x)).flatten().tolist() == pytest.approx([y] * 20, abs=1e-9)


def test_closed_forms():
    """A grey level 0.1 too high: 20 dB in RGB; on luma the error shrinks by 219/255."""
    x = torch.full((2, 3, 12, 13), 0.4, dtype=torch.float64)
    values = measure(["psnr", "psnr-y"], x + 0.1, x)
    assert values["psnr"] == pytest.approx([20, 20])
    assert values["psnr-y"] == pytest.approx([20 + 20 * np.log10(255 / 219)] * 2)


def test_crop_takes_the_border_and_nothing_else():
    x, truth = pair((1, 3, 16, 19))
    spoiled = x.clone()
    for edge in (spoiled[..., :2, :], spoiled[..., -2:, :], spoiled[..., :2], spoiled[..., -2:]):
        edge.fill_(1)
    inside = measure(["psnr"], x, truth, crop=2)
    assert measure(["psnr"], spoiled, truth, crop=2) == inside
    assert measure(["psnr"], spoiled, truth, crop=1)["psnr"] != measure(["psnr"], x, truth, crop=1)["psnr"]
    assert inside["psnr"] == measure(["psnr"], x[..., 2:-2, 2:-2], truth[..., 2:-2, 2:-2])["psnr"]


@pytest.mark.parametrize("name", METRICS)
def test_directions(name):
    """A larger error is worse, and equal pictures are best."""
    truth = pair((1, 3, 24, 31), torch.float32)[0]
    lightly, strongly, equal = (measure([name], torch.lerp(truth, 1 - truth, w), truth)[name][0] for w in (0.1, 0.4, 0))
    sign = {"higher": 1, "lower": -1}[METRICS[name].better]
    assert sign * equal > sign * lightly > sign * strongly


def test_refusals():
    x, truth = pair((2, 3, 16, 19))
    with pytest.raises(UnknownName, match="did you mean psnr"):
        measure(["psrn"], x, truth)
    with pytest.raises(UnknownName, match=r"known are psnr, .*pyiqa:NAME"):
        find("fréchet")
    with pytest.raises(BadSpec, match=r"give a list of names, such as \['psnr'\]"):
        measure("psnr", x, truth)
    with pytest.raises(BadInput, match=r"psnr, ssim compare with the true picture; give truth="):
        measure(["psnr", "ssim"], x)
    with pytest.raises(BadInput, match=r"x \(torch.float64\) must hold numbers in \[0, 1\] and reaches -0.1 .*clamp"):
        measure(["psnr"], x.where(x > 0.1, -0.1), truth)
    with pytest.raises(BadInput, match=r"truth .* reaches .* 1\.5"):
        measure(["psnr"], x, truth.where(truth < 0.9, 1.5))
    with pytest.raises(BadInput, match="nan"):
        measure(["psnr"], x.where(x < 0.5, float("nan")), truth)
    with pytest.raises(BadInput, match=r"torch.uint8.*x.float\(\) / 255"):
        measure(["psnr"], (255 * x).byte(), truth)
    with pytest.raises(ShapeError, match=r"x has shape \(3, 16, 19\)"):
        measure(["psnr"], x[0], truth)
    with pytest.raises(ShapeError, match="one shape"):
        measure(["psnr"], x, truth[:1])
    with pytest.raises(ShapeError, match=r"Luma .* \(2, 1, 16, 19\); use psnr"):
        measure(["psnr-y"], x[:, :1], truth[:, :1])
    with pytest.raises(ShapeError, match="at least 11x11 pixels, got 13x10"):
        measure(["ssim"], x, truth, crop=3)
    assert len(measure(["psnr"], x, truth, crop=7)["psnr"]) == 2
    for crop in (-1, 8):
        with pytest.raises(BadSpec, match=f"crop={crop} .* 19x16; give 0 to 7"):
            measure(["psnr"], x, truth, crop=crop)


def test_the_readme_lists_the_catalogue():
    page = (ROOT / "zsir" / "metrics" / "README.md").read_text(encoding="utf-8")
    table = re.search(r"^\| `psnr`.*?(?=\n\n)", page, re.MULTILINE | re.DOTALL)
    assert table, "metrics/README.md has no table that begins with psnr"
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[0].splitlines()]
    expected = [[f"`{name}`", m.unit, m.better, m.convention, m.needs] for name, m in METRICS.items()]
    assert rows[:-1] == expected
    assert rows[-1][0] == "`pyiqa:NAME`"
    assert all(m.source for m in METRICS.values())
