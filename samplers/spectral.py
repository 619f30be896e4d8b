"""The observation in the singular basis of the operator, for methods that treat every mode by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zsir.capabilities import decompose
from zsir.problem import Problem
from zsir.samplers.chain import Chain


@dataclass(frozen=True)
class Modes:
    """``data`` = U^T y / s and ``noise`` = noise_std / s, of the modes with s > 0 (``seen``); see `modes_of`.

    ``noise`` and ``seen`` broadcast against one picture's coefficients.
    """

    data: Tensor = field(repr=False)
    noise: Tensor = field(repr=False)
    seen: Tensor = field(repr=False)
    svd: Any = field(repr=False)

    def of(self, x: Tensor) -> Tensor:
        """Coefficients V^T x."""
        coefficients: Tensor = self.svd.vt(x)
        return coefficients

    def put(self, x: Tensor, coefficients: Tensor, own: Tensor | None = None) -> Tensor:
        """The picture x with its seen modes replaced by ``coefficients``; ``own``, where known, are V^T x."""
        change = torch.where(self.seen, coefficients - (self.of(x) if own is None else own), 0.0)
        changed: Tensor = x + self.svd.v(change)
        return changed


def modes_of(problem: Problem) -> Modes:
    """What the data say of every singular mode; unseen modes have data 0 and noise 0, and `Modes.put` skips them."""
    svd = decompose(problem.operator, problem.y)
    s = svd.s if svd.s.stride(0) else svd.s[:1]  # channels that share their singular values need one copy
    # where dropping a mode costs as much as amplifying its rounding, see `zsir.linalg.ridge_inverse`
    seen = s > torch.finfo(s.dtype).eps ** 0.5 * s.max()
    inverse = torch.where(seen, 1 / torch.where(seen, s, 1.0), 0.0)
    return Modes(svd.ut(problem.y) * inverse, problem.noise_std * inverse, seen, svd)


@dataclass(frozen=True)
class ModeChain(Chain):
    """A chain that carries the observation in the singular basis, and V^T x, which saves a transform a step."""

    modes: Modes = field(repr=False, kw_only=True)
    own: Tensor = field(repr=False, kw_only=True)
