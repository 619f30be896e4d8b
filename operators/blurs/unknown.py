"""Convolution of a picture whose surroundings are unknown: the observation is the part that needs nothing else.

A camera sees more than the picture: what lies beyond the border was blurred into it. Here x is the picture with
margins as wide as the kernel reaches, and y is the valid part of k * x, which is as large as the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from zsir.capabilities import Margins
from zsir.errors import ShapeError
from zsir.operators.base import Operator
from zsir.operators.blurs.fourier import chained, multiply
from zsir.operators.blurs.lines import line_factors, valid_matrix
from zsir.operators.blurs.strips import Strips
from zsir.operators.plans import SVD, Plans
from zsir.operators.separable import Separable
from zsir.protocols import Shape

#: the smallest ridge whose inverse the arithmetic carries, as a share of the largest |K|^2
LEAST_RIDGE = {torch.float64: 1e-12, torch.float32: 1e-7}
#: relative error of the data that a result is as exact as
EXACT = {torch.float64: 1e-12, torch.float32: 2e-6}
#: the same for a stand-in that is asked for statistics
ROUGH = 1e-4
#: the same inside samplers. Their ridge at level sigma is about (noise / sigma)^2. If the noise is the rounding of an
#: 8-bit file, the error is at most half a percent of sigma, and the prior removes sigma next
ENOUGH = 1e-5
#: pixels on a side up to which a separable kernel is decomposed
LARGEST_DECOMPOSED = 1024
#: strips of so many ridges are kept
KEPT = 2


@dataclass(frozen=True, eq=False)
class ValidBlur(Operator):
    """Valid part of the convolution of every channel: no assumption on what lies beyond the picture's border.

    forward ``V (k * x)``, V the pixels that need nothing outside x; adjoint ``k~ * V^T y``, k~ the mirrored kernel;
    pinv ``A^T (A A^T + ridge)^-1 y``: for a separable kernel and a picture of at most 1024 pixels a side from two
    matrices, else by conjugate gradients on the strips around the picture, see `Strips`, where the pseudo-inverse
    (ridge 0) has the smallest ridge that the arithmetic carries.
    Source: Reeves 2005 [reeves]

    Attributes:
        in_shape: (channels, height, width) of x, the picture with its margins.
        kernel: The weights, (rows, columns) float64, centre at ``n // 2``.
        label: Name in messages.
        accuracy: pinv and prox are as exact as for data with this relative error. By default that of the dtype.
        decomposed: Pixels on a side up to which a separable kernel is decomposed. By default 1024.

    Raises:
        ShapeError: The kernel reaches as far as the picture is large.
    """

    in_shape: Shape
    kernel: Tensor = field(repr=False)
    label: str = "blur"
    accuracy: float = field(default=0.0, repr=False)
    decomposed: int = field(default=LARGEST_DECOMPOSED, repr=False)

    def __post_init__(self) -> None:
        if min(self.out_shape) < 1:
            top, bottom, left, right = self.margins
            _, h, w = self.in_shape
            raise ShapeError(
                f"{self.label}: with boundary=unknown the kernel uses up {left + right} columns and {top + bottom} "
                f"rows, and the picture has {w}x{h} pixels; take a larger picture or another boundary."
            )

    @property
    def out_shape(self) -> Shape:
        """The shape of x without its margins."""
        top, bottom, left, right = self.margins
        return (self.in_shape[0], self.in_shape[1] - top - bottom, self.in_shape[2] - left - right)

    @cached_property
    def margins(self) -> Margins:
        """Pixels of x that only the kernel reaches, at the top, bottom, left and right."""
        return reach(self.kernel)

    @property
    def twin(self) -> Operator | None:
        """The same operator with a rough inverse; None where the inverse is quick."""
        return None if self._decomposed or self.accuracy >= ROUGH else replace(self, accuracy=ROUGH)

    @cached_property
    def relaxed(self) -> ValidBlur:
        """The same operator with an inverse that is exact enough for samplers."""
        return self if self._decomposed else replace(self, accuracy=max(self.accuracy, ENOUGH))

    @property
    def matrices(self) -> tuple[Tensor, Tensor] | None:
        """The matrices for rows and columns, where the kernel is a column times a row."""
        factors = line_factors(self.kernel.double())
        if factors is None:
            return None
        top, bottom, left, right = self.margins
        (column, row), (_, h, w) = factors, self.out_shape
        return valid_matrix(h, column, top, bottom), valid_matrix(w, row, left, right)

    @property
    def svd(self) -> Callable[[Tensor], SVD] | None:
        """From the SVDs of two matrices, where the kernel is a column times a row; else None."""
        return None if self._separable is None else self._separable.svd

    @cached_property
    def _separable(self) -> Separable | None:
        matrices = self.matrices
        return None if matrices is None else Separable(self.in_shape[0], *matrices, self.label)

    @property
    def _decomposed(self) -> Separable | None:
        """The two matrices, where their decompositions take less time than the iteration."""
        return self._separable if max(self.in_shape[1:]) <= self.decomposed else None

    @cached_property
    def _grid(self) -> tuple[int, int]:
        return smooth(self.in_shape[1]), smooth(self.in_shape[2])

    @cached_property
    def _plans(self) -> Plans:
        # the block of y begins at the first pixel of the grid, as x does, so that nothing has to be shifted
        grid = torch.zeros(self._grid, dtype=torch.float64)
        top, _, left, _ = self.margins
        rows = (torch.arange(self.kernel.shape[0]) - self.kernel.shape[0] // 2 - top) % self._grid[0]
        columns = (torch.arange(self.kernel.shape[1]) - self.kernel.shape[1] // 2 - left) % self._grid[1]
        # taps of weight 0 may lie beyond the grid; where they wrap around, they add nothing
        grid.index_put_((rows[:, None], columns[None]), self.kernel.double(), accumulate=True)
        k = torch.fft.rfft2(grid)
        return Plans({"k": k, "power": k.abs() ** 2})

    @cached_property
    def _strips(self) -> dict[tuple[float, torch.dtype, torch.device], Strips]:
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """V (k * x)."""
        self.check_input(x, self.in_shape)
        _, h, w = self.out_shape
        return multiply(self._put(x), self._plans.like(x)["k"])[..., :h, :w]

    def adjoint(self, y: Tensor) -> Tensor:
        """k~ * V^T y."""
        self.check_input(y, self.out_shape)
        return self._cut(multiply(self._put(y), self._plans.like(y)["k"].conj()))

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T (A A^T + ridge)^-1 y, picture by picture."""
        self.check_input(y, self.out_shape)
        if self._decomposed is not None:
            return self._decomposed.pinv(y, ridge)
        return self._inverses(y, ridge, _norms(y))

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """z + pinv(y - A z, rho), as exact as y and z are, even if they nearly fit."""
        if self._decomposed is not None:
            return self._decomposed.prox(z, y, rho)
        return z + self._inverses(y - self.forward(z), rho, [a + b for a, b in zip(_norms(y), _norms(z), strict=True)])

    def _inverses(self, y: Tensor, ridge: float | Tensor, sizes: list[float]) -> Tensor:
        ridges = ridge.flatten().tolist() if isinstance(ridge, Tensor) else [float(ridge)]
        ridges = ridges * len(y) if len(ridges) == 1 else ridges
        each = zip(y.split(1), ridges, sizes, strict=True)
        return torch.cat([self._inverse(one, value, size) for one, value, size in each])

    def _inverse(self, y: Tensor, ridge: float, size: float) -> Tensor:
        power = self._plans.like(y.double())["power"]
        ridge = max(ridge, LEAST_RIDGE[y.dtype] * float(power.max()))
        key = (ridge, y.dtype, y.device)
        if key not in self._strips:
            while len(self._strips) >= KEPT:
                self._strips.pop(next(iter(self._strips)))
            _, h, w = self.out_shape
            self._strips[key] = Strips(power, (h, w), self._grid[1], ridge, y)
        strips = self._strips[key]
        # the inverse amplifies errors of the data by up to so much, by whatever method
        amplified = max(1.0, 0.5 / ridge**0.5)
        accuracy = max(self.accuracy, EXACT[y.dtype]) * amplified * size
        gain = self._plans.like(y)["k"].conj() * strips.inverse
        return self._cut(multiply(strips.continued(y[0], accuracy)[None], gain))

    def _put(self, x: Tensor) -> Tensor:
        """x or y in the corner of the grid, with zeros around it."""
        return torch.nn.functional.pad(x, (0, self._grid[1] - x.shape[-1], 0, self._grid[0] - x.shape[-2]))

    def _cut(self, grid: Tensor) -> Tensor:
        return grid[..., : self.in_shape[1], : self.in_shape[2]].contiguous()

    def after(self, inner: Operator) -> Operator | None:
        """Two valid convolutions are one, with the kernels convolved."""
        if not isinstance(inner, ValidBlur):
            return None
        both = ValidBlur(inner.in_shape, chained(self.kernel, inner.kernel), f"{self.label} @ {inner.label}")
        return both if both.out_shape == self.out_shape else None


def _norms(x: Tensor) -> list[float]:
    """The norm of every picture."""
    norms: list[float] = x.flatten(1).norm(dim=1, dtype=torch.float64).tolist()
    return norms


def reach(kernel: Tensor) -> Margins:
    """How many pixels beyond a picture its blur depends on, at the top, bottom, left and right.

    Args:
        kernel: The weights, (rows, columns), centre at ``n // 2``. Rows and columns of zeros around it do not count.

    Returns:
        Four numbers of pixels, not negative.
    """
    (top, bottom), (left, right) = (
        (max(0, int(used[-1]) - n // 2), max(0, n // 2 - int(used[0])))
        for n, used in ((n, (kernel != 0).any(1 - axis).nonzero().flatten()) for axis, n in enumerate(kernel.shape))
    )
    return top, bottom, left, right


def extended(shape: Shape, kernel: Tensor) -> Shape:
    """The shape of x for an observation.

    Args:
        shape: (channels, height, width) of the observation.
        kernel: The weights, (rows, columns), centre at ``n // 2``.

    Returns:
        (channels, height, width) with the margins that the kernel reaches.
    """
    top, bottom, left, right = reach(kernel)
    return (shape[0], shape[1] + top + bottom, shape[2] + left + right)


def smooth(n: int) -> int:
    """The smallest number from n on without a prime factor above 7: such transforms are fast."""
    while _without_small_factors(n) > 1:
        n += 1
    return n


def _without_small_factors(n: int) -> int:
    for factor in (2, 3, 5, 7):
        while n % factor == 0:
            n //= factor
    return n
