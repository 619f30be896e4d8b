"""What every operator shares: shapes checked at the border, the algebra, and inverses from forward and adjoint.

A concrete operator is a frozen dataclass that derives from `Operator` and writes ``forward`` and ``adjoint`` by
hand, and ``pinv`` where it has a closed form. Everything else follows:

    prox(z, y, rho) = z + pinv(y - A z, ridge=rho)              (Woodbury identity, exact for rho > 0)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from zsir import capabilities as may
from zsir.errors import ShapeError
from zsir.extent import beyond
from zsir.linalg import cg, per_picture
from zsir.operators.plans import SVD, check_batch
from zsir.protocols import Numbers, Shape


class Operator(ABC):
    """A linear map from pictures ``in_shape`` to observations ``out_shape``, per-shape plans cached inside.

    Attributes:
        in_shape: (channels, height, width) of one picture.
    """

    in_shape: Shape

    @property
    def out_shape(self) -> Numbers:
        """Shape of one observation; the picture's shape unless an operator says otherwise."""
        return self.in_shape

    @property
    def measurements(self) -> int:
        """How many numbers of y carry information."""
        return math.prod(self.out_shape)

    @property
    def seen(self) -> Tensor | None:
        """True where a pixel is shown by itself; None for all but masks. See `zsir.capabilities.ShowsPixels`."""
        return None

    @property
    def twin(self) -> Operator | None:
        """A cheap operator of the same statistics, or None. See `zsir.capabilities.HasTwin`."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A x for x (batch, *in_shape)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y for y (batch, *out_shape)."""

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T (A A^T + ridge I)^+ y, by preconditioned conjugate gradients unless there is a closed form.

        Args:
            y: Observations, (batch, *out_shape), floats.
            ridge: A number >= 0, or one for each picture (batch,). By default 0.

        Returns:
            Pictures, (batch, *in_shape).

        Raises:
            SolveError: The iteration does not converge.
        """
        ridge, tolerance = per_picture(ridge, y), 1e-12 if y.dtype == torch.float64 else 1e-6

        def normal(v: Tensor) -> Tensor:
            return self.forward(self.adjoint(v)) + ridge * v

        return self.adjoint(cg(normal, y, precondition=self.preconditioner(ridge), tolerance=tolerance))

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - z||^2, as z + pinv(y - A z, rho)."""
        return z + self.pinv(y - self.forward(z), rho)

    def preconditioner(self, ridge: float | Tensor) -> Callable[[Tensor], Tensor]:
        """An approximation of (A A^T + ridge I)^-1 for the iterative pinv; the identity by default.

        Args:
            ridge: A number >= 0, or one for each picture (batch, 1, 1, 1).

        Returns:
            A function from observations to observations, (batch, *out_shape).
        """
        return lambda r: r

    @property
    def T(self) -> Operator:
        """The adjoint as an operator of its own."""
        return Adjoint(self)

    def after(self, inner: Operator) -> Operator | None:
        """A closed form of ``self @ inner`` where this operator knows one.

        Args:
            inner: The operator that acts first.

        Returns:
            The product, or None.
        """
        return None

    def before(self, outer: Operator) -> Operator | None:
        """A closed form of ``outer @ self`` where this operator knows one.

        Args:
            outer: The operator that acts second.

        Returns:
            The product, or None.
        """
        return None

    def __matmul__(self, inner: Operator) -> Operator:
        """``(B @ A) x = B (A x)``, in closed form where B or A knows it; raises `ShapeError`."""
        if inner.out_shape != self.in_shape:
            raise ShapeError(
                f"{self!r} @ {inner!r}: the right operator gives {inner.out_shape}, the left one takes {self.in_shape}."
            )
        return inner.before(self) or self.after(inner) or Composed(self, inner)

    def __rmul__(self, factor: float) -> Operator:
        """``(c A) x = c (A x)`` for a number c."""
        return Scaled(float(factor), self)

    def check_input(self, x: Tensor, shape: Numbers) -> None:
        """Refuse a tensor that is no floating-point batch of a shape.

        Args:
            x: The tensor.
            shape: The shape of one entry that is wanted, such as (channels, height, width).

        Raises:
            ShapeError: ``x`` has another shape or is not of floats.
        """
        check_batch(self, x, shape)


@dataclass(frozen=True, eq=False)
class Adjoint(Operator):
    """``A^T`` of any operator.

    Attributes:
        inner: The operator A.
    """

    inner: Operator

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the observations of A."""
        return cast(Shape, self.inner.out_shape)

    @property
    def out_shape(self) -> Shape:
        """Shape of the pictures of A."""
        return self.inner.in_shape

    @property
    def measurements(self) -> int:
        """Those of the operator that writes the result: of (B A)^T that is A^T."""
        last = self._last
        return super().measurements if last is None else last.measurements

    @property
    def known(self) -> Tensor | None:
        """What that operator writes."""
        return None if self._last is None else may.known_numbers(self._last)

    @property
    def _last(self) -> Operator | None:
        """Of (B A)^T = A^T B^T the operator A^T."""
        return self.inner.inner.T if isinstance(self.inner, Composed) else None

    @property
    def T(self) -> Operator:
        """(A^T)^T = A."""
        return self.inner

    @property
    def twin(self) -> Operator | None:
        """The adjoint of A's twin."""
        twin = may.twin_of(self.inner)
        return None if twin is None else cast(Operator, twin).T

    def forward(self, x: Tensor) -> Tensor:
        """A^T x."""
        return self.inner.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A y."""
        return self.inner.forward(y)


@dataclass(frozen=True, eq=False)
class Scaled(Operator):
    """``factor A``.

    Attributes:
        factor: The number that A is multiplied by.
        inner: The operator A.
    """

    factor: float
    inner: Operator

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the pictures of A."""
        return self.inner.in_shape

    @property
    def out_shape(self) -> Numbers:
        """Shape of the observations of A."""
        return self.inner.out_shape

    @property
    def measurements(self) -> int:
        """The measurements of A."""
        return self.inner.measurements

    @property
    def known(self) -> Tensor | None:
        """The known numbers of A."""
        return may.known_numbers(self.inner)

    @property
    def seen(self) -> Tensor | None:
        """The pixels that A shows; none where the factor is 0."""
        return None if self.factor == 0 else may.seen_pixels(self.inner)

    @property
    def twin(self) -> Operator | None:
        """The twin of A, scaled."""
        twin = may.twin_of(self.inner)
        return None if twin is None else self.factor * cast(Operator, twin)

    def __getattr__(self, name: str) -> Any:
        found = may.passed_on(self, "inner", name, ("pictorial", "margins", "metric", "unit"))
        return abs(self.factor) * found if name == "unit" else found

    @property
    def T(self) -> Operator:
        """(c A)^T = c A^T."""
        return self.factor * self.inner.T

    @property
    def svd(self) -> Callable[[Tensor], SVD] | None:
        """c A = (sign(c) U) (|c| S) V^T, where A has a decomposition."""
        if not may.offers(self.inner, "svd"):
            return None
        return lambda like: may.decompose(self.inner, like).scaled(self.factor)

    def after(self, inner: Operator) -> Operator | None:
        """(c B) A = c (B A), in the closed form of B A where there is one."""
        return self.factor * (self.inner @ inner)

    def before(self, outer: Operator) -> Operator | None:
        """B (c A) = c (B A)."""
        return self.factor * (outer @ self.inner)

    def __rmul__(self, factor: float) -> Operator:
        """Factors multiply."""
        return Scaled(float(factor) * self.factor, self.inner)

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

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """argmin 1/2 ||A x - y/c||^2 + rho/(2 c^2) ||x - z||^2."""
        return z if self.factor == 0 else self.inner.prox(z, y / self.factor, rho / self.factor**2)


@dataclass(frozen=True, eq=False)
class Composed(Operator):
    """``outer @ inner`` without a closed form.

    Attributes:
        outer: The operator that acts second.
        inner: The operator that acts first.
    """

    outer: Operator
    inner: Operator

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the pictures of the inner operator."""
        return self.inner.in_shape

    @property
    def out_shape(self) -> Numbers:
        """Shape of the observations of the outer operator."""
        return self.outer.out_shape

    @property
    def measurements(self) -> int:
        """The measurements of the outer operator."""
        return self.outer.measurements

    @property
    def known(self) -> Tensor | None:
        """The known numbers of the outer operator, which writes the observation."""
        return may.known_numbers(self.outer)

    def __getattr__(self, name: str) -> Any:
        return may.passed_on(self, "outer", name, ("pictorial", "own_noise", "unit"))

    @property
    def margins(self) -> may.Margins:
        """Those of both operators, in pixels of x."""
        return beyond(self.outer, self.inner)

    @property
    def twin(self) -> Operator | None:
        """The twin of one operator after the twin of the other, in closed form where there is one."""
        outer, inner = may.statistical_twin(self.outer), may.statistical_twin(self.inner)
        return None if outer is self.outer and inner is self.inner else cast(Operator, outer) @ cast(Operator, inner)

    def forward(self, x: Tensor) -> Tensor:
        """B A x."""
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T B^T y."""
        return self.inner.adjoint(self.outer.adjoint(y))
