"""A Gaussian mixture with correlated, unequal components: prior, exact posterior, distances between sets of samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tests.analytic.affine import ar1, root

N_SLICES = 64


@dataclass(frozen=True, eq=False)
class FullMixture:
    """The prior ``sum_k w_k N(m_k, S_k)`` on pictures of one row, as numpy knows it and as a denoiser."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    channels: int = 1
    sigma_range: tuple[float, float] = (0.0, float("inf"))
    kind: Literal["denoiser", "consistency"] = "denoiser"
    fingerprint: str = field(default="", repr=False)

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(torch.from_numpy(self.covariances))
        return values, vectors

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """sum_k r_k [m_k + S_k (S_k + s^2 I)^-1 (x - m_k)], r_k ~ w_k N(x; m_k, S_k + s^2 I); one level for all."""
        values, vectors = self._eigen  # (k, d), (k, d, d)
        variance = values + float(sigma[0]) ** 2
        centred = x.flatten(1)[None] - torch.from_numpy(self.means)[:, None]  # (k, batch, d)
        modes = centred @ vectors
        log = -0.5 * (modes.square() / variance[:, None]).sum(2) - 0.5 * variance.log().sum(1)[:, None]
        r = (log + torch.from_numpy(self.weights).log()[:, None]).softmax(0)
        inner = (modes * (values / variance)[:, None]) @ vectors.mT + torch.from_numpy(self.means)[:, None]
        return (r[:, :, None] * inner).sum(0).view(x.shape)

    def sample(self, n: int, numbers: np.random.Generator) -> np.ndarray:
        """(n, d) draws."""
        chosen = numbers.choice(len(self.weights), n, p=self.weights)
        roots = np.array([root(c) for c in self.covariances])
        white = numbers.standard_normal((n, self.means.shape[1]))
        return np.asarray(self.means[chosen] + np.einsum("nij,nj->ni", roots[chosen], white))

    def posterior(self, a: np.ndarray, y: np.ndarray, noise: float) -> FullMixture:
        """The exact posterior given ``y = a x + noise n``: a mixture again."""
        log, means, covariances = [], [], []
        for w, m, s in zip(self.weights, self.means, self.covariances, strict=True):
            total = a @ s @ a.T + noise**2 * np.eye(len(a))
            misfit = y - a @ m
            log.append(np.log(w) - 0.5 * misfit @ np.linalg.solve(total, misfit) - 0.5 * np.linalg.slogdet(total)[1])
            precision = np.linalg.inv(s) + a.T @ a / noise**2
            covariances.append(np.linalg.inv(precision))
            means.append(covariances[-1] @ (np.linalg.solve(s, m) + a.T @ y / noise**2))
        weights = np.exp(np.array(log) - max(log))
        return FullMixture(weights / weights.sum(), np.array(means), np.array(covariances))

    def shares(self, x: np.ndarray) -> np.ndarray:
        """Share of the samples (n, d) that belongs to each component, each to its likeliest one."""
        log = []
        for w, m, s in zip(self.weights, self.means, self.covariances, strict=True):
            modes = np.linalg.solve(np.linalg.cholesky(s), (x - m).T)
            log.append(np.log(w + 1e-300) - 0.5 * np.square(modes).sum(0) - 0.5 * np.linalg.slogdet(s)[1])
        return np.bincount(np.argmax(log, 0), minlength=len(self.weights)) / len(x)


def example(d: int = 8, seed: int = 1) -> FullMixture:
    """Four components: AR(1) of different width and correlation, one of them without structure, unequal weights."""
    numbers = np.random.default_rng(seed)
    shapes = [ar1(d, 0.05, 0.9), ar1(d, 0.12, 0.5), ar1(d, 0.08, -0.6)]
    factor = numbers.standard_normal((d, d)) / d**0.5
    shapes.append(0.08**2 * factor @ factor.T + 1e-3 * np.eye(d))
    return FullMixture(np.array([0.4, 0.3, 0.2, 0.1]), numbers.uniform(0.0, 1.0, (4, d)), np.array(shapes))


def sliced_distance(x: np.ndarray, z: np.ndarray) -> float:
    """Sliced Wasserstein-1 between two sets of as many samples, along fixed directions."""
    directions = np.random.default_rng(0).standard_normal((x.shape[1], N_SLICES))
    directions /= np.linalg.norm(directions, axis=0)
    return float(np.abs(np.sort(x @ directions, axis=0) - np.sort(z @ directions, axis=0)).mean())
