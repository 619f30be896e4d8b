"""Any linear map, given as a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsir.errors import BadInput, ShapeError
from zsir.linalg import norm2, per_picture, ridge_inverse
from zsir.operators.base import Operator
from zsir.operators.plans import SVD, Plans
from zsir.protocols import Numbers, Shape


@dataclass(frozen=True, eq=False)
class Matrix(Operator):
    """y = A x for a dense matrix and the picture as one column, channel by channel and row by row.

    forward ``A vec(x)``; adjoint ``A^T y``; pinv ``V S / (S^2 + ridge) U^T y`` with ``A = U S V^T``.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        matrix: The matrix A, (numbers of y, numbers of x), float64.
        observed_shape: Shape of one observation.
        of_pictures: Whether an observation is a picture on the [0, 1] scale.
    """

    in_shape: Shape
    matrix: Tensor = field(repr=False)
    observed_shape: Numbers
    of_pictures: bool = False

    @property
    def out_shape(self) -> Numbers:
        """Shape of one observation."""
        return self.observed_shape

    @property
    def pictorial(self) -> bool:
        """As stated."""
        return self.of_pictures

    @cached_property
    def unit(self) -> float:
        """The largest singular value, unless observations are pictures. See `zsir.observation_units`."""
        return 1.0 if self.pictorial else float(self._factors.like(self.matrix.double())["s"].max()) or 1.0

    @cached_property
    def _dense(self) -> Plans:
        return Plans({"a": self.matrix.double()})

    @cached_property
    def _factors(self) -> Plans:
        u, s, vt = torch.linalg.svd(self.matrix.double(), full_matrices=False)
        return Plans({"u": u, "s": s, "vt": vt})

    def forward(self, x: Tensor) -> Tensor:
        """A vec(x)."""
        self.check_input(x, self.in_shape)
        return rows(self._dense.like(x)["a"], x).view(len(x), *self.out_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        self.check_input(y, self.out_shape)
        return rows(self._dense.like(y)["a"].T, y).view(len(y), *self.in_shape)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """V S / (S^2 + ridge) U^T y."""
        self.check_input(y, self.out_shape)
        f = self._factors.like(y)
        c = rows(f["u"].T, y)
        return rows(f["vt"].T, c * ridge_inverse(f["s"], per_picture(ridge, c))).view(len(y), *self.in_shape)

    def svd(self, like: Tensor) -> SVD:
        """The decomposition of A; coefficients (min(numbers of x, numbers of y),)."""
        f = self._factors.like(like)
        return SVD(
            s=f["s"],
            u=lambda c: rows(f["u"], c).view(len(c), *self.out_shape),
            ut=lambda y: rows(f["u"].T, y),
            v=lambda c: rows(f["vt"].T, c).view(len(c), *self.in_shape),
            vt=lambda x: rows(f["vt"], x),
        )


@dataclass(frozen=True, eq=False)
class SparseMatrix(Operator):
    """y = A x for a sparse matrix and the picture as one column, channel by channel and row by row.

    forward ``A vec(x)``; adjoint ``A^T y``; pinv by conjugate gradients.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        matrix: The matrix A, (numbers of y, numbers of x), a sparse tensor.
        observed_shape: Shape of one observation.
        of_pictures: Whether an observation is a picture on the [0, 1] scale.
    """

    in_shape: Shape
    matrix: Tensor = field(repr=False)
    observed_shape: Numbers
    of_pictures: bool = False

    @property
    def out_shape(self) -> Numbers:
        """Shape of one observation."""
        return self.observed_shape

    @property
    def pictorial(self) -> bool:
        """As stated."""
        return self.of_pictures

    @cached_property
    def unit(self) -> float:
        """The largest singular value, unless observations are pictures. See `zsir.observation_units`."""
        return 1.0 if self.pictorial else norm2(self, torch.zeros((), dtype=torch.float64)) ** 0.5

    @cached_property
    def _entries(self) -> tuple[Tensor, Plans]:
        """The places (2, number) and values of what is not 0."""
        a = self.matrix.double().to_sparse_coo().coalesce()
        return a.indices(), Plans({"values": a.values()})

    def _product(self, x: Tensor, transposed: bool, shape: Numbers) -> Tensor:
        """Summed entry by entry: torch's own sparse products take a detour that warns of its beta state."""
        places, plans = self._entries
        into, out_of = places.to(x.device).flip(0) if transposed else places.to(x.device)
        values = plans.like(x)["values"]
        results = [
            torch.zeros(math.prod(shape), dtype=x.dtype, device=x.device).index_add(0, into, values * one[out_of])
            for one in x.flatten(1)
        ]
        return torch.stack(results).view(len(x), *shape)

    def forward(self, x: Tensor) -> Tensor:
        """A vec(x)."""
        self.check_input(x, self.in_shape)
        return self._product(x, False, self.out_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        self.check_input(y, self.out_shape)
        return self._product(y, True, self.in_shape)


def rows(a: Tensor, x: Tensor) -> Tensor:
    """``a`` (m, n) applied to every entry of a batch of n numbers each: (batch, m).

    One product for each entry: the rounding of a larger product depends on the size of the batch.
    """
    return torch.stack([a @ one for one in x.flatten(1)])


def from_matrix(
    matrix: Any,
    in_shape: Shape,
    *,
    out_shape: Sequence[int] | None = None,
    pictorial: bool = False,
) -> Matrix | SparseMatrix:
    """An operator from a matrix of your own: compressed sensing, a measured transfer matrix, a small tomograph.

    A dense matrix is decomposed once, on first use, so that pinv, prox and SVD are exact. A sparse one is inverted by
    conjugate gradients.

    Args:
        matrix: (numbers of y, numbers of x), a tensor, a NumPy array, a sparse tensor or a SciPy sparse matrix. A
            picture is one column: channel by channel, row by row, as ``x.flatten()`` has it.
        in_shape: (channels, height, width) of the picture.
        out_shape: Shape of one observation, of as many numbers as the matrix has rows. By default (rows,).
        pictorial: Whether observations are pictures (channels, height, width) on the [0, 1] scale. By default False:
            they may have any values.

    Returns:
        The operator.

    Raises:
        BadInput: The matrix is none, or holds values that are not finite or not real.
        ShapeError: The matrix does not fit the shapes, or ``out_shape`` is no shape.

    >>> from_matrix(torch.ones(2, 12), (3, 2, 2)).out_shape
    (2,)
    """
    a = _tensor_of(matrix)
    n = math.prod(in_shape)
    if a.ndim != 2 or a.shape[1] != n or not a.shape[0]:
        raise ShapeError(
            f"from_matrix: the matrix has shape {tuple(a.shape)}, but a picture of shape {tuple(in_shape)} has {n} "
            f"numbers; give a matrix of {n} columns."
        )
    shape = (a.shape[0],) if out_shape is None else observed_shape("from_matrix", out_shape)
    if math.prod(shape) != a.shape[0]:
        raise ShapeError(f"from_matrix: out_shape={shape} does not have the {a.shape[0]} numbers of the matrix's rows.")
    need_picture("from_matrix", shape, pictorial)
    sparse = a.layout != torch.strided
    values = a.to_sparse_coo().coalesce().values() if sparse else a
    if a.is_complex() or not bool(torch.isfinite(values).all()):
        raise BadInput("from_matrix: the matrix must hold finite real numbers; split complex ones into two rows each.")
    kind = SparseMatrix if sparse else Matrix
    return kind((in_shape[0], in_shape[1], in_shape[2]), a.detach(), shape, pictorial)


def observed_shape(name: str, out_shape: Sequence[int]) -> Numbers:
    """The shape of one observation as stated; raises `ShapeError` where it has no side, or a side without numbers."""
    shape = tuple(int(side) for side in out_shape)
    if not shape or min(shape) < 1:
        raise ShapeError(
            f"{name}: out_shape={shape} needs at least one side, each of 1 or more; write (1,) for a single number."
        )
    return shape


def need_picture(name: str, out_shape: Numbers, pictorial: bool) -> None:
    """Refuse pictures that have no channels, height and width; raises `ShapeError`."""
    if pictorial and len(out_shape) != 3:
        raise ShapeError(
            f"{name}: pictorial=True needs out_shape=(channels, height, width), not {out_shape}; leave pictorial out "
            "for observations that are no pictures."
        )


def _tensor_of(matrix: Any) -> Tensor:
    """A tensor of whatever holds a matrix. SciPy's sparse ones are known by their method: SciPy is no dependency."""
    if isinstance(matrix, Tensor):
        return matrix
    if hasattr(matrix, "tocoo"):
        coo = matrix.tocoo()
        places = torch.stack([torch.as_tensor(coo.row).long(), torch.as_tensor(coo.col).long()])
        values = torch.as_tensor(coo.data)
        return torch.sparse_coo_tensor(places, values, tuple(coo.shape), check_invariants=True).coalesce()
    try:
        # a copy in order: torch takes no arrays that run backwards
        return torch.as_tensor(np.ascontiguousarray(matrix))
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"from_matrix: {type(matrix).__name__} holds no numbers in rows and columns ({error}); give a tensor, a "
            "NumPy array or a sparse matrix."
        ) from None
