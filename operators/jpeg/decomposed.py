"""The weighted matrix of one unit of a JPEG file, its singular value decompositions, and the projection onto codes.

With rows of length 1 the transform T of a whole unit has orthogonal rows, and the projection onto a box of coefficients
is a closed form: clip them, and carry the change back by T^T. A unit that the picture fills in part has fewer pixels
than coefficients. There the projection is a small quadratic program, solved by ADMM in the singular basis of the unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from zsir.errors import BadSpec, ShapeError
from zsir.operators.jpeg.units import Factors, Layout, unit_matrix

Colour: TypeAlias = Literal["ycbcr", "rgb", "grey"]
Norm: TypeAlias = Literal["ycbcr", "rgb"]

#: of ADMM: over-relaxation, most steps
RELAXATION = 1.6
#: cut units that are solved at a time
CUT_TOGETHER = 32
MOST_STEPS = 1000
#: grey levels, of 255, by which the change of a unit still moves when the iteration ends
STILL = 1e-9

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


def check_parts(channels: int, colour: Colour, tables: Tensor, factors: tuple[Factors, ...]) -> None:
    """Raise `ShapeError` or `BadSpec` where tables, factors and channels do not fit a colour space."""
    components, wanted = colour_matrix(colour).shape
    if channels != wanted:
        raise ShapeError(
            f"A JPEG file of colour space {colour} holds {wanted} channels, but the picture has {channels}."
        )
    if tables.shape != (components, 8, 8) or len(factors) != components:
        raise BadSpec(
            f"A JPEG file of colour space {colour} needs {components} tables of 8x8 steps and {components} pairs of "
            f"factors, got {tuple(tables.shape)} and {len(factors)}."
        )


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
    return unit_matrix(layout, region, colours) / layout.row(region, spread)[:, None]


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


def discounted_step(found: Triple, r: Tensor, ridges: Tensor) -> Tensor:
    """``V S U^T (U S^2 U^T + diag(ridges))^-1 r`` for each unit: a ridge inverse with a ridge for every number.

    Args:
        found: Decomposition of the matrix of one unit.
        r: Misfits of the units, (units, numbers).
        ridges: Positive, in the shape of ``r``.

    Returns:
        The change of the units, (units, pixels and channels).
    """
    u, s, v = (part.to(r) for part in (found.u, found.s, found.v))
    gram = (u * s**2) @ u.T
    diagonal = gram.diagonal()
    if float((gram - diagonal.diag()).abs().max()) < 1e-6 * float(diagonal.max()):
        solved = r / (diagonal + ridges)
    else:
        pieces = zip(r.double().split(CUT_TOGETHER), ridges.double().split(CUT_TOGETHER), strict=True)
        solved = torch.cat([torch.linalg.solve(gram.double() + torch.diag_embed(d), b) for b, d in pieces]).to(r)
    return ((solved @ u) * s) @ v.T


def least_step(found: Triple, d: Tensor) -> Tensor:
    """The least change of units that changes their coefficients by d (units, numbers), or as nearly as pixels can:
    (units, pixels and channels)."""
    u, s, v = (part.to(d) for part in (found.u, found.s, found.v))
    real = s > 1e-7 * s.max()
    return (d @ u[:, real]) @ (v[:, real] / s[real]).T


def box_step(found: Triple, d: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The least change of units that brings their coefficients into a box.

    Args:
        found: Decomposition of the matrix of one unit, whose rows have length 1 in a whole unit.
        d: Coefficients of the units, (units, numbers), on the 0..255 scale.
        low: Least values, in the shape of ``d``.
        high: Greatest values.

    Returns:
        The change of the units, (units, pixels and channels). Where no picture has coefficients in the box, as the
        encoder's rounding can have it in units that are cut, a compromise that misses it by little.
    """
    u, s, v = (part.to(d) for part in (found.u, found.s, found.v))
    if len(s) == len(u) and bool((s - 1).abs().max() < 1e-6):
        return ((d.clamp(low, high) - d) @ u) @ (v / s).T
    real = s > 1e-7 * s.max()
    return _admm(u[:, real], s[real], d, low, high) @ v[:, real].T


def _admm(u: Tensor, s: Tensor, d: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """argmin ||a|| with low <= d + U diag(s) a <= high, for each unit: (units, rank)."""
    shrunk = s / (1 + s**2)
    z, w = d.clamp(low, high), torch.zeros_like(d)
    a = d.new_zeros(d.shape[0], len(s))
    for _ in range(MOST_STEPS):
        before, a = a, ((z - w - d) @ u) * shrunk
        reached = d + RELAXATION * ((a * s) @ u.T) + (1 - RELAXATION) * (z - d)
        z = (reached + w).clamp(low, high)
        w = w + reached - z
        if float((a - before).abs().max()) < STILL:
            break
    return a
