"""Exact output laws: what a sampler draws from when the prior is Gaussian, without Monte Carlo.

For ``x0 ~ N(m, S)`` and ``y = A x0 + noise n`` every sampler without norm-normalised steps is affine in the observation
and in its own random numbers. `law_of` runs the real `zsir.solve` once on a batch of unit vectors and reads off

    x = a + G y + sum_i N_i e_i,      covariance C = sum_i N_i N_i^T

One more row holds random numbers everywhere and proves that the run was affine. `compare` puts (a, G, C) beside the
exact posterior. ``PYTHONPATH=. python tests/analytic/affine.py`` prints the table of samplers/README.md (table.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from zsir import Problem, solve
from zsir.priors import Dense, Gaussian
from zsir.protocols import LinearOperator, Prior, Sampler, Shape


@dataclass(frozen=True)
class SVD:
    """The decomposition of a `Matrix`, in the form that the package's own operators give."""

    s: Tensor
    u: object
    ut: object
    v: object
    vt: object


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix (measurements, pixels) as an operator with every capability, on pictures of one row."""

    matrix: np.ndarray = field(repr=False)

    @property
    def in_shape(self) -> Shape:
        return (1, 1, self.matrix.shape[1])

    @property
    def out_shape(self) -> Shape:
        return (1, 1, self.matrix.shape[0])

    @property
    def measurements(self) -> int:
        return int(self.matrix.shape[0])

    def _of(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.matrix).to(x)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self._of(x).T

    def adjoint(self, y: Tensor) -> Tensor:
        return y @ self._of(y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        a, eye = self._of(y), torch.eye(self.measurements).to(y)
        return y @ torch.linalg.solve(a @ a.T + float(ridge) * eye, a)

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        return z + self.pinv(y - self.forward(z), rho)

    def svd(self, like: Tensor) -> SVD:
        """Full bases; as many coefficients as there are pixels, unseen ones with s = 0."""
        u, s, vt = torch.linalg.svd(self._of(like))
        missing = self.matrix.shape[1] - len(s)
        s, u = torch.nn.functional.pad(s, (0, missing)), torch.nn.functional.pad(u, (0, missing))
        return SVD(s, lambda c: c @ u.T, lambda y: y @ u, lambda c: c @ vt, lambda x: x @ vt.T)


@dataclass(frozen=True)
class Law:
    """``x = a + G y + noise``, the noise with mean 0 and covariance C, all in flattened pictures."""

    a: np.ndarray
    g: np.ndarray
    c: np.ndarray


class Unit:
    """A noise source: draw j is 0, but a unit vector in each of the rows that belong to it, and random in the last
    row. Without ``sizes`` it notes the sizes of the draws."""

    def __init__(self, first: int, sizes: list[int] | None) -> None:
        self.place, self.sizes = first, sizes
        self.seen: list[int] = []
        self.generator = np.random.default_rng(11)
        self.last: list[np.ndarray] = []

    def randn_like(self, x: Tensor) -> Tensor:
        size = x[0].numel()
        self.seen.append(size)
        flat = torch.zeros(x.shape[0], size, dtype=x.dtype)
        if self.sizes is not None:
            flat[self.place : self.place + size] = torch.eye(size, dtype=x.dtype)
            self.place += size
            self.last.append(self.generator.standard_normal(size))
            flat[-1] = torch.from_numpy(self.last[-1])
        return flat.view(x.shape)


def law_of(
    operator: LinearOperator,
    noise_std: float,
    prior: Prior,
    sampler: Sampler,
    x_init: np.ndarray | None = None,
    tolerance: float = 1e-7,
) -> Law:
    """The law of the sampler's result; ``x_init`` (pixels) where it is to begin. Raises AssertionError where the run
    was not affine to ``tolerance`` (relative)."""
    p = int(np.prod(operator.out_shape))

    def run(y: np.ndarray, source: Unit) -> np.ndarray:
        start = None
        if x_init is not None:
            start = torch.from_numpy(x_init).view(1, *operator.in_shape).expand(len(y), -1, -1, -1)
        problem = Problem(torch.from_numpy(y).view(-1, *operator.out_shape), operator, noise_std, start)
        return solve(problem, prior, sampler, noise=source).x.flatten(1).numpy()

    # a draw may depend on the batch in nothing but its first axis, so that one picture shows all sizes
    run(np.zeros((1, p)), sizes := Unit(0, None))
    total = sum(sizes.seen)
    y = np.zeros((p + total + 2, p))
    y[1 : p + 1] = np.eye(p)
    y[-1] = np.random.default_rng(7).uniform(-1, 1, p)
    x = run(y, source := Unit(p + 1, sizes.seen))
    change = (x[1:-1] - x[0]).T
    g, n = change[:, :p], change[:, p:]
    expected = x[0] + g @ y[-1] + n @ np.concatenate([*source.last, np.zeros(0)])
    error = np.abs(x[-1] - expected).max() / np.abs(x).max()
    assert error < tolerance, f"{sampler!r} is not affine: {error:.1e}"
    return Law(x[0], g, n @ n.T)


class Numbers:
    """A noise source with one generator for the whole batch: thousands of small pictures at once."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def randn_like(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, dtype=x.dtype, generator=self.generator)


@dataclass(frozen=True)
class Task:
    """A linear problem with a Gaussian prior: x0 ~ N(m, s), y = a x0 + noise n; all numpy."""

    a: np.ndarray
    m: np.ndarray
    s: np.ndarray
    noise: float

    @property
    def posterior(self) -> Law:
        """Exact: a + G y is the posterior mean, C its covariance."""
        k = np.linalg.solve(self.a @ self.s @ self.a.T + self.noise**2 * np.eye(len(self.a)), self.a @ self.s).T
        return Law(self.m - k @ self.a @ self.m, k, self.s - k @ self.a @ self.s)


@dataclass(frozen=True)
class Distance:
    """How far a law is from the posterior, in units of the posterior's standard deviation (its variance, for
    ``variance``, whose target is 1). A point estimate at the posterior mean has W2 = 1."""

    bias: float
    variance: float
    w2: float

    def __str__(self) -> str:
        return f"{self.bias:.2f} / {self.variance:.2f} / {self.w2:.2f}"


def root(c: np.ndarray) -> np.ndarray:
    """The symmetric square root."""
    values, vectors = np.linalg.eigh((c + c.T) / 2)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def bures(c: np.ndarray, v: np.ndarray) -> float:
    """tr(C + V - 2 (V^.5 C V^.5)^.5), as the smallest ||C^.5 - V^.5 O||^2, which keeps its digits where C is near V."""
    rc, rv = root(c), root(v)
    left, _, right = np.linalg.svd(rv @ rc)
    return float(np.square(rc - (left @ right).T @ rv).sum())


def compare(law: Law, task: Task) -> Distance:
    """Law against posterior, in the mean over y."""
    exact = task.posterior
    g, total = law.g - exact.g, np.trace(exact.c)
    offset = g @ task.a @ task.m + law.a - exact.a
    seen = task.a @ task.s @ task.a.T + task.noise**2 * np.eye(len(task.a))
    bias2 = float(offset @ offset + np.trace(g @ seen @ g.T))
    w2 = np.sqrt((bias2 + bures(law.c, exact.c)) / total)
    return Distance(float(np.sqrt(bias2 / total)), float(np.trace(law.c) / total), float(w2))


def ar1(n: int, std: float = 0.25, correlation: float = 0.9) -> np.ndarray:
    """Covariance of a stationary AR(1) process."""
    places = np.arange(n)
    return np.asarray(std**2 * correlation ** np.abs(places[:, None] - places))


def random_covariance(n: int, seed: int = 3) -> np.ndarray:
    """A symmetric positive definite matrix without structure, pixels with standard deviation about 1/4."""
    factor = np.random.default_rng(seed).standard_normal((n, n)) / n**0.5
    return np.asarray(0.06 * factor @ factor.T + 2e-3 * np.eye(n))


def gaussian(task: Task, shape: Shape, consistency: bool = False) -> Gaussian:
    """The task's prior as the package knows it."""
    mean = torch.from_numpy(task.m).view(shape)
    return Gaussian(Dense(torch.from_numpy(task.s)), mean, kind="consistency" if consistency else "denoiser")


def row_tasks(noise: float = 0.05) -> dict[str, Task]:
    """Four tasks on 16 pixels in a row, AR(1) with standard deviation 1/4 and correlation 0.9 around mid-grey."""
    n = 16
    eye = np.eye(n)
    matrices = {
        "SRx4": np.kron(np.eye(n // 4), np.full((1, 4), 1 / 4)),
        "blur": np.sum([np.roll(eye, k, axis=1) for k in range(-2, 3)], axis=0) / 5,
        "box": np.delete(eye, slice(4, 12), axis=0),
        "mask": eye[[0, 3, 4, 8, 9, 14]],
    }
    return {name: Task(a, np.full(n, 0.5), ar1(n), noise) for name, a in matrices.items()}


def row_law(task: Task, sampler: Sampler, consistency: bool = False) -> Law:
    """The law of a sampler on one of the `row_tasks`."""
    operator = Matrix(task.a)
    return law_of(operator, task.noise, gaussian(task, operator.in_shape, consistency), sampler)


if __name__ == "__main__":
    from tests.analytic.table import main

    main()
