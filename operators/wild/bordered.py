"""The linear stages of the pipelines that filter: correlation, Wiener ringing and the stand-in for a display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from zsir.linalg import per_picture, ridge_inverse
from zsir.operators.base import Operator
from zsir.operators.blurs.fourier import multiply, transfer
from zsir.operators.plans import Plans
from zsir.protocols import Shape

#: constant in the denominator of the pipelines' Wiener filter, and the pixels that it continues the picture by
WIENER = 0.006
WIENER_MARGIN = 20


@dataclass(frozen=True, eq=False)
class PeriodicFilter(Operator):
    """Every channel filtered by its own transfer function on a periodic grid.

    forward ``F^-1 (t F x)``; adjoint ``F^-1 (conj(t) F y)``; pinv ``F^-1 (conj(t) / (|t|^2 + ridge) F y)``.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        response: The transfer functions t of real filters, (channels or 1, height, width // 2 + 1) complex128.
        label: Name in messages.
    """

    in_shape: Shape
    response: Tensor = field(repr=False)
    label: str = "filter"

    @cached_property
    def _plans(self) -> Plans:
        size = self.response.abs()
        phase = torch.where(size > 0, self.response / torch.where(size > 0, size, 1.0), 1.0)
        return Plans({"t": self.response, "size": size, "phase": phase})

    def forward(self, x: Tensor) -> Tensor:
        """F^-1 (t F x)."""
        self.check_input(x, self.in_shape)
        return multiply(x, self._plans.like(x)["t"])

    def adjoint(self, y: Tensor) -> Tensor:
        """F^-1 (conj(t) F y)."""
        self.check_input(y, self.in_shape)
        return multiply(y, self._plans.like(y)["t"].conj())

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """F^-1 (conj(t) / (|t|^2 + ridge) F y)."""
        self.check_input(y, self.in_shape)
        plan = self._plans.like(y)
        return multiply(y, plan["phase"].conj() * ridge_inverse(plan["size"], per_picture(ridge, y)))

    @property
    def T(self) -> Operator:
        """The filter with the conjugate transfer function."""
        return PeriodicFilter(self.in_shape, self.response.conj(), f"{self.label}.T")

    def after(self, inner: Operator) -> Operator | None:
        """Two filters are one, with the product of their transfer functions."""
        if not isinstance(inner, PeriodicFilter):
            return None
        return PeriodicFilter(self.in_shape, self.response * inner.response, f"{self.label} @ {inner.label}")


@dataclass(frozen=True, eq=False)
class BorderedFilter(Operator):
    """A part of the picture, and the rest filtered after the picture was continued beyond its border.

    forward ``s x + (1 - s) C G P x``; adjoint ``s y + (1 - s) P^T G^T C^T y``, with P the continuation by ``margin``
    pixels, G a periodic filter on the larger grid and C the cut; pinv by conjugate gradients, preconditioned with the
    filter on a periodic grid.

    - Without ``wiener``, G is the correlation with the kernel.
    - With it, ``G = conj(h) / (|h|^2 + wiener)``, h the transfer function of the kernel: the deconvolution that leaves
      ringing.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        kernel: The weights, (rows, columns), both odd, centre in the middle.
        margin: Pixels that the picture is continued by on every side.
        repeat: Whether the mirrored copy repeats the edge, as in ``b a | a b c | c b``; else ``c b | a b c | b a``.
        wiener: Constant in the denominator of the deconvolution, or None for the correlation.
        share: Share s of the picture that stays as it is, 0 to 1.
        label: Name in messages.
    """

    in_shape: Shape
    kernel: Tensor = field(repr=False)
    margin: int
    repeat: bool = False
    wiener: float | None = None
    share: float = 0.0
    label: str = "filter"

    def response(self, height: int, width: int) -> Tensor:
        """Transfer function of G on a periodic grid.

        Args:
            height: Rows of the grid.
            width: Columns of the grid.

        Returns:
            (height, width // 2 + 1), complex128.
        """
        if self.wiener is None:
            return transfer(self.kernel.flip(0, 1), height, width)
        h = transfer(self.kernel, height, width)
        return h.conj() / (h.abs() ** 2 + self.wiener)

    @cached_property
    def _plans(self) -> Plans:
        _, h, w = self.in_shape
        return Plans({"g": self.response(h + 2 * self.margin, w + 2 * self.margin)})

    @cached_property
    def _sources(self) -> tuple[Tensor, Tensor]:
        return mirror(self.in_shape[1], self.margin, self.repeat), mirror(self.in_shape[2], self.margin, self.repeat)

    @property
    def twin(self) -> PeriodicFilter:
        """The same on a periodic grid: a cheap stand-in where only its statistics matter."""
        _, h, w = self.in_shape
        return PeriodicFilter(self.in_shape, (self.share + (1 - self.share) * self.response(h, w))[None], self.label)

    def forward(self, x: Tensor) -> Tensor:
        """s x + (1 - s) C G P x."""
        self.check_input(x, self.in_shape)
        (rows, columns), m = self._sources, self.margin
        padded = x[..., rows.to(x.device), :][..., columns.to(x.device)]
        _, h, w = self.in_shape
        filtered = multiply(padded, self._plans.like(x)["g"])[..., m : m + h, m : m + w]
        return filtered if self.share == 0 else self.share * x + (1 - self.share) * filtered

    def adjoint(self, y: Tensor) -> Tensor:
        """s y + (1 - s) P^T G^T C^T y."""
        self.check_input(y, self.in_shape)
        (rows, columns), m = self._sources, self.margin
        embedded = torch.nn.functional.pad(y, (m, m, m, m))
        filtered = multiply(embedded, self._plans.like(y)["g"].conj())
        _, h, w = self.in_shape
        folded = _fold(_fold(filtered, -2, rows, h), -1, columns, w)
        return folded if self.share == 0 else self.share * y + (1 - self.share) * folded

    def preconditioner(self, ridge: float | Tensor) -> Callable[[Tensor], Tensor]:
        """The ridge inverse of the same filter on a periodic grid, with a floor for what the borders disagree on."""
        power = Plans({"power": self.twin.response[0].abs() ** 2})

        def apply(r: Tensor) -> Tensor:
            p = power.like(r)["power"]
            return multiply(r, 1 / (p + ridge + 1e-2 * p.max()))

        return apply


def mirror(n: int, margin: int, repeat: bool) -> Tensor:
    """Which pixel of a line of ``n`` each of its ``n + 2 margin`` continued pixels is a copy of."""
    place = torch.arange(-margin, n + margin)
    if repeat:
        place = place % (2 * n)
        return torch.where(place < n, place, 2 * n - 1 - place)
    period = max(1, 2 * (n - 1))
    place = place % period
    return torch.where(place < n, place, period - place)


def _fold(x: Tensor, dim: int, sources: Tensor, n: int) -> Tensor:
    """Adjoint of ``x[..., sources, ...]`` along ``dim``: every copy is added to its pixel."""
    shape = list(x.shape)
    shape[dim] = n
    return x.new_zeros(shape).index_add_(dim, sources.to(x.device), x)


def correlation(in_shape: Shape, kernel: Tensor, label: str = "filter") -> BorderedFilter:
    """OpenCV's ``filter2D``: a correlation, the picture mirrored at its border without repeating the edge.

    Args:
        in_shape: (channels, height, width) of the picture.
        kernel: The weights, (rows, columns), both odd.
        label: Name in messages.

    Returns:
        The operator.
    """
    return BorderedFilter(in_shape, kernel, max(kernel.shape) // 2, label=label)


def ringing(in_shape: Shape, kernel: Tensor, share: float = 0.0) -> BorderedFilter:
    """The Wiener deconvolution by which wild-IR adds ringing to a picture that was blurred with the same kernel.

    Args:
        in_shape: (channels, height, width) of the picture.
        kernel: The weights of the blur, (rows, columns), both odd.
        share: Share of the blurred picture in the result, 0 to 1.

    Returns:
        The operator.
    """
    return BorderedFilter(in_shape, kernel, WIENER_MARGIN, True, WIENER, share, "ringing")


def behind_display(in_shape: Shape, kernels: list[Tensor], share: float) -> PeriodicFilter:
    """``share K x + (1 - share) x`` with a periodic convolution K, one kernel for each channel.

    Args:
        in_shape: (channels, height, width) of the picture.
        kernels: The weights, one (rows, columns) array for each channel.
        share: Share of the filtered picture, 0 to 1.

    Returns:
        The operator.
    """
    _, h, w = in_shape
    filtered = torch.stack([transfer(kernel, h, w) for kernel in kernels])
    return PeriodicFilter(in_shape, share * filtered + (1 - share), "display")
