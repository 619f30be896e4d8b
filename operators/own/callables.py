"""Any linear map, given as a function and its adjoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from zsir.errors import BadInput, Incompatible, ShapeError, ZsirError
from zsir.linalg import norm2
from zsir.operators.base import Operator
from zsir.operators.own.matrix import need_picture, observed_shape
from zsir.protocols import Numbers, Shape
from zsir.rng import generator

Map: TypeAlias = Callable[[Tensor], Tensor]

#: what the check at construction allows, relative
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}


@dataclass(frozen=True, eq=False)
class Functions(Operator):
    """y = A x by two functions; see `from_functions`.

    forward and adjoint are the functions; pinv by conjugate gradients.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        observed_shape: Shape of one observation.
        act: The function of A.
        back: The function of A^T.
        of_pictures: Whether an observation is a picture on the [0, 1] scale.
        dtype: Arithmetic that both functions know.
        label: Name in messages.
    """

    in_shape: Shape
    observed_shape: Numbers
    act: Map = field(repr=False)
    back: Map = field(repr=False)
    of_pictures: bool = False
    dtype: torch.dtype = torch.float64
    label: str = "from functions"

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
        return 1.0 if self.pictorial else norm2(self, torch.zeros((), dtype=self.dtype)) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        """A x by the function."""
        self.check_input(x, self.in_shape)
        return self._checked(self.act(x.to(self._known(x))), (len(x), *self.out_shape), "forward", "out_shape").to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y by the function."""
        self.check_input(y, self.out_shape)
        return self._checked(self.back(y.to(self._known(y))), (len(y), *self.in_shape), "adjoint", "in_shape").to(y)

    def _known(self, x: Tensor) -> torch.dtype:
        """The arithmetic of the functions: float32 alone, or whatever they are given."""
        return x.dtype if self.dtype == torch.float64 else self.dtype

    def _checked(self, result: Tensor, wanted: tuple[int, ...], name: str, shape: str) -> Tensor:
        if not isinstance(result, Tensor) or tuple(result.shape) != wanted:
            got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ShapeError(
                f"from_functions: the function {name} returned {got} for a batch of {wanted[0]}, but {shape} says "
                f"{wanted}; it takes and returns a batch (batch, ...) of tensors."
            )
        if result.is_complex():
            raise BadInput(
                f"from_functions: the function {name} returned complex numbers, of which the imaginary part would be "
                "lost; return the real and the imaginary part as numbers of their own, as by torch.view_as_real."
            )
        return result


@dataclass(frozen=True)
class Transposed:
    """The adjoint of a linear function by automatic differentiation: the gradient of <A x, y> in x is A^T y."""

    act: Map
    in_shape: Shape

    def __call__(self, y: Tensor) -> Tensor:
        """A^T y for y (batch, ...)."""
        with torch.enable_grad():
            x = torch.zeros(len(y), *self.in_shape, dtype=y.dtype, device=y.device, requires_grad=True)
            ax = self.act(x)
            if not ax.requires_grad:
                raise Incompatible(
                    "from_functions: the function forward has no gradients (does it leave torch, or run under no_grad?)"
                    "; pass its adjoint."
                )
            # a graph where samplers differentiate through A^T as well
            (result,) = torch.autograd.grad(ax, x, y, create_graph=y.requires_grad)
        return result


def from_functions(
    forward: Map,
    adjoint: Map | None = None,
    *,
    in_shape: Shape,
    out_shape: Sequence[int],
    pictorial: bool = False,
    dtype: torch.dtype = torch.float64,
    label: str = "from functions",
) -> Functions:
    """An operator from functions of your own: a tomograph, a coded aperture, a Fourier sampler.

    Both functions take a batch and return a batch. Without ``adjoint``, automatic differentiation of ``forward`` makes
    it; a hand-written adjoint is faster. The functions are tried on random numbers at once: forward must be linear, and
    the adjoint must be its adjoint, ``<A x, y> = <x, A^T y>``.

    Args:
        forward: From pictures (batch, *in_shape) to observations (batch, *out_shape), linear. It follows the dtype and
            device of its input.
        adjoint: From observations to pictures. By default it is derived from ``forward``.
        in_shape: (channels, height, width) of the picture.
        out_shape: Shape of one observation; any.
        pictorial: Whether observations are pictures (channels, height, width) on the [0, 1] scale. By default False:
            they may have any values.
        dtype: Arithmetic of the trial, `torch.float64` (the default), or `torch.float32` for functions that know no
            other. Conjugate gradients run in float64.
        label: Name in messages. By default ``from functions``.

    Returns:
        The operator.

    Raises:
        BadInput: ``forward`` is not linear, ``adjoint`` is not its adjoint, or a function fails or is complex.
        Incompatible: There is no ``adjoint``, and ``forward`` cannot be differentiated.
        ShapeError: A function returns another shape.

    >>> total = from_functions(lambda x: x.sum((1, 2, 3))[:, None], in_shape=(1, 4, 4), out_shape=(1,))
    >>> total.adjoint(torch.ones(1, 1)).shape
    torch.Size([1, 1, 4, 4])
    """
    shape = (in_shape[0], in_shape[1], in_shape[2])
    observed = observed_shape("from_functions", out_shape)
    need_picture("from_functions", observed, pictorial)
    back = Transposed(forward, shape) if adjoint is None else adjoint
    operator = Functions(shape, observed, forward, back, pictorial, dtype, label)
    _try(operator, dtype)
    return operator


def _try(operator: Functions, dtype: torch.dtype) -> None:
    """Refuse functions that are not linear or not adjoint to each other."""
    draw = generator(0, 0, "testing")
    x, z = torch.randn(2, 2, *operator.in_shape, generator=draw, dtype=torch.float64).to(dtype)
    y = torch.randn(2, *operator.out_shape, generator=draw, dtype=torch.float64).to(dtype)
    try:
        ax, az, both = (operator.forward(t) for t in (x, z, 2.5 * x - z))
        aty = operator.adjoint(y)
    except ZsirError:
        raise
    except Exception as error:  # whatever a user's function may raise
        what = " ".join(str(error).split())[:200].rstrip(". ")
        raise BadInput(
            f"from_functions: a function failed on a random batch of 2 in {dtype} ({type(error).__name__}: {what}); it "
            "must take floats of that dtype (choose with dtype=...) and any batch."
        ) from error
    tolerance = TOLERANCE[dtype]
    bent = float((both - 2.5 * ax + az).double().norm() / (ax.double().norm() + az.double().norm()).clamp_min(1e-300))
    if not bent <= tolerance:
        raise BadInput(
            f"from_functions: forward is not linear: A(2.5 x - z) differs from 2.5 A x - A z by {bent:.1e} of their "
            "size; leave out offsets, clipping and rounding (subtract a constant part from y)."
        )
    left, right = float((ax * y).double().sum()), float((x * aty).double().sum())
    size = float(ax.double().norm() * y.double().norm() + x.double().norm() * aty.double().norm())
    if not abs(left - right) <= tolerance * max(size, 1e-300):
        raise BadInput(
            f"from_functions: adjoint is not the adjoint of forward: <A x, y> = {left:.6g}, but <x, A^T y> = "
            f"{right:.6g}; leave adjoint out to have it derived."
        )
    alone = float((operator.forward(x[1:]) - ax[1:]).double().norm() / ax.double().norm().clamp_min(1e-300))
    if not alone <= tolerance:
        raise BadInput("from_functions: forward mixes the pictures of a batch; it must treat each alone.")
