"""Linear algebra: spectral filters of ridge inverses, conjugate gradients with a report, and Lanczos square roots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from zsir.errors import SolveError
from zsir.protocols import LinearOperator
from zsir.rng import generator


@dataclass(frozen=True)
class CGReport:
    """The end of one conjugate-gradient solve: its iterations and the largest relative residual of the batch."""

    iterations: int
    residual: float


_reports: ContextVar[list[CGReport] | None] = ContextVar("zsir_cg_reports", default=None)


@contextmanager
def recorded_cg() -> Iterator[list[CGReport]]:
    """Collect the reports of all solves within the ``with`` block."""
    reports: list[CGReport] = []
    token = _reports.set(reports)
    try:
        yield reports
    finally:
        _reports.reset(token)


def note_cg(iterations: int, residual: float) -> None:
    """Report a solve that did not come through `cg` to `recorded_cg`."""
    if (reports := _reports.get()) is not None:
        reports.append(CGReport(iterations, residual))


def relaxed(operator: LinearOperator) -> LinearOperator:
    """The operator as samplers use it in float32: with an iterative inverse that is only as exact as they need.

    An operator offers it as an attribute ``relaxed``; others are returned as they are.
    """
    found: LinearOperator = getattr(operator, "relaxed", operator)
    return found


def per_picture(value: float | Tensor, like: Tensor) -> float | Tensor:
    """A number as it is; a tensor (batch,) shaped for broadcasting against ``like`` (batch, ...)."""
    if isinstance(value, Tensor) and value.ndim:
        return value.to(like).view(-1, *(1,) * (like.ndim - 1))
    return value


def alone(transform: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``transform(x)``; on a CPU, one picture at a time.

    The rounding of a library depends on the number of rows in a call and on their layout in memory. One call for each
    picture, always in the same layout, makes a result independent of the rest of its batch, to the last bit.
    """
    if x.is_cuda or x.ndim < 4:
        return transform(x)
    if x.shape[0] == 1:
        return transform(x.contiguous()).contiguous()
    return torch.cat([transform(image).contiguous() for image in x.contiguous().split(1)])


def ridge_inverse(s: Tensor, ridge: float | Tensor) -> Tensor:
    """``s / (s^2 + ridge)`` for singular values ``s >= 0``. Without a ridge: ``1/s``, and 0 below the cut-off.

    The cut-off is ``sqrt(eps)`` of the dtype times the largest singular value. At the cut-off, the error of dropping a
    component equals the error of amplifying its rounding.
    """
    if not isinstance(ridge, Tensor) and ridge > 0:
        return s / (s**2 + ridge)
    ridge = ridge.to(s) if isinstance(ridge, Tensor) else torch.zeros((), dtype=s.dtype, device=s.device)
    cutoff = torch.finfo(s.dtype).eps ** 0.5 * s.max()
    kept = (s > cutoff) | (ridge > 0)
    return torch.where(kept, s / torch.where(kept, s**2 + ridge, 1.0), 0.0)


CHECK_EVERY = 8


def cg(
    matvec: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    precondition: Callable[[Tensor], Tensor] = lambda r: r,
    tolerance: float,
    max_iterations: int = 2000,
) -> Tensor:
    """Solve ``H u = b`` for a symmetric positive (semi-)definite ``H``, picture by picture, in float64.

    The method is preconditioned conjugate gradients (Hestenes and Stiefel 1952) on b (batch, ...). It stops when every
    picture has ``||H u - b|| <= tolerance ||b||``. Raises `SolveError` with iterations and residual if a picture does
    not get there.
    """
    target = b.double()
    limit = tolerance * _norm(target)
    u, r = torch.zeros_like(target), target.clone()
    z = precondition(r)
    p, rz = z, _dot(r, z)
    active = _norm(r) > limit
    iteration = 0
    # the check for convergence makes a GPU wait, so it runs only every few iterations
    while iteration < max_iterations and (iteration % CHECK_EVERY or bool(active.any())):
        iteration += 1
        hp = matvec(p)
        # a picture that has converged stands still, so that it does not depend on the others of its batch
        alpha = torch.where(active, _safe_ratio(rz, _dot(p, hp)), 0.0)
        u = u + alpha * p
        r = r - alpha * hp
        z = precondition(r)
        rz, previous = _dot(r, z), rz
        p = z + _safe_ratio(rz, previous) * p
        active = _norm(r) > limit
    residual = float(_safe_ratio(_norm(r), _norm(target)).max())
    note_cg(iteration, residual)
    if bool(active.any()) or residual != residual:
        raise SolveError(
            f"conjugate gradients stopped after {iteration} iterations at relative residual {residual:.1e} "
            f"(wanted {tolerance:.0e}). The operator is too ill-conditioned for an exact inverse: state the "
            "noise of the observation (noise_std > 0), or pass ridge > 0."
        )
    return u.to(b.dtype)


def norm2(operator: LinearOperator, like: Tensor, iterations: int = 40) -> float:
    """||A||^2, the largest eigenvalue of A^T A, by power iteration.

    The iteration approaches the eigenvalue from below, so 2 % are added.
    """
    x = torch.randn(1, *operator.in_shape, generator=generator(0, 0, "norm")).to(like)
    value = torch.zeros((), dtype=like.dtype, device=like.device)
    for _ in range(iterations):
        x = operator.adjoint(operator.forward(x))
        value = x.norm()
        x = x / value.clamp_min(torch.finfo(x.dtype).tiny)
    return max(1.02 * float(value), 1e-12)


def cg_steps(
    matvec: Callable[[Tensor], Tensor], b: Tensor, iterations: int, *, least_eigenvalue: float = 0.0
) -> Tensor:
    """``iterations`` steps of conjugate gradients towards ``H u = b``, picture by picture. Meant for inner solves that
    need a rough answer only; it never makes the device wait.

    A picture stops changing once it is solved, or once a direction has less curvature than ``least_eigenvalue``. The
    second happens because H is only approximately symmetric: it contains a network's Jacobian. Returns the iterate of
    least residual.
    """
    u, r = torch.zeros_like(b), b
    p, rr = r, _dot(r, r)
    best, least = u, rr
    floor = torch.finfo(b.dtype).eps ** 2 * rr
    going = rr > floor
    for _ in range(iterations):
        hp = matvec(p)
        curvature = _dot(p, hp)
        going = going & (curvature >= 0.999 * least_eigenvalue * _dot(p, p))
        alpha = torch.where(going, _safe_ratio(rr, curvature), 0.0)
        u = u + alpha * p
        r = r - alpha * hp
        rr, previous = _dot(r, r), rr
        best, least = torch.where(rr < least, u, best), torch.minimum(rr, least)
        going = going & (rr > floor)
        p = r + _safe_ratio(rr, previous) * p
    return best


def lanczos_sqrt(matvec: Callable[[Tensor], Tensor], v: Tensor, iterations: int) -> Tensor:
    """``C^1/2 v`` for a symmetric positive semi-definite C and v (batch, ...), picture by picture.

    The method is Lanczos with full reorthogonalisation. The result is exact once ``iterations`` reaches the number of
    distinct eigenvalues. Before, it is the Krylov approximation ``|v| Q T^1/2 e_1`` (Chow and Saad 2014).
    """
    iterations = min(iterations, v[0].numel())
    size = _norm(v)
    q = _safe_ratio(v, size.expand_as(v))
    basis, diagonal, off = [q], list[Tensor](), list[Tensor]()
    scale = torch.zeros_like(size)
    for _ in range(iterations):
        w = matvec(basis[-1])
        diagonal.append(_dot(basis[-1], w).flatten())
        scale = torch.maximum(scale, _norm(w))
        for _ in range(2):  # once is not enough to keep the basis orthogonal
            for other in basis:
                w = w - _dot(other, w) * other
        length = _norm(w)
        # an invariant subspace: all further vectors would be rounding errors
        length = torch.where(length > 64 * torch.finfo(v.dtype).eps * scale, length, 0.0)
        off.append(length.flatten())
        basis.append(_safe_ratio(w, length.expand_as(w)))
    t = torch.diag_embed(torch.stack(diagonal, 1).double())
    if iterations > 1:
        beside = torch.stack(off[:-1], 1).double()
        t = t + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    values, vectors = torch.linalg.eigh(t)
    weights = (vectors * values.clamp_min(0).sqrt()[:, None] @ vectors[:, 0, :, None])[..., 0].to(v.dtype)
    shape = (-1, *(1,) * (v.ndim - 1))
    total = weights[:, 0].view(shape) * q
    for k in range(1, iterations):
        total = total + weights[:, k].view(shape) * basis[k]
    result: Tensor = size * total
    return result


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=tuple(range(1, a.ndim)), keepdim=True)


def _norm(a: Tensor) -> Tensor:
    return _dot(a, a).sqrt()


def _safe_ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and 0 where b is 0, so that a converged picture stays unchanged."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0)
