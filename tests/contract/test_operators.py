"""Every operator obeys the contract, on odd, non-square and batched shapes, and agrees with dense algebra."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zsir import operators
from zsir.errors import BadSpec, ShapeError, SolveError
from zsir.operators import Composed, Mask, Operator, Separable, stack
from zsir.operators.catalogue import OPERATORS
from zsir.operators.wild.stages import Gaussian, Poisson
from zsir.processes import metric_of
from zsir.testing import check_operator

SHAPES = [(1, 31, 47), (3, 64, 96), (3, 255, 200)]


def make(spec: str, **shapes: tuple[int, int, int]) -> Any:
    """operators.make, untyped: these tests use what only some operators have."""
    return operators.make(spec, **shapes)


#: spec -> whether its smallest singular value is large enough for the Penrose conditions to hold to 1e-10
SPECS = {
    "identity": True,
    "mask:keep=0.3,seed=1": True,
    "box:size=0.4,row=0.3": True,
    "blur:sigma=0.7": True,
    "blur:sigma=3": False,
    "blur:sigma=3,boundary=circular": False,
    "blur:sigma=0.7,boundary=zero": True,
    "uniform:size=5": False,
    "uniform:size=4,boundary=circular": False,
    "uniform:size=4,boundary=zero": False,
    "blur:sigma=0.9,power=1.5": False,
    "sinc:cutoff=2.2,size=7": False,
    "disc:radius=2.6": False,
    "disc:radius=2.6,boundary=circular": False,
    "motion:length=9,angle=0": False,
    "motion:length=9,angle=33,boundary=circular": False,
    "shake:size=9,boundary=circular": False,
    "noise:std=0.02": True,
    "jpeg:q=60": True,
    "jpeg:q=90,sampling=444": True,
    "jpeg:q=30,sampling=422": True,
    "sr4x": True,
    "sr3x-matlab": True,
    "downsample:factor=2,kernel=box": True,
    "downsample:factor=5,kernel=lanczos": True,
    "downsample:factor=3,kernel=gaussian,rule=matlab": True,
    "resize:size=29x23": True,
    "resize:scale=1.3,rule=opencv": True,
    "stride:factor=3,offset=1": True,
    "crop:left=3,top=2,width=11,height=7": True,
}
#: of colour pictures
COLOURED = {
    "grey": True,
    "grey:weights=bt709": True,
    "channels:rows=0.5+0.5+0;0+-0.2+1": True,
    "channels:rows=1+0+0;0+1+0;0+0+1;1+1+1": True,
    "mosaic": True,
    "mosaic:pattern=gbrg": True,
}
#: no closed form: conjugate gradients, on a small picture
ITERATIVE = ["motion:length=9,angle=33", "shake:size=9", "motion:length=7,angle=60,boundary=zero"]


def dense(op: Any) -> torch.Tensor:
    """The matrix of an operator, column by column."""
    n = int(np.prod(op.in_shape))
    return op.forward(torch.eye(n, dtype=torch.float64).view(n, *op.in_shape)).reshape(n, -1).T


def test_every_registered_operator_is_in_this_file() -> None:
    tested = {spec.partition(":")[0] for spec in [*SPECS, *COLOURED, *ITERATIVE]}
    expanded = {OPERATORS.aliases.get(t, t).partition(":")[0] for t in tested}
    # those of files are below, wild and trace in tests/wild, scratches in tests/workflow
    assert expanded == set(OPERATORS.names()) - {"mask-file", "kernel", "wild", "trace", "scratches"}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_contract_float64(spec: str, shape: tuple[int, int, int]) -> None:
    check_operator(make(spec, in_shape=shape), penrose=SPECS[spec])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_contract_float32(spec: str, shape: tuple[int, int, int]) -> None:
    check_operator(make(spec, in_shape=shape), dtype=torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("spec", COLOURED)
def test_contract_of_operators_on_colours(spec: str, dtype: torch.dtype) -> None:
    for shape in ((3, 31, 47), (3, 1, 4)):
        check_operator(make(spec, in_shape=shape), dtype=dtype)


@pytest.mark.parametrize("shape", [*SHAPES[:-1], pytest.param(SHAPES[-1], marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("spec", ITERATIVE)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_contract_of_iterative_operators(spec: str, dtype: torch.dtype, shape: tuple[int, int, int]) -> None:
    check_operator(make(spec, in_shape=shape), dtype=dtype, penrose=False)


def test_wide_gaussians_stay_separable() -> None:
    """Rounding over many taps must not hide that a Gaussian is an outer product."""
    for sigma in (10, 20):
        op = make(f"blur:sigma={sigma},boundary=zero", in_shape=(1, 31, 47))
        assert isinstance(op, Separable)
        check_operator(op, penrose=False)


def test_ridges_per_image_may_be_zero() -> None:
    """A tensor of ridges with a zero in it is, image by image, what single numbers give."""
    for spec in ("uniform:size=4,boundary=circular", "blur:sigma=3", "sr2x", "mask:keep=0.5"):
        op = make(spec, in_shape=(1, 16, 20))
        y = op.forward(torch.rand(2, 1, 16, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
        both = op.pinv(y, torch.tensor([0.0, 0.1]))
        assert torch.equal(both[:1], op.pinv(y[:1], 0.0)), spec
        assert torch.allclose(both[1:], op.pinv(y[1:], 0.1), atol=1e-9), spec


def test_closed_forms_survive_composition() -> None:
    """What has a closed form alone has one composed with its own kind, and the identity changes nothing."""
    shape = (1, 15, 18)
    x = torch.rand(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one = make("identity", in_shape=shape)
    for a, b in (
        ("blur:sigma=1", "uniform:size=3"),
        ("uniform:size=4,boundary=circular", "motion:length=6,angle=20,boundary=circular"),
        ("uniform:size=4,boundary=circular", "uniform:size=2,boundary=circular"),
    ):
        left, right = make(a, in_shape=shape), make(b, in_shape=shape)
        both = left @ right
        assert type(both) is type(left)
        assert (both.forward(x) - left.forward(right.forward(x))).abs().max() < 1e-13
        check_operator(both, penrose=False)
        assert one @ left is left and left @ one is left


def test_masks_are_boolean() -> None:
    with pytest.raises(BadSpec, match=r"mask > 0.5"):
        Mask((1, 2, 2), torch.full((2, 2), 255, dtype=torch.uint8))


@pytest.mark.parametrize("spec", [*SPECS, *COLOURED, *ITERATIVE, "shake:size=31", "uniform:size=25"])
def test_against_dense_algebra(spec: str) -> None:
    """Adjoint, ridge inverse and SVD against the explicit matrix; kernels larger than the picture included."""
    op = make(spec, in_shape=(3, 5, 6) if spec in COLOURED else (1, 11, 14))
    a = dense(op)
    y = torch.randn(3, *op.out_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    flat = y.flatten(1)
    assert (op.adjoint(y).flatten(1) - flat @ a).abs().max() < 1e-12
    ridge = 0.01
    n = a.shape[1]
    metric = metric_of(op)(torch.eye(n, dtype=a.dtype).view(n, *op.in_shape)).flatten(1)
    back = torch.linalg.solve(metric, a.T)  # the pseudo-inverse is shortest in the operator's own norm
    expected = torch.linalg.solve(a @ back + ridge * torch.eye(a.shape[0], dtype=a.dtype), flat.T).T @ back.T
    assert (op.pinv(y, ridge).flatten(1) - expected).abs().max() < 1e-10
    if hasattr(op, "svd"):
        check_svd(op, a)
    if SPECS.get(spec) or COLOURED.get(spec):
        assert (op.pinv(y).flatten(1) - flat @ torch.linalg.pinv(a).T).abs().max() < 1e-10


def check_svd(op: Any, a: torch.Tensor) -> None:
    """U and V are orthonormal, the values are those of the matrix, and U s V^T is the operator."""
    x = torch.randn(2, *op.in_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    svd = op.svd(x)
    assert (svd.u(svd.s * svd.vt(x)) - op.forward(x)).abs().max() < 1e-12
    c = torch.randn(2, *svd.s.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert (svd.vt(svd.v(c)) - c).abs().max() < 1e-12
    assert (svd.ut(svd.u(c)) - c).abs().max() < 1e-12
    values = torch.linalg.svdvals(a)
    assert (svd.s.flatten().sort(descending=True).values[: len(values)] - values).abs().max() < 1e-12


@settings(max_examples=40, deadline=None)
@given(
    h=st.integers(1, 23),
    w=st.integers(1, 23),
    channels=st.integers(1, 3),
    seed=st.integers(0, 2**16),
    spec=st.sampled_from(["identity", "mask:keep=0.5", "blur:sigma=1", "blur:sigma=1,boundary=circular",
                          "uniform:size=6,boundary=zero", "uniform:size=6", "motion:length=4,angle=20", "sr2x",
                          "sr3x-matlab", "downsample:factor=2,kernel=lanczos", "resize:size=7x5", "stride:factor=2",
                          "crop:bottom=1"]),
)  # fmt: skip
def test_contract_on_any_shape(h: int, w: int, channels: int, seed: int, spec: str) -> None:
    """The dot test and the ridge inverse hold for any size, one pixel included."""
    try:
        op = make(spec, in_shape=(channels, h, w))
    except ShapeError as error:
        assert "larger than the picture" in str(error) or "inside the picture" in str(error)
        return
    check_operator(op, seed=seed, penrose=False)


def test_a_wrong_adjoint_is_caught() -> None:
    class Shifted(Operator):
        in_shape = (1, 9, 9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.roll(1, -1) * 0.5 + x * 0.5

        def adjoint(self, y: torch.Tensor) -> torch.Tensor:
            return (y.roll(-1, -1) * 0.5 + y * 0.5) * (1 + 1e-8)

    with pytest.raises(AssertionError, match="A\\^T y"):
        check_operator(Shifted(), penrose=False)


@pytest.mark.parametrize("boundary", ["reflect", "circular", "zero"])
@pytest.mark.parametrize("size", [(5, 5), (4, 6), (1, 7), (8, 3)], ids=str)
def test_blur_is_a_convolution(boundary: str, size: tuple[int, int]) -> None:
    """All four representations against SciPy's direct convolution, with the centre at tap n // 2."""
    from scipy import ndimage

    modes = {"reflect": "reflect", "circular": "wrap", "zero": "constant"}
    rng = np.random.default_rng(0)
    x = rng.random((13, 17))
    kernels = [rng.random(size), np.outer(rng.random(size[0]), rng.random(size[1])), np.ones(size)]
    for kernel in kernels:
        kernel = kernel / kernel.sum()
        op = operators.convolution((1, 13, 17), torch.from_numpy(kernel), boundary)
        # ndimage.convolve centres even kernels one tap earlier after flipping; origin shifts it to n // 2
        origin = [-1 if n % 2 == 0 else 0 for n in size]
        expected = ndimage.convolve(x, kernel, mode=modes[boundary], origin=[o if o == 0 else 0 for o in origin])
        got = op.forward(torch.from_numpy(x)[None, None])[0, 0].numpy()
        assert np.abs(got - expected).max() < 1e-12, repr(op)


def test_a_disc_covers_its_pixels() -> None:
    """A whole pixel inside counts 1, one outside 0; all together make the area; the transfer function is a jinc."""
    for radius in (1.0, 2.6, 7.25):
        kernel = make(f"disc:radius={radius},boundary=circular", in_shape=(1, 33, 47)).kernel * math.pi * radius**2
        reach = kernel.shape[0] // 2
        t = torch.arange(-reach, reach + 1, dtype=torch.float64)
        rows, columns = torch.meshgrid(t.abs(), t.abs(), indexing="ij")
        inside, outside = (
            torch.hypot(rows + 0.5, columns + 0.5),
            torch.hypot((rows - 0.5).relu(), (columns - 0.5).relu()),
        )
        assert torch.allclose(kernel[inside <= radius], torch.ones((), dtype=torch.float64), atol=2e-3)
        assert float(kernel[outside >= radius].abs().sum()) == 0
        assert torch.allclose(kernel, kernel.T, atol=1e-15) and torch.equal(kernel, kernel.flip(0))
        f = 0.1
        z = torch.tensor(2 * math.pi * f * radius, dtype=torch.float64)
        jinc = 2 * torch.special.bessel_j1(z) / z * math.sin(math.pi * f) / (math.pi * f)
        seen = (kernel.sum(0) * torch.cos(2 * math.pi * f * t)).sum() / kernel.sum()
        assert float(seen) == pytest.approx(float(jinc), abs=0.02 / radius)


def test_boundaries_choose_their_representation() -> None:
    names = {
        "disc:radius=3": "CosineBlur",
        "sinc": "CosineBlur",
        "blur:sigma=2": "CosineBlur",
        "blur:sigma=2,boundary=circular": "CircularBlur",
        "blur:sigma=2,boundary=zero": "Separable",
        "uniform:size=4": "Separable",
        "motion:length=9,angle=30": "BoundedBlur",
    }
    for spec, name in names.items():
        assert type(make(spec, in_shape=(3, 20, 30))).__name__ == name


@pytest.mark.parametrize(("w", "h", "factor"), [(64, 48, 4), (61, 47, 4), (30, 31, 3), (17, 9, 8), (5, 5, 5)])
@pytest.mark.parametrize("kernel", ["bicubic", "box", "lanczos"])
def test_pillow_rule_is_pillow(w: int, h: int, factor: int, kernel: str) -> None:
    from PIL import Image

    filters = {
        "bicubic": Image.Resampling.BICUBIC,
        "box": Image.Resampling.BOX,
        "lanczos": Image.Resampling.LANCZOS,
    }
    x = np.random.default_rng(1).random((h, w)).astype(np.float32)
    op = operators.downsample((1, h, w), factor, kernel)
    _, oh, ow = op.out_shape
    expected = np.asarray(Image.fromarray(x).resize((ow, oh), filters[kernel]))
    got = op.forward(torch.from_numpy(x)[None, None])[0, 0].numpy()
    assert np.abs(got - expected).max() < 1e-5


def test_matlab_rule_on_a_worked_example() -> None:
    """imresize([1..8], 1/2) with antialiased bicubic, weights worked out by hand from Keys' kernel."""
    t = torch.tensor([0.25, 0.75, 1.25, 1.75], dtype=torch.float64)
    inner = 1.5 * t[:2] ** 3 - 2.5 * t[:2] ** 2 + 1
    outer = -0.5 * t[2:] ** 3 + 2.5 * t[2:] ** 2 - 4 * t[2:] + 2
    half = torch.cat([inner, outer]) / 2
    taps = torch.cat([half.flip(0), half])  # offsets -3.5..3.5 in input pixels, step 1
    extended = torch.tensor([3.0, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6], dtype=torch.float64)
    expected = torch.stack([(taps * extended[2 * k : 2 * k + 8]).sum() for k in range(4)])
    op = operators.downsample((1, 8, 8), 2, "bicubic", "matlab")
    x = torch.arange(1.0, 9, dtype=torch.float64).expand(1, 1, 8, 8)
    assert (op.forward(x)[0, 0, 0] - expected).abs().max() < 1e-12


def test_matlab_rule_singular_values() -> None:
    """x4 on 256 pixels: 0.3485 to 0.5 (measured on the published CM4IR operator)."""
    s = torch.linalg.svdvals(operators.downsample((1, 256, 256), 4, "bicubic", "matlab").rows)
    assert abs(float(s.min()) - 0.3485) < 1e-4
    assert abs(float(s.max()) - 0.5) < 1e-6


def test_shapes_that_do_not_divide_round_up() -> None:
    assert make("sr4x", in_shape=(3, 255, 201)).out_shape == (3, 64, 51)
    assert make("sr4x", out_shape=(3, 64, 51)).in_shape == (3, 256, 204)


def test_algebra() -> None:
    """Composition, transposition, scaling, stacking; closed forms where there are any."""
    shape = (2, 16, 20)
    blur = make("blur:sigma=1,boundary=zero", in_shape=shape)
    mask = make("mask:keep=0.6", in_shape=shape)
    down = make("sr2x", in_shape=shape)
    assert isinstance(blur, Separable) and isinstance(down, Separable) and isinstance(mask, Mask)
    both = down @ blur
    assert isinstance(both, Separable)
    mixed = make("mask:keep=0.6", in_shape=both.out_shape) @ both
    assert isinstance(mixed, Composed)
    for op in (both, mixed, both.T, mixed.T, 0.3 * both, -2.0 * mixed, stack(blur, mask), mask @ mask):
        check_operator(op, penrose=False)
    x = torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(both.forward(x), down.forward(blur.forward(x)), atol=1e-13)
    assert mixed.T.T is mixed
    for spec in ("blur:sigma=1,boundary=circular", "uniform:size=4,boundary=circular"):
        op = make(spec, in_shape=shape)
        assert torch.allclose(op.T.forward(x), op.adjoint(x), atol=1e-13)
    with pytest.raises(ShapeError, match="the right operator gives"):
        _ = blur @ down


def test_stacked_measurements_and_zero_scale() -> None:
    mask = make("mask:keep=0.5", in_shape=(1, 8, 8))
    assert isinstance(mask, Mask)
    assert stack(mask, mask).measurements == 64
    assert (0.0 * mask).pinv(torch.ones(1, 1, 8, 8)).abs().max() == 0


def test_cg_says_when_it_fails() -> None:
    op = make("motion:length=15,angle=30", in_shape=(1, 40, 40))
    y = torch.randn(1, 1, 40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(SolveError, match=r"stopped after \d+ iterations at relative residual"):
        from zsir.linalg import cg

        cg(lambda v: op.forward(op.adjoint(v)), y, tolerance=1e-14, max_iterations=5)


def test_files(tmp_path: Path) -> None:
    """mask-file and kernel read .npy and pictures; wrong shapes and sums are refused with the reason."""
    mask = np.zeros((12, 10))
    mask[:, :4] = 1
    np.save(tmp_path / "mask.npy", mask)
    op = make(f"mask-file:path={tmp_path / 'mask.npy'}", in_shape=(3, 12, 10))
    assert op.measurements == 3 * 48
    check_operator(op)
    with pytest.raises(ShapeError, match=r"give a mask of 12x10 pixels"):
        make(f"mask-file:path={tmp_path / 'mask.npy'}", in_shape=(3, 10, 12))
    np.save(tmp_path / "k.npy", np.array([[0.0, 1], [2, 1]]))
    check_operator(make(f"kernel:path={tmp_path / 'k.npy'}", in_shape=(1, 9, 8)), penrose=False)
    for bad, words in ((np.zeros((3, 3)), "positive sum"), (-np.ones((3, 3)), "positive sum")):
        np.save(tmp_path / "bad.npy", bad)
        with pytest.raises(BadSpec, match=words):
            make(f"kernel:path={tmp_path / 'bad.npy'}", in_shape=(1, 9, 8))


BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: make("sr4x", in_shape=(3, 3, 3)), ShapeError, "larger than the picture"),
    (lambda: make("downsample:factor=0", in_shape=(3, 9, 9)), BadSpec, "at least 1"),
    (lambda: make("shake:seed=-1", in_shape=(3, 9, 9)), BadSpec, "negative"),
    (lambda: make("mask:seed=1e30", in_shape=(3, 9, 9)), BadSpec, "whole number"),
    (lambda: make("uniform:size=10000000", in_shape=(3, 9, 9)), BadSpec, "4096"),
    (lambda: make("mask:keep=30", in_shape=(3, 9, 9)), BadSpec, "share"),
    (lambda: make("blur:sigma=-1", in_shape=(3, 9, 9)), BadSpec, "positive"),
    (
        lambda: make("blur:sigma=1,boundary=mirror", in_shape=(3, 9, 9)),
        BadSpec,
        "reflect, circular, zero",
    ),
    (lambda: make("kernel", in_shape=(3, 9, 9)), BadSpec, "path"),
    (lambda: make("sr4x"), BadSpec, "in_shape"),
    (lambda: operators.random_mask((3, 9, 9), seed=2**70), BadSpec, "2\\^64"),
    (lambda: Gaussian(0.1, False, 2**70), BadSpec, "2\\^64"),
    (lambda: Poisson(0.1, False, 2**70), BadSpec, "2\\^64"),
    (lambda: stack(), ShapeError, "at least one operator"),
    (
        lambda: make("sr4x", in_shape=(3, 8, 8)).forward(torch.zeros(1, 3, 9, 9)),
        ShapeError,
        "takes tensors",
    ),
    (
        lambda: make("box", in_shape=(3, 8, 8)).forward(torch.zeros(1, 3, 8, 8).long()),
        ShapeError,
        "255",
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_bad_input(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_random_masks_are_exact_and_repeatable() -> None:
    a = make("mask:keep=0.3,seed=0", in_shape=(3, 31, 47))
    b = make("mask:keep=0.3,seed=0", in_shape=(1, 31, 47))
    c = make("mask:keep=0.3,seed=1", in_shape=(1, 31, 47))
    assert a.measurements == 3 * round(0.3 * 31 * 47)
    assert torch.equal(a.known, b.known) and not torch.equal(b.known, c.known)


@pytest.mark.cuda
def test_operators_follow_the_device() -> None:
    for spec in [*SPECS, *ITERATIVE]:
        op = make(spec, in_shape=(3, 33, 40))
        x = torch.rand(2, 3, 33, 40, generator=torch.Generator().manual_seed(0))
        for apply in (op.forward, lambda t, op=op: op.pinv(op.forward(t), 0.05)):
            assert (apply(x.cuda()).cpu() - apply(x)).abs().max() < 1e-4


def test_gaussian_of_few_taps():
    """Five taps of a wide Gaussian, as the deblurring of CM4IR, DDPG and DDRM has them."""
    line = torch.exp(-0.5 * (torch.arange(-2, 3, dtype=torch.float64) / 10) ** 2)
    op = operators.make("blur:sigma=10,taps=5,boundary=zero", in_shape=(1, 7, 9))
    x = torch.zeros(1, 1, 7, 9, dtype=torch.float64)
    x[0, 0, 3, 4] = 1
    expected = torch.outer(line, line) / line.sum() ** 2
    assert torch.allclose(op.forward(x)[0, 0, 1:6, 2:7], expected, rtol=0, atol=1e-14)
    assert float(op.forward(x).sum()) == pytest.approx(1, abs=1e-12)
    for taps in (0, 4, -3, 4097):
        with pytest.raises(BadSpec, match=f"blur:taps={taps} must be an odd number"):
            operators.make(f"blur:sigma=10,taps={taps}", in_shape=(1, 7, 9))
