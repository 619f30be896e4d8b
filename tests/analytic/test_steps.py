"""Whole runs of the samplers against the formulae of their docstrings, in dense linear algebra that shares no code.

The prior is Gaussian, so that the denoiser is a matrix; random numbers are recorded while the sampler runs and fed to
the formulae. Every picture has 42 pixels, every run three levels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from zsir import Problem, operators, samplers, solve
from zsir.linalg import norm2
from zsir.loop.solver import Event
from zsir.priors import Dense, Gaussian
from zsir.samplers import CM4IR

SHAPE, N = (1, 6, 7), 42
NOISE = 0.05
LEVELS = (0.6, 0.3, 0.1)
STEPS = tuple(itertools.pairwise((*LEVELS, 0.0)))
Array = np.ndarray
Steps = tuple[tuple[float, float], ...]


@dataclass
class Dense42:
    """The task as matrices: operator ``a``, covariance ``c``, data, initial picture, and the numbers drawn."""

    a: Array
    c: Array
    y: Array
    x_init: Array
    norm: float  # the package's own ||A||^2 by power iteration, see `test_norm_is_a_close_upper_bound`
    draws: Iterator[Array] = field(default_factory=lambda: iter(()))

    def n(self) -> Array:
        return next(self.draws)

    def j(self, s: float) -> Array:
        return self.c @ np.linalg.inv(self.c + s**2 * np.eye(N))

    def d(self, x: Array, s: float) -> Array:
        return 0.5 + self.j(s) @ (x - 0.5)

    def prox(self, z: Array, y: Array, rho: float) -> Array:
        return np.linalg.solve(self.a.T @ self.a + rho * np.eye(N), self.a.T @ y + rho * z)

    def inverse(self, ridge: float) -> Array:
        """A^T (A A^T + ridge)^-1."""
        return self.a.T @ np.linalg.inv(self.a @ self.a.T + ridge * np.eye(len(self.a)))


class Draws:
    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(5)
        self.given: list[Array] = []

    def randn_like(self, x: torch.Tensor) -> torch.Tensor:
        draw = torch.randn(x.shape, dtype=x.dtype, generator=self.generator)
        self.given.append(draw.flatten().numpy())
        return draw


def run(sampler: str, spec: str, watch: Callable[[Event], None] = lambda event: None) -> tuple[Array, Dense42]:
    """The sampler's result, and all that its formulae need."""
    op = operators.make(spec, in_shape=SHAPE)
    a = op.forward(torch.eye(N, dtype=torch.float64).view(N, *SHAPE)).reshape(N, -1).T.numpy()
    numbers = np.random.default_rng(3)
    root = numbers.standard_normal((N, N)) / N**0.5
    c = 0.05 * root @ root.T + 1e-3 * np.eye(N)
    truth, x_init = numbers.random(N), numbers.random(N)
    y = a @ truth + NOISE * numbers.standard_normal(len(a)) * (np.abs(a).sum(1) > 0)
    picture = torch.from_numpy(y).view(1, *op.out_shape)
    problem = Problem(picture, op, NOISE, torch.from_numpy(x_init).view(1, *SHAPE))
    prior, draws = Gaussian(Dense(torch.from_numpy(c)), 0.5), Draws()
    x = solve(problem, prior, samplers.make(sampler), noise=draws, callbacks=[watch]).x.flatten().numpy()
    task = Dense42(a, c, y, x_init, norm2(op, picture), iter(draws.given))
    return x, task


def ancestral(task: Dense42, x: Array, x0: Array, s: float, t: float) -> Array:
    if t == 0:
        return x0
    k = t**2 / s**2
    return k * x + (1 - k) * x0 + t * math.sqrt(1 - k) * task.n()


def begin(task: Dense42) -> Array:
    return task.x_init + LEVELS[0] * task.n()


# --- ordinary diffusion models ---------------------------------------------------------------------------------------


def ddnm(task: Dense42) -> Array:
    x, eta = begin(task), 0.6
    for s, t in STEPS:
        d = task.d(x, s)
        x0 = d - task.inverse(NOISE**2) @ (task.a @ d - task.y)
        x = x0 + t * (math.sqrt(1 - eta**2) * (x - d) / s + eta * task.n()) if t else x0
    return x


def modes(task: Dense42) -> tuple[Array, Array, Array, Array]:
    """V, seen modes, data and noise of every mode."""
    u, s, vt = np.linalg.svd(task.a, full_matrices=True)
    s = np.concatenate([s, np.zeros(N - len(s))])
    seen = s > 1e-8 * s.max()
    uty = np.concatenate([u.T @ task.y, np.zeros(N - len(task.y))])
    inverse = np.where(seen, 1 / np.where(seen, s, 1), 0)
    return vt.T, seen, uty * inverse, NOISE * inverse


def ddrm(task: Dense42) -> Array:
    v, seen, data, r = modes(task)
    eta, eta_b, n = 0.6, 0.8, task.n()
    free = v.T @ (task.x_init + LEVELS[0] * n)
    start = data + np.sqrt(np.maximum(LEVELS[0] ** 2 - r**2, 0)) * (v.T @ n)
    x = v @ np.where(seen & (r < LEVELS[0]), start, free)
    for s, t in STEPS:
        d, n = task.d(x, s), task.n()
        di, ni, ei = v.T @ d, v.T @ n, v.T @ (x - d) / s
        keep = math.sqrt(1 - eta**2)
        unseen = di + t * (keep * ei + eta * ni)
        noisy = di + t * (keep * (data - di) / np.where(seen, r, 1) + eta * ni)
        clear = (1 - eta_b) * di + eta_b * data + np.sqrt(np.maximum(t**2 - eta_b**2 * r**2, 0)) * ni
        x = v @ np.where(~seen, unseen, np.where(t < r, noisy, clear))
    return x


def ddnm_plus(task: Dense42) -> Array:
    x, eta = begin(task), 0.6
    v, seen, data, r = modes(task)
    for s, t in STEPS:
        d, n = task.d(x, s), task.n()
        di, ni, ei = v.T @ d, v.T @ n, v.T @ (x - d) / s
        keep = math.sqrt(1 - eta**2)
        unseen = di + t * (keep * ei + eta * ni)
        noisy = di + t * keep / np.where(seen, r, 1) * (data - di)
        x = v @ np.where(
            ~seen, unseen, np.where(t >= r, data + np.sqrt(np.maximum(t**2 - r**2, 0)) * ni, noisy + t * eta * ni)
        )
        x0 = v @ np.where(~seen, di, np.where(t >= r, data, noisy))
    return x0


def ddpg(task: Dense42) -> Array:
    x, gamma, zeta = begin(task), 2.0, 0.3
    for s, t in STEPS:
        d = task.d(x, s)
        abar_s, abar_t = 1 / (1 + 4 * s**2), 1 / (1 + 4 * t**2)
        delta, mu = abar_t**gamma, (1 - abar_t) / (1 - abar_s)
        misfit = task.a @ d - task.y
        back = task.inverse(max(1e-4, 0.7 * 4 * NOISE**2)) @ misfit
        x0 = d - mu * ((1 - delta) * back + delta * task.a.T @ misfit)
        if t:
            x = x0 + t * (math.sqrt(zeta) * task.n() + math.sqrt(1 - zeta) * delta * (x - x0) / s)
    return d


def diffpir(task: Dense42) -> Array:
    x, zeta, lam = begin(task), 0.3, 2.0
    for s, t in STEPS:
        d = task.d(x, s)
        if t:
            x0 = task.prox(d, task.y, lam * NOISE**2 / s**2)
            x = x0 + t * (math.sqrt(1 - zeta) * (x - x0) / s + math.sqrt(zeta) * task.n())
    return d


def injected(update: str) -> Callable[[Dense42], Array]:
    """The data steps differ; the levels are those of CM4IR's rule, which is tested by itself."""

    def formula(task: Dense42) -> Array:
        n, eta = task.n(), 0.3
        s, t = (LEVELS_OF_RULE[k] for k in (0, 1))
        x = task.x_init + s * n
        d = task.d(x, 1.5 * s)
        if update == "ddnm":
            x0 = d - task.inverse(NOISE**2) @ (task.a @ d - task.y)
        elif update == "diffpir":
            x0 = task.prox(d, task.y, 0.23 * NOISE**2 / s**2)
        else:
            v, seen, data, r = modes(task)
            trust = np.where(seen, np.minimum(1, s / np.where(seen & (r > 0), r, 1e-9)), 0)
            x0 = d + v @ (trust * (data - v.T @ d))
        x = x0 + t * (eta * task.n() + math.sqrt(1 - eta**2) * (d - x) / s)
        return task.d(x, 1.5 * t)

    return formula


#: filled by the test: the levels that the rule of CM4IR gives for its task
LEVELS_OF_RULE: list[float] = []


# --- gradients through the prior -------------------------------------------------------------------------------------


def dps(task: Dense42) -> Array:
    x, scale = begin(task), 0.7
    for s, t in STEPS:
        d = task.d(x, s)
        misfit = task.a @ d - task.y
        slope = task.j(s).T @ task.a.T @ misfit / np.linalg.norm(misfit)
        c = scale / 2 * math.sqrt((1 + 4 * s**2) * (1 + 4 * t**2))
        x = ancestral(task, x, d, s, t) - c * slope
    return x


def pigdm(task: Dense42) -> Array:
    x, v = begin(task), 0.06
    for s, t in STEPS:
        d, r2 = task.d(x, s), s**2 * v / (s**2 + v)
        total = r2 * task.a @ task.a.T + NOISE**2 * np.eye(len(task.a))
        x0 = d + s**2 * task.j(s).T @ task.a.T @ np.linalg.solve(total, task.y - task.a @ d)
        x = ancestral(task, x, x0, s, t)
    return x


def root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def mmps(matched: bool) -> Callable[[Dense42], Array]:
    def formula(task: Dense42) -> Array:
        x = begin(task)
        for s, t in STEPS:
            d, c, y = task.d(x, s), s**2 * task.j(s), task.y
            if matched:
                d = d + root(c) @ task.n()
                y = y - NOISE * task.n()
            total = task.a @ c @ task.a.T + NOISE**2 * np.eye(len(task.a))
            x0 = d + c @ task.a.T @ np.linalg.solve(total, y - task.a @ d)
            x = ancestral(task, x, x0, s, t)
        return x

    return formula


def tds(
    task: Dense42,
    p: int = 2,
    means: list[Array] | None = None,
    resampled: list[bool] | None = None,
    steps: Steps = STEPS,
) -> Array:
    """One particle of the last swarm; ``means`` collects the weighted means, which show the weights themselves."""
    v = 0.0625
    x = task.x_init + LEVELS[0] * task.n().reshape(p, N)

    def look(x: Array, s: float) -> tuple[Array, Array, Array]:
        r2 = s**2 * v / (s**2 + v)
        total = np.linalg.inv(r2 * task.a @ task.a.T + NOISE**2 * np.eye(len(task.a)))
        d = np.stack([task.d(one, s) for one in x])
        misfit = task.y - d @ task.a.T
        return d, misfit @ total @ task.a @ task.j(s), -0.5 * np.einsum("pi,ij,pj->p", misfit, total, misfit)

    def share(log: Array) -> Array:
        weights = np.exp(log - log.max())
        return weights / weights.sum()

    d, pull, log_l = look(x, LEVELS[0])
    log_w = log_l
    for s, t in steps:
        uniform = 0.5 * (1 + math.erf(float(task.n()[0]) / math.sqrt(2)))
        if t == 0:
            exact = -0.5 * ((task.y - d @ task.a.T) ** 2).sum(1) / NOISE**2
            w = share(log_w + exact - log_l)
            return d[int(np.searchsorted(w.cumsum(), uniform))]
        w = share(log_w)
        poor = bool(1 / (w**2).sum() < p / 2)
        if resampled is not None:
            resampled.append(poor)
        if poor:
            chosen = np.searchsorted(w.cumsum(), (np.arange(p) + uniform) / p)
            x, d, pull, log_l, log_w = x[chosen], d[chosen], pull[chosen], log_l[chosen], np.zeros(p)
        k = t**2 / s**2
        var, n = t**2 * (1 - k), task.n().reshape(p, N)
        mean = k * x + (1 - k) * d
        centre = mean + (1 - k) * s**2 * pull
        x = centre + math.sqrt(var) * n
        repay = (-((x - mean) ** 2).sum(1) + ((x - centre) ** 2).sum(1)) / (2 * var)
        new_d, pull, new_l = look(x, t)
        d, log_w, log_l = new_d, log_w + repay + new_l - log_l, new_l
        if means is not None:
            means.append(share(log_w) @ d)
    raise AssertionError


# --- splitting, annealing, variational -------------------------------------------------------------------------------


def karras(n: int, first: float, last: float) -> Array:
    return np.linspace(first ** (1 / 7), last ** (1 / 7), n) ** 7


def daps(task: Dense42) -> Array:
    outer, ratio = [*karras(3, 50, 0.01), 0.0], 0.7
    x = task.x_init + 50 * task.n()
    for s, t in itertools.pairwise(outer):
        for a, b in itertools.pairwise([*karras(2, s, min(0.005, s / 2)), 0.0]):
            x0 = task.d(x, a)
            x = x0 + b / a * (x - x0)
        y = task.y + NOISE * task.n()
        x0 = task.prox(x + ratio * s * task.n(), y, NOISE**2 / (ratio * s) ** 2)
        x = x0 + t * task.n() if t else x0
    return x


def gibbs(covariance: bool) -> Callable[[Dense42], Array]:
    def formula(task: Dense42) -> Array:
        x = task.x_init
        for k in range(3):
            rho = max(0.35, 0.4 * 0.9**k)
            y = task.y + NOISE * task.n()
            x = task.prox(x + rho * task.n(), y, NOISE**2 / rho**2)
            if covariance:
                x = task.d(x, rho) + rho * root(task.j(rho)) @ task.n()
            else:
                for s, t in ((rho, rho / 8), (rho / 8, 0.0)):
                    x = ancestral(task, x, task.d(x, s), s, t)
        return x

    return formula


def red_diff(task: Dense42) -> Array:
    mu, first, second = task.x_init, np.zeros(N), np.zeros(N)
    for k, (s, _) in enumerate(STEPS, 1):
        n = task.n()
        x = mu + s * n
        e = (x - task.d(x, s)) / s
        slope = 2 * task.a.T @ (task.a @ mu - task.y) / np.linalg.matrix_rank(task.a) + 0.25 * 2 * s * (e - n) / N
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        mu = mu - 0.05 * first / (1 - 0.9**k) / (np.sqrt(second / (1 - 0.99**k)) + 1e-8)
    return mu


DPIR = np.geomspace(49 / 255, NOISE, 3)  # for operators that keep the size; x2 has the same, as 2/255 < NOISE


def pgd(task: Dense42) -> Array:
    x = task.x_init
    for m in DPIR:
        x = task.d(x - task.a.T @ (task.a @ x - task.y) / task.norm, m)
    return x


def admm(task: Dense42) -> Array:
    x, u = task.x_init, np.zeros(N)
    for m in DPIR:
        v = task.prox(x - u, task.y, 0.23 * NOISE**2 / m**2)
        x = task.d(v + u, m)
        u = u + v - x
    return x


def red(task: Dense42) -> Array:
    x = task.x_init
    for m in DPIR:
        rho = 0.23 * NOISE**2 / m**2
        x = x - (task.a.T @ (task.a @ x - task.y) + rho * (x - task.d(x, m))) / (task.norm + rho)
    return x


def rdmd(task: Dense42) -> Array:
    z, x, tau, lam, zeta = task.x_init, begin(task), 0.3, 20.0, 0.3
    for k, ((s, t), m) in enumerate(zip(STEPS, DPIR, strict=True)):
        # quarter turns of the picture, which is not square: the covariance meets another order of pixels
        view = np.rot90(z.reshape(SHAPE[1:]), k)
        u = np.rot90(task.d(view.flatten(), m).reshape(view.shape), -k).flatten()
        x0 = task.d(x, s)
        if t == 0:
            return x0
        steady, rising = 0.23 * (1 - tau) * NOISE**2 / m**2, lam * tau * NOISE**2 / (4 * s**2)
        left = task.a.T @ task.a + (steady + rising) * np.eye(N)
        z = np.linalg.solve(left, task.a.T @ task.y + steady * u + rising * x0)
        x = z + t * (math.sqrt(1 - zeta) * (x - z) / s + math.sqrt(zeta) * task.n())
    raise AssertionError


def irsde(mode: str) -> Callable[[Dense42], Array]:
    """In the coordinates of x, mu + m (u - mu), in which the method was published."""

    def formula(task: Dense42) -> Array:
        count, lam, eps = 4, 50 / 255, 0.005
        h = np.full(count, -math.log(eps) / count)  # the constant schedule
        m = np.exp(-np.concatenate([[0.0], np.cumsum(h)]))
        v = lam**2 * (1 - m**2)
        mu = task.x_init
        x = mu + lam * task.n()
        for k in range(count, 0, -1):
            s = math.sqrt(v[k]) / m[k]
            d = task.d(mu + (x - mu) / m[k], s)
            d = task.prox(d, task.y, NOISE**2 * (1 / s**2 + 1 / 0.25**2))
            noise = (x - mu - m[k] * (d - mu)) / math.sqrt(v[k])
            if mode == "posterior":
                a = m[k] / m[k - 1]
                c1 = a * (1 - m[k - 1] ** 2) / (1 - m[k] ** 2)
                c2 = m[k - 1] * (1 - a**2) / (1 - m[k] ** 2)
                beta = lam**2 * (1 - a**2) * (1 - m[k - 1] ** 2) / (1 - m[k] ** 2)
                x = mu + c1 * (x - mu) + c2 * (d - mu) + (math.sqrt(beta) * task.n() if k > 1 else 0)
            else:
                pull = (2 if mode == "sde" else 1) * lam**2 * h[k - 1] * noise / math.sqrt(v[k])
                x = x + h[k - 1] * (x - mu) - pull
                x = x - (lam * math.sqrt(2 * h[k - 1]) * task.n() if mode == "sde" else 0)
        return x

    return formula


def pnp_cm(task: Dense42) -> Array:
    abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    level = [abar[151], abar[151] * 1.1, abar[151] * 1.1**2]
    x = x_old = task.x_init
    u = u_old = np.zeros(N)
    for k, (value, exponent, delta) in enumerate(zip(level, (-4.0, 0.0, 4.0), (0.3, 0.0, 0.1), strict=True)):
        tau, mu = math.sqrt(1 - value) / 2, 0.2 / (k + 1)
        xm, um = x + mu * (x - x_old), u + mu * (u - u_old)
        z = task.prox(xm - um, task.y, math.log(1 + math.exp(exponent)))
        x_old, u_old = x, u
        x = task.d(z + um + tau * task.n(), (1 + delta) * tau)
        u = um + z - x
    return x


SIGMAS = "nfe=3,sigmas=0.6+0.3+0.1"
CASES: dict[str, tuple[str, Callable[[Dense42], Array]]] = {
    "ddnm": (f"ddnm:{SIGMAS},eta=0.6", ddnm),
    "ddrm": (f"ddrm:{SIGMAS},eta=0.6,eta_b=0.8", ddrm),
    "ddnm+": (f"ddnm+:{SIGMAS},eta=0.6", ddnm_plus),
    "ddpg": (f"ddpg:{SIGMAS},gamma=2,zeta=0.3", ddpg),
    "diffpir": (f"diffpir:{SIGMAS}", diffpir),
    "dps": (f"dps:{SIGMAS},scale=0.7", dps),
    "pigdm": (f"pigdm:{SIGMAS},variance=0.06", pigdm),
    "mmps-mean": (f"mmps:{SIGMAS},inner=60,kernel=mean", mmps(False)),
    "mmps-covariance": (f"mmps:{SIGMAS},inner=60", mmps(True)),
    "tds": ("tds:nfe=6,particles=2,sigmas=0.6+0.3+0.1", tds),
    "daps": ("daps:nfe=6,inner=2,ratio=0.7", daps),
    "gibbs": ("gibbs:nfe=6,inner=2,first=0.4,last=0.35", gibbs(False)),
    "gibbs-covariance": ("gibbs:nfe=3,inner=1,first=0.4,last=0.35,kernel=covariance,lanczos=60", gibbs(True)),
    "red-diff": (f"red-diff:{SIGMAS}", red_diff),
    "pgd": ("pgd:nfe=3", pgd),
    "admm": ("admm:nfe=3", admm),
    "red": ("red:nfe=3", red),
    "rdmd": ("rdmd:nfe=6,tau=0.3,sigmas=0.6+0.3+0.1", rdmd),
    "irsde-posterior": ("irsde:nfe=4,times=4,schedule=constant", irsde("posterior")),
    "irsde-sde": ("irsde:nfe=4,times=4,schedule=constant,mode=sde", irsde("sde")),
    "irsde-ode": ("irsde:nfe=4,times=4,schedule=constant,mode=ode", irsde("ode")),
    "pnp-cm": ("pnp-cm:nfe=3,start=150,gamma=0.1,deltas=0.3+0+0.1", pnp_cm),
}


SPECS = ("sr2x", "motion:length=3,angle=30,boundary=circular", "mask:keep=0.6")


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", CASES)
def test_a_run_is_its_formula(name: str, spec: str) -> None:
    sampler, formula = CASES[name]
    x, task = run(sampler, spec)
    assert np.abs(x - formula(task)).max() < 1e-8 * max(1.0, np.abs(x).max())
    assert next(task.draws, None) is None  # every number that was drawn is in the formula


@pytest.mark.parametrize("spec", SPECS)
def test_norm_is_a_close_upper_bound(spec: str) -> None:
    _, task = run("pgd:nfe=1", spec)
    assert 1 <= task.norm / np.linalg.norm(task.a, 2) ** 2 <= 1.0201


def test_weights_of_particles() -> None:
    """Four known pixels and six particles: weights are neither even nor concentrated, and both rules take place."""
    seen, means, resampled = list[Array](), list[Array](), list[bool]()
    sampler = "tds:nfe=30,particles=6,sigmas=0.6+0.5+0.4+0.3+0.1"
    x, task = run(sampler, "mask:keep=0.1,seed=4", lambda event: seen.append(event.x0.flatten().numpy()))
    steps = tuple(itertools.pairwise((0.6, 0.5, 0.4, 0.3, 0.1, 0.0)))
    assert np.abs(x - tds(task, 6, means, resampled, steps)).max() < 1e-8
    assert len(means) == 4 and max(np.abs(a - b).max() for a, b in zip(seen, means, strict=False)) < 1e-8
    assert set(resampled) == {True, False}


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("update", ["ddnm", "diffpir", "ddrm"])
def test_injection_is_its_formula(update: str, spec: str) -> None:
    op = operators.make(spec, in_shape=SHAPE)
    x, task = run(f"injected:nfe=2,update={update},eta=0.3,delta=0.5", spec)
    y = torch.from_numpy(task.y).view(1, *op.out_shape)
    LEVELS_OF_RULE[:] = CM4IR(2).plan(Problem(y, op, NOISE)).sigmas
    assert np.abs(x - injected(update)(task)).max() < 1e-8
