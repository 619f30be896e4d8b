"""Priors whose denoiser has a closed form: the oracles of the test suite, and honest classical baselines.

For ``x0 ~ N(m, C)`` and ``x = x0 + sigma n``:

    posterior mean        D(x, sigma) = m + C (C + sigma^2 I)^-1 (x - m)
    consistency function  f(x, sigma) = m + C^1/2 (C + sigma^2 I)^-1/2 (x - m)     (end of the probability-flow ODE)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal, Protocol, cast

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option

Filter = Callable[[Tensor], Tensor]  # eigenvalues of C -> gains


class Covariance(Protocol):
    """A covariance matrix that can apply functions of itself."""

    def filter(self, x: Tensor, gain: Filter) -> Tensor:
        """``Q gain(L) Q^T x`` for ``C = Q L Q^T``.

        Args:
            x: Pictures, (batch, channels, height, width).
            gain: Function from eigenvalues of C to gains. It may give one gain for each picture, (batch, 1, 1, ...).

        Returns:
            The filtered pictures, in the shape of ``x``.
        """


@dataclass(frozen=True, eq=False)
class Dense:
    """Any covariance: a symmetric positive semi-definite matrix (n, n) over the flattened picture.

    Attributes:
        matrix: The covariance, symmetric and positive semi-definite, (n, n) for pictures of n numbers.
    """

    matrix: Tensor = field(repr=False)

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self.matrix.double())
        return values.clamp_min(0), vectors

    def filter(self, x: Tensor, gain: Filter) -> Tensor:
        """Q gain(L) Q^T x."""
        values, vectors = (t.to(x) for t in self._eigen)
        coefficients = (x.flatten(1) @ vectors)[:, None, None]  # (batch, 1, 1, n)
        return ((coefficients * gain(values))[:, 0, 0] @ vectors.T).view_as(x)


@dataclass(frozen=True, eq=False)
class Stationary:
    """Independent channels, each a periodic stationary field of power spectrum ~ ``1 / (1 + (|k|/k0)^2)^(slope/2)``.

    ``k`` counts periods per picture side, k0 is one. The mean of the spectrum over all frequencies is std^2. Works for
    every size.

    Attributes:
        std: Standard deviation of a pixel, on the [0, 1] scale.
        slope: Decay of the power spectrum; 2.7 fits photographs of some hundred pixels.
    """

    std: float
    slope: float

    def spectrum(self, like: Tensor) -> Tensor:
        """The power spectrum, which holds the eigenvalues of the covariance.

        Args:
            like: Pictures, (batch, channels, height, width), that give size, dtype and device.

        Returns:
            The eigenvalues, (height, width // 2 + 1).
        """
        h, w = like.shape[-2:]
        options = {"dtype": torch.float64, "device": like.device}
        rows = torch.fft.fftfreq(h, 1 / h, **options)[:, None]
        columns = torch.fft.fftfreq(w, 1 / w, **options)
        power = (1 + rows**2 + columns**2) ** (-self.slope / 2)
        values: Tensor = (self.std**2 * power / power.mean())[:, : w // 2 + 1].to(like.dtype)
        return values

    def filter(self, x: Tensor, gain: Filter) -> Tensor:
        """F^-1 gain(L) F x."""
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * gain(self.spectrum(x)), s=x.shape[-2:])
        return filtered


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The prior ``N(mean, covariance)``, as denoiser or as consistency function (see the module's formulas).

    Attributes:
        covariance: The covariance C, a `Dense` or `Stationary` one or anything else with ``filter``.
        mean: The mean m: a number, or a picture that broadcasts, on the [0, 1] scale. By default 0.5.
        kind: ``denoiser`` (the default) or ``consistency``.
        channels: Number of channels; by default 0, any number.
        sigma_range: Smallest and largest noise level; by default all levels.
        fingerprint: Empty: there are no weights.
    """

    covariance: Covariance
    mean: float | Tensor = field(default=0.5, repr=False)
    kind: Literal["denoiser", "consistency"] = "denoiser"
    channels: int = 0
    sigma_range: tuple[float, float] = (0.0, float("inf"))
    fingerprint: str = field(default="", repr=False)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x, sigma) or f(x, sigma); x (batch, channels, height, width), sigma (batch,)."""
        variance = (sigma**2).view(-1, 1, 1, 1).to(x)
        power = 1.0 if self.kind == "denoiser" else 0.5

        def gain(eigenvalues: Tensor) -> Tensor:
            total = (eigenvalues + variance).clamp_min(torch.finfo(x.dtype).tiny)
            return (eigenvalues / total) ** power

        mean = self.mean.to(x) if isinstance(self.mean, Tensor) else self.mean
        return mean + self.covariance.filter(x - mean, gain)


@dataclass(frozen=True, eq=False)
class Mixture:
    """The prior ``sum_k weights[k] N(means[k], stds[k]^2 I)``.

    ``D(x, s) = sum_k r_k [ m_k + s_k^2/(s_k^2 + s^2) (x - m_k) ]`` with the responsibilities
    ``r_k ~ w_k N(x; m_k, (s_k^2 + s^2) I)``.

    Attributes:
        weights: Weights of the components, (k,), > 0.
        means: Means, (k, ...), each broadcasting against one picture (channels, height, width).
        stds: Standard deviations, (k,), on the [0, 1] scale.
        channels: Number of channels; by default 0, any number.
        sigma_range: Smallest and largest noise level; by default all levels.
        kind: ``denoiser``.
        fingerprint: Empty: there are no weights.
    """

    weights: Tensor = field(repr=False)
    means: Tensor = field(repr=False)
    stds: Tensor = field(repr=False)
    channels: int = 0
    sigma_range: tuple[float, float] = (0.0, float("inf"))
    kind: Literal["denoiser", "consistency"] = "denoiser"
    fingerprint: str = field(default="", repr=False)

    def responsibilities(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Posterior probabilities of the components.

        Args:
            x: Noisy pictures, (batch, channels, height, width).
            sigma: Noise level of each picture, (batch,).

        Returns:
            The probabilities, (batch, k); each row adds up to 1.
        """
        variance = self.stds.to(x) ** 2 + sigma.to(x)[:, None] ** 2  # (batch, k)
        distance = (x[:, None] - self.means.to(x)).flatten(2).square().sum(2)
        n = x[0].numel()
        log = self.weights.to(x).log() - 0.5 * n * variance.log() - 0.5 * distance / variance
        return log.softmax(dim=1)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x, sigma); x (batch, channels, height, width), sigma (batch,)."""
        r = self.responsibilities(x, sigma)
        inner = self.stds.to(x) ** 2
        shrink = inner / (inner + sigma.to(x)[:, None] ** 2)
        weight, shrink = (t[:, :, None, None, None] for t in (r, shrink))
        means = self.means.to(x)
        return (weight * (means + shrink * (x[:, None] - means))).sum(1)


def power_law(
    std: Annotated[float, Option("standard deviation of a pixel", "[0, 1]")] = 0.25,
    slope: Annotated[float, Option("decay of the power spectrum; 2.7 fits photographs of some hundred pixels")] = 2.7,
    mean: Annotated[float, Option("mean grey", "[0, 1]")] = 0.5,
    kind: Annotated[str, Option("what an estimate is", choices=("denoiser", "consistency"))] = "denoiser",
) -> Gaussian:
    """Stationary Gaussian field with a 1/f spectrum: with it a sampler is a Wiener filter, exactly.

    D(x, s) = m + C (C + s^2 I)^-1 (x - m); kind=consistency: m + C^1/2 (C + s^2 I)^-1/2 (x - m).

    Returns:
        The prior, for pictures of any size and number of channels.

    Raises:
        BadSpec: An option lies outside its range.
    """
    if std <= 0 or not 0 <= slope <= 20:
        raise BadSpec(f"gaussian:std={std:g},slope={slope:g}: std must be positive, such as 0.25, slope lie in 0..20.")
    if kind not in ("denoiser", "consistency"):
        raise BadSpec(f"gaussian:kind={kind}: choose denoiser or consistency.")
    return Gaussian(Stationary(std, slope), mean, cast(Literal["denoiser", "consistency"], kind))


def flat_mixture(
    levels: Annotated[int, Option("number of grey levels, evenly spaced from 0 to 1")] = 5,
    std: Annotated[float, Option("standard deviation around each level", "[0, 1]")] = 0.05,
) -> Mixture:
    """Mixture of flat pictures with white texture, equally likely.

    D(x, s) = sum_k r_k [ m_k + s_k^2/(s_k^2 + s^2) (x - m_k) ].

    Returns:
        The prior, for pictures of any size and number of channels.

    Raises:
        BadSpec: An option lies outside its range.
    """
    if levels < 1 or std <= 0:
        raise BadSpec(f"mixture:levels={levels},std={std:g}: levels must be at least 1 and std positive.")
    means = torch.linspace(0, 1, levels, dtype=torch.float64).view(-1, 1, 1, 1)
    return Mixture(torch.full((levels,), 1 / levels), means, torch.full((levels,), std))
