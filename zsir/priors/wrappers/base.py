"""What all wrappers of priors share: a wrapper is a prior and stands for the one inside, except in how it denoises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, cast

from torch import Tensor, nn

from zsir.capabilities import (
    Conditional,
    ToldHigher,
    condition_of,
    inflated,
    is_conditional,
    is_differentiable,
    knows_grey,
)
from zsir.errors import Incompatible, ShapeError
from zsir.names.parsed import spec_of
from zsir.protocols import Prior


@dataclass(frozen=True, eq=False, repr=False)
class Wrapper:
    """Everything but `denoise` is the inner prior's own; the repr names the wrapper's settings and the prior's spec."""

    prior: Prior

    def __repr__(self) -> str:
        settings = [f"{f.name}={getattr(self, f.name)}" for f in fields(self) if f.repr and f.name != "prior"]
        return f"{type(self).__name__}({', '.join([spec_of(self.prior) or repr(self.prior), *settings])})"

    @property
    def channels(self) -> int:
        """Channels of the pictures that the inner prior knows; 0 where any number works."""
        return self.prior.channels

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Noise levels of the inner prior, on the [0, 1] scale."""
        return self.prior.sigma_range

    @property
    def kind(self) -> Literal["denoiser", "consistency"]:
        """The inner prior's kind of estimate."""
        return self.prior.kind

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the inner prior's weights."""
        return self.prior.fingerprint

    @property
    def differentiable(self) -> bool:
        """Whether gradients flow through the inner prior."""
        return is_differentiable(self.prior)

    @property
    def knows_grey(self) -> bool:
        """Whether the inner prior, for three channels, has learned grey pictures with grey noise."""
        return knows_grey(self.prior)

    @property
    def mu(self) -> Tensor | None:
        """What the inner prior's pictures are conditioned on, of one that was trained on pairs."""
        return condition_of(self.prior)

    @property
    def conditioned_on(self) -> Callable[[Tensor], Prior]:
        """For a prior that was trained on pairs: the same wrapper around the conditioned prior.

        There is no such attribute where the inner prior has none: `zsir.capabilities.is_conditional` asks for it.
        """
        condition: Callable[[Tensor], Prior] = cast(Conditional, self.prior).conditioned_on
        return lambda mu: replace(self, prior=condition(mu))

    def inflated(self, ratio: float) -> Prior:
        """The same wrapper around the inner prior whose network is told ``ratio`` times the level."""
        return replace(self, prior=inflated(self.prior, ratio))

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,)."""
        raise NotImplementedError


def with_network(prior: Prior, change: Callable[[nn.Module], nn.Module]) -> Prior | None:
    """The prior with ``change(network)`` in the place of its network, wrappers around it kept; None if it has none.

    The network of a prior is its field ``net``, or the function of a `FunctionPrior` where that is a module.
    """
    if isinstance(prior, (Wrapper, ToldHigher)):
        inner = with_network(prior.prior, change)
        return None if inner is None else cast(Prior, replace(prior, prior=inner))
    subject: Any = prior
    for name in ("net", "function"):
        net = getattr(subject, name, None)
        if isinstance(net, nn.Module) and is_dataclass(subject):
            return cast(Prior, replace(subject, **{name: change(net)}))  # type: ignore[type-var]
    return None


def fitted(mu: Tensor, x: Tensor) -> Tensor:
    """mu (batch or 1, c, h, w), what a prior is conditioned on, for each of x; raises `ShapeError` for another size."""
    if mu.shape[1:] != x.shape[1:] or mu.shape[0] not in (1, x.shape[0]):
        raise ShapeError(
            f"The degraded picture mu has shape {tuple(mu.shape)}, the picture to denoise {tuple(x.shape)}; "
            "enlarge mu to the size of the result first."
        )
    return mu.to(x).expand_as(x)


def refuse_conditioned(wrapper: str, prior: Prior) -> None:
    """Raise `Incompatible` for a prior that compares the picture with another one of the same size and orientation."""
    if is_conditional(prior):
        raise Incompatible(
            f"{wrapper} cannot wrap {prior!r}: it looks at a second picture in the size of the first; use it unwrapped."
        )
