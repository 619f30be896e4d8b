"""What every operator shares: shapes checked at the border, the algebra, and inverses from forward and adjoint.

A concrete operator is a frozen dataclass that derives from `Operator` and writes ``forward`` and ``adjoint`` by
hand, and ``pinv`` where it has a closed form. Everything else follows:

    prox(z, y, rho) = z + pinv(y - A z, ridge=rho)              (Woodbury identity, exact for rho > 0)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zsir.errors import ShapeError
from zsir.linalg import cg, per_image
from zsir.protocols import Shape


class Operator(ABC):
    """A linear map from pictures ``in_shape`` to observations ``out_shape``, per-shape plans cached inside."""

    in_shape: Shape

    @property
    def out_shape(self) -> Shape:
        """Shape of one observation; that of the picture unless an operator says otherwise."""
        return self.in_shape

    @property
    def measurements(self) -> int:
        """How many numbers of y carry information."""
        c, h, w = self.out_shape
        return c * h * w

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A x for x (batch, *in_shape)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y for y (batch, *out_shape)."""

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T (A A^T + ridge I)^+ y, by preconditioned conjugate gradients unless there is a closed form.

        Raises `zsir.errors.SolveError` when the iteration does not converge.
        """
        ridge = per_image(ridge, y)
        u = cg(
            lambda v: self.forward(self.adjoint(v)) + ridge * v,
            y,
            precondition=self.preconditioner(ridge),
            tolerance=1e-12 if y.dtype == torch.float64 else 1e-6,
        )
        return self.adjoint(u)

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - z||^2."""
        return z + self.pinv(y - self.forward(z), rho)

    def preconditioner(self, ridge: float | Tensor) -> Callable[[Tensor], Tensor]:
        """An approximation of (A A^T + ridge I)^-1 for the iterative pinv; the identity by default."""
        return lambda r: r

    @property
    def T(self) -> Operator:
        """The adjoint as an operator of its own."""
        return Adjoint(self)

    def after(self, inner: Operator) -> Operator | None:
        """A closed form of ``self @ inner`` where this operator knows one."""
        return None

    def before(self, outer: Operator) -> Operator | None:
        """A closed form of ``outer @ self`` where this operator knows one."""
        return None

    def __matmul__(self, inner: Operator) -> Operator:
        """``(B @ A) x = B (A x)``."""
        if inner.out_shape != self.in_shape:
            raise ShapeError(
                f"{self!r} @ {inner!r}: the right operator gives {inner.out_shape}, the left one takes {self.in_shape}."
            )
        return inner.before(self) or self.after(inner) or Composed(self, inner)

    def __rmul__(self, factor: float) -> Operator:
        """``(c A) x = c (A x)`` for a number c."""
        return Scaled(float(factor), self)

    def check_input(self, x: Tensor, shape: Shape) -> None:
        """Raise `ShapeError` unless x is a floating-point batch of ``shape``."""
        if x.ndim != 4 or tuple(x.shape[1:]) != tuple(shape):
            raise ShapeError(
                f"{self!r} takes tensors of shape (batch, {', '.join(map(str, shape))}), got {tuple(x.shape)}."
            )
        if not x.is_floating_point():
            raise ShapeError(f"{self!r} takes floating-point images in [0, 1], got {x.dtype}; divide by 255 first.")


@dataclass(frozen=True)
class SVD:
    """Singular value decomposition ``A = U diag(s) V^T`` as functions on batches.

    ``s`` has the shape of one coefficient array; ``vt`` maps pictures to coefficients and ``v`` back,
    ``ut`` maps observations to coefficients and ``u`` back. U and V have orthonormal columns.
    """

    s: Tensor
    u: Callable[[Tensor], Tensor]
    ut: Callable[[Tensor], Tensor]
    v: Callable[[Tensor], Tensor]
    vt: Callable[[Tensor], Tensor]


class Plans:
    """Tensors computed once in float64 and handed out in the dtype and on the device of an input."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._source = tensors
        self._cache: dict[tuple[torch.dtype, torch.device], dict[str, Tensor]] = {}

    def like(self, x: Tensor) -> dict[str, Tensor]:
        """The tensors for input x; complex ones in the complex dtype of the same precision."""
        key = (x.dtype, x.device)
        if key not in self._cache:
            self._cache[key] = {
                name: t.to(x.device, x.dtype.to_complex() if t.is_complex() else x.dtype)
                for name, t in self._source.items()
            }
        return self._cache[key]


@dataclass(frozen=True, eq=False)
class Adjoint(Operator):
    """``A^T`` of any operator."""

    inner: Operator

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """The observations of A are the pictures of A^T."""
        return self.inner.out_shape

    @property
    def out_shape(self) -> Shape:
        """The pictures of A are the observations of A^T."""
        return self.inner.in_shape

    @property
    def T(self) -> Operator:
        """A^TT = A."""
        return self.inner

    def forward(self, x: Tensor) -> Tensor:
        """A^T x."""
        return self.inner.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A y."""
        return self.inner.forward(y)


@dataclass(frozen=True, eq=False)
class Scaled(Operator):
    """``factor A``."""

    factor: float
    inner: Operator

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """That of A."""
        return self.inner.in_shape

    @property
    def out_shape(self) -> Shape:
        """That of A."""
        return self.inner.out_shape

    @property
    def measurements(self) -> int:
        """Those of A."""
        return self.inner.measurements

    def forward(self, x: Tensor) -> Tensor:
        """c A x."""
        return self.factor * self.inner.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """c A^T y."""
        return self.factor * self.inner.adjoint(y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """c A^T (c^2 A A^T + ridge)^+ y = A^T (A A^T + ridge/c^2)^+ y / c."""
        if self.factor == 0:
            return torch.zeros_like(self.inner.adjoint(y))
        return self.inner.pinv(y, ridge / self.factor**2) / self.factor


@dataclass(frozen=True, eq=False)
class Composed(Operator):
    """``outer @ inner`` without a closed form."""

    outer: Operator
    inner: Operator

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """That of the inner operator."""
        return self.inner.in_shape

    @property
    def out_shape(self) -> Shape:
        """That of the outer operator."""
        return self.outer.out_shape

    @property
    def measurements(self) -> int:
        """Those of the outer operator."""
        return self.outer.measurements

    def forward(self, x: Tensor) -> Tensor:
        """B A x."""
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T B^T y."""
        return self.inner.adjoint(self.outer.adjoint(y))


@dataclass(frozen=True, eq=False)
class Stacked(Operator):
    """Several observations of one picture, joined along the channels: ``A x = (A_1 x, A_2 x, ...)``."""

    parts: tuple[Operator, ...]

    def __post_init__(self) -> None:
        first = self.parts[0]
        for part in self.parts:
            if part.in_shape != first.in_shape or part.out_shape[1:] != first.out_shape[1:]:
                raise ShapeError(
                    f"{part!r} cannot be stacked on {first!r}: pictures and observations must agree in size."
                )

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """That of every part."""
        return self.parts[0].in_shape

    @property
    def out_shape(self) -> Shape:
        """The channels of all parts."""
        _, h, w = self.parts[0].out_shape
        return (sum(p.out_shape[0] for p in self.parts), h, w)

    @property
    def measurements(self) -> int:
        """The sum over the parts."""
        return sum(p.measurements for p in self.parts)

    def forward(self, x: Tensor) -> Tensor:
        """(A_1 x, A_2 x, ...)."""
        return torch.cat([p.forward(x) for p in self.parts], dim=1)

    def adjoint(self, y: Tensor) -> Tensor:
        """A_1^T y_1 + A_2^T y_2 + ..."""
        pieces = y.split([p.out_shape[0] for p in self.parts], dim=1)
        result: Any = sum(p.adjoint(piece) for p, piece in zip(self.parts, pieces, strict=True))
        return torch.as_tensor(result)


def stack(*parts: Operator) -> Operator:
    """Observe one picture through several operators of equal output size; see `Stacked`."""
    return parts[0] if len(parts) == 1 else Stacked(parts)
