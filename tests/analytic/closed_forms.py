"""Every sampler's recursion in dense numpy, written from the formulae of its docstring. Nothing of the package is used.

A quantity that is affine in (1, y, all draws) is the matrix of its coefficients, one column for 1, then one per number
of y, then one per random number. Adding such matrices and multiplying them from the left is then the whole algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

Map = np.ndarray  # (numbers, 1 + numbers of y + random numbers)


@dataclass
class Terms:
    """The ground of a recursion: matrix ``a``, noise, prior N(m, s), and the coefficients of y, draws and the start.

    The start is ``x_init`` where given, else the ridge solution around mid-grey.
    """

    a: np.ndarray
    noise: float
    m: np.ndarray
    s: np.ndarray
    draws: int
    x_init: np.ndarray | None = None
    ridge: float = 0.0
    used: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.p, self.d = self.a.shape
        self.width = 1 + self.p + self.draws * max(self.p, self.d)
        self.used = 1 + self.p
        self.y = np.zeros((self.p, self.width))
        self.y[:, 1 : 1 + self.p] = np.eye(self.p)
        self.values, self.vectors = np.linalg.eigh(self.s)
        self.u, s, vt = np.linalg.svd(self.a)
        self.si, self.v = np.concatenate([s, np.zeros(self.d - len(s))]), vt.T

    def constant(self, value: np.ndarray | float, size: int | None = None) -> Map:
        out = np.zeros((size or self.d, self.width))
        out[:, 0] = value
        return out

    def draw(self, size: int | None = None) -> Map:
        """Standard normal numbers that nobody has used yet."""
        size = size or self.d
        out = np.zeros((size, self.width))
        out[:, self.used : self.used + size] = np.eye(size)
        self.used += size
        assert self.used <= self.width
        return out

    def prior(self, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """A function of S."""
        return np.asarray((self.vectors * gain(self.values)) @ self.vectors.T)

    def jacobian(self, s: float) -> np.ndarray:
        return self.prior(lambda e: e / (e + s**2))

    def denoise(self, x: Map, s: float) -> Map:
        m = self.constant(self.m)
        return m + self.jacobian(s) @ (x - m)

    def consistency(self, x: Map, s: float) -> Map:
        m = self.constant(self.m)
        return m + self.prior(lambda e: np.sqrt(e / (e + s**2))) @ (x - m)

    def pinv(self, y: Map, ridge: float) -> Map:
        if ridge == 0:
            return np.asarray(np.linalg.pinv(self.a, rcond=1e-8) @ y)
        return np.asarray(self.a.T @ np.linalg.solve(self.a @ self.a.T + ridge * np.eye(self.p), y))

    def prox(self, z: Map, y: Map, rho: float) -> Map:
        return np.asarray(np.linalg.solve(self.a.T @ self.a + rho * np.eye(self.d), self.a.T @ y + rho * z))

    def start(self) -> Map:
        if self.x_init is not None:
            return self.constant(self.x_init)
        return self.prox(self.constant(0.5), self.y, self.ridge)

    def law(self, x: Map) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = x[:, 1 + self.p :]
        return x[:, 0], x[:, 1 : 1 + self.p], n @ n.T


def pairs(sigmas: Sequence[float]) -> list[tuple[float, float]]:
    """(level, next level), the last next one 0."""
    return list(zip(sigmas, [*sigmas[1:], 0.0], strict=True))


def abar(s: float) -> float:
    return 1 / (1 + (2 * s) ** 2)


def ancestral(t: Terms, x: Map, x0: Map, s: float, low: float) -> Map:
    if low == 0:
        return x0
    k = low**2 / s**2
    return k * x + (1 - k) * x0 + low * np.sqrt(1 - k) * t.draw()


# --- plug-and-play -----------------------------------------------------------------------------------------------


def turned_denoise(t: Terms, z: Map, m: float, k: int) -> Map:
    """Denoise the square picture turned by k quarters, mirrored after that for k = 4 to 7, and turn it back."""
    side = round(t.d**0.5)
    view = np.rot90(np.arange(t.d).reshape(side, side), k % 4)
    order = (view[:, ::-1] if k % 8 >= 4 else view).flatten()
    out = np.empty_like(z)
    out[order] = t.denoise(z[order], m)
    return out


def hqs(t: Terms, ms: Sequence[float], lam: float) -> Map:
    z = t.start()
    for k, m in enumerate(ms):
        z = turned_denoise(t, t.prox(z, t.y, lam * t.noise**2 / m**2), m, k)
    return z


def pgd(t: Terms, ms: Sequence[float], norm2: float) -> Map:
    x = t.start()
    for m in ms:
        x = t.denoise(x - t.a.T @ (t.a @ x - t.y) / norm2, m)
    return x


def admm(t: Terms, ms: Sequence[float], lam: float) -> Map:
    x, u = t.start(), t.constant(0)
    for m in ms:
        v = t.prox(x - u, t.y, lam * t.noise**2 / m**2)
        x = t.denoise(v + u, m)
        u = u + v - x
    return x


def red(t: Terms, ms: Sequence[float], lam: float, norm2: float) -> Map:
    x = t.start()
    for m in ms:
        rho = lam * t.noise**2 / m**2
        x = x - (t.a.T @ (t.a @ x - t.y) + rho * (x - t.denoise(x, m))) / (norm2 + rho)
    return x


def rdmd(t: Terms, ms: Sequence[float], sigmas: Sequence[float], tau: float, lam: float, zeta: float) -> Map:
    z = t.start()
    x = z + sigmas[0] * t.draw()
    for k, (m, (s, low)) in enumerate(zip(ms, pairs(sigmas), strict=True)):
        u, x0 = turned_denoise(t, z, m, k), t.denoise(x, s)
        if low == 0:
            return x0
        steady = lam * 0.23 / 20 * (1 - tau) * t.noise**2 / m**2
        rising = lam * tau * t.noise**2 / (4 * s**2)
        inverse = np.linalg.inv(t.a.T @ t.a + (steady + rising) * np.eye(t.d))
        z = inverse @ (t.a.T @ t.y + steady * u + rising * x0)
        x = z + low * (np.sqrt(1 - zeta) * (x - z) / s + np.sqrt(zeta) * t.draw())
    raise AssertionError


# --- diffusion ---------------------------------------------------------------------------------------------------


def ddnm(t: Terms, sigmas: Sequence[float], eta: float) -> Map:
    x = t.start() + sigmas[0] * t.draw()
    for s, low in pairs(sigmas):
        d = t.denoise(x, s)
        e = (x - d) / s
        x = d - t.pinv(t.a @ d - t.y, t.noise**2)
        if low > 0:
            x = x + low * (np.sqrt(1 - eta**2) * e + eta * t.draw())
    return x


def ddnm_travel(t: Terms, rungs: Sequence[float], eta: float, travel: int, repeat: int) -> Map:
    """RePaint's journeys: whenever the walk has come down ``travel`` levels it climbs them again, repeat - 1 times."""
    count = len(rungs)
    level = [*rungs[::-1], 0.0]  # level[place]; place -1 is the end
    left: dict[int, int] = {}
    x, place = t.start() + rungs[0] * t.draw(), count - 1
    while place >= 0:
        d = t.denoise(x, level[place])
        e = (x - d) / level[place]
        x = d - t.pinv(t.a @ d - t.y, t.noise**2)
        place -= 1
        if place >= 0:
            x = x + level[place] * (np.sqrt(1 - eta**2) * e + eta * t.draw())
        if place >= 0 and place % travel == 0 and place < count - travel and left.setdefault(place, repeat - 1) > 0:
            left[place] -= 1
            for _ in range(travel):
                place += 1
                x = d + level[place] * t.draw()
    return x


def in_modes(t: Terms) -> tuple[np.ndarray, np.ndarray, Map]:
    """Which modes the data see, noise/s_i there, and U^T y / s_i."""
    seen = t.si > 1e-8 * t.si.max()
    ri, data = np.zeros(t.d), np.zeros((t.d, t.width))
    ri[seen] = t.noise / t.si[seen]
    rows = np.flatnonzero(seen)
    data[rows] = (t.u.T @ t.y)[rows] / t.si[rows, None]
    return seen, ri, data


def ddnm_plus(t: Terms, sigmas: Sequence[float], eta: float) -> Map:
    seen, ri, data = in_modes(t)
    x = t.start() + sigmas[0] * t.draw()
    for s, low in pairs(sigmas):
        d, n = t.denoise(x, s), t.v.T @ t.draw()
        e, di = t.v.T @ (x - d) / s, t.v.T @ d
        rows = []
        for i in range(t.d):
            if not seen[i]:
                rows.append(di[i] + low * (np.sqrt(1 - eta**2) * e[i] + eta * n[i]))
            elif low >= ri[i]:
                rows.append(data[i] + np.sqrt(low**2 - ri[i] ** 2) * n[i])
            else:
                rows.append(di[i] + low * np.sqrt(1 - eta**2) / ri[i] * (data[i] - di[i]) + low * eta * n[i])
        x = t.v @ np.array(rows)
    return x


def ddrm(t: Terms, sigmas: Sequence[float], eta: float, eta_b: float) -> Map:
    seen, ri, data = in_modes(t)
    n = t.draw()
    x = t.v.T @ (t.start() + sigmas[0] * n)
    for i in np.flatnonzero(seen & (ri < sigmas[0])).tolist():
        x[i] = data[i] + np.sqrt(sigmas[0] ** 2 - ri[i] ** 2) * (t.v.T @ n)[i]
    for s, low in pairs(sigmas):
        d, n = t.v.T @ t.denoise(t.v @ x, s), t.v.T @ t.draw()
        new = []
        for i in range(t.d):
            if not seen[i]:
                new.append(d[i] + low * (np.sqrt(1 - eta**2) * (x[i] - d[i]) / s + eta * n[i]))
            elif low < ri[i]:
                new.append(d[i] + low * (np.sqrt(1 - eta**2) * (data[i] - d[i]) / ri[i] + eta * n[i]))
            else:
                spread = np.sqrt(low**2 - (eta_b * ri[i]) ** 2)
                new.append((1 - eta_b) * d[i] + eta_b * data[i] + spread * n[i])
        x = np.array(new)
    return t.v @ x


def ddpg(
    t: Terms, sigmas: Sequence[float], gamma: float, zeta: float, reg_scale: float, mode: int, inject: bool = True
) -> Map:
    x = t.start() + sigmas[0] * t.draw()
    reg = max(1e-4, reg_scale * (2 * t.noise) ** 2)
    for s, low in pairs(sigmas):
        d = t.denoise(x, s)
        delta, w = (abar(low) ** gamma,) * 2 if t.noise else (0.0, 1.0)
        factor = (1 - abar(low)) / (1 - abar(s))
        mu_bp, mu_ls = {0: (1.0, 1.0), 1: (factor, factor), 2: (1.0, factor)}[mode]
        misfit = t.a @ d - t.y
        x0 = d - mu_bp * (1 - delta) * t.pinv(misfit, reg) - mu_ls * delta * t.a.T @ misfit
        if low == 0:
            return d if t.noise else x0
        e = (x - x0) / s
        x = x0 + low * (np.sqrt(zeta) * t.draw() + np.sqrt(1 - zeta) * w * e) if inject else x0
    raise AssertionError


def diffpir(t: Terms, sigmas: Sequence[float], lam: float, zeta: float) -> Map:
    x = t.start() + sigmas[0] * t.draw()
    for s, low in pairs(sigmas):
        d = t.denoise(x, s)
        if low == 0:
            return d
        x0 = t.prox(d, t.y, lam * t.noise**2 / s**2)
        x = x0 + low * (np.sqrt(1 - zeta) * (x - x0) / s + np.sqrt(zeta) * t.draw())
    raise AssertionError


def pigdm(t: Terms, sigmas: Sequence[float], v: float) -> Map:
    x = t.start() + sigmas[0] * t.draw()
    for s, low in pairs(sigmas):
        x = ancestral(t, x, guided(t, x, s, v), s, low)
    return x


def guided(t: Terms, x: Map, s: float, v: float) -> Map:
    """d + s^2 J^T A^T (r^2 A A^T + noise^2 I)^-1 (y - A d)."""
    d, r2 = t.denoise(x, s), s**2 * v / (s**2 + v)
    solved = np.linalg.solve(r2 * t.a @ t.a.T + t.noise**2 * np.eye(t.p), t.y - t.a @ d)
    return d + s**2 * t.jacobian(s).T @ t.a.T @ solved


def tds_of_one(t: Terms, sigmas: Sequence[float], v: float) -> Map:
    """A swarm of one: the guided proposal, nothing to resample, and the last estimate as it is."""
    x = t.start() + sigmas[0] * t.draw()
    for s, low in pairs(sigmas):
        if low == 0:
            return t.denoise(x, s)
        x = ancestral(t, x, guided(t, x, s, v), s, low)
    raise AssertionError


def mmps(t: Terms, sigmas: Sequence[float], *, covariance: bool) -> Map:
    x = t.start() + sigmas[0] * t.draw()
    for s, low in pairs(sigmas):
        c = s**2 * t.jacobian(s)
        k = np.linalg.solve(t.a @ c @ t.a.T + t.noise**2 * np.eye(t.p), t.a @ c).T
        d = t.denoise(x, s)
        x0 = d + k @ (t.y - t.a @ d)
        if covariance:
            values, vectors = np.linalg.eigh(c - k @ t.a @ c)
            x0 = x0 + vectors @ (np.sqrt(values.clip(0))[:, None] * t.draw())
        x = ancestral(t, x, x0, s, low)
    return x


def daps(t: Terms, sigmas: Sequence[float], odes: Sequence[Sequence[float]], ratio: float) -> Map:
    x = t.start() + sigmas[0] * t.draw()
    for (s, low), ode in zip(pairs(sigmas), odes, strict=True):
        for a, b in pairs(ode):
            x = x + (b - a) * (x - t.denoise(x, a)) / a
        r = ratio * s
        precision = t.a.T @ t.a / t.noise**2 + np.eye(t.d) / r**2
        mean = np.linalg.solve(precision, t.a.T @ t.y / t.noise**2 + x / r**2)
        x = mean + np.linalg.inv(np.linalg.cholesky(precision)).T @ t.draw()
        if low > 0:
            x = x + low * t.draw()
    return x


def gibbs(t: Terms, rhos: Sequence[float], inner: int, *, covariance: bool) -> Map:
    x = t.start()
    for rho in rhos:
        precision = t.a.T @ t.a / t.noise**2 + np.eye(t.d) / rho**2
        z = np.linalg.solve(precision, t.a.T @ t.y / t.noise**2 + x / rho**2)
        z = z + np.linalg.inv(np.linalg.cholesky(precision)).T @ t.draw()
        if covariance:
            x = t.denoise(z, rho) + t.prior(lambda e, r=rho: np.sqrt(e * r**2 / (e + r**2))) @ t.draw()  # type: ignore[misc]
            continue
        x = z
        for s, low in pairs([rho * 8 ** (-k / max(1, inner - 1)) for k in range(inner)]):
            x = ancestral(t, x, t.denoise(x, s), s, low)
    return x


# --- few calls ---------------------------------------------------------------------------------------------------


def cm4ir(
    t: Terms,
    sigmas: Sequence[float],
    deltas: Sequence[float],
    ridges: Sequence[float],
    eta: float,
    denoiser: bool = False,
) -> Map:
    """A denoiser's rule projects in the last step too."""
    estimate = t.denoise if denoiser else t.consistency
    x = t.start() + sigmas[0] * t.draw()
    for (s, low), delta, ridge in zip(pairs(sigmas), deltas, ridges, strict=True):
        d = estimate(x, (1 + delta) * s)
        x0 = d - t.pinv(t.a @ d - t.y, ridge)
        if low == 0:
            return d if t.noise and not denoiser else x0
        x = x0 + low * (eta * t.draw() + np.sqrt(1 - eta**2) * (d - x) / s)
    raise AssertionError


def injected(t: Terms, sigmas: Sequence[float], update: str, eta: float, delta: float) -> Map:
    x = t.start() + sigmas[0] * t.draw()
    for s, low in pairs(sigmas):
        d = t.denoise(x, (1 + delta) * s)
        if low == 0:
            return d
        if update == "ddnm":
            x0 = d - t.pinv(t.a @ d - t.y, t.noise**2)
        elif update == "diffpir":
            x0 = t.prox(d, t.y, 0.23 * t.noise**2 / s**2)
        else:
            seen, ri, data = in_modes(t)
            trust = np.array([0.0 if not b else min(1.0, s / r) for b, r in zip(seen, ri, strict=True)])
            x0 = d + t.v @ (trust[:, None] * (data - t.v.T @ d))
        x = x0 + low * (eta * t.draw() + np.sqrt(1 - eta**2) * (d - x) / s)
    raise AssertionError


def pnp_cm(t: Terms, sigmas: Sequence[float], rhos: Sequence[float], deltas: Sequence[float], momentum: float) -> Map:
    x = x_old = t.start()
    u = u_old = t.constant(0)
    for k, (tau, rho, delta) in enumerate(zip(sigmas, rhos, deltas, strict=True)):
        mu = momentum / (k + 1)
        xm, um = x + mu * (x - x_old), u + mu * (u - u_old)
        z = t.prox(xm - um, t.y, rho)
        x_old, u_old = x, u
        x = t.consistency(z + um + tau * t.draw(), (1 + delta) * tau)
        u = um + z - x
    return x


# --- IR-SDE ------------------------------------------------------------------------------------------------------


def irsde_schedule(times: int, eps: float) -> np.ndarray:
    """m_t of the cosine schedule, t = 0..times."""
    k = np.arange(times + 3)
    g = np.cos((k / (times + 2) + 0.008) / 1.008 * np.pi / 2) ** 2
    theta = 1 - g[1:-1] / g[0]
    total = np.concatenate([[0.0], np.cumsum(theta[1:])])
    return np.asarray(np.exp(np.log(eps) * total / total[-1]))


def irsde(t: Terms, m: np.ndarray, lam: float, mode: str, *, guided: bool) -> Map:
    """On x itself, x_t = mu + m_t (x0 - mu) + lam sqrt(1 - m_t^2) n; ``m`` from the clean end to the far one."""
    mu = t.start()
    x = mu + lam * t.draw()
    for here, there in zip(m[:0:-1], m[-2::-1], strict=True):
        v, h = lam**2 * (1 - here**2), np.log(there / here)
        s = np.sqrt(v) / here
        d = t.denoise(mu + (x - mu) / here, s)
        if guided:
            d = t.prox(d, t.y, t.noise**2 * (1 / s**2 + 16))
        slope = (x - mu - here * (d - mu)) / v  # eps/sqrt(v)
        if mode == "sde":
            x = x + h * (x - mu) - 2 * lam**2 * h * slope - lam * np.sqrt(2 * h) * t.draw()
        elif mode == "ode":
            x = x + h * (x - mu) - lam**2 * h * slope
        else:
            a = here / there
            c1, c2 = a * (1 - there**2) / (1 - here**2), there * (1 - a**2) / (1 - here**2)
            x = mu + c1 * (x - mu) + c2 * (d - mu)
            if there < 1:
                x = x + lam * np.sqrt((1 - a**2) * (1 - there**2) / (1 - here**2)) * t.draw()
    return x
