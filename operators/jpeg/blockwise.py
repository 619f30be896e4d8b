"""JPEG as a linear measurement with independent errors: colour matrix, means of the chroma, blockwise DCT, weights.

A file holds codes k, and the coefficient behind a code lies within half a step q of ``q k``. The operator divides every
coefficient by the standard deviation s of that error, so that the errors of all numbers are alike:

    A x = level diag(1/s) T M x,    y = level diag(1/s) (q k + offset) / 255,    s^2 = (q^2 + 1) / (12 255^2) + ...

M is the colour matrix, T the blockwise DCT of the planes, with means of the chroma. The 1 is the encoder's own
rounding. Noise that the picture carried before adds its variance in the coefficient. ``level`` puts the error on the
scale of the picture: it is about the rms error of the decoded file, so that ``Problem.noise_std`` means what it means
for other operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsir.errors import BadSpec, ShapeError
from zsir.linalg import ridge_inverse
from zsir.operators.base import Operator
from zsir.operators.jpeg.decomposed import Colour, Kind, Norm, colour_matrix, triple, weighted
from zsir.operators.jpeg.units import Factors, Layout, Region
from zsir.operators.plans import SVD, Plans
from zsir.protocols import Shape


@dataclass(frozen=True, eq=False)
class JpegOperator(Operator):
    """The linear part of a JPEG encoder, weighted by the errors that its quantisation makes.

    forward ``A x = level diag(1/s) T M x``; adjoint ``A^T y = M^T T^T diag(level/s) y``;
    pinv unit by unit, from the singular value decomposition of the matrix of one unit.

    Every unit of the picture (16x16 pixels for 4:2:0) goes through the same small matrix. Where the picture ends inside
    a unit, the edge is repeated as libjpeg does. Observations are the coefficients of all components, (numbers,).

    With ``norm="ycbcr"``, ``pinv`` and ``prox`` measure pictures in the colours of the file:

        prox(z, y, rho) = argmin_x 1/2 ||A x - y||^2 + rho/2 ||M (x - z)||^2
        pinv(y, ridge)  = (M^T M)^-1 A^T (A (M^T M)^-1 A^T + ridge I)^+ y

    The decomposition ``svd`` is always that of A.

    Attributes:
        in_shape: (channels, height, width) of one picture, 1 channel for grey and 3 for colour.
        tables: Quantisation steps of each component, (components, 8, 8), in natural order.
        factors: For each component how many rows and columns of the picture share one sample of it.
        colour: ``ycbcr``, ``rgb`` for components that are the colours themselves, or ``grey``.
        level: Standard deviation of the error of y, on the [0, 1] scale. By default 1.
        noise_before: Standard deviation of the noise that the picture carried before it was encoded, [0, 1] scale.
        norm: ``ycbcr`` or ``rgb``, see above.

    Raises:
        BadSpec: The tables or the factors do not fit the colour space.
        ShapeError: The picture has another number of channels than the colour space.
    """

    in_shape: Shape
    tables: Tensor = field(repr=False)
    factors: tuple[Factors, ...]
    colour: Colour = "ycbcr"
    level: float = 1.0
    noise_before: float = 0.0
    norm: Norm = "ycbcr"

    def __post_init__(self) -> None:
        components, channels = colour_matrix(self.colour).shape
        if self.in_shape[0] != channels:
            raise ShapeError(
                f"A JPEG file of colour space {self.colour} holds {channels} channels, but the picture has "
                f"{self.in_shape[0]}."
            )
        if self.tables.shape != (components, 8, 8) or len(self.factors) != components:
            raise BadSpec(
                f"A JPEG file of colour space {self.colour} needs {components} tables of 8x8 steps and {components} "
                f"pairs of factors, got {tuple(self.tables.shape)} and {len(self.factors)}."
            )

    @property
    def out_shape(self) -> tuple[int]:
        """(numbers,): the coefficients of all components, block by block."""
        return (self.layout.numbers,)

    @property
    def pictorial(self) -> bool:
        """Coefficients are no picture."""
        return False

    @property
    def own_noise(self) -> float:
        """``level``."""
        return self.level

    @cached_property
    def layout(self) -> Layout:
        """Where pixels and codes stand."""
        return Layout(self.in_shape, self.factors)

    @cached_property
    def spread(self) -> Tensor:
        """s of each component and frequency on the [0, 1] scale, (components, 64) float64."""
        shared = torch.tensor([fy * fx for fy, fx in self.factors], dtype=torch.float64)
        gains = colour_matrix(self.colour).square().sum(dim=1) / shared
        steps = self.tables.double().flatten(1)
        return ((steps**2 + 1) / (12 * 255**2) + gains[:, None] * self.noise_before**2).sqrt()

    @cached_property
    def _regions(self) -> list[Region]:
        return list(self.layout.regions())

    @cached_property
    def _kinds(self) -> list[Kind]:
        spread = self.spread.numpy().tobytes()
        return [Kind((r.down.size, r.across.size), self.factors, self.colour, spread) for r in self._regions]

    @cached_property
    def _matrices(self) -> list[Plans]:
        return [Plans({"a": self.level * weighted(kind)}) for kind in self._kinds]

    def measured(self, codes: Sequence[NDArray[np.int16]]) -> Tensor:
        """y of the codes of a file.

        Args:
            codes: The codes of each component, (rows, columns, 8, 8), without blocks beyond the picture.

        Returns:
            The observation, (1, numbers) float64.

        Raises:
            ShapeError: A component has another number of blocks than the picture needs.
        """
        found = []
        for i, (plane, grid) in enumerate(zip(codes, self.layout.grids, strict=True)):
            if plane.shape[:2] != grid:
                raise ShapeError(
                    f"Component {i} has {plane.shape[0]}x{plane.shape[1]} blocks, but a picture of "
                    f"{self.in_shape[2]}x{self.in_shape[1]} pixels has {grid[0]}x{grid[1]}."
                )
            values = torch.from_numpy(plane.astype(np.float64)).view(-1, 64) * self.tables[i].double().flatten()
            if i == 0 or self.colour == "rgb":
                values[:, 0] += 8 * 128
            found.append((values / 255 * (self.level / self.spread[i])).flatten())
        return torch.cat(found)[None]

    def forward(self, x: Tensor) -> Tensor:
        """level diag(1/s) T M x."""
        self.check_input(x, self.in_shape)
        matrices = [plans.like(x)["a"] for plans in self._matrices]
        return self._mapped(x, self.layout.pixels, [m.T for m in matrices], self.layout.set_codes, self.out_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """M^T T^T diag(level/s) y."""
        self.check_input(y, self.out_shape)
        matrices = [plans.like(y)["a"] for plans in self._matrices]
        return self._mapped(y, self.layout.codes, matrices, self.layout.set_pixels, self.in_shape)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """V [s/(s^2 + ridge)] U^T y of every unit, in the operator's norm."""
        self.check_input(y, self.out_shape)
        if isinstance(ridge, Tensor) and ridge.ndim:
            return torch.cat([self.pinv(one, float(r)) for one, r in zip(y.split(1), ridge, strict=True)])
        matrices = [self._inverse(kind, float(ridge)).to(y) for kind in self._kinds]
        return self._mapped(y, self.layout.codes, matrices, self.layout.set_pixels, self.in_shape)

    def _inverse(self, kind: Kind, ridge: float) -> Tensor:
        """The transposed ridge inverse of one unit, (numbers, channels * pixels) float64."""
        found = triple(kind, self.norm)
        return (found.u * ridge_inverse(self.level * found.s, ridge)) @ found.v.T

    def svd(self, like: Tensor) -> SVD:
        """The decomposition in the dtype and on the device of ``like``; coefficients unit by unit, (all,)."""
        triples = [triple(kind, "rgb") for kind in self._kinds]
        s = [t.s.expand(region.count, -1).flatten() for t, region in zip(triples, self._regions, strict=True)]
        u, v = ([getattr(t, name).to(like) for t in triples] for name in ("u", "v"))
        layout, sizes = self.layout, [each.numel() for each in s]

        def inside(c: Tensor, region: Region) -> Tensor:
            place = self._regions.index(region)
            return c.split(sizes)[place].view(region.count, -1)

        def put(c: Tensor, region: Region, units: Tensor) -> None:
            inside(c, region).copy_(units)

        ut, vt = [m.T for m in u], [m.T for m in v]
        return SVD(
            s=self.level * torch.cat(s).to(like),
            u=lambda c: self._mapped(c, inside, ut, layout.set_codes, self.out_shape),
            ut=lambda y: self._mapped(y, layout.codes, u, put, (sum(sizes),)),
            v=lambda c: self._mapped(c, inside, vt, layout.set_pixels, self.in_shape),
            vt=lambda x: self._mapped(x, layout.pixels, v, put, (sum(sizes),)),
        )

    def _mapped(
        self,
        a: Tensor,
        read: Callable[[Tensor, Region], Tensor],
        matrices: Sequence[Tensor],
        write: Callable[[Tensor, Region, Tensor], None],
        shape: tuple[int, ...],
    ) -> Tensor:
        """Every unit of every entry of a batch times the matrix of its kind, from the right."""
        made = a.new_empty(a.shape[0], *shape)
        for one, target in zip(a, made, strict=True):
            for region, matrix in zip(self._regions, matrices, strict=True):
                write(target, region, read(one, region) @ matrix)
        return made
