"""The weighted matrix of one unit of a JPEG file and its singular value decompositions, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from zsir.operators.jpeg.units import Factors, Layout, unit_matrix

Colour: TypeAlias = Literal["ycbcr", "rgb", "grey"]
Norm: TypeAlias = Literal["ycbcr", "rgb"]

#: rows: Y, Cb, Cr of (R, G, B), without the offset of the chroma (BT.601, full range)
YCBCR = torch.tensor(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ],
    dtype=torch.float64,
)


def colour_matrix(colour: Colour) -> Tensor:
    """The matrix from channels to components, (components, channels) float64, without offsets."""
    if colour == "ycbcr":
        return YCBCR
    return torch.eye(3 if colour == "rgb" else 1, dtype=torch.float64)


@dataclass(frozen=True)
class Kind:
    """All that decides the matrix of a unit.

    Attributes:
        size: Height and width in pixels of the part of the unit that lies in the picture.
        factors: For each component how many rows and columns of the picture share one sample of it.
        colour: Colour space of the file.
        spread: The bytes of the standard deviations of the errors, (components, 64) float64.
    """

    size: tuple[int, int]
    factors: tuple[Factors, ...]
    colour: Colour
    spread: bytes

    @property
    def pixels(self) -> int:
        """Pixels of the unit."""
        return self.size[0] * self.size[1]


@dataclass(frozen=True, eq=False)
class Triple:
    """``A = U diag(s) V^T`` of one unit.

    Attributes:
        u: U, (numbers, rank or more).
        s: Singular values.
        v: V, (pixels and channels, rank or more). In the norm of the file's colours, ``M^-1 V``.
    """

    u: Tensor
    s: Tensor
    v: Tensor


@lru_cache(maxsize=64)
def weighted(kind: Kind) -> Tensor:
    """diag(1/s) T M of one unit, (numbers, channels * pixels) float64."""
    colours = colour_matrix(kind.colour)
    layout = Layout((colours.shape[1], *kind.size), kind.factors)
    (region,) = layout.regions()
    spread = torch.from_numpy(np.frombuffer(kind.spread).copy()).view(len(kind.factors), 64)
    weights = [1 / each.repeat(rows * columns) for each, (rows, columns) in zip(spread, layout.grids, strict=True)]
    return torch.cat(weights)[:, None] * unit_matrix(layout, region, colours)


@lru_cache(maxsize=64)
def triple(kind: Kind, norm: Norm) -> Triple:
    """The decomposition of `weighted` in a norm: for ``ycbcr`` that of diag(1/s) T, with M^-1 in ``v``."""
    matrix = weighted(kind)
    if norm == "rgb" or kind.colour != "ycbcr":
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
        return Triple(u.contiguous(), s, vt.T.contiguous())
    back = torch.linalg.inv(YCBCR)
    plain = torch.einsum("ncp,cd->ndp", matrix.view(-1, 3, kind.pixels), back).reshape(matrix.shape)
    u, s, vt = torch.linalg.svd(plain, full_matrices=False)
    v = torch.einsum("kdp,cd->cpk", vt.view(-1, 3, kind.pixels), back)
    return Triple(u.contiguous(), s, v.reshape(-1, s.numel()).contiguous())
