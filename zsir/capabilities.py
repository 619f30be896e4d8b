"""Optional capabilities: what only some priors can do, with what happens for the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from torch import Tensor

    from zsir.protocols import Prior


class Inflatable(Protocol):
    """A prior whose network can be told another noise level than the level that scales its output."""

    def inflated(self, ratio: float) -> Prior:
        """The same prior, its network told ``ratio`` times the level."""


def inflated(prior: Prior, ratio: float) -> Prior:
    """The same prior, whose network is told ``ratio`` times the noise level that scales its output.

    The prior itself for ratio 1. A prior without the method `Inflatable.inflated` makes no difference between the two
    levels: it denoises at ``ratio * sigma``.
    """
    if ratio == 1:
        return prior
    method = getattr(prior, "inflated", None)
    return cast("Prior", ToldHigher(prior, ratio) if method is None else method(ratio))


@dataclass(frozen=True, eq=False)
class ToldHigher:
    """A prior that denoises at ``ratio`` times the level that it is given; everything else is the inner prior's own."""

    prior: Prior
    ratio: float

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "prior":  # asked for by copy and pickle before there is a prior
            raise AttributeError(name)
        found = getattr(self.prior, name)
        return (lambda mu: replace(self, prior=found(mu))) if name == "conditioned_on" else found

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width), as the inner prior makes it at ``ratio * sigma``."""
        return self.prior.denoise(x, self.ratio * sigma)
