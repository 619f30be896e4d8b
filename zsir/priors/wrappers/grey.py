"""Grey pictures through networks that know only colour.

Three equal channels with three equal noises are a picture that few colour networks have seen: they take noise without
colour for texture, and keep it. There are two ways out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from zsir.capabilities import knows_grey
from zsir.priors.wrappers.base import Wrapper
from zsir.protocols import Prior
from zsir.rng import PictureNoise


@dataclass(frozen=True, eq=False, repr=False)
class Grey(Wrapper):
    """A prior for one channel made of one for three.

    A network that learned grey pictures with grey noise (``knows_grey``, as `photo`) sees three equal channels. Any
    other sees the same picture under the independent noises that it knows: with w_c of variance 3 sigma^2,

        x_c = x + w_c - mean(w)        is        x0 + sqrt(3) sigma n_c

    exactly, because the mean of n_c is the noise that x has. The level is higher and the mean of the three estimates
    takes that back in part. w is drawn from the same generators in every call, so that the prior remains a function.

    Attributes:
        prior: The inner prior, for three channels.
    """

    @property
    def channels(self) -> int:
        """1: the prior knows grey pictures."""
        return 1

    @property
    def mu(self) -> Tensor | None:
        """One channel of the second picture of a conditional prior, or None."""
        inner = super().mu
        return None if inner is None else inner[:, :1]

    @property
    def conditioned_on(self) -> Callable[[Tensor], Prior]:
        """For a conditional prior: the same prior with a grey picture ``mu``."""
        condition = super().conditioned_on
        return lambda mu: condition(mu.expand(-1, 3, -1, -1))

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, 1, height, width) at noise levels sigma (batch,)."""
        wide = x.expand(-1, 3, -1, -1)
        factor = 1.0
        if not knows_grey(self.prior):
            factor = 3**0.5
            w = PictureNoise(0, [0], "grey").randn_like(wide[:1])
            wide = wide + factor * sigma.view(-1, 1, 1, 1) * (w - w.mean(1, keepdim=True))
        return self.prior.denoise(wide, factor * sigma).mean(1, keepdim=True)
