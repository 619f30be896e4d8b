"""A prior asked eight times, and a prior whose calls are counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zsir.priors.wrappers.base import Wrapper, refuse_conditioned


@dataclass(frozen=True, eq=False, repr=False)
class SelfEnsemble(Wrapper):
    """Mean over the eight flips and quarter turns g: ``1/8 sum_g g^-1 D(g x, sigma)``. Eight calls in one.

    Makes any prior equivariant: turning or flipping the noisy picture does so with the estimate.
    Source: Timofte et al. 2016 [selfensemble]

    Attributes:
        prior: The inner prior.

    Raises:
        Incompatible: The inner prior looks at a second picture.
    """

    def __post_init__(self) -> None:
        refuse_conditioned("SelfEnsemble", self.prior)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width), square or not, at noise levels sigma (batch,)."""
        total = torch.zeros_like(x)
        for turns in range(4):
            for flip in ([], [-1]):
                turned = torch.rot90(x.flip(flip), turns, (-2, -1))
                estimate = self.prior.denoise(turned, sigma)
                total = total + torch.rot90(estimate, -turns, (-2, -1)).flip(flip)
        return total / 8


@dataclass(frozen=True, eq=False, repr=False)
class Counted(Wrapper):
    """Counts the calls of a prior, and the pictures that went through it, tiles and turned copies each as one.

    Attributes:
        prior: The inner prior.
    """

    # shared by copies of this wrapper, such as conditioned and inflated ones
    _seen: Counter[str] = field(default_factory=Counter, repr=False, kw_only=True)

    @property
    def calls(self) -> int:
        """Number of calls of `denoise` so far."""
        return self._seen["calls"]

    @property
    def pictures(self) -> int:
        """Number of pictures denoised so far."""
        return self._seen["pictures"]

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,)."""
        self._seen.update(calls=1, pictures=x.shape[0])
        return self.prior.denoise(x, sigma)
