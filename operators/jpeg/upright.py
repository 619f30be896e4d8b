"""An operator that sees the picture as its file stores it, for pictures that stand upright."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor

from zsir.capabilities import Margins, decompose, makes_pictures, margins_of, offers
from zsir.operators.base import Operator
from zsir.operators.plans import SVD
from zsir.processes import expected_of, finish_of, metric_of, noisy, own_noise, project
from zsir.protocols import Numbers, Shape

#: EXIF orientation -> (transpose rows and columns first, mirror rows, mirror columns), from the file to upright
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True, eq=False)
class Upright(Operator):
    """``A R^T`` with R the turn that an EXIF orientation asks for: x stands upright, A works on the picture as stored.

    R is orthogonal, so pinv, prox, norm, decomposition and projection of A are those of the product, turned.

    Attributes:
        inner: The operator A.
        orientation: The EXIF orientation, 1 to 8.
    """

    inner: Operator
    orientation: int

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the upright picture."""
        c, h, w = self.inner.in_shape
        return (c, w, h) if TURNS[self.orientation][0] else (c, h, w)

    @property
    def out_shape(self) -> Numbers:
        """Shape of the observations of A."""
        return self.inner.out_shape

    @property
    def pictorial(self) -> bool:
        """Whether A makes pictures."""
        return makes_pictures(self.inner)

    @property
    def own_noise(self) -> float:
        """The own noise of A."""
        return own_noise(self.inner)

    @property
    def finish(self) -> float | None:
        """The last level of samplers that A names."""
        return finish_of(self.inner)

    @property
    def margins(self) -> Margins:
        """The margins of A, turned."""
        top, bottom, left, right = margins_of(self.inner)
        swap, rows, columns = TURNS[self.orientation]
        if swap:
            top, bottom, left, right = left, right, top, bottom
        if rows:
            top, bottom = bottom, top
        return (top, bottom, right, left) if columns else (top, bottom, left, right)

    @property
    def expected(self) -> Callable[[Tensor, Tensor, float | Tensor], Tensor] | None:
        """R times the expected pictures of A, where A knows the law of its errors."""
        inner = expected_of(self.inner)
        return None if inner is None else lambda z, y, rho: self._up(inner(self._stored(z), y, rho))

    @property
    def metric(self) -> Callable[[Tensor], Tensor]:
        """R G R^T x, for the norm of A."""
        return lambda x: self._up(metric_of(self.inner)(self._stored(x)))

    @property
    def svd(self) -> Callable[[Tensor], SVD] | None:
        """A R^T = U S (R V)^T, where A has a decomposition."""
        return self._decomposed if offers(self.inner, "svd") else None

    def _decomposed(self, like: Tensor) -> SVD:
        found: SVD = decompose(self.inner, like)
        return replace(found, v=lambda c: self._up(found.v(c)), vt=lambda x: found.vt(self._stored(x)))

    def with_noise(self, std: float) -> Upright:
        """The operator with noise before its process.

        Args:
            std: Standard deviation of the noise, [0, 1] scale.

        Returns:
            The same turn of an operator with more noise.
        """
        return replace(self, inner=cast(Operator, noisy(self.inner, std)[0]))

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The nearest upright pictures of which A's process can have made y.

        Args:
            x: Pictures, (batch, *in_shape).
            y: Observations, (batch, *out_shape).

        Returns:
            Pictures, (batch, *in_shape).
        """
        return self._up(project(self.inner, self._stored(x), y))

    def forward(self, x: Tensor) -> Tensor:
        """A R^T x."""
        self.check_input(x, self.in_shape)
        return self.inner.forward(self._stored(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """R A^T y."""
        return self._up(self.inner.adjoint(y))

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """R times the inverse of A."""
        return self._up(self.inner.pinv(y, ridge))

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """R times the proximal step of A."""
        return self._up(self.inner.prox(self._stored(z), y, rho))

    def _up(self, x: Tensor) -> Tensor:
        swap, rows, columns = TURNS[self.orientation]
        x = x.mT if swap else x
        return x.flip([axis for axis, mirrored in ((-2, rows), (-1, columns)) if mirrored])

    def _stored(self, x: Tensor) -> Tensor:
        swap, rows, columns = TURNS[self.orientation]
        x = x.flip([axis for axis, mirrored in ((-2, rows), (-1, columns)) if mirrored])
        return (x.mT if swap else x).contiguous()
