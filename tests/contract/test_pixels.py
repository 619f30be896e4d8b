"""Operators that pick or weigh pixels and channels: masks from files, windows, strides, mosaics, mixed channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from zsir import Problem, operators, priors, samplers, solve
from zsir.capabilities import known_numbers, makes_pictures, seen_pixels
from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.operators import CircularBlur, Mask, Separable, SoftMask, StridedBlur
from zsir.operators.colours import MixedChannels
from zsir.samplers.initial import initial_estimate
from zsir.testing import check_operator

SHAPE = (3, 24, 36)


def make(spec: str, **shapes: tuple[int, int, int]) -> Any:
    return operators.make(spec, **shapes)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- stride ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize(
    ("blur", "kind"),
    [
        ("blur:sigma=1.6,boundary=circular", "StridedBlur"),
        ("motion:length=7,angle=30,boundary=circular", "StridedBlur"),
        ("blur:sigma=1.6", "Separable"),
        ("blur:sigma=1.6,boundary=zero", "Separable"),
        ("uniform:size=4", "Separable"),
    ],
)
def test_blur_then_stride(blur: str, kind: str, offset: int) -> None:
    """Closed forms, against the product itself and its dense inverse."""
    first, second = make(blur, in_shape=SHAPE), operators.stride(SHAPE, 4, offset)
    op: Any = second @ first
    assert type(op).__name__ == kind
    x = random(2, *SHAPE)
    assert (op.forward(x) - first.forward(x)[..., offset::4, offset::4]).abs().max() < 1e-13
    for dtype in (torch.float64, torch.float32):
        check_operator(op, dtype=dtype, penrose=False)
    s = op.svd(x)
    assert (s.u(s.s * s.vt(x)) - op.forward(x)).abs().max() < 1e-12
    c = random(2, *s.s.shape)
    assert (s.vt(s.v(c)) - c).abs().max() < 1e-9 and (s.ut(s.u(c)) - c).abs().max() < 1e-12


def test_blur_then_stride_without_a_closed_form() -> None:
    """An oblique kernel with mirrored borders, and a grid that the factor does not divide: conjugate gradients."""
    for blur, shape in (("motion:length=5,angle=30", SHAPE), ("blur:sigma=1,boundary=circular", (1, 22, 35))):
        op = operators.stride(shape, 4) @ make(blur, in_shape=shape)
        assert type(op) is operators.Composed
        check_operator(op, penrose=False)


def test_the_svd_of_a_strided_blur_may_not_exist() -> None:
    """A mean over four pixels, of which every second is taken, has a gain of exactly 0 somewhere."""
    flat: Any = operators.stride(SHAPE, 2) @ make("uniform:size=2,boundary=circular", in_shape=SHAPE)
    assert type(flat) is StridedBlur and flat.svd is not None
    wide: Any = operators.stride(SHAPE, 2) @ make("uniform:size=4,boundary=circular", in_shape=SHAPE)
    assert wide.svd is None
    check_operator(wide, penrose=False)
    check_operator(wide @ make("uniform:size=2,boundary=circular", in_shape=SHAPE), penrose=False)


def test_stride_takes_whole_pictures() -> None:
    op = make("stride:factor=3,offset=2", in_shape=(1, 7, 9))
    assert op.out_shape == (1, 2, 3)
    assert make("stride:factor=3", out_shape=(1, 7, 9)).in_shape == (1, 21, 27)
    x = random(1, 1, 7, 9)
    assert torch.equal(op.forward(x), x[..., 2::3, 2::3])
    assert type(op @ make("resize:size=9x7", in_shape=(1, 20, 30))) is Separable


# --- colours ---------------------------------------------------------------------------------------------------------


def test_grey_is_pillows_grey() -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(values).convert("L")).astype(float)
    got = make("grey", in_shape=(3, 9, 11)).forward(torch.from_numpy(values.transpose(2, 0, 1)[None] / 255))
    assert np.abs(255 * got[0, 0].numpy() - expected).max() < 0.51
    assert make("grey", out_shape=(1, 9, 11)).in_shape == (3, 9, 11)
    white = torch.ones(1, 3, 1, 1, dtype=torch.float64)
    for weights in ("bt601", "bt709", "mean"):
        assert float(make(f"grey:weights={weights}", in_shape=(3, 1, 1)).forward(white)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("pattern", "corner"), [("rggb", "RGGB"), ("bggr", "BGGR"), ("grbg", "GRBG"), ("gbrg", "GBRG")]
)
def test_mosaic(pattern: str, corner: str) -> None:
    """The cell repeats from the top left; odd sizes end within it; seen pixels are seen as they are."""
    x = random(1, 3, 5, 7)
    op = make(f"mosaic:pattern={pattern}", in_shape=(3, 5, 7))
    y = op.forward(x)
    for i in range(5):
        for j in range(7):
            assert y[0, 0, i, j] == x[0, "RGB".index(corner[2 * (i % 2) + j % 2]), i, j]
    assert make("mosaic", out_shape=(1, 5, 7)).in_shape == (3, 5, 7)
    seen = seen_pixels(op)
    assert seen is not None and int(seen.sum()) == 35
    start = initial_estimate(Problem(y, op))
    assert torch.equal(start[0][seen], x[0][seen]) and bool((start > 0).all())


def test_channels(tmp_path: Path) -> None:
    matrix = np.array([[0.5, 0.5, 0.0], [0.1, 0.0, 0.9]])
    np.save(tmp_path / "m.npy", matrix)
    x = random(2, 3, 4, 5)
    expected = torch.einsum("rc,bchw->brhw", torch.from_numpy(matrix), x)
    for op in (
        make(f"channels:path={tmp_path / 'm.npy'}", in_shape=(3, 4, 5)),
        make("channels:rows=0.5+1/2+0;0.1+0+0.9", in_shape=(3, 4, 5)),
        operators.Channels((3, 4, 5), torch.from_numpy(matrix)),
    ):
        assert torch.allclose(op.forward(x), expected, rtol=0, atol=1e-13)
    assert make("channels:rows=0.5+0.5+0;0.1+0+0.9", out_shape=(2, 4, 5)).in_shape == (3, 4, 5)
    twice = operators.Channels((2, 4, 5), random(2, 2)) @ op
    assert type(twice) is operators.Channels
    assert torch.allclose(twice.forward(x), operators.Channels((2, 4, 5), random(2, 2)).forward(expected), atol=1e-13)
    assert makes_pictures(make("grey", in_shape=(3, 4, 5))) and not makes_pictures(op)
    assert not makes_pictures(make("channels:rows=1+-1+0", in_shape=(3, 4, 5)))


@pytest.mark.parametrize(
    "colours", ["grey", "channels:rows=0.5+0.5+0;0+-0.2+1", "channels:rows=1+0+0;0+1+0;1+1+0;0+0+1"]
)
def test_colours_after_a_blur_keep_a_closed_form(colours: str) -> None:
    """Against the dense matrix; what acts on each channel alone commutes with a mixture of channels."""
    shape = (3, 6, 8)
    for spec in (
        "blur:sigma=0.7",
        "uniform:size=4,boundary=circular",
        "resize:size=5x4",
        "blur:sigma=0.7,boundary=zero",
    ):
        first = make(spec, in_shape=shape)
        rows = "" if colours == "grey" else colours
        second = make(rows or "grey", in_shape=first.out_shape)
        op: Any = second @ first
        assert type(op) is MixedChannels
        check_operator(op, penrose=False)
        check_operator(op, dtype=torch.float32, penrose=False)
        n = 3 * 6 * 8
        dense = op.forward(torch.eye(n, dtype=torch.float64).view(n, *shape)).flatten(1).T
        svd = op.svd(random(1, *shape))
        values = torch.linalg.svdvals(dense)[: svd.s.numel()]
        assert torch.allclose(svd.s.flatten().sort(descending=True).values, values, rtol=0, atol=1e-12)
        c = random(2, *svd.s.shape)
        assert (svd.vt(svd.v(c)) - c).abs().max() < 1e-12 and (svd.ut(svd.u(c)) - c).abs().max() < 1e-12


# --- crop ------------------------------------------------------------------------------------------------------------


def test_crop() -> None:
    x = random(1, *SHAPE)
    op = make("crop:left=5,top=2,width=20,height=9", in_shape=SHAPE)
    assert torch.equal(op.forward(x), x[..., 2:11, 5:25])
    same = make("crop:left=5,top=2,right=11,bottom=13", in_shape=SHAPE)
    assert torch.equal(same.forward(x), op.forward(x))
    assert make("crop:left=5,top=2,right=11,bottom=13", out_shape=(3, 9, 20)).in_shape == SHAPE
    assert type(op @ make("blur:sigma=1,boundary=zero", in_shape=SHAPE)) is Separable
    start = initial_estimate(Problem(op.forward(x), op))
    assert torch.equal(start[..., 2:11, 5:25], x[..., 2:11, 5:25]) and bool(start.isfinite().all())


# --- masks from files ------------------------------------------------------------------------------------------------


def saved(folder: Path, values: NDArray[Any], name: str = "mask.png") -> str:
    path = folder / name
    if name.endswith("npy"):
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return f"mask-file:path={path}"


SHADES = np.array([[0, 10, 100, 200], [228, 231, 250, 255]], dtype=np.uint8)


def test_what_is_not_quite_white_is_missing(tmp_path: Path) -> None:
    spec = saved(tmp_path, SHADES)
    known = make(spec, in_shape=(1, 2, 4)).known
    assert known.tolist() == [[False] * 4, [False, True, True, True]]
    inverted = make(spec + ",invert=true", in_shape=(1, 2, 4)).known
    assert inverted.tolist() == [[True, True, False, False], [False] * 4]
    assert torch.equal(make(saved(tmp_path, SHADES, "mask.npy"), in_shape=(1, 2, 4)).known, known)


def test_dilation_grows_the_missing_part(tmp_path: Path) -> None:
    values = np.full((9, 11), 255, dtype=np.uint8)
    values[4, 5] = 0
    for invert, painted in ((False, values), (True, 255 - values)):
        spec = saved(tmp_path, painted) + f",dilate=2,invert={str(invert).lower()}"
        known = make(spec, in_shape=(3, 9, 11)).known
        expected = np.ones((9, 11), dtype=bool)
        expected[2:7, 3:8] = False
        assert np.array_equal(known.numpy(), expected)


def test_a_wide_dilation_costs_little(tmp_path: Path) -> None:
    """Rows and columns one after the other, which is the square: a window of 401 x 401 at once took minutes."""
    values = np.full((420, 430), 255, dtype=np.uint8)
    values[210, 215] = 0
    known = make(saved(tmp_path, values) + ",dilate=200", in_shape=(1, 420, 430)).known
    rows, columns = torch.meshgrid(torch.arange(420), torch.arange(430), indexing="ij")
    assert torch.equal(~known, ((rows - 210).abs() <= 200) & ((columns - 215).abs() <= 200))


@pytest.mark.parametrize("size", [0.005, 0.995])
def test_boxes_that_miss_nothing_or_all_are_refused(size: float) -> None:
    """Rounded to pixels they cover none of 64 x 64, or all."""
    with pytest.raises(BadSpec, match=f"box:size={size}"):
        make(f"box:size={size}", in_shape=(1, 64, 64))
    assert make(f"box:size={size}", in_shape=(1, 640, 640)).measurements == 640**2 - round(640 * size) ** 2


def test_transparent_means_missing(tmp_path: Path) -> None:
    """As an eraser leaves it: white everywhere, the hole in the alpha channel alone."""
    values = np.full((4, 6, 4), 255, dtype=np.uint8)
    values[1:3, 2:4, 3] = 0
    known = make(saved(tmp_path, values), in_shape=(3, 4, 6)).known
    assert int((~known).sum()) == 4 and not known[1, 2]


def test_soft_masks_are_weights(tmp_path: Path) -> None:
    """A picture under black paint of every opacity comes back exactly where a tenth of it shines through."""
    op = make(saved(tmp_path, SHADES) + ",soft=true", in_shape=(3, 2, 4))
    assert type(op) is SoftMask
    weights = torch.from_numpy(SHADES / 255.0)
    weights[0, 1] = 0
    assert torch.allclose(op.weights, weights, rtol=0, atol=1e-7)  # a file is read in float32
    x = random(2, 3, 2, 4)
    shown = weights > 0
    assert torch.allclose(op.pinv(op.forward(x))[..., shown], x[..., shown], rtol=0, atol=1e-12)
    assert op.measurements == 3 * 6 and torch.equal(op.seen, shown)
    known = known_numbers(op)
    assert known is not None and torch.equal(known, shown)
    for dtype in (torch.float64, torch.float32):
        check_operator(op, dtype=dtype)
    svd = op.svd(x)
    assert torch.allclose(svd.u(svd.s * svd.vt(x)), op.forward(x), rtol=0, atol=1e-14)
    hard = Mask((3, 2, 4), torch.tensor([[True] * 4, [False] * 4]))
    for both in (op @ hard, hard @ op, op @ op):
        assert type(both) is SoftMask
    assert torch.allclose((op @ op).forward(x), op.forward(op.forward(x)), rtol=0, atol=1e-14)
    assert torch.allclose((hard @ op).forward(x), hard.forward(op.forward(x)), rtol=0, atol=1e-14)


def test_paint_of_another_colour_is_taken_away(tmp_path: Path) -> None:
    """``w x + (1 - w) colour``: the colour is stated, or seen where the paint hides everything."""
    values = np.full((9, 11), 255, dtype=np.uint8)
    values[:, 3:6] = (128, 0, 64)
    op = make(saved(tmp_path, values) + ",soft=true", in_shape=(3, 9, 11))
    red = torch.tensor([1.0, 0.2, 0.0], dtype=torch.float64)
    x = random(2, 3, 9, 11)
    y = op.forward(x) + (1 - op.weights) * red.view(3, 1, 1)
    for got in (op.uncovered(y), op.uncovered(y, red)):
        assert torch.allclose(got, op.forward(x), rtol=0, atol=1e-12)
    clear = SoftMask((3, 9, 11), torch.full((9, 11), 0.5))
    assert torch.equal(clear.uncovered(y), y)


BAD_MASKS = [
    (np.zeros((2, 4), np.uint8), "", "add invert=true"),
    (np.full((2, 4), 255, np.uint8), ",invert=true", "leave invert out"),
    (np.full((2, 4), 1, np.uint8), "", "the brightest value is 1/255"),
    (np.full((2, 4), 1, np.uint8), ",invert=true", "the brightest value is 1/255"),
    (np.full((2, 4), 1, np.uint8), ",invert=true,soft=true", "the brightest value is 1/255"),
    (np.full((2, 4), 255, np.uint8), ",dilate=-1", "counts pixels"),
    (np.full((2, 4, 4), (0, 0, 0, 7), np.uint8), "", "fill the mask's background with white"),
]


@pytest.mark.parametrize(("values", "options", "words"), BAD_MASKS)
def test_bad_masks(values: NDArray[Any], options: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=words):
        make(saved(tmp_path, values) + options, in_shape=(3, 2, 4))


def test_negative_masks(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="no negative values"):
        make(saved(tmp_path, np.array([[-1.0, 1.0]]), "m.npy"), in_shape=(1, 1, 2))


# --- what every sampler meets ----------------------------------------------------------------------------------------


ANY = ["grey", "mosaic", "crop:left=4,bottom=3", "stride:factor=2", "resize:scale=0.6"]
ANY += ["resize:scale=1.3,rule=opencv,kernel=area", "channels:rows=0.5+0.5+0;0+-1+1"]


@pytest.mark.parametrize("spec", ANY)
def test_samplers_work_with_it(spec: str) -> None:
    op = make(spec, in_shape=(3, 12, 14))
    x = 0.3 + 0.4 * random(2, 3, 12, 14)
    problem = Problem(op.forward(x), op, 0.02)
    for sampler in ("cm4ir", "hqs:nfe=2", "ddrm:nfe=2", "dps:nfe=2", "pigdm:nfe=2", "mmps:nfe=2"):
        solution = solve(problem, priors.load("gaussian"), samplers.make(sampler))
        assert solution.x.shape == x.shape and bool(solution.x.isfinite().all()), sampler
        assert float((solution.x - x).square().mean().sqrt()) < 0.4, sampler


BAD = [
    ("stride:factor=0", SHAPE, BadSpec, "at least 1"),
    ("stride:factor=2,offset=2", SHAPE, BadSpec, "0 to factor - 1"),
    ("stride:factor=30", SHAPE, ShapeError, "larger than the picture"),
    ("grey:weights=luma", SHAPE, BadSpec, "choose one of bt601"),
    ("grey", (1, 4, 4), ShapeError, "three channels"),
    ("mosaic:pattern=rgbg", SHAPE, BadSpec, "choose one of rggb"),
    ("mosaic", (1, 4, 4), ShapeError, "three channels"),
    ("channels", SHAPE, BadSpec, "either rows="),
    ("channels:rows=1+0;1", SHAPE, BadSpec, "as many numbers"),
    ("channels:rows=1+0", SHAPE, ShapeError, "of the observation, 3"),
    ("channels:rows=1+x+0", SHAPE, BadSpec, "not a number"),
    ("channels:path=m.png", SHAPE, BadInput, "numpy.save"),
    ("crop:left=-1", SHAPE, BadSpec, "not negative"),
    ("crop:right=1,width=5", SHAPE, BadSpec, "not both"),
    ("crop:left=36", SHAPE, ShapeError, "does not lie inside"),
    ("crop:left=30,width=10", SHAPE, ShapeError, "does not lie inside"),
]


@pytest.mark.parametrize(("spec", "shape", "error", "words"), BAD)
def test_bad_options(spec: str, shape: tuple[int, int, int], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(spec, in_shape=shape)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("crop:width=8", BadSpec, "--size WIDTHxHEIGHT"),
        ("crop:height=8", BadSpec, "give bottom="),
        ("grey", ShapeError, "save it as a grey picture"),
        ("mosaic", ShapeError, "save it as a grey picture"),
        ("channels:rows=1+0+0", ShapeError, "give one row for each"),
    ],
)
def test_pictures_that_cannot_be_told(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(spec, out_shape=(3, 8, 8))


def test_values_of_a_direct_maker() -> None:
    with pytest.raises(ShapeError, match="4x2 pixels"):
        SoftMask((1, 2, 4), torch.ones(4, 2))
    for weights in (torch.full((2, 4), 1.5), torch.ones(2, 4, dtype=torch.uint8)):
        with pytest.raises(BadSpec, match=r"floats in \[0, 1\]"):
            SoftMask((1, 2, 4), weights)
    with pytest.raises(BadSpec, match="not finite"):
        operators.Channels((1, 2, 4), torch.tensor([[torch.nan]]))
    assert type(make("blur:sigma=1,boundary=circular", in_shape=SHAPE)) is CircularBlur
