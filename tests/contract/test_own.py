"""Operators of a user's own: a matrix, two functions, a tomograph; observations of any shape and any values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.capabilities import makes_pictures, offers
from zsir.errors import BadInput, Incompatible, ShapeError
from zsir.observation_units import unit_of
from zsir.operators import from_functions, from_matrix
from zsir.rng import generator
from zsir.testing import check_operator

SHAPE = (1, 12, 14)
N = math.prod(SHAPE)
M = 90


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def pictures(batch: int = 2) -> torch.Tensor:
    rows, columns = torch.linspace(0, 3, 12)[:, None], torch.linspace(0, 4, 14)
    wave = 0.5 + 0.3 * torch.sin(rows + columns) * torch.cos(2 * rows)
    return (wave.expand(batch, *SHAPE) + 0.02 * torch.arange(batch).view(-1, 1, 1, 1)).double()


def sensing(scale: float = 1.0) -> operators.Matrix:
    """A random matrix: compressed sensing."""
    op = from_matrix(scale * normal(M, N) / math.sqrt(M), SHAPE)
    assert isinstance(op, operators.Matrix)
    return op


@pytest.mark.parametrize("out_shape", [None, (2, 45), (3, 5, 6)])
def test_a_matrix(out_shape: tuple[int, ...] | None) -> None:
    a = normal(M, N) / math.sqrt(M)
    op = from_matrix(a, SHAPE, out_shape=out_shape)
    assert op.out_shape == (out_shape or (M,)) and not makes_pictures(op)
    for dtype in (torch.float64, torch.float32):
        check_operator(op, dtype=dtype)
    x, y = normal(2, *SHAPE), normal(2, *op.out_shape)
    assert torch.allclose(op.forward(x).flatten(1), x.flatten(1) @ a.T, rtol=0, atol=1e-12)
    inverse = torch.linalg.pinv(a)
    assert torch.allclose(op.pinv(y).flatten(1), y.flatten(1) @ inverse.T, rtol=0, atol=1e-10)
    svd: Any = op.svd(x)  # type: ignore[union-attr]
    assert torch.allclose(svd.u(svd.s * svd.vt(x)), op.forward(x), rtol=0, atol=1e-11)
    c = normal(2, *svd.s.shape)
    assert torch.allclose(svd.ut(svd.u(c)), c, rtol=0, atol=1e-12)
    assert torch.allclose(svd.vt(svd.v(c)), c, rtol=0, atol=1e-12)


def test_more_numbers_than_the_picture_has() -> None:
    op = from_matrix(normal(N + 20, N).numpy(), SHAPE)
    check_operator(op)
    x = normal(1, *SHAPE)
    assert torch.allclose(op.pinv(op.forward(x)), x, rtol=0, atol=1e-9)


def test_sparse_matrices() -> None:
    """torch's and SciPy's, against the same numbers in a dense one."""
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    a = normal(M, N) * (normal(M, N, seed=1) > 1)
    dense = from_matrix(a, SHAPE)
    y = normal(2, M)
    for other in (a.to_sparse(), sparse.csr_matrix(a.numpy()), sparse.coo_array(a.numpy())):
        op = from_matrix(other, SHAPE)
        assert isinstance(op, operators.SparseMatrix) and not offers(op, "svd")
        for dtype in (torch.float64, torch.float32):
            check_operator(op, dtype=dtype, penrose=False)
        assert torch.allclose(op.pinv(y, 0.1), dense.pinv(y, 0.1), rtol=0, atol=1e-10)


SAMPLERS = ["hqs:nfe=4", "cm4ir", "dps:nfe=4", "pigdm:nfe=4", "mmps:nfe=4", "ddnm:nfe=4", "diffpir:nfe=4"]


@pytest.mark.parametrize("spec", SAMPLERS)
def test_numbers_in_a_row_are_the_picture_in_other_words(spec: str) -> None:
    """A reduction written as a matrix with y (m,): every sampler gives the same pictures."""
    plain = operators.make("sr2x", in_shape=SHAPE)
    columns = plain.forward(torch.eye(N, dtype=torch.float64).view(N, *SHAPE)).flatten(1)
    rewritten = from_matrix(columns.T, SHAPE)
    unit = unit_of(rewritten)
    y = plain.forward(pictures()) + 0.02 * normal(2, *plain.out_shape)
    prior, sampler = priors.load("gaussian"), samplers.make(spec)
    expected = solve(Problem(y / unit, (1 / unit) * plain, 0.02 / unit), prior, sampler).x
    got = solve(Problem(y.flatten(1), rewritten, 0.02), prior, sampler).x
    assert (got - expected).abs().max() < 1e-8


def test_numbers_in_a_row_have_their_own_unit() -> None:
    """Counts a thousand times as large, with a thousand times the noise, are the same problem."""
    for factor in (1000.0, 1e-3):
        for op, other in ((sensing(), sensing(factor)), (sensing(), factor * sensing())):
            y = op.forward(pictures()) + 0.02 * normal(2, M)
            prior = priors.load("gaussian")
            assert unit_of(other) == pytest.approx(factor * unit_of(op), rel=1e-12)
            for spec in ("hqs:nfe=2", "cm4ir", "dps:nfe=2", "ddrm:nfe=2", "red:nfe=2"):
                expected = solve(Problem(y, op, 0.02), prior, samplers.make(spec))
                got = solve(Problem(factor * y, other, factor * 0.02), prior, samplers.make(spec))
                assert (got.x - expected.x).abs().max() < 1e-8, spec
                assert got.stats.residual == pytest.approx(expected.stats.residual, rel=1e-6)


SENSING = [
    *(spec for spec in SAMPLERS if not spec.startswith("dps")),
    "ddrm:nfe=4",
    "ddnm+:nfe=4",
    "admm:nfe=4",
    "pgd:nfe=4",
    "gibbs:nfe=8",
    "red-diff:nfe=4",
]


@pytest.mark.parametrize("spec", SENSING)
def test_compressed_sensing(spec: str) -> None:
    """y of shape (m,) with values far outside [0, 1]: every sampler explains them, in its batch as alone."""
    op = sensing(scale=30.0)
    y = op.forward(pictures()) + 0.5 * normal(2, M)
    assert float(y.abs().max()) > 20
    problem = Problem(y, op, 0.5)
    prior = priors.load("gaussian")
    x = solve(problem, prior, samplers.make(spec)).x
    assert x.shape == (2, *SHAPE)
    grey = torch.full_like(x, 0.5)
    assert all(mine < 0.9 * other for mine, other in zip(problem.residual(x), problem.residual(grey), strict=True))
    alone = solve(Problem(y[1:], op, 0.5), prior, samplers.make(spec), indices=[1]).x
    assert (alone - x[1:]).abs().max() < 1e-6


# --- functions -------------------------------------------------------------------------------------------------------


def rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """x (batch, 1, h, w), turned by every angle: (batch * angles, 1, h, w)."""
    c, s = angles.cos().to(x), angles.sin().to(x)
    turn = torch.stack([torch.stack([c, -s, 0 * c], 1), torch.stack([s, c, 0 * c], 1)], 1)
    many = x.repeat_interleave(len(angles), dim=0)
    grid = torch.nn.functional.affine_grid(turn.repeat(len(x), 1, 1), list(many.shape), align_corners=False)
    return torch.nn.functional.grid_sample(many, grid, align_corners=False)


ANGLES = torch.arange(12) * math.pi / 12


def tomograph(x: torch.Tensor) -> torch.Tensor:
    """Parallel beams: the picture is turned and summed along its columns. (batch, 18, 16)."""
    return rotate(x, ANGLES).sum(dim=2).view(len(x), len(ANGLES), -1)


def test_a_tomograph() -> None:
    """As a user would write it: forward alone, sums along beams as y (angles, detectors), no adjoint."""
    op = from_functions(tomograph, in_shape=(1, 12, 12), out_shape=(12, 12))
    check_operator(op, penrose=False)
    across = torch.linspace(-1, 1, 12)
    x = 0.2 + 0.6 * ((across[:, None] - 0.2) ** 2 + across**2 < 0.3).float().expand(1, 1, 12, 12)
    y = op.forward(x) + 0.05 * normal(1, 12, 12).float()
    solution = solve(Problem(y, op, 0.05), priors.load("wavelet"), samplers.make("hqs:nfe=4"))
    assert solution.stats.cg_iterations > 0
    plain = op.adjoint(y) / op.adjoint(op.forward(torch.ones_like(x)))  # unfiltered back-projection
    mine, theirs = (float((found - x).square().mean().sqrt()) for found in (solution.x, plain))
    assert mine < 0.1 < 0.15 < theirs


def test_a_derived_adjoint_is_the_adjoint() -> None:
    """Also where a sampler differentiates through it."""
    plain = operators.make("blur:sigma=1", in_shape=SHAPE)
    derived = from_functions(plain.forward, in_shape=SHAPE, out_shape=SHAPE, pictorial=True)
    given = from_functions(plain.forward, plain.adjoint, in_shape=SHAPE, out_shape=SHAPE, pictorial=True)
    y = normal(2, *SHAPE)
    assert torch.allclose(derived.adjoint(y), plain.adjoint(y), rtol=0, atol=1e-13)
    assert not derived.adjoint(y).requires_grad and makes_pictures(derived)
    v = y.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((derived.adjoint(v) * pictures()).sum(), v)
    assert torch.allclose(gradient, plain.forward(pictures()), rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(derived.adjoint(y), plain.adjoint(y), rtol=0, atol=1e-13)
    problem = [Problem(plain.forward(pictures()), op, 0.2) for op in (plain, derived, given)]
    for spec in ("hqs:nfe=1", "dps:nfe=2", "mmps:nfe=2"):
        x, *others = (solve(p, priors.load("gaussian"), samplers.make(spec)).x for p in problem)
        for other in others:
            assert (other - x).abs().max() < 1e-6, spec


class Counter:
    """Functions that are wrong in one way each."""

    @staticmethod
    def offset(x: torch.Tensor) -> torch.Tensor:
        return x + 0.1

    @staticmethod
    def mixing(x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0, keepdim=True)

    @staticmethod
    def leaving(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.asarray(2 * x.detach().numpy()))

    @staticmethod
    def single(x: torch.Tensor) -> torch.Tensor:
        return x[0]

    @staticmethod
    def array(x: torch.Tensor) -> Any:
        return x.detach().numpy()

    @staticmethod
    def failing(x: torch.Tensor) -> torch.Tensor:
        return x.float() @ torch.eye(14, dtype=torch.float64)

    @staticmethod
    def float32(x: torch.Tensor) -> torch.Tensor:
        return x @ torch.eye(14)


@pytest.mark.parametrize(
    ("forward", "adjoint", "error", "words"),
    [
        (Counter.offset, None, BadInput, "forward is not linear"),
        (Counter.mixing, None, BadInput, "mixes the pictures"),
        (Counter.leaving, None, Incompatible, "pass its adjoint"),
        (Counter.single, None, ShapeError, "takes and returns a batch"),
        (Counter.array, None, ShapeError, "returned ndarray"),
        (Counter.failing, None, BadInput, "a function failed on a random batch"),
        (Counter.float32, None, BadInput, "choose with dtype="),
        (lambda x: 2 * x, lambda y: y, BadInput, "adjoint is not the adjoint of forward"),
        (lambda x: 2 * x, lambda y: y[:, 0], ShapeError, "the function adjoint returned"),
    ],
)
def test_functions_that_are_refused(forward: Any, adjoint: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        from_functions(forward, adjoint, in_shape=SHAPE, out_shape=SHAPE)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_functions_of_float32_alone() -> None:
    op = from_functions(Counter.float32, in_shape=SHAPE, out_shape=SHAPE, dtype=torch.float32)
    assert torch.allclose(op.adjoint(pictures().float()), pictures().float())
    outside = from_functions(Counter.leaving, lambda y: 2 * y, in_shape=SHAPE, out_shape=SHAPE)
    check_operator(outside, gradients=False)
    with pytest.raises(AssertionError, match="autograd refuses"):
        check_operator(outside)


@pytest.mark.parametrize(
    ("matrix", "options", "error", "words"),
    [
        (normal(4, 7), {}, ShapeError, f"give a matrix of {N} columns"),
        (normal(N), {}, ShapeError, f"give a matrix of {N} columns"),
        (normal(4, N), {"out_shape": (5,)}, ShapeError, "does not have the 4 numbers"),
        (normal(4, N), {"pictorial": True}, ShapeError, "pictorial=True needs out_shape"),
        (torch.full((4, N), torch.inf), {}, BadInput, "finite real numbers"),
        (torch.full((4, N), torch.nan).to_sparse(), {}, BadInput, "finite real numbers"),
        (torch.ones(4, N, dtype=torch.complex64), {}, BadInput, "finite real numbers"),
        ("numbers", {}, BadInput, "from_matrix: str holds no numbers"),
        ([[1.0], [1.0, 2.0]], {}, BadInput, "from_matrix: list holds no numbers"),
        (normal(2, N), {"out_shape": (-1, -2)}, ShapeError, "each of 1 or more"),
        (normal(1, N), {"out_shape": ()}, ShapeError, "at least one side"),
    ],
)
def test_matrices_that_are_refused(matrix: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        from_matrix(matrix, SHAPE, **options)


def test_matrices_that_run_backwards() -> None:
    a = normal(M, N)
    op, x = from_matrix(a.numpy()[::-1], SHAPE), pictures()
    assert torch.allclose(op.forward(x), x.flatten(1) @ a.flip(0).T, atol=1e-12)


def test_functions_that_are_refused_for_what_they_return() -> None:
    """A warning of torch said that imaginary parts were lost, and the operator was another."""
    for adjoint in (None, lambda y: torch.fft.ifft2(y, norm="ortho")):
        with pytest.raises(BadInput, match="returned complex numbers"):
            from_functions(lambda x: torch.fft.fft2(x, norm="ortho"), adjoint, in_shape=SHAPE, out_shape=SHAPE)
    for shape in ((), (-1, -2)):
        with pytest.raises(ShapeError, match="from_functions: out_shape"):
            from_functions(lambda x: x, in_shape=SHAPE, out_shape=shape)


def test_algebra_with_numbers_in_a_row() -> None:
    """A number in front, a blur before, the transpose: observations stay rows of numbers."""
    op, blur = sensing(), operators.make("blur:sigma=1", in_shape=SHAPE)
    for product in (0.5 * op, op @ blur):
        assert product.out_shape == (M,) and not makes_pictures(product)
        check_operator(product, penrose=False)
    assert offers(0.5 * op, "svd")
    problem = Problem((op @ blur).forward(pictures()), op @ blur, 0.5)
    x = solve(problem, priors.load("gaussian"), samplers.make("hqs:nfe=1")).x
    assert bool(x.isfinite().all())


def test_functions_of_float32_are_inverted() -> None:
    """Conjugate gradients run in float64 whatever the functions know; here A A^T = 4 I, so A^+ = A^T / 4."""

    def turned(x: torch.Tensor) -> torch.Tensor:
        if x.dtype != torch.float32:
            raise RuntimeError("only float32")
        return 2 * x.flip(-1)

    op = from_functions(turned, turned, in_shape=SHAPE, out_shape=SHAPE, dtype=torch.float32)
    y = pictures()
    for like in (y.double(), y.float()):
        found = op.pinv(like, 1.0)
        assert found.dtype == like.dtype and torch.allclose(found, 2 * like.flip(-1) / 5, atol=1e-6)
