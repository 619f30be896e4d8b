"""Public contract tests: call these on an operator, prior or sampler of your own; our suite runs them on all of ours.

Each raises AssertionError with a sentence that says which law is broken and by how much.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zsir.loop.solver import solve
from zsir.problem import Problem
from zsir.processes import metric_of
from zsir.protocols import LinearOperator, Prior, Sampler
from zsir.rng import generator

__all__ = ["check_operator", "check_prior", "check_sampler"]

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def _random(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(shape, generator=generator(seed, 0, "testing"), dtype=torch.float64).to(dtype)


def _require(holds: bool, law: str) -> None:
    """Like assert, but also under ``python -O``."""
    if not holds:
        raise AssertionError(law)


def _near(a: Tensor, b: Tensor, scale: float | Tensor, tolerance: float, law: str) -> None:
    difference, size = (a - b).detach().double().norm(), torch.as_tensor(scale).detach().double()
    error = float(difference / size.clamp_min(1e-300))
    _require(error <= tolerance, f"{law} is broken: relative error {error:.2e}, allowed {tolerance:.0e}.")


def check_operator(
    op: LinearOperator,
    *,
    dtype: torch.dtype = torch.float64,
    batch: int = 2,
    seed: int = 0,
    penrose: bool = True,
    gradients: bool = True,
) -> None:
    """Check an operator against the laws that every operator obeys.

    The laws are: adjoint (dot test), linearity, independence of the batch, gradients through both maps, ridge inverse,
    optimality of prox, Penrose conditions. Tolerances are relative: 1e-10 in float64, 1e-5 in float32. An operator with
    a ``metric`` G is held to the laws in its own norm: A^T A + ridge G in place of A^T A + ridge I.

    Args:
        op: The operator.
        dtype: Arithmetic of the check, `torch.float64` (the default) or `torch.float32`.
        batch: Number of random pictures, 2 or more. By default 2.
        seed: Seed of the random pictures. By default 0.
        penrose: Whether to check the Penrose conditions of the pseudo-inverse, in float64. They hold only as far as the
            operator's conditioning lets them: pass False where the smallest non-zero singular value is below about 1e-5
            of the largest.
        gradients: Whether to check that autograd gives the adjoint. Samplers such as DPS need it. Pass False for an
            operator that leaves torch.

    Raises:
        AssertionError: A law is broken. The sentence says which one and by how much.
    """
    tolerance = TOLERANCE[dtype]
    x, z = (_random((batch, *op.in_shape), dtype, seed + k) for k in (0, 1))
    y = _random((batch, *op.out_shape), dtype, seed + 2)
    ax, aty = op.forward(x), op.adjoint(y)
    _require(ax.shape == y.shape and aty.shape == x.shape, "forward and adjoint must map in_shape and out_shape.")
    _require(ax.dtype == dtype and ax.device == x.device, "forward must follow dtype and device of its input.")
    products = torch.stack([(ax * y).double().sum(), (x * aty).double().sum()])
    _near(
        products[0],
        products[1],
        ax.norm() * y.norm() + aty.norm() * x.norm(),
        tolerance,
        "<A x, y> = <x, A^T y>",
    )
    _near(op.forward(2.5 * x - z), 2.5 * ax - op.forward(z), ax.norm(), tolerance, "A(a x + z) = a A x + A z")
    _near(op.forward(x[1:]), ax[1:], ax.norm(), tolerance, "A acts on every picture of a batch alone")
    if gradients:
        _check_gradients(op, x, y, tolerance)
    _check_inverses(op, x, y, z, tolerance)
    if penrose and dtype == torch.float64:
        _check_penrose(op, x, y, tolerance)


def _check_gradients(op: LinearOperator, x: Tensor, y: Tensor, tolerance: float) -> None:
    """The gradient of <A x, y> in x is A^T y, and that of <A^T y, x> in y is A x."""
    for apply, back, at, along, law in (
        (op.forward, op.adjoint, x, y, "the gradient of <A x, y> in x is A^T y"),
        (op.adjoint, op.forward, y, x, "the gradient of <A^T y, x> in y is A x"),
    ):
        variable = at.clone().requires_grad_()
        try:
            (slope,) = torch.autograd.grad(apply(variable), variable, along)
        except RuntimeError as error:
            raise AssertionError(f"{law} is broken: autograd refuses ({error}).") from error
        expected = back(along)
        _near(slope, expected, expected.norm() + along.norm(), tolerance, law)


def _check_inverses(op: LinearOperator, x: Tensor, y: Tensor, z: Tensor, tolerance: float) -> None:
    """pinv with ridge solves its normal equations; prox is a stationary point, for one rho and for one per picture."""
    metric = metric_of(op)
    for ridge in (0.05, torch.linspace(0.05, 0.5, y.shape[0], dtype=torch.float64)):
        r = ridge.view(-1, 1, 1, 1).to(y) if isinstance(ridge, Tensor) else ridge
        u = op.pinv(y, ridge)
        # u = A^T (A A^T + r)^-1 y solves A^T A u + r u = A^T y
        left = op.adjoint(op.forward(u)) + r * metric(u)
        _near(left, op.adjoint(y), y.norm(), tolerance, "pinv(y, ridge): A^T A u + ridge u = A^T y")
        p = op.prox(z, y, ridge)
        gradient = op.adjoint(op.forward(p) - y) + r * metric(p - z)
        _near(gradient, torch.zeros_like(gradient), y.norm() + z.norm(), tolerance, "prox: its gradient is zero")


def _check_penrose(op: LinearOperator, x: Tensor, y: Tensor, tolerance: float) -> None:
    u = op.pinv(y)
    _near(op.pinv(op.forward(u)), u, u.norm(), tolerance, "A+ A A+ = A+")
    _near(op.forward(op.pinv(op.forward(x))), op.forward(x), op.forward(x).norm(), tolerance, "A A+ A = A")
    x2, y2 = x.flip(0), y.flip(0)
    row, row2 = (metric_of(op)(op.pinv(op.forward(each))) for each in (x, x2))
    _near((row * x2).sum(), (x * row2).sum(), x.norm() ** 2, tolerance, "A+ A is symmetric")
    column, column2 = op.forward(u), op.forward(op.pinv(y2))
    _near((column * y2).sum(), (y * column2).sum(), y.norm() ** 2, tolerance, "A A+ is symmetric")


def check_prior(prior: Prior, *, shape: tuple[int, int, int] = (3, 31, 46), seed: int = 0) -> None:
    """Check a prior against the laws that every prior obeys.

    The laws are: shape and dtype are kept, values are finite, every picture of a batch is denoised alone, and at sigma
    -> 0 and at 0 the estimate is the picture itself.

    Args:
        prior: The prior.
        shape: (channels, height, width) of the random pictures. The prior's own number of channels replaces the first,
            unless that is 0. By default (3, 31, 46).
        seed: Seed of the random pictures. By default 0.

    Raises:
        AssertionError: A law is broken. The sentence says which one and by how much.
    """
    shape = (prior.channels or shape[0], *shape[1:])
    x = (0.5 + 0.1 * _random((3, *shape), torch.float32, seed)).clamp(0.05, 0.95)
    low, high = prior.sigma_range
    sigma = torch.tensor([max(low, 0.01), 0.1, min(high, 0.5)])
    x0 = prior.denoise(x, sigma)
    _require(x0.shape == x.shape and x0.dtype == x.dtype, "denoise must keep shape and dtype.")
    _require(bool(torch.isfinite(x0).all()), "denoise must return finite values.")
    alone = torch.cat([prior.denoise(x[k : k + 1], sigma[k : k + 1]) for k in range(3)])
    _near(alone, x0, x0.norm(), 1e-5, "denoise acts on every picture of a batch alone")
    tiny = torch.full((3,), 1e-6)
    _near(prior.denoise(x, tiny), x, x.norm(), 1e-4, "denoise(x, sigma -> 0) = x")
    _near(prior.denoise(x, 0 * tiny), x, x.norm(), 1e-6, "denoise(x, 0) = x")


def check_sampler(sampler: Sampler, problem: Problem, prior: Prior, *, seed: int = 0) -> None:
    """Check a sampler against the laws that every sampler obeys.

    The laws are: it makes the network calls that it declares, it repeats itself exactly, and it ignores who else is in
    the batch.

    Args:
        sampler: The sampler.
        problem: The observations that it is run on; two or more say most.
        prior: The prior that it is run with.
        seed: Seed of the runs. By default 0.

    Raises:
        AssertionError: A law is broken. The sentence says which one and by how much.
    """
    first = solve(problem, prior, sampler, seed=seed)
    _require(first.stats.nfe == sampler.nfe, f"{sampler!r} declares nfe={sampler.nfe}, made {first.stats.nfe} calls.")
    _require(first.x.shape == (problem.y.shape[0], *problem.operator.in_shape), "the result must have in_shape.")
    again = solve(problem, prior, sampler, seed=seed)
    _require(torch.equal(first.x, again.x), "the same seed must give the same picture, bit for bit.")
    for k in range(problem.y.shape[0]):
        single = Problem(problem.y[k : k + 1], problem.operator, problem.noise_std)
        alone = solve(single, prior, sampler, seed=seed, indices=[k])
        _near(
            alone.x,
            first.x[k : k + 1],
            first.x[k].norm(),
            1e-6,
            f"picture {k} alone equals picture {k} in a batch",
        )
