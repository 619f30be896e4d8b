"""What operators compute once: tensors in every dtype and on every device, and singular value decompositions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zsir.errors import ShapeError
from zsir.protocols import LinearOperator, Numbers


@dataclass(frozen=True)
class SVD:
    """Singular value decomposition ``A = U diag(s) V^T`` as functions on batches. U and V have orthonormal columns.

    Attributes:
        s: Singular values, in the shape of one array of coefficients.
        u: Function from coefficients to observations.
        ut: Function from observations to coefficients.
        v: Function from coefficients to pictures.
        vt: Function from pictures to coefficients.
    """

    s: Tensor
    u: Callable[[Tensor], Tensor]
    ut: Callable[[Tensor], Tensor]
    v: Callable[[Tensor], Tensor]
    vt: Callable[[Tensor], Tensor]

    @classmethod
    def of_selection(cls, operator: LinearOperator, like: Tensor) -> SVD:
        """The decomposition of an operator with ``A A^T = I``: s = 1, U = I, V = A^T.

        Args:
            operator: The operator A.
            like: A tensor that gives dtype and device.

        Returns:
            The decomposition, with coefficients in the shape of an observation.
        """
        s = torch.ones(operator.out_shape, dtype=like.dtype, device=like.device)
        return cls(s=s, u=lambda c: c, ut=lambda y: y, v=operator.adjoint, vt=operator.forward)

    def scaled(self, factor: float) -> SVD:
        """The decomposition of ``factor A``: (sign(factor) U) (|factor| S) V^T.

        Args:
            factor: Any finite number.

        Returns:
            A decomposition with singular values >= 0.
        """
        sign = math.copysign(1.0, factor)
        return replace(self, s=abs(factor) * self.s, u=lambda c: sign * self.u(c), ut=lambda y: sign * self.ut(y))


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


def check_batch(operator: object, x: Tensor, shape: Numbers) -> None:
    """Raise `ShapeError` unless x is a batch of entries of ``shape``, in floating point."""
    if x.ndim != 1 + len(shape) or tuple(x.shape[1:]) != tuple(shape):
        raise ShapeError(
            f"{operator!r} takes tensors of shape (batch, {', '.join(map(str, shape))}), got {tuple(x.shape)}."
        )
    if not x.is_floating_point():
        raise ShapeError(f"{operator!r} takes floating-point pictures in [0, 1], got {x.dtype}; divide by 255 first.")
