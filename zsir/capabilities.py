"""What parts may offer beyond their contracts, and the functions that ask for it.

`zsir.protocols` says what every operator, prior and sampler has. Everything optional stands here, each with its
meaning, with what is assumed where it is missing, and with what the operator algebra (`Scaled`, `Composed`, `Stacked`,
`Adjoint`) makes of it. No other module asks for one by its name. `zsir.processes` has those of operators that stand for
a process that is not linear, `zsir.observation_units` that of operators whose y has a unit of its own.

| part | attribute | function | where it is missing | algebra |
|---|---|---|---|---|
| operator | ``known`` | `known_numbers` | every number of y is data | below |
| operator | ``seen`` | `seen_pixels` | the operator mixes pixels | below |
| operator | ``parts`` | `separate` | y is one observation | ``Stacked`` has them |
| operator | ``twin`` | `twin_of`, `statistical_twin` | the operator itself | built of the parts' twins |
| operator | ``matrices`` | `matrices_of` | the operator is not separable | products of separable operators are one |
| operator | ``original`` | `original` | the operator itself | - |
| operator | ``pictorial`` | `makes_pictures` | y is a picture in [0, 1] | that of the operator that writes y |
| operator | ``margins`` | `margins_of`, `cut` | x is the picture | those of all operators, in pixels of x |
| prior | ``differentiable`` | `is_differentiable` | gradients flow | - |
| prior | ``knows_grey`` | `knows_grey` | learned colour only | - |
| prior | ``conditioned_on``, ``mu`` | `is_conditional`, `condition_of`, `conditioned` | unconditional | - |
| prior | ``inflated`` | `inflated` | it denoises at the level told | - |
| parametrisation | ``skip`` | `goes_over_to_x` | it does | - |
| operator's maker | ``in_shape_for`` | `shape_rule` | y has the size of x | - |
| sampler | ``needs`` | `needs_of` | needs nothing optional | - |
| sampler | ``draws`` | `draws_of` | ``"unknown"`` | - |

``known`` of the algebra: that of A for ``c A``; that of B for ``B @ A``; those of the parts, joined, for a stack; none
for an adjoint without closed form. ``seen`` of the algebra: that of A for ``c A`` with c != 0; what any part sees for a
stack whose parts all have it; none for products without closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias, cast

import torch
from torch import Tensor

from zsir.protocols import LinearOperator, Prior, Sampler, Shape

#: what a sampler may need of an operator, in words
METHODS = {
    "adjoint": "an adjoint",
    "pinv": "a pseudo-inverse (pinv)",
    "prox": "a proximal step (prox)",
    "svd": "a singular value decomposition (svd)",
}

#: pixels at the top, bottom, left and right
Margins: TypeAlias = tuple[int, int, int, int]
NO_MARGINS: Margins = (0, 0, 0, 0)

Draws = Literal["posterior", "limit", "approximate", "estimate", "unknown"]


class HidesNumbers(Protocol):
    """An operator that writes zeros where it saw nothing, as a mask does."""

    @property
    def known(self) -> Tensor | None:
        """True where a number of y is data, broadcasting to ``out_shape``; None where all are."""


class ShowsPixels(Protocol):
    """An operator whose every number is one pixel of the picture times a factor, as for a mask: A^T A is diagonal."""

    @property
    def seen(self) -> Tensor | None:
        """True where a pixel of x is shown, broadcasting to ``in_shape``; None where the operator mixes pixels."""


class HasParts(Protocol):
    """An operator whose observation is several, joined along the channels."""

    @property
    def parts(self) -> Sequence[LinearOperator]:
        """The operators of the single observations, in the order of their channels."""


class HasTwin(Protocol):
    """An operator without a closed-form inverse that knows a cheap one of the same statistics."""

    @property
    def twin(self) -> LinearOperator | None:
        """The cheap operator, of the same shapes; None where there is none."""


class MeasuresNumbers(Protocol):
    """An operator whose observations need not be pictures."""

    @property
    def pictorial(self) -> bool:
        """Whether an observation is a picture (channels, height, width) on the [0, 1] scale."""


class ReachesBeyond(Protocol):
    """An operator whose x is larger than the picture: it has pixels that lie beyond the picture's border."""

    @property
    def margins(self) -> Margins:
        """Number of those pixels at the top, bottom, left and right of x."""


class Decomposable(Protocol):
    """An operator that knows its singular value decomposition."""

    def svd(self, like: Tensor) -> Any:
        """The decomposition ``A = U diag(s) V^T``.

        Args:
            like: A tensor that gives dtype and device.

        Returns:
            A `zsir.operators.SVD`.
        """


class Conditional(Protocol):
    """A prior that was trained on pairs: it compares the picture with a second one of the same size."""

    @property
    def mu(self) -> Tensor | None:
        """The second picture (batch or 1, c, height, width), or None as long as none was given."""

    def conditioned_on(self, mu: Tensor) -> Prior:
        """The same prior with a second picture.

        Args:
            mu: The second picture, (batch or 1, channels, height, width) in [0, 1].

        Returns:
            A new prior; this one stays as it is.
        """


class Inflatable(Protocol):
    """A prior whose network can be told another noise level than the level that scales its output."""

    def inflated(self, ratio: float) -> Prior:
        """The same prior, its network told another noise level.

        Args:
            ratio: The network is told this many times the level, > 0.

        Returns:
            A new prior; this one stays as it is.
        """


def known_numbers(operator: LinearOperator) -> Tensor | None:
    """Which numbers of y are data (True), broadcasting to ``out_shape``; None where all are. See `HidesNumbers`."""
    known: Tensor | None = getattr(operator, "known", None)
    return known


def data_of(operator: LinearOperator, y: Tensor) -> Tensor:
    """y (batch, *out_shape) with zeros where the operator saw nothing: what a file holds there is no data."""
    known = known_numbers(operator)
    return y if known is None else y * known.to(y)


def seen_pixels(operator: LinearOperator) -> Tensor | None:
    """Which pixels of x are shown as they are, times a factor (True); None for all other operators. See `ShowsPixels`.

    Where it is not None, ``pinv(y)`` holds every shown pixel: exactly, or as the least-squares mean of all numbers that
    show it.
    """
    seen: Tensor | None = getattr(operator, "seen", None)
    return seen


def separate(operator: LinearOperator, y: Tensor) -> list[tuple[LinearOperator, Tensor]]:
    """The single observations that y (batch, *out_shape) joins along its channels, each with its operator."""
    parts: Sequence[LinearOperator] | None = getattr(operator, "parts", None)
    if parts is None:
        return [(operator, y)]
    pieces = y.split([part.out_shape[0] for part in parts], dim=1)
    return [pair for part, piece in zip(parts, pieces, strict=True) for pair in separate(part, piece)]


def twin_of(operator: LinearOperator) -> LinearOperator | None:
    """A cheap operator of the same shapes and statistics, where the operator knows one, else None. See `HasTwin`."""
    twin: LinearOperator | None = getattr(operator, "twin", None)
    return twin


def statistical_twin(operator: LinearOperator) -> LinearOperator:
    """`twin_of` the operator, or the operator itself."""
    twin = twin_of(operator)
    return operator if twin is None else twin


def makes_pictures(operator: LinearOperator) -> bool:
    """Whether observations are pictures on the [0, 1] scale. See `MeasuresNumbers`."""
    return bool(getattr(operator, "pictorial", True))


def margins_of(operator: LinearOperator) -> Margins:
    """Pixels of x beyond the picture's top, bottom, left and right border. See `ReachesBeyond`."""
    margins: Margins = getattr(operator, "margins", NO_MARGINS)
    return margins


def cut(operator: LinearOperator, x: Tensor) -> Tensor:
    """The picture inside x (batch, *in_shape), without what lies beyond its border."""
    top, bottom, left, right = margins_of(operator)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def matrices_of(operator: LinearOperator) -> tuple[Tensor, Tensor] | None:
    """M_h and M_w of an operator that acts as ``A X = M_h X M_w^T`` on every channel, in float64; else None."""
    matrices: tuple[Tensor, Tensor] | None = getattr(operator, "matrices", None)
    return matrices


def original(operator: LinearOperator) -> LinearOperator:
    """The operator that a counting stand-in stands for: what may be remembered of it is remembered under this."""
    found: LinearOperator = getattr(operator, "original", operator)
    return found


def offers(operator: LinearOperator, method: str) -> bool:
    """Whether the operator has ``method``, one of `METHODS`."""
    return callable(getattr(operator, method, None))


def decompose(operator: LinearOperator, like: Tensor) -> Any:
    """``operator.svd(like)``, a `zsir.operators.SVD`; only for an operator that `offers` it."""
    return cast(Any, operator).svd(like)


def is_differentiable(prior: Prior) -> bool:
    """Whether gradients flow through the prior's estimate."""
    return bool(getattr(prior, "differentiable", True))


def knows_grey(prior: Prior) -> bool:
    """Whether a prior for three channels learned grey pictures, three equal channels, with equal noise."""
    return bool(getattr(prior, "knows_grey", False))


def is_conditional(prior: Prior) -> bool:
    """Whether the prior was trained on pairs. See `Conditional`."""
    return getattr(prior, "conditioned_on", None) is not None


def condition_of(prior: Prior) -> Tensor | None:
    """The second picture of a conditional prior, or None."""
    mu: Tensor | None = getattr(prior, "mu", None)
    return mu


def conditioned(prior: Prior, mu: Tensor) -> Prior:
    """A conditional prior with the second picture ``mu`` (batch or 1, c, height, width)."""
    condition: Callable[[Tensor], Prior] = cast(Conditional, prior).conditioned_on
    return condition(mu)


def inflated(prior: Prior, ratio: float) -> Prior:
    """The same prior, whose network is told ``ratio`` times the noise level that scales its output.

    The prior itself for ratio 1. A prior without the method `Inflatable.inflated` makes no difference between the two
    levels: it denoises at ``ratio * sigma``.
    """
    if ratio == 1:
        return prior
    method = getattr(prior, "inflated", None)
    return cast(Prior, ToldHigher(prior, ratio) if method is None else method(ratio))


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


def needs_of(sampler: Sampler) -> tuple[str, ...]:
    """What the sampler uses of its surroundings: `METHODS` of the operator, ``"gradient"`` through the prior,
    ``"noise"`` for an observation with ``noise_std > 0``."""
    return tuple(getattr(sampler, "needs", ()))


def draws_of(sampler: Sampler) -> Draws:
    """What the sampler's results are; see `zsir.protocols.Sampler`."""
    found: Draws = getattr(sampler, "draws", "unknown")
    return found


def goes_over_to_x(parametrise: object) -> bool:
    """Whether the estimate of a parametrisation goes over to x as the noise level goes to 0 by its own formula; an
    attribute ``skip = False`` says that nothing in it does."""
    return bool(getattr(parametrise, "skip", True))


def shape_rule(maker: object) -> Callable[..., Shape] | None:
    """``(out_shape, options) -> in_shape`` of the function behind an operator's name, where it changes the size: its
    attribute ``in_shape_for``, else None."""
    rule: Callable[..., Shape] | None = getattr(maker, "in_shape_for", None)
    return rule


def joined(masks: Sequence[tuple[Tensor | None, Shape]]) -> Tensor | None:
    """Masks of several observations, each with its shape, joined along the channels; None where none has a mask."""
    if all(mask is None for mask, _ in masks):
        return None
    whole = [
        torch.ones(shape, dtype=torch.bool) if mask is None else mask.bool().expand(shape) for mask, shape in masks
    ]
    device = next(mask.device for mask, _ in masks if mask is not None)
    return torch.cat([mask.to(device) for mask in whole])


def passed_on(owner: LinearOperator, part: str, name: str, names: tuple[str, ...]) -> Any:
    """The attribute ``name`` of a part of ``owner``, if it is one of ``names``; raises `AttributeError`."""
    if name not in names:
        raise AttributeError(f"{type(owner).__name__} has no attribute {name}")
    return getattr(getattr(owner, part), name)
