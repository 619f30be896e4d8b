"""The samplers whose law is not Gaussian: one run with recorded random numbers, repeated in numpy from the formulae."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from tests.analytic.affine import Matrix, Task, gaussian, random_covariance
from zsir import Problem, solve
from zsir.protocols import Sampler
from zsir.samplers import DPS, IRSDE, TDS, REDDiff

SIGMAS = (1.2, 0.5, 0.3, 0.15, 0.06, 0.02)
D = 6


class Recorder:
    """Random numbers that are kept."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.given: list[np.ndarray] = []

    def randn_like(self, x: torch.Tensor) -> torch.Tensor:
        draw = torch.randn(x.shape, dtype=x.dtype, generator=self.generator)
        self.given.append(draw.numpy())
        return draw


class Run:
    """A solved toy problem, and what numpy needs to repeat it: y, start, draws in order, denoiser and Jacobian."""

    def __init__(self, sampler: Sampler, noise: float = 0.1) -> None:
        numbers = np.random.default_rng(12)
        self.a, self.m, self.s = numbers.standard_normal((3, D)) / 2, numbers.uniform(0.3, 0.7, D), random_covariance(D)
        self.task, op, record = Task(self.a, self.m, self.s, noise), Matrix(self.a), Recorder()
        self.y, self.start, self.noise = numbers.uniform(0, 1, 3), numbers.uniform(0, 1, D), noise
        y, start = torch.from_numpy(self.y).view(1, *op.out_shape), torch.from_numpy(self.start).view(1, *op.in_shape)
        solution = solve(Problem(y, op, noise, start), gaussian(self.task, op.in_shape), sampler, noise=record)
        self.x, self.draws = solution.x.flatten().numpy(), iter(record.given)

    def draw(self) -> np.ndarray:
        return next(self.draws).reshape(-1)

    def jacobian(self, s: float) -> np.ndarray:
        return np.asarray(self.s @ np.linalg.inv(self.s + s**2 * np.eye(D)))

    def denoise(self, x: np.ndarray, s: float) -> np.ndarray:
        return np.asarray(self.m + self.jacobian(s) @ (x - self.m))

    def done(self) -> bool:
        return next(self.draws, None) is None


@pytest.mark.parametrize("project", [False, True], ids=["dps", "mcg"])
def test_dps_is_its_formula(project: bool) -> None:
    run = Run(DPS(6, scale=0.7, project=project, sigmas=SIGMAS))
    x = run.start + SIGMAS[0] * run.draw()
    for s, t in zip(SIGMAS, (*SIGMAS[1:], 0.0), strict=True):
        d, k = run.denoise(x, s), (t / s) ** 2
        misfit = run.y - run.a @ d
        slope = -run.jacobian(s).T @ run.a.T @ misfit / np.linalg.norm(misfit)
        x = d if t == 0 else k * x + (1 - k) * d + t * np.sqrt(1 - k) * run.draw()
        x = x - 0.35 * np.sqrt((1 + 4 * s**2) * (1 + 4 * t**2)) * slope
        if project:
            back = run.a.T @ np.linalg.inv(run.a @ run.a.T + run.noise**2 * np.eye(len(run.a)))
            x = x - back @ (run.a @ x - run.y - t * run.draw())
    assert run.done()
    assert np.abs(x - run.x).max() < 1e-10


def test_red_diff_is_its_formula() -> None:
    """Adam with 0.9 and 0.99, in [-1, 1] units: there levels and learning rate are twice as large, gradients half."""
    run = Run(REDDiff(6, lr=0.08, lam=0.4, sigmas=SIGMAS))
    mu = 2 * run.start - 1
    first = second = np.zeros(D)
    for count, s in enumerate(SIGMAS, 1):
        n, native = run.draw(), 2 * s
        x = mu + native * n
        e = (x - (2 * run.denoise((x + 1) / 2, s) - 1)) / native
        misfit = run.a.T @ (run.a @ mu - (2 * run.y - run.a @ np.ones(D)))
        slope = misfit / len(run.y) + 0.4 * native * (e - n) / D
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        mu = mu - 0.08 * (first / (1 - 0.9**count)) / (np.sqrt(second / (1 - 0.99**count)) + 1e-8)
    assert run.done()
    assert np.abs((mu + 1) / 2 - run.x).max() < 1e-7  # 1e-8 is added to the root in either unit


def normal_log(x: np.ndarray, mean: np.ndarray, variance: float) -> float:
    """Without the constant, which is the same for every mean."""
    return float(-np.square(x - mean).sum() / (2 * variance))


def chosen(weights: np.ndarray, points: np.ndarray) -> list[int]:
    """Indices whose cumulated weights first reach the points."""
    return [int(np.flatnonzero(np.cumsum(weights) >= p)[0]) for p in points]


@pytest.mark.parametrize("particles", [1, 2, 7])
def test_tds_is_its_formula(particles: int) -> None:
    """Importance weights p(x'|x) l_t(x') / (q(x'|x) l_s(x)) from the densities themselves; systematic resampling."""
    run, v, resampled = Run(TDS(6 * particles, particles=particles, variance=0.08, sigmas=SIGMAS), 0.2), 0.08, 0

    def twist(x: np.ndarray, s: float) -> tuple[float, np.ndarray]:
        """log l_s(x) and its gradient."""
        r2, misfit = s**2 * v / (s**2 + v), run.y - run.a @ run.denoise(x, s)
        solved = np.linalg.solve(r2 * run.a @ run.a.T + run.noise**2 * np.eye(3), misfit)
        return float(-0.5 * misfit @ solved), run.jacobian(s).T @ run.a.T @ solved

    def uniform() -> float:
        return 0.5 * (1 + math.erf(float(run.draw()[0]) / math.sqrt(2)))

    x = run.start + SIGMAS[0] * run.draw().reshape(particles, D)
    log_w = np.array([twist(p, SIGMAS[0])[0] for p in x])
    for s, t in itertools.pairwise(SIGMAS):
        u, w = uniform(), np.exp(log_w - log_w.max())
        w /= w.sum()
        if 1 / np.square(w).sum() < particles / 2:
            x, log_w, resampled = (
                x[chosen(w, (np.arange(particles) + u) / particles)],
                np.zeros(particles),
                resampled + 1,
            )
        k, n, new = (t / s) ** 2, run.draw().reshape(particles, D), []
        variance = t**2 * (1 - k)
        for i, p in enumerate(x):
            before, slope = twist(p, s)
            mean = k * p + (1 - k) * run.denoise(p, s)
            guided = mean + (1 - k) * s**2 * slope
            new.append(guided + np.sqrt(variance) * n[i])
            log_w[i] += normal_log(new[-1], mean, variance) - normal_log(new[-1], guided, variance)
            log_w[i] += twist(new[-1], t)[0] - before
        x = np.array(new)
    d = np.array([run.denoise(p, SIGMAS[-1]) for p in x])
    exact = np.array([-0.5 * np.square(run.y - run.a @ p).sum() / run.noise**2 for p in d])
    log_w = log_w + exact - np.array([twist(p, SIGMAS[-1])[0] for p in x])
    w = np.exp(log_w - log_w.max())
    result = d[chosen(w / w.sum(), np.array([uniform()]))[0]]
    assert run.done()
    assert resampled > 0 or particles < 7  # otherwise the resampling would not be tested
    assert np.abs(result - run.x).max() < 1e-9


def test_dispersed_irsde_is_its_formula() -> None:
    """u' = k u + (1 - k) d + sqrt(t^2 (1 - k) + (1 - k)^2 r^2) n', r^2 = s^2 n^T J n/dim."""
    run = Run(IRSDE(5, guidance="none", dispersion=True))
    k = np.arange(103)
    g = np.cos((k / 102 + 0.008) / 1.008 * np.pi / 2) ** 2
    total = np.concatenate([[0.0], np.cumsum((1 - g[1:-1] / g[0])[1:])])
    m = np.exp(np.log(0.005) * total / total[-1])[[100, 80, 60, 40, 20, 0]]
    levels = 50 / 255 * np.sqrt(1 / m**2 - 1)
    u = run.start + 50 / 255 / 0.005 * run.draw()
    for s, t in itertools.pairwise(levels):
        n, share = run.draw(), (t / s) ** 2
        r2 = s**2 * n @ run.jacobian(s) @ n / D
        spread = np.sqrt(t**2 * (1 - share) + (1 - share) ** 2 * r2)
        u = share * u + (1 - share) * run.denoise(u, s) + spread * run.draw()
    assert run.done()
    assert np.abs(u - run.x).max() < 1e-9


def test_red_diff_repeats_itself_for_one_seed_and_not_for_another() -> None:
    """Called a point estimate, it is one only up to the noise of its gradients."""
    task = Task(np.eye(2, D), np.full(D, 0.5), random_covariance(D), 0.1)
    op = Matrix(task.a)
    problem = Problem(torch.full((300, 1, 1, 2), 0.6, dtype=torch.float64), op, 0.1)
    first, again, other = (
        solve(problem, gaussian(task, op.in_shape), REDDiff(60), seed=seed).x.flatten(1).numpy() for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
