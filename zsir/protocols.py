"""The contracts between the parts. Anything with these methods works; no base class is required.

Pictures are float tensors (batch, channels, height, width) with values in [0, 1]; noise levels are standard
deviations in the same units; a noisy state is ``x = x0 + sigma n`` (variance exploding) for every prior.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

from torch import Tensor

__all__ = ["LinearOperator", "NoiseSource", "Prior", "Sampler", "State"]

#: a `zsir.Problem`, which is itself written in terms of these protocols and so cannot be imported here
Problem: TypeAlias = Any

Shape: TypeAlias = tuple[int, int, int]  # channels, height, width
Numbers: TypeAlias = tuple[int, ...]  # of an observation that is no picture


class LinearOperator(Protocol):
    """``y = A x``. Follows dtype and device of its input, takes any batch, never changes.

    ``ridge`` and ``rho`` are numbers or tensors of shape (batch,).
    """

    @property
    def in_shape(self) -> Shape:
        """Shape of one picture x."""

    @property
    def out_shape(self) -> Numbers:
        """Shape of one observation y: (channels, height, width) of a picture, or any other."""

    @property
    def measurements(self) -> int:
        """Number of numbers in y that carry information (for a mask: observed pixels times channels)."""

    def forward(self, x: Tensor) -> Tensor:
        """A x.

        Args:
            x: Pictures, (batch, *in_shape), floats.

        Returns:
            Observations, (batch, *out_shape), in the dtype and on the device of ``x``.

        Raises:
            ShapeError: ``x`` has another shape or is not of floats.
        """

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y.

        Args:
            y: Observations, (batch, *out_shape), floats.

        Returns:
            Pictures, (batch, *in_shape), in the dtype and on the device of ``y``.

        Raises:
            ShapeError: ``y`` has another shape or is not of floats.
        """

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T (A A^T + ridge I)^+ y; the pseudo-inverse where ridge is 0.

        Args:
            y: Observations, (batch, *out_shape), floats.
            ridge: A number >= 0, or one for each picture (batch,). By default 0.

        Returns:
            Pictures, (batch, *in_shape), in the dtype and on the device of ``y``.

        Raises:
            ShapeError: ``y`` has another shape or is not of floats.
            SolveError: There is no closed form, and the iteration does not converge.
        """

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - z||^2.

        Args:
            z: Pictures to stay near, (batch, *in_shape).
            y: Observations, (batch, *out_shape).
            rho: A number > 0, or one for each picture (batch,).

        Returns:
            Pictures, (batch, *in_shape), in the dtype and on the device of ``z``.

        Raises:
            ShapeError: ``z`` or ``y`` has another shape or is not of floats.
            SolveError: There is no closed form, and the iteration does not converge.
        """


class Prior(Protocol):
    """A denoiser: the only thing that a sampler knows of a network."""

    @property
    def channels(self) -> int:
        """Channels of the pictures it knows; 0 where any number works."""

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level it is made for, on the [0, 1] scale."""

    @property
    def kind(self) -> Literal["denoiser", "consistency"]:
        """``denoiser``: posterior mean of x0. ``consistency``: one plausible x0, the end of the ODE."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, or an empty string for a prior without weights."""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of ``x = x0 + sigma n``.

        Args:
            x: Noisy pictures, (batch, channels, height, width), on the [0, 1] scale.
            sigma: Noise level of each picture, (batch,), on the [0, 1] scale. At 0 the estimate is ``x``.

        Returns:
            The estimate, in the shape and dtype of ``x``.
        """


class NoiseSource(Protocol):
    """Where a sampler's random numbers come from: one generator a picture, or a recording."""

    def randn_like(self, x: Tensor) -> Tensor:
        """Standard normal numbers.

        Args:
            x: A tensor (batch, ...) whose first axis counts the pictures.

        Returns:
            The numbers in shape, dtype and on the device of ``x``.
        """


class State(Protocol):
    """What a sampler carries from step to step; samplers add fields of their own."""

    @property
    def x0(self) -> Tensor:
        """The current estimate of the clean picture; after the last step, the result."""

    @property
    def sigma(self) -> float:
        """Noise level at which the latest denoising took place."""

    @property
    def step(self) -> int:
        """Number of steps done."""


class Sampler(Protocol):
    """An algorithm: how to begin and how to take one step. The loop is `zsir.solve`.

    A class attribute ``needs`` may list what it uses of its surroundings, checked before the first step: methods of
    the operator (``"adjoint"``, ``"pinv"``, ``"prox"``, ``"svd"``), ``"gradient"`` for gradients through the prior,
    ``"noise"`` for an observation with noise_std > 0.

    A class attribute ``draws`` may say what its results are, as the table of samplers/README.md found them:
    ``"posterior"`` (draws from the posterior for a Gaussian prior, whatever the number of calls), ``"limit"`` (as calls
    grow), ``"approximate"`` (draws, but not from the posterior) or ``"estimate"`` (all nearly the same picture).
    """

    @property
    def nfe(self) -> int:
        """Calls of the prior in a whole run."""

    @property
    def steps(self) -> int:
        """Calls of `step` in a whole run."""

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> State:
        """The state before the first step.

        Args:
            problem: The observations, their operator and their noise.
            prior: The denoiser.
            rng: Where random numbers come from.

        Returns:
            The state, whose ``step`` is 0.

        Raises:
            Incompatible: The parts do not fit each other.
        """

    def step(self, problem: Problem, prior: Prior, state: Any, rng: NoiseSource) -> State:
        """The state after one more step.

        Args:
            problem: The observations, their operator and their noise.
            prior: The denoiser.
            state: What `init` or `step` of this sampler returned.
            rng: Where random numbers come from.

        Returns:
            A new state, whose ``step`` is one higher.
        """
