"""Small linear algebra: spectral filters of ridge inverses, and conjugate gradients that say how they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from zsir.errors import SolveError


@dataclass(frozen=True)
class CGReport:
    """How one conjugate-gradient solve ended: iterations, and the worst relative residual of the batch."""

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


def per_image(value: float | Tensor, like: Tensor) -> float | Tensor:
    """A number as it is; a tensor (batch,) shaped for broadcasting against ``like`` (batch, ...)."""
    if isinstance(value, Tensor) and value.ndim:
        return value.to(like).view(-1, *(1,) * (like.ndim - 1))
    return value


def alone(transform: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``transform(x)``, on a CPU image by image.

    Libraries round differently according to how many transforms or rows they are given at once, and how these lie in
    memory; so that a picture does not depend on who else is in its batch, not even in the last bit, every image is
    given by itself and in the same layout.
    """
    if x.is_cuda or x.ndim < 4:
        return transform(x)
    return torch.cat([transform(image).contiguous() for image in x.contiguous().split(1)])


def ridge_inverse(s: Tensor, ridge: float | Tensor) -> Tensor:
    """``s / (s^2 + ridge)`` for singular values ``s >= 0``; without a ridge ``1/s``, and 0 below the cut-off.

    The cut-off is ``sqrt(eps)`` of the dtype times the largest singular value: there the error of dropping a
    component equals the error of amplifying its rounding.
    """
    ridge = torch.as_tensor(ridge, dtype=s.dtype, device=s.device)
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
    """Solve ``H u = b`` for a symmetric positive (semi-)definite ``H``, image by image, in float64.

    Preconditioned conjugate gradients (Hestenes and Stiefel 1952) on b (batch, ...), stopped when every image
    has ``||H u - b|| <= tolerance ||b||``. Raises `SolveError` with iterations and residual if that is not
    reached.
    """
    target = b.double()
    limit = tolerance * _norm(target)
    u, r = torch.zeros_like(target), target.clone()
    z = precondition(r)
    p, rz = z, _dot(r, z)
    active = _norm(r) > limit
    iteration = 0
    # asking whether all have converged makes a GPU wait, so it is asked now and then
    while iteration < max_iterations and (iteration % CHECK_EVERY or bool(active.any())):
        iteration += 1
        hp = matvec(p)
        # an image that has converged stands still, so that it does not depend on the others of its batch
        alpha = torch.where(active, _safe_ratio(rz, _dot(p, hp)), 0.0)
        u = u + alpha * p
        r = r - alpha * hp
        z = precondition(r)
        rz, previous = _dot(r, z), rz
        p = z + _safe_ratio(rz, previous) * p
        active = _norm(r) > limit
    residual = float(_safe_ratio(_norm(r), _norm(target)).max())
    if (reports := _reports.get()) is not None:
        reports.append(CGReport(iteration, residual))
    if bool(active.any()) or residual != residual:
        raise SolveError(
            f"conjugate gradients stopped after {iteration} iterations at relative residual {residual:.1e} "
            f"(wanted {tolerance:.0e}). The operator is too ill-conditioned for an exact inverse: state the "
            "noise of the observation (noise_std > 0), or pass ridge > 0."
        )
    return u.to(b.dtype)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=tuple(range(1, a.ndim)), keepdim=True)


def _norm(a: Tensor) -> Tensor:
    return _dot(a, a).sqrt()


def _safe_ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and 0 where b is 0: an image that has converged stays where it is."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0)
