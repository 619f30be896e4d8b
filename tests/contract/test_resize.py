"""``resize`` against the libraries whose rules it has, and the sizes of pictures and observations."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from zsir import operators
from zsir.errors import BadSpec, ShapeError
from zsir.operators.sizes.resizing import MAKERS
from zsir.testing import check_operator

#: made by OpenCV 4.14.0: cv2.resize of x_HxW for every interpolation, by size (HxW) or by scale
RECORDED = Path(__file__).parent / "data" / "opencv_resize.npz"
SIZES = [((13, 17), (7, 9)), ((13, 17), (20, 31)), ((24, 24), (18, 34)), ((16, 12), (4, 6)), ((31, 11), (9, 23))]
SCALES = [0.4, 0.75, 1.5, 2.3]


def picture(h: int, w: int) -> torch.Tensor:
    return torch.rand(1, 1, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(h * w))


def resized(x: torch.Tensor, **options: Any) -> torch.Tensor:
    _, c, h, w = x.shape
    return operators.resize((c, h, w), **options).forward(x)


@pytest.mark.parametrize("kernel", MAKERS["pillow"])
def test_pillow(kernel: str) -> None:
    """Every filter of Pillow on float pictures, reduced and enlarged, each side by itself."""
    for (h, w), (oh, ow) in SIZES:
        x = picture(h, w)
        image = Image.fromarray(x[0, 0].numpy().astype(np.float32))
        expected = np.asarray(image.resize((ow, oh), Image.Resampling[kernel.upper()]))
        got = resized(x, size=f"{ow}x{oh}", kernel=kernel)[0, 0].numpy()
        assert np.abs(got - expected).max() < 1e-6, ((h, w), (oh, ow))


TORCH = [
    *(("bilinear", "bilinear", antialias) for antialias in (False, True)),
    *(("bicubic", "bicubic", antialias) for antialias in (False, True)),
    ("area", "area", None),
    ("nearest", "nearest", None),
    ("nearest-exact", "nearest-exact", None),
]


@pytest.mark.parametrize(("kernel", "mode", "antialias"), TORCH)
def test_torch(kernel: str, mode: str, antialias: bool | None) -> None:
    """torch.nn.functional.interpolate, by size and by scale: with a scale its step is 1 / scale, not in / out."""
    flag = {} if antialias is None else {"antialias": antialias}
    for (h, w), size in SIZES:
        x = picture(h, w)
        expected = torch.nn.functional.interpolate(x, size=size, mode=mode, **flag)
        got = resized(x, size=f"{size[1]}x{size[0]}", rule="torch", kernel=kernel, antialias=antialias)
        assert (got - expected).abs().max() < 1e-12, ((h, w), size)
    for scale, shape in [*((scale, (13, 17)) for scale in SCALES), (1.01, (40, 40)), (1.01, (40, 200))]:
        x = picture(*shape)
        expected = torch.nn.functional.interpolate(x, scale_factor=scale, mode=mode, **flag)
        got = resized(x, scale=scale, rule="torch", kernel=kernel, antialias=antialias)
        assert got.shape == expected.shape and (got - expected).abs().max() < 1e-12, (scale, shape)


@pytest.fixture(scope="module")
def recorded() -> dict[str, NDArray[np.float64]]:
    with np.load(RECORDED) as file:
        return dict(file)


@pytest.mark.parametrize("kernel", MAKERS["opencv"])
def test_opencv(kernel: str, recorded: dict[str, NDArray[np.float64]]) -> None:
    """Recorded runs; OpenCV keeps the weights of cubic, lanczos4 and area in float32."""
    cases = [name for name in recorded if name.startswith(f"{kernel}_")]
    assert len(cases) == 6
    for name in cases:
        _, before, after = name.split("_")
        h, _, w = before.partition("x")
        how: dict[str, Any] = (
            {"scale": float(after[5:])} if "scale" in after else {"size": "x".join(after.split("x")[::-1])}
        )
        x = torch.from_numpy(recorded[f"x_{h}x{w}"])[None, None].double()
        got = resized(x, rule="opencv", kernel=kernel, **how)[0, 0].numpy()
        assert got.shape == recorded[name].shape, name
        assert np.abs(got - recorded[name]).max() < (1e-13 if kernel in ("linear", "nearest") else 2e-6), name


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed; see test_opencv")
@pytest.mark.parametrize("kernel", ["area", "linear", "cubic", "lanczos4", "nearest"])
def test_opencv_itself(kernel: str) -> None:
    cv2: Any = importlib.import_module("cv2")
    for (h, w), (oh, ow) in SIZES:
        x = picture(h, w)
        expected = cv2.resize(x[0, 0].numpy(), (ow, oh), interpolation=getattr(cv2, f"INTER_{kernel.upper()}"))
        got = resized(x, size=f"{ow}x{oh}", rule="opencv", kernel=kernel)[0, 0].numpy()
        assert np.abs(got - expected).max() < 2e-6, ((h, w), (oh, ow))


def test_opencv_worked_examples() -> None:
    """Cubic does not average when it halves; area averages what a pixel covers, and enlarges in its own way."""
    ramp = torch.arange(24, dtype=torch.float64).expand(1, 1, 24, 24)
    area = resized(ramp, size="18x18", rule="opencv", kernel="area")[0, 0, 0]
    assert torch.allclose(area[:4], torch.tensor([0.25, 1.5, 2.75, 4.25], dtype=torch.float64), atol=1e-12)
    halved = operators.resize((1, 12, 12), scale=0.5, rule="opencv").rows[2]
    taps = torch.tensor([-0.09375, 0.59375, 0.59375, -0.09375], dtype=torch.float64)
    assert torch.allclose(halved[3:7], taps, atol=1e-12) and int((halved != 0).sum()) == 4
    impulse = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    impulse[..., 1] = 1
    assert resized(impulse, scale=2, rule="opencv", kernel="area")[0, 0, 0, 2:6].tolist() == [1, 1, 0, 0]
    assert resized(impulse, scale=2, rule="opencv", kernel="linear")[0, 0, 0, 2:6].tolist() == [0.75, 0.75, 0.25, 0]
    assert int(operators.resize((1, 24, 24), size="34x34", rule="opencv", kernel="area").rows[17].argmax()) == 11


def test_matlab() -> None:
    """imresize by 1/k is the rule of ``downsample``; without antialiasing the kernel keeps its width of 4 pixels."""
    for n, factor in ((20, 2), (30, 3), (32, 4), (33, 4)):
        ours = operators.resize((1, n, n + 3), scale=1 / factor, rule="matlab")
        theirs = operators.downsample((1, n, n + 3), factor, "bicubic", "matlab")
        assert ours.out_shape == theirs.out_shape
        assert (ours.rows - theirs.rows).abs().max() < 1e-12
    plain = operators.resize((1, 8, 8), scale=0.5, rule="matlab", antialias=False)
    x = torch.arange(1.0, 9, dtype=torch.float64).expand(1, 1, 8, 8)
    # Keys' kernel (a = -1/2) half-way between two pixels is (-1, 9, 9, -1) / 16; at the border it sees 1 1 2 3
    expected = torch.tensor([(-1 + 9 + 18 - 3) / 16, 3.5, 5.5, (-6 + 63 + 72 - 8) / 16], dtype=torch.float64)
    assert (plain.forward(x)[0, 0, 0] - expected).abs().max() < 1e-12
    # imresize([1 2 3], 2, "bilinear")
    doubled = resized(torch.tensor([1.0, 2, 3]).double().expand(1, 1, 3, 3), scale=2, rule="matlab", kernel="bilinear")
    assert torch.allclose(doubled[0, 0, 0], torch.tensor([1, 1.25, 1.75, 2.25, 2.75, 3]).double(), atol=1e-12)
    picked = resized(torch.arange(9.0).double().expand(1, 1, 9, 9), scale=1 / 3, rule="matlab", kernel="nearest")
    assert picked[0, 0, 0].tolist() == [1, 4, 7]


@pytest.mark.parametrize("rule", MAKERS)
def test_contract_of_every_kernel(rule: str) -> None:
    for kernel in MAKERS[rule]:
        for options in ({"size": "19x16"}, {"scale": 1.4}):
            op = operators.resize((2, 11, 23), rule=rule, kernel=kernel, **options)
            check_operator(op, penrose=False)
            assert torch.allclose(op.rows.sum(1), torch.ones(1).double(), atol=1e-3), kernel  # area drops slivers


@pytest.mark.parametrize(
    ("spec", "sides"),
    [
        ("resize:scale=0.4", (4, 8)),
        ("resize:scale=0.4,sides=up", (5, 9)),
        ("resize:scale=0.4,sides=down", (4, 8)),
        ("resize:scale=0.4,rule=matlab", (5, 9)),
        ("resize:scale=0.4,rule=torch", (4, 8)),
        ("resize:scale=0.41,rule=opencv", (5, 9)),
        ("resize:scale=1.5,rule=torch,sides=nearest", (16, 32)),
    ],
)
def test_sides_are_rounded(spec: str, sides: tuple[int, int]) -> None:
    assert operators.make(spec, in_shape=(3, 11, 21)).out_shape == (3, *sides)


@pytest.mark.parametrize("scale", [0.1, 0.4, 2 / 3, 0.75, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("sides", ["up", "down", "nearest"])
def test_the_picture_behind_an_observation(scale: float, sides: str) -> None:
    """Whatever picture a scale makes an observation of, one is found that makes an observation of that size."""
    for h in range(12, 40):
        spec = f"resize:scale={scale},sides={sides}"
        out_shape = operators.make(spec, in_shape=(1, h, 64)).out_shape
        found = operators.make(spec, out_shape=out_shape)  # type: ignore[arg-type]
        assert found.out_shape == out_shape


BAD = [
    ({}, BadSpec, "either size=WIDTHxHEIGHT"),
    ({"size": "8x8", "scale": 0.5}, BadSpec, "either size=WIDTHxHEIGHT"),
    ({"size": "8"}, BadSpec, "write for example size=640x480"),
    ({"size": "0x8"}, ShapeError, "each side needs 1 to"),
    ({"size": "8x8", "sides": "up"}, BadSpec, "leave it out with a size"),
    ({"scale": 0.5, "sides": "out"}, BadSpec, "choose one of down, up, nearest"),
    ({"scale": 0.01}, ShapeError, "makes 0x0 pixels of 12x9"),
    ({"scale": 1e9}, BadSpec, "must be positive"),
    ({"scale": -1.0}, BadSpec, "must be positive"),
    ({"scale": 0.5, "rule": "gimp"}, BadSpec, "choose one of pillow"),
    ({"scale": 0.5, "kernel": "cubic"}, BadSpec, "the kernels of rule=pillow are bicubic"),
    ({"scale": 0.5, "antialias": True}, BadSpec, "leave it out for kernel=bicubic of rule=pillow"),
    ({"scale": 0.5, "rule": "torch", "kernel": "area", "antialias": True}, BadSpec, "leave it out for kernel=area"),
]


@pytest.mark.parametrize(("options", "error", "words"), BAD)
def test_bad_options(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        operators.resize((3, 9, 12), **options)


def test_sizes_that_cannot_be_told() -> None:
    with pytest.raises(BadSpec, match="--size WIDTHxHEIGHT"):
        operators.make("resize:size=8x8", out_shape=(3, 8, 8))
    with pytest.raises(BadSpec, match="makes no side of 7 pixels"):
        operators.make("resize:scale=3", out_shape=(3, 7, 9))
    with pytest.raises(BadSpec, match="either size"):
        operators.make("resize", out_shape=(3, 7, 9))
