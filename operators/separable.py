"""Operators that act on rows and columns by two matrices; exact for every kernel, boundary and size.

With 1-D decompositions ``M_h = U_h S_h V_h^T`` and ``M_w = U_w S_w V_w^T`` the singular values of the picture
operator are the outer product of the two, which gives pseudo-inverse, ridge inverse and prox in four small
matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from zsir.capabilities import NO_MARGINS, Margins, matrices_of
from zsir.extent import beyond
from zsir.linalg import alone, per_picture, ridge_inverse
from zsir.operators.base import Operator
from zsir.operators.plans import SVD, Plans
from zsir.protocols import Shape


@dataclass(frozen=True, eq=False)
class Separable(Operator):
    """Rows and columns of every channel mixed by two matrices.

    forward ``A X = M_h X M_w^T``; adjoint ``A^T Y = M_h^T Y M_w``;
    pinv ``V_h [ (U_h^T Y U_w) * s/(s^2 + ridge) ] V_w^T`` with ``s = s_h s_w^T``.

    Attributes:
        channels: Number of channels, each treated alike.
        rows: The matrix M_h, (out height, height) float64.
        columns: The matrix M_w, (out width, width) float64.
        label: Name in messages.
        margins: Rows at the top and bottom and columns at the left and right of x that lie beyond the picture's border.
            By default none.
    """

    channels: int
    rows: Tensor = field(repr=False)
    columns: Tensor = field(repr=False)
    label: str = "separable"
    margins: Margins = field(default=NO_MARGINS, repr=False)

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """(channels, columns of M_h, columns of M_w)."""
        return (self.channels, self.rows.shape[1], self.columns.shape[1])

    @property
    def out_shape(self) -> Shape:
        """(channels, rows of M_h, rows of M_w)."""
        return (self.channels, self.rows.shape[0], self.columns.shape[0])

    @cached_property
    def _matrices(self) -> Plans:
        return Plans(
            {
                "mh": self.rows.contiguous(),
                "mwt": self.columns.T.contiguous(),
                "mht": self.rows.T.contiguous(),
                "mw": self.columns.contiguous(),
            }
        )

    @cached_property
    def _factors(self) -> Plans:
        uh, sh, vht = torch.linalg.svd(self.rows, full_matrices=False)
        uw, sw, vwt = torch.linalg.svd(self.columns, full_matrices=False)
        return Plans(
            {
                "uht": uh.T.contiguous(),
                "uw": uw.contiguous(),
                "uh": uh.contiguous(),
                "uwt": uw.T.contiguous(),
                "vh": vht.T.contiguous(),
                "vwt": vwt.contiguous(),
                "vht": vht.contiguous(),
                "vw": vwt.T.contiguous(),
                "s": torch.outer(sh, sw),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """M_h X M_w^T."""
        self.check_input(x, self.in_shape)
        m = self._matrices.like(x)
        return sandwich(m["mh"], x, m["mwt"])

    def adjoint(self, y: Tensor) -> Tensor:
        """M_h^T Y M_w."""
        self.check_input(y, self.out_shape)
        m = self._matrices.like(y)
        return sandwich(m["mht"], y, m["mw"])

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """V_h [ (U_h^T Y U_w) * s/(s^2 + ridge) ] V_w^T."""
        self.check_input(y, self.out_shape)
        f = self._factors.like(y)
        coefficients = sandwich(f["uht"], y, f["uw"])
        return sandwich(f["vh"], coefficients * ridge_inverse(f["s"], per_picture(ridge, y)), f["vwt"])

    def svd(self, like: Tensor) -> SVD:
        """The decomposition in the dtype and on the device of ``like``; coefficients (channels, min, min)."""
        f = self._factors.like(like)
        return SVD(
            s=f["s"].expand(self.channels, -1, -1),
            u=lambda c: sandwich(f["uh"], c, f["uwt"]),
            ut=lambda y: sandwich(f["uht"], y, f["uw"]),
            v=lambda c: sandwich(f["vh"], c, f["vwt"]),
            vt=lambda x: sandwich(f["vht"], x, f["vw"]),
        )

    @property
    def T(self) -> Operator:
        """The same operator with both matrices transposed."""
        return Separable(self.channels, self.rows.T, self.columns.T, f"{self.label}.T")

    @property
    def matrices(self) -> tuple[Tensor, Tensor]:
        """M_h and M_w."""
        return self.rows, self.columns

    def after(self, inner: Operator) -> Operator | None:
        """Two separable operators are one, with the products of their matrices."""
        matrices = matrices_of(inner)
        if matrices is None:
            return None
        return self._times(self.matrices, matrices, f"{self.label} @ {_named(inner)}", beyond(self, inner))

    def before(self, outer: Operator) -> Operator | None:
        """Two separable operators are one."""
        matrices = matrices_of(outer)
        if matrices is None:
            return None
        return self._times(matrices, self.matrices, f"{_named(outer)} @ {self.label}", beyond(outer, self))

    def _times(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], label: str, margins: Margins) -> Separable:
        return Separable(self.channels, a[0] @ b[0], a[1] @ b[1], label, margins)


def _named(operator: Operator) -> str:
    return operator.label if isinstance(operator, Separable) else repr(operator)


def sandwich(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """``left @ x @ right`` on the trailing two dims, the cheaper product first."""
    right_first = right.shape[0] * left.shape[0] >= right.shape[1] * left.shape[1]
    return alone(lambda image: left @ (image @ right) if right_first else (left @ image) @ right, x)
