"""Kernels and stages of the published pipelines against recordings and independent computation."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import fft, ndimage, special

from zsir.operators.blurs.low_pass import bessel_j1
from zsir.operators.wild import encoders, interpolation
from zsir.operators.wild.bordered import correlation, ringing
from zsir.operators.wild.stages import Display, Poisson, Sharpen, rounded
from zsir.operators.wild.taps import FAMILIES, Kernel

DATA = Path(__file__).parent / "data"
KERNELS = dict(np.load(DATA / "wild_kernels.npz"))
OPENCV = dict(np.load(DATA / "opencv_stages.npz"))
#: values that the original has in single precision
SINGLE = ("defocus", "box", "line")
MIXED = {"geniso": "generalised", "genaniso": "generalised", "plateauiso": "plateau", "plateauaniso": "plateau"}


def recorded_kernel(name: str) -> Kernel:
    """The kernel that a recording's name describes."""
    family, *parts = name.split("_")
    number = {m[1]: float(m[2]) for part in parts if (m := re.fullmatch(r"([a-z]+)(-?[\d.]+)", part))}
    size = int(number["k"])
    if family in ("defocus", "box"):
        return Kernel(family, size)
    if family == "line":
        return Kernel(family, size, {"index": math.ceil(number["a"] * (size - 1) / 90 - 1e-9)})
    if family == "sinc":
        return Kernel(family, size, {"cutoff": number["w"]})
    sx = number.get("sx", number.get("s"))
    assert sx is not None
    shape = {"sx": sx, "sy": number.get("sy", sx), "angle": number.get("th", 0.0)}
    power = {"power": number["b"]} if "b" in number else {}
    return Kernel(MIXED.get(family, "gaussian"), size, {**shape, **power})


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_the_recorded_ones(name: str) -> None:
    taps = recorded_kernel(name).taps
    error = float((taps - torch.from_numpy(KERNELS[name])).abs().max())
    assert error < (1e-7 if name.split("_")[0] in SINGLE else 1e-12)
    assert float(taps.sum()) == pytest.approx(1, abs=1e-12)


def test_kernels_that_are_not_recorded() -> None:
    assert {recorded_kernel(name).family for name in KERNELS} == set(FAMILIES) - {"shake", "star", "impulse"}
    for kernel in (
        Kernel("shake", 9, {"intensity": 0.4, "seed": 3}),
        Kernel("star", 21, {"spread": 2.0}),
        Kernel("gaussian", 7, {"sx": 1.0, "sy": 1.0, "angle": 0.0}, jitter=5),
    ):
        assert float(kernel.taps.sum()) == pytest.approx(1, abs=1e-12) and float(kernel.taps.min()) >= 0
    assert Kernel("impulse", 5).taps.tolist()[2] == [0, 0, 1, 0, 0]
    plain = Kernel("gaussian", 7, {"sx": 1.0, "sy": 1.0, "angle": 0.0}).taps
    ratio = Kernel("gaussian", 7, {"sx": 1.0, "sy": 1.0, "angle": 0.0}, jitter=5).taps / plain
    assert 1.05 < float(ratio.max() / ratio.min()) < 11 / 9 + 1e-9


def test_bessel_function() -> None:
    x = torch.linspace(1e-3, 90, 500, dtype=torch.float64)
    assert np.abs(bessel_j1(x).numpy() - special.j1(x.numpy())).max() < 1e-14


@pytest.mark.parametrize("size", [7, 19])
def test_filter_is_opencvs(size: int) -> None:
    x = torch.from_numpy(OPENCV["x"]).permute(2, 0, 1)[None]
    y = correlation((3, 23, 30), torch.from_numpy(OPENCV[f"kernel{size}"])).forward(x)
    assert np.abs(y[0].permute(1, 2, 0).numpy() - OPENCV[f"filter{size}"]).max() < 1e-12


def test_filter_larger_than_the_picture() -> None:
    """The mirrored copies are mirrored again, as SciPy has it."""
    x, kernel = torch.rand(1, 1, 4, 1, dtype=torch.float64), torch.rand(21, 21, dtype=torch.float64)
    expected = ndimage.correlate(x[0, 0].numpy(), kernel.numpy(), mode="mirror")
    assert np.abs(correlation((1, 4, 1), kernel).forward(x)[0, 0].numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("name", [key for key in OPENCV if re.fullmatch(r"(area|linear|cubic)_\d+_\d+", key)])
def test_resizing_is_opencvs(name: str) -> None:
    method, before, after = name.split("_")
    made = interpolation.matrix(int(before), int(after), method, "opencv").numpy()
    # OpenCV has the weights of area and cubic in single precision
    assert np.abs(made - OPENCV[name]).max() < (1e-12 if method == "linear" else 1e-6)


@pytest.mark.parametrize("after", [18, 34, 24, 1])
def test_resizing_is_torchs(after: int) -> None:
    line = torch.eye(24, dtype=torch.float64)[None, None]
    for method, mode in (("area", "area"), ("linear", "bilinear"), ("cubic", "bicubic")):
        expected = torch.nn.functional.interpolate(line, size=(after, 24), mode=mode)[0, 0]
        assert (interpolation.matrix(24, after, method, "torch") - expected).abs().max() < 1e-12
        factor = (after + 0.4) / 24
        expected = torch.nn.functional.interpolate(line, scale_factor=(factor, 1), mode=mode)[0, 0]
        assert (interpolation.matrix(24, after, method, "torch", factor) - expected).abs().max() < 1e-12


def test_area_of_opencv_where_it_is_written_out() -> None:
    """The numbers of the reference: means over parts of a ramp, and the odd rule of enlargement."""
    ramp = interpolation.matrix(24, 18, "area", "opencv") @ torch.arange(24, dtype=torch.float64)
    assert ramp[:4].tolist() == pytest.approx([0.25, 1.5, 2.75, 4.25])
    assert interpolation.matrix(2, 4, "area", "opencv")[:, 0].tolist() == [1, 1, 0, 0]
    assert interpolation.matrix(2, 4, "linear", "opencv")[:, 0].tolist() == [1, 0.75, 0.25, 0]


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_ringing_is_a_wiener_filter(share: float) -> None:
    kernel = Kernel("plateau", 5, {"sx": 1.2, "sy": 0.7, "angle": 0.4, "power": 1.3}).taps
    rng = np.random.default_rng(2)
    x = rng.random((21, 34))
    padded = np.pad(x, 20, mode="symmetric")
    grid = np.zeros(padded.shape)
    grid[:5, :5] = kernel.numpy()
    h = np.fft.fft2(np.roll(grid, (-2, -2), (0, 1)))
    restored = np.real(np.fft.ifft2(np.fft.fft2(padded) * h.conj() / (np.abs(h) ** 2 + 0.006)))[20:-20, 20:-20]
    y = ringing((1, 21, 34), kernel, share).forward(torch.from_numpy(x)[None, None])[0, 0].numpy()
    assert np.abs(y - (share * x + (1 - share) * restored)).max() < 1e-12


def test_display_is_a_periodic_convolution() -> None:
    stage = Display(21, 2.0, 0.3)
    x = np.random.default_rng(3).random((24, 31))
    expected = ndimage.convolve(x, Kernel("star", 21, {"spread": 2.0 * 0.85}).taps.numpy(), mode="wrap")
    y = stage.apply(torch.from_numpy(x).expand(1, 3, -1, -1))[0, 2].numpy()
    assert np.abs(y - 0.3 * expected - 0.7 * x).max() < 1e-12


def test_jpeg_is_opencvs_but_for_rounding() -> None:
    """The two decoders may differ by a grey level or two; quality and reduction of chroma are the same."""
    x = torch.from_numpy(OPENCV["x8"]).permute(2, 0, 1)[None].double() / 255
    ours = (255 * encoders.pillow(x, 70))[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - OPENCV["jpeg70"]).max() <= 2
    assert np.abs((255 * encoders.pillow(x, 60))[0].permute(1, 2, 0).numpy() - OPENCV["jpeg70"]).max() > 4


@pytest.mark.parametrize("quality", [37.3, 71.9])
def test_differentiable_jpeg_of_grey(quality: float) -> None:
    """Block by block with SciPy's DCT: unrounded, transposed tables; zeros beyond the border."""
    luma = encoders.base_tables()[0].numpy()
    assert luma[0, :4].tolist() == [16, 11, 10, 16] and luma[1, 0] == 12
    x = ndimage.gaussian_filter(np.random.default_rng(4).random((20, 27)), 1)
    table = luma.T * (50 / quality if quality < 50 else 2 - quality / 50)
    padded = np.pad(255 * x, ((0, 12), (0, 5)))
    for row in range(0, 32, 8):
        for column in range(0, 32, 8):
            part = np.s_[row : row + 8, column : column + 8]
            steps = np.round(fft.dctn(padded[part] - 128, norm="ortho") / table)
            padded[part] = fft.idctn(steps * table, norm="ortho") + 128
    y = encoders.differentiable(torch.from_numpy(x)[None, None], quality)[0, 0].numpy()
    assert np.abs(y - padded[:20, :27].clip(0, 255) / 255).max() < 1e-12


def test_differentiable_jpeg_keeps_flat_colours() -> None:
    flat = torch.tensor([0.8, 0.3, 0.4], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert (encoders.differentiable(flat, 95.0) - flat).abs().max() < 0.01


def test_poisson_noise_has_its_peak_and_level() -> None:
    x = torch.linspace(0.2, 0.8, 64 * 64, dtype=torch.float64).view(1, 1, 64, 64)
    stage = Poisson(0.5, False, seed=1)
    seen = stage.seen(x)
    assert isinstance(seen, Poisson) and seen.peak == 256  # 154 values are in it
    noise = stage.apply(x) - x
    assert seen.std == pytest.approx(float(noise.std()), rel=0.03)
    assert torch.equal(stage.apply(x), seen.apply(x))
    grey = Poisson(0.5, True, seed=1).apply(x.expand(1, 3, -1, -1)) - x
    assert torch.equal(grey[:, 0], grey[:, 2])


def test_sharpening() -> None:
    """Against SciPy's correlations, with a kernel of its own."""
    x = torch.zeros(1, 1, 40, 44, dtype=torch.float64) + 0.3
    x[..., 20:, :] = 0.6
    sigma, t = 0.3 * ((51 - 1) / 2 - 1) + 0.8, np.arange(-25, 26)
    line = np.exp(-0.5 * (t / sigma) ** 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    picture = x[0, 0].numpy()
    rest = picture - ndimage.correlate(picture, kernel, mode="mirror")
    mask = ndimage.correlate((np.abs(rest) * 255 > 10).astype(float), kernel, mode="mirror")
    expected = mask * (picture + 0.5 * rest).clip(0, 1) + (1 - mask) * picture
    y = Sharpen().apply(x)
    assert np.abs(y[0, 0].numpy() - expected).max() < 1e-12 and (y - x).abs().max() > 0.02


def test_rounding() -> None:
    assert (255 * rounded(torch.tensor([-0.1, 0.5, 0.503, 2.0], dtype=torch.float64))).tolist() == [0, 128, 128, 255]
