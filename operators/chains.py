"""Chains of stages, ``blur:sigma=1.2 | noise:std=0.01 | sr2x | jpeg:q=60``, read from left to right.

The linear part is the product of the stages, in closed form where the algebra knows one. A stage that is more than
linear (noise, the coding of a JPEG file) adds to the noise of the observation: white noise n_j of standard deviation
sigma_j that enters before the stages B_j reaches the observation as B_j n_j. It is taken as white there, with the mean
variance ``sigma_j^2 ||B_j||_F^2 / m``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, cast

import torch
from torch import Tensor

from zsir import capabilities as may
from zsir.errors import BadSpec, ShapeError
from zsir.names.parsed import Parsed
from zsir.names.registry import Option
from zsir.operators.base import Composed, Operator
from zsir.operators.mask import Identity
from zsir.operators.plans import SVD
from zsir.processes import linear_part, noisy, own_noise, process_of, recorded, takes_noise
from zsir.protocols import NoiseSource, Numbers, Shape
from zsir.rng import generator


@dataclass(frozen=True, eq=False)
class Noise(Operator):
    """White Gaussian noise as a stage: the linear part is the identity.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        std: Standard deviation of the noise, on the [0, 1] scale.
    """

    in_shape: Shape
    std: float

    @property
    def own_noise(self) -> float:
        """The standard deviation of the noise."""
        return self.std

    def record(self, x: Tensor, rng: NoiseSource) -> tuple[Tensor, Tensor]:
        """x + std n, twice: as the observation and as what a viewer sees.

        Args:
            x: Pictures, (batch, *in_shape).
            rng: Where n comes from.

        Returns:
            The noisy pictures, and the same again.
        """
        y = x + self.std * rng.randn_like(x)
        return y, y

    def with_noise(self, std: float) -> Noise:
        """The stage with more noise.

        Args:
            std: Standard deviation of the noise to add.

        Returns:
            A stage whose variance is the sum of both.
        """
        return replace(self, std=math.hypot(self.std, std))

    def forward(self, x: Tensor) -> Tensor:
        """x."""
        self.check_input(x, self.in_shape)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """y."""
        return self.forward(y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """y / (1 + ridge)."""
        return Identity(self.in_shape).pinv(y, ridge)

    def svd(self, like: Tensor) -> SVD:
        """The trivial decomposition: U = V = I, s = 1."""
        return Identity(self.in_shape).svd(like)


@dataclass(frozen=True, eq=False)
class StageChain(Operator):
    """Stages of which at least one is more than linear; as an operator, the product of their linear parts.

    Noise right before a last stage such as ``jpeg``, which knows what noise its pictures carried, becomes a part of it.

    Attributes:
        stages: The operators in the order in which they act.

    Raises:
        ShapeError: A stage that is more than linear, and not the last, changes the size of pictures.
    """

    stages: tuple[Operator, ...]
    linear: Operator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for stage in self.stages[:-1]:
            if process_of(stage) is not None and stage.in_shape != _seen_shape(stage):
                raise ShapeError(f"{stage!r} cannot stand before another stage: it changes the size of pictures.")
        object.__setattr__(self, "stages", _folded(self.stages))
        object.__setattr__(self, "linear", _whole(self.stages))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("linear", "stages"):  # asked for by copy and pickle before there are any
            raise AttributeError(name)
        if name in ("project", "finish", "expected") and any(
            process_of(stage) is not None for stage in self.stages[:-1]
        ):
            raise AttributeError(name)  # the last stage knows nothing of the errors that came before it
        return getattr(self.linear, name)

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the pictures of the first stage."""
        return self.stages[0].in_shape

    @property
    def out_shape(self) -> Numbers:
        """Shape of the observations of the last stage."""
        return self.linear.out_shape

    @property
    def measurements(self) -> int:
        """The measurements of the product."""
        return self.linear.measurements

    @property
    def seen(self) -> Tensor | None:
        """The pixels that the product shows."""
        return may.seen_pixels(self.linear)

    @property
    def twin(self) -> Operator | None:
        """The twin of the product."""
        return cast("Operator | None", may.twin_of(self.linear))

    @cached_property
    def own_noise(self) -> float:
        """Root of the mean variance of all the noise that the stages leave in the observation."""
        parts = [own_noise(self.stages[-1])]
        for place, stage in enumerate(self.stages[:-1]):
            if std := own_noise(stage):
                parts.append(std * _gain(_whole(self.stages[place + 1 :])))
        return math.hypot(*parts)

    def record(self, x: Tensor, rng: NoiseSource) -> tuple[Tensor, Tensor]:
        """Every stage as it really acts, one after the other.

        Args:
            x: Pictures, (batch, *in_shape), in [0, 1].
            rng: Where the noise of the stages comes from.

        Returns:
            The observations y, (batch, *out_shape), and the pictures that a viewer sees.
        """
        y = seen = x
        for stage in self.stages:
            y, seen = recorded(stage, seen, rng)
        return y, seen

    def with_noise(self, std: float) -> StageChain:
        """The chain with more noise, before the last stage if that is a process of its own, and after it if not.

        Args:
            std: Standard deviation of the noise to add.

        Returns:
            A chain whose own noise has both parts.
        """
        *others, last = self.stages
        if process_of(last) is None:
            return StageChain((*self.stages, Noise(cast(Shape, last.out_shape), std)))
        return StageChain((*others, cast(Operator, noisy(last, std)[0])))

    def forward(self, x: Tensor) -> Tensor:
        """The linear part of all stages."""
        return self.linear.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The adjoint of the linear part."""
        return self.linear.adjoint(y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """The inverse of the linear part."""
        return self.linear.pinv(y, ridge)

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """The proximal step of the linear part."""
        return self.linear.prox(z, y, rho)

    def preconditioner(self, ridge: float | Tensor) -> Callable[[Tensor], Tensor]:
        """That of the linear part."""
        return self.linear.preconditioner(ridge)


def chain(in_shape: Shape, stages: tuple[Parsed, ...]) -> Operator:
    """The operator of a chain of specs, for pictures of one shape.

    Args:
        in_shape: (channels, height, width) of the picture.
        stages: The specs, in the order in which they act.

    Returns:
        The product of the stages; a `StageChain` where one of them is more than linear.

    Raises:
        BadSpec: A stage is no operator.
        ShapeError: A stage does not fit what the stage before it makes.
    """
    built: list[Operator] = []
    shape: Numbers = in_shape
    for number, stage in enumerate(stages, 1):
        try:
            made = cast(Operator, stage.build(tuple(shape)))
        except ShapeError as error:
            raise ShapeError(f"Stage {number} of the chain, {stage.spec}: {error}") from None
        if number < len(stages) and not may.makes_pictures(made) and process_of(made) is None:
            raise BadSpec(f"{stage.spec} makes numbers and no picture, so it must be the last stage of a chain.")
        built.append(made)
        shape = _seen_shape(made)
    if all(process_of(stage) is None for stage in built):
        return _product(built)
    whole = StageChain(tuple(built))
    return whole.stages[0] if len(whole.stages) == 1 else whole


def noise_stage(
    in_shape: Shape, std: Annotated[float, Option("standard deviation of the noise", "[0, 1]")] = 0.02
) -> Noise:
    """White Gaussian noise between two stages of a chain.

    forward ``A x = x``; the noise is added where an observation is made, and counts where one is restored.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The stage.

    Raises:
        BadSpec: An option lies outside its range.
    """
    if not 0 < std <= 1:
        raise BadSpec(f"noise:std={std:g} must lie in (0, 1], as in noise:std=0.02.")
    return Noise(in_shape, std)


def _product(stages: list[Operator]) -> Operator:
    """The product of linear stages, the first of which acts first."""
    whole = stages[0]
    for stage in stages[1:]:
        whole = stage @ whole
    return whole


def _whole(stages: tuple[Operator, ...]) -> Operator:
    """The linear part of stages; a last stage that is a process of its own keeps what it knows of its observation."""
    *others, last = stages
    if not others:
        return last
    before = _product([_linear(stage) for stage in others])
    if process_of(last) is None:
        return last @ before
    if isinstance(last, Noise):
        return before
    if isinstance(before, Identity):
        return last
    part = linear_part(last)
    if part is not None:
        return cast(Operator, part) @ before
    return last.after(before) or Composed(last, before)


def _linear(stage: Operator) -> Operator:
    """The linear part of a stage that is followed by others: of a process that knows no other, the identity."""
    if process_of(stage) is None:
        return stage
    part = linear_part(stage)
    return Identity(stage.in_shape) if part is None else cast(Operator, part)


def _folded(stages: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """The stages with noise right before a last stage that takes noise before its process as its own."""
    *others, last = stages
    while others and isinstance(others[-1], Noise) and not isinstance(last, StageChain) and takes_noise(last):
        last = cast(Operator, noisy(last, own_noise(others.pop()))[0])
    return (*others, last)


def _seen_shape(stage: Operator) -> Numbers:
    """The shape of what a viewer sees of a stage's observation: a process that is no picture shows one of its x."""
    return stage.out_shape if may.makes_pictures(stage) or process_of(stage) is None else stage.in_shape


def _gain(operator: Operator) -> float:
    """``||A||_F / sqrt(m)``: how much of white noise is left in an observation, from one random field."""
    field = torch.randn(1, *operator.in_shape, generator=generator(0, 0, "gain"), dtype=torch.float64)
    return math.sqrt(float(operator.forward(field).square().sum()) / max(1, operator.measurements))
