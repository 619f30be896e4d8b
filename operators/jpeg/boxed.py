"""The nearest pictures that have given codes, in the norm of the file's colours.

With rows of length 1 the transform T of a whole unit has orthogonal rows, and the projection onto a box of coefficients
is a closed form: clip them, and carry the change back by T^T. A unit that the picture fills in part has fewer pixels
than coefficients. There the projection is a small quadratic program, solved by ADMM in the singular basis of the unit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zsir.operators.jpeg.decomposed import Triple

RELAXATION = 1.6
MOST_STEPS = 1000
#: grey levels, of 255, by which the change of a unit still moves when the iteration ends
STILL = 1e-9


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
