"""boundary=unknown: x has margins, y is the valid part, and the inverse is exact whatever lies beyond the border."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.capabilities import cut, margins_of, twin_of
from zsir.errors import ShapeError, SolveError
from zsir.linalg import recorded_cg, relaxed
from zsir.operators.blurs import kernels, strips
from zsir.operators.blurs.unknown import ValidBlur, smooth
from zsir.protocols import Shape
from zsir.samplers.initial import _probed_start, expected_start
from zsir.testing import check_operator

#: oblique, asymmetric, even-sized, one row only, separable, off-centre
KERNELS = {
    "motion": kernels.motion(7, 33),
    "shake": kernels.shake(9, 0.5, 0),
    "box": kernels.uniform(4),
    "row": kernels.motion(7, 0),
    "gaussian": kernels.gaussian(0.7),
    "aside": torch.nn.functional.pad(kernels.motion(5, 60), (6, 0, 0, 7)),
}
BLURS = [
    "blur:sigma=0.7",
    "blur:sigma=0.7,power=3",
    "sinc:cutoff=2,size=7",
    "uniform:size=4",
    "motion:length=7,angle=33",
    "motion:length=7,angle=90",
    "shake:size=9,seed=2",
]


def spread(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def valid(name: str, out_shape: Shape) -> ValidBlur:
    """The blur whose observation has ``out_shape``, never decomposed."""
    kernel = KERNELS[name]
    probe = ValidBlur((1, 99, 99), kernel)
    top, bottom, left, right = probe.margins
    return ValidBlur((out_shape[0], out_shape[1] + top + bottom, out_shape[2] + left + right), kernel, decomposed=0)


def dense(op: Any) -> torch.Tensor:
    n = int(np.prod(op.in_shape))
    return torch.as_tensor(op.forward(torch.eye(n, dtype=torch.float64).view(n, *op.in_shape)).reshape(n, -1).T)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("shape", [(1, 31, 47), (2, 40, 23)], ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_contract(name: str, shape: Shape, dtype: torch.dtype) -> None:
    check_operator(valid(name, shape), dtype=dtype, penrose=False)


@pytest.mark.parametrize("spec", BLURS)
def test_contract_by_name(spec: str) -> None:
    """By name from both shapes; the one that is decomposed keeps the Penrose laws as well."""
    op = operators.make(f"{spec},boundary=unknown", out_shape=(3, 21, 34))
    assert tuple(op.out_shape) == (3, 21, 34)
    again = operators.make(f"{spec},boundary=unknown", in_shape=op.in_shape)
    assert tuple(again.out_shape) == (3, 21, 34) and margins_of(again) == margins_of(op)
    assert cut(op, torch.zeros(2, *op.in_shape)).shape == (2, 3, 21, 34)
    check_operator(op, penrose=spec == "blur:sigma=0.7")


@pytest.mark.parametrize("order", [1, -1])
def test_a_chain_of_blurs_is_one_blur(order: int) -> None:
    """Also where one of them is separable: its two matrices must not hide its kernel, or the chain takes 60 times as
    long."""
    stages = ["disc:radius=2,boundary=unknown", "blur:sigma=1,boundary=unknown"][::order]
    whole = operators.make(" | ".join(stages), out_shape=(2, 21, 34))
    assert isinstance(whole, ValidBlur)
    one, two = kernels.disc(2), kernels.gaussian(1)
    both = torch.nn.functional.conv2d(one[None, None], two[None, None], padding=8)[0, 0]
    x = spread((1, *whole.in_shape))
    expected = ValidBlur(whole.in_shape, both).forward(x)
    assert whole.out_shape == (2, 21, 34) and (whole.forward(x) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("ridge", [0.01, 1e-4, 1e-7])
@pytest.mark.parametrize("name", KERNELS)
def test_against_dense_algebra(name: str, ridge: float) -> None:
    op = valid(name, (1, 9, 13))
    a = dense(op)
    y = spread((2, *op.out_shape))
    assert (op.adjoint(y).flatten(1) - y.flatten(1) @ a).abs().max() < 1e-12
    whole = a @ a.T + ridge * torch.eye(a.shape[0], dtype=torch.float64)
    expected = torch.linalg.solve(whole, y.flatten(1).T).T @ a
    error = (op.pinv(y, ridge).flatten(1) - expected).norm() / expected.norm()
    assert error < 1e-10 / ridge**0.5
    single = (op.pinv(y.float(), ridge).flatten(1) - expected).norm() / expected.norm()
    assert single < 1e-5 * max(1, 0.1 / ridge**0.5)


def test_a_decomposed_blur_is_the_same_operator() -> None:
    """Two matrices and the strips give one forward and one inverse; the decomposition has the margins."""
    for name in ("box", "row", "gaussian"):
        op = valid(name, (1, 14, 17))
        two = operators.convolution(op.in_shape, KERNELS[name], "unknown")
        assert twin_of(op) is not None and twin_of(two) is None and margins_of(two) == op.margins
        y = spread((1, *op.out_shape))
        assert (op.adjoint(y) - two.adjoint(y)).abs().max() < 1e-14
        assert (op.pinv(y, 1e-3) - two.pinv(y, 1e-3)).abs().max() < 1e-9
        svd = op.svd
        assert svd is not None and torch.allclose(svd(y).s, two.svd(y).s, atol=1e-13)  # type: ignore[attr-defined]
    assert valid("motion", (1, 9, 9)).svd is None


@pytest.mark.parametrize("size", [(5, 5), (4, 6), (1, 7), (8, 3)], ids=str)
def test_is_the_valid_part_of_a_convolution(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.random((23, 27)), rng.random(size)
    windows = np.lib.stride_tricks.sliding_window_view(x, size)
    expected = np.einsum("abij,ij->ab", windows, (kernel / kernel.sum())[::-1, ::-1])
    op = operators.convolution((1, 23, 27), torch.from_numpy(kernel), "unknown")
    got = op.forward(torch.from_numpy(x)[None, None])[0, 0].numpy()
    assert got.shape == expected.shape and np.abs(got - expected).max() < 1e-13


@pytest.mark.parametrize("name", KERNELS)
def test_is_the_inside_of_the_circular_blur(name: str) -> None:
    """The centre of a kernel is where it is for all borders: a picture is not shifted by the choice of its border."""
    op = valid(name, (1, 20, 24))
    x = spread((1, *op.in_shape))
    whole = operators.convolution(op.in_shape, KERNELS[name], "circular").forward(x)
    assert (cut(op, whole) - op.forward(x)).abs().max() < 1e-13


def test_zeros_around_a_kernel_make_no_margins() -> None:
    kernel = torch.zeros(9, 11, dtype=torch.float64)
    kernel[4, 5:7] = 0.5
    assert ValidBlur((1, 8, 8), kernel).margins == (0, 0, 1, 0)
    assert operators.make("motion:length=21,angle=30,boundary=unknown", out_shape=(3, 64, 64)).in_shape == (3, 74, 82)


def test_one_ridge_for_each_picture_and_nothing_from_the_batch() -> None:
    op = valid("motion", (3, 18, 22))
    y = spread((3, *op.out_shape)).float()
    ridges = torch.tensor([1e-5, 0.0, 0.3])
    together = op.pinv(y, ridges)
    for k in range(3):
        assert torch.equal(together[k : k + 1], op.pinv(y[k : k + 1], float(ridges[k])))
    assert op.pinv(torch.zeros_like(y), 1e-4).abs().max() == 0


def test_two_blurs_are_one() -> None:
    outer = valid("shake", (1, 12, 15))
    inner = valid("motion", (1, *outer.in_shape[1:]))
    both = outer @ inner
    x = spread((1, *inner.in_shape))
    assert isinstance(both, ValidBlur)
    assert (both.forward(x) - outer.forward(inner.forward(x))).abs().max() < 1e-13


def test_a_reduction_after_it_keeps_the_margins() -> None:
    """Of a separable kernel the product is in closed form; x has the margins of the blur."""
    for blur, kind in (("blur:sigma=1", "Separable"), ("motion:length=7,angle=33", "Composed")):
        op = operators.make(f"{blur},boundary=unknown | sr2x", out_shape=(1, 10, 12))
        reach = margins_of(operators.make(f"{blur},boundary=unknown", out_shape=(1, 20, 24)))
        assert type(op).__name__ == kind and margins_of(op) == reach
        assert cut(op, torch.zeros(1, *op.in_shape)).shape == (1, 1, 20, 24)
        check_operator(op, penrose=False)


def test_broad_kernels_need_no_large_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    op = valid("shake", (1, 15, 19))
    y = spread((1, *op.out_shape))
    expected = op.pinv(y, 1e-3)
    monkeypatch.setattr(strips, "LARGEST_BLOCKS", 0)
    assert (ValidBlur(op.in_shape, op.kernel).pinv(y, 1e-3) - expected).abs().max() < 1e-9


def test_sizes_of_transforms() -> None:
    assert [smooth(n) for n in (1, 11, 13, 97, 778, 1042)] == [1, 12, 14, 98, 784, 1050]


def test_what_is_said_when_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShapeError, match=r"uses up 18 columns and 10 rows, and the picture has 12x40 pixels; take"):
        operators.make("motion:length=21,angle=30,boundary=unknown", in_shape=(3, 40, 12))
    monkeypatch.setattr(strips, "MOST", 5)
    with pytest.raises(SolveError, match=r"did not settle in 5 iterations at ridge 1\.0e-07\. State the noise"):
        valid("motion", (1, 30, 30)).pinv(spread((1, 1, 30, 30)), 1e-7)


def test_the_twin_and_the_relaxed_operator_are_near() -> None:
    """What is expected of a start does not depend on the accuracy of the inverse it is asked of."""
    op = operators.make("motion:length=9,angle=30,boundary=unknown", out_shape=(1, 64, 80))
    assert isinstance(op, ValidBlur) and relaxed(op) is relaxed(op)
    twin = twin_of(op)
    assert isinstance(twin, ValidBlur) and twin.twin is None and twin.in_shape == op.in_shape
    y = op.forward(torch.rand(1, *op.in_shape, generator=torch.Generator().manual_seed(0)))
    rough, fine = expected_start(op, 0.01, y), _probed_start(op, 0.01, y)
    assert rough.error == pytest.approx(fine.error, rel=0.01) and rough.ridge == fine.ridge
    with recorded_cg() as reports:
        near, best = relaxed(op).pinv(y, 1e-4), op.pinv(y, 1e-4)
    assert reports[0].iterations < reports[1].iterations
    assert 0 < (near - best).norm() / best.norm() < 3e-3


def test_wrong_borders_leave_bars_and_unknown_ones_do_not() -> None:
    """A camera's picture, motion of 15 pixels: the outer 24 pixels by the border that is assumed."""
    camera = operators.make("motion:length=15,angle=30,boundary=unknown", out_shape=(1, 96, 112))
    rows = torch.linspace(0, 9, camera.in_shape[1])[:, None]
    x = (0.5 + 0.3 * torch.sin(rows + torch.linspace(0, 5, camera.in_shape[2])) * torch.cos(rows * 0.7)).expand(
        1, *camera.in_shape
    )
    y = camera.forward(x) + 0.005 * torch.randn(1, *camera.out_shape, generator=torch.Generator().manual_seed(0))
    edge = torch.ones(96, 112, dtype=torch.bool)
    edge[24:-24, 24:-24] = False
    error = {}
    for boundary in ("circular", "unknown"):
        op = operators.make(f"motion:length=15,angle=30,boundary={boundary}", out_shape=(1, 96, 112))
        result = solve(Problem(y, op, 0.005), priors.load("wavelet"), samplers.make("hqs:nfe=4")).x
        error[boundary] = float((cut(op, result) - cut(camera, x))[..., edge].square().mean().sqrt())
    assert error["unknown"] < 0.02 and error["circular"] > 5 * error["unknown"]
