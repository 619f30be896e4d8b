"""Operators that stand for a process that is not linear, such as the coding of a JPEG file or noise between two blurs.

The operator is the linear part that solvers work with. What the process is beyond that stands in optional attributes:

| attribute | function | where it is missing | algebra |
|---|---|---|---|
| ``own_noise`` | `own_noise` | 0 | that of the operator that writes y |
| ``record`` | `process_of`, `recorded` | y is A x | `zsir.operators.chains` |
| ``with_noise`` | `noisy` | noise is added to y | `zsir.operators.chains` |
| ``linear`` | `linear_part` | the operator itself, or for noise the identity | `zsir.operators.chains` |
| ``project`` | `project` | x itself | none |
| ``finish`` | `finish_of` | denoising ends at the noise of y | none |
| ``expected`` | `expected_of` | the errors of y are normal: `prox` | none |
| ``metric`` | `metric_of` | pictures are as far apart as their pixels | that of A for ``c A`` |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeAlias

from torch import Tensor

from zsir.protocols import LinearOperator, NoiseSource

#: ``record`` of an operator
Process: TypeAlias = Callable[[Tensor, NoiseSource], tuple[Tensor, Tensor]]


class Records(Protocol):
    """An operator that stands for a process that is not linear, such as the quantisation of a JPEG file."""

    @property
    def own_noise(self) -> float:
        """Standard deviation, in the units of y, of the error that the process leaves in y; 0 for a linear one."""

    def record(self, x: Tensor, rng: NoiseSource) -> tuple[Tensor, Tensor]:
        """What the process makes of pictures.

        Args:
            x: Pictures, (batch, *in_shape), in [0, 1].
            rng: Where the random numbers of a noisy process come from.

        Returns:
            The observations y, (batch, *out_shape), and the pictures that a viewer sees, (batch, channels, height,
            width).
        """

    def with_noise(self, std: float) -> LinearOperator:
        """The operator of the same process whose pictures carried white noise before it began.

        Args:
            std: Standard deviation of the noise, on the [0, 1] scale.

        Returns:
            An operator whose ``own_noise`` has both parts.
        """

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The nearest pictures of which the process can have made y.

        Args:
            x: Pictures, (batch, *in_shape).
            y: Observations, (batch, *out_shape).

        Returns:
            Pictures, (batch, *in_shape).
        """


class MeasuresPictures(Protocol):
    """An operator whose pinv and prox measure pictures by ``x^T G x``, as in the colours of a JPEG file."""

    def metric(self, x: Tensor) -> Tensor:
        """G x, for a symmetric positive definite matrix G.

        Args:
            x: Pictures, (batch, *in_shape).

        Returns:
            Pictures, (batch, *in_shape).
        """


class EndsEarlier(Protocol):
    """An operator whose noise is not white in the picture, so that samplers should denoise to below its level."""

    @property
    def finish(self) -> float:
        """The last level of a ladder of noise levels where the user names none, on the [0, 1] scale."""


class Expects(Protocol):
    """An operator whose errors have another law than the normal one, such as those of quantisation."""

    @property
    def expected(self) -> Callable[[Tensor, Tensor, float | Tensor], Tensor] | None:
        """The expected pictures behind observations, what ``prox`` is for normal errors; None where that is as good.

        A function of estimates z (batch, *in_shape), of observations y (batch, *out_shape), and of rho, a number > 0 or
        one for each picture (batch,). The errors of z are taken as white in the colours of y, with the standard
        deviation ``own_noise / sqrt(rho)``. For white errors in R, G and B that is 1.5 times too much.
        """


def own_noise(operator: LinearOperator) -> float:
    """Standard deviation of the error that the process behind the operator leaves in y. See `Records`."""
    return float(getattr(operator, "own_noise", 0.0))


def process_of(operator: LinearOperator) -> Process | None:
    """The process that the operator stands for, where that is not linear, else None. See `Records.record`."""
    process: Process | None = getattr(operator, "record", None)
    return process


def recorded(operator: LinearOperator, x: Tensor, rng: NoiseSource) -> tuple[Tensor, Tensor]:
    """The observations of pictures x, with no more noise than the operator's own process, and what a viewer sees."""
    process = process_of(operator)
    if process is not None:
        return process(x, rng)
    y = operator.forward(x)
    return y, y


def noisy(operator: LinearOperator, std: float) -> tuple[LinearOperator, float]:
    """The operator, and the noise level of y, for pictures with white noise of ``std`` as they are observed.

    Noise comes before the process that the operator stands for, if it stands for one.
    """
    method: Callable[[float], LinearOperator] | None = getattr(operator, "with_noise", None)
    if method is not None:
        operator = method(std)
        return operator, own_noise(operator)
    return operator, math.hypot(std, own_noise(operator))


def takes_noise(operator: LinearOperator) -> bool:
    """Whether the operator's process knows what noise its pictures carried. See `Records.with_noise`."""
    stages: tuple[LinearOperator, ...] | None = getattr(operator, "stages", None)
    if stages is not None:
        return process_of(stages[-1]) is None or takes_noise(stages[-1])
    return callable(getattr(operator, "with_noise", None))


def linear_part(operator: LinearOperator) -> LinearOperator | None:
    """The linear part of a process as an operator of its own, without its noise; None where it has none apart."""
    part: LinearOperator | None = getattr(operator, "linear", None)
    return part


def project(operator: LinearOperator, x: Tensor, y: Tensor) -> Tensor:
    """The nearest pictures of which the operator's process can have made y; x itself where it knows none."""
    method: Callable[[Tensor, Tensor], Tensor] | None = getattr(operator, "project", None)
    return x if method is None else method(x, y)


def finish_of(operator: LinearOperator) -> float | None:
    """The last noise level of samplers for the operator; None where that follows from the noise. See `EndsEarlier`."""
    return getattr(operator, "finish", None)


def expected_of(operator: LinearOperator) -> Callable[[Tensor, Tensor, float | Tensor], Tensor] | None:
    """The expected pictures for z, y and rho, where the operator knows the law of its errors. See `Expects`."""
    return getattr(operator, "expected", None)


def metric_of(operator: LinearOperator) -> Callable[[Tensor], Tensor]:
    """x -> G x for the norm ``x^T G x`` that the operator's pinv and prox keep small; the identity for almost all."""
    method: Callable[[Tensor], Tensor] | None = getattr(operator, "metric", None)
    return (lambda x: x) if method is None else method
