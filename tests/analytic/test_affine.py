"""Every sampler without norm-normalised steps draws from exactly the law that its formulae say, to rounding.

`affine.law_of` reads mean map and covariance off the real solver; `closed_forms` has the same recursions in numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from tests.analytic import closed_forms as forms
from tests.analytic.affine import Task, gaussian, law_of, random_covariance
from tests.analytic.closed_forms import Map, Terms
from zsir import operators
from zsir.linalg import norm2
from zsir.protocols import LinearOperator, Sampler
from zsir.samplers import (
    ADMM,
    CM4IR,
    DAPS,
    DDNM,
    DDPG,
    DDRM,
    HQS,
    IRSDE,
    MMPS,
    PGD,
    RDMD,
    RED,
    TDS,
    DDNMPlus,
    DiffPIR,
    Gibbs,
    Injected,
    PiGDM,
    PnPCM,
)
from zsir.samplers.initial import expected_start

SHAPE = (1, 4, 4)
NOISE = 0.05
SIGMAS = (1.5, 0.6, 0.2, 0.09, 0.03)
GEOMETRIC = tuple(0.2 * (NOISE / 0.2) ** (k / 4) for k in range(5))  # DPIR's ladder of 5 from 0.2 to the noise

OPERATORS = ("sr2x", "blur:sigma=0.6,boundary=circular", "mask:keep=0.6")


@dataclass(frozen=True)
class Scene:
    """An operator, its dense matrix, and the prior."""

    operator: LinearOperator
    task: Task
    x_init: np.ndarray | None

    def terms(self, draws: int = 24) -> Terms:
        t = self.task
        ridge = (
            0.0 if self.x_init is not None else expected_start(self.operator, t.noise, torch.zeros(1).double()).ridge
        )
        return Terms(t.a, t.noise, t.m, t.s, draws, self.x_init, ridge)


def scene(spec: str, noise: float = NOISE) -> Scene:
    """A prior without structure, and a start that is given, but for x2 reduction, where it is the sampler's own."""
    op = operators.make(spec, in_shape=SHAPE)
    d = int(np.prod(SHAPE))
    a = op.forward(torch.eye(d, dtype=torch.float64).view(d, *SHAPE)).flatten(1).T.numpy()
    numbers = np.random.default_rng(2)
    task = Task(a, numbers.uniform(0.3, 0.7, d), random_covariance(d), noise)
    return Scene(op, task, None if spec.startswith("sr") else numbers.uniform(0, 1, d))


def norm(s: Scene) -> float:
    """The package's ||A||^2, found by power iteration; that it is ||A||^2 is tested below."""
    return norm2(s.operator, torch.zeros(1, dtype=torch.float64))


def rule(s: Scene, nfe: int, over: float = 1.5, share: float = 0.5, least: float = 0.02) -> list[float]:
    """CM4IR's levels by rule: 1.5 times the expected error down to half the noise, at least 0.02; for consistency
    models 2.5 times, down to the noise, at least 0.05."""
    error = expected_start(s.operator, s.task.noise, torch.zeros(1).double()).error
    return list(np.geomspace(over * error, max(share * s.task.noise, least), nfe))


def published_levels(nfe: int, start: int, gamma: float) -> list[float]:
    a = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[start + 1]
    return [float(np.sqrt(1 - min(a * (1 + gamma) ** k, 0.9999)) / 2) for k in range(nfe)]


def edm_levels(n: int, first: float, last: float) -> list[float]:
    return [float((first ** (1 / 7) + k / (n - 1) * (last ** (1 / 7) - first ** (1 / 7))) ** 7) for k in range(n)]


DAPS_LEVELS = edm_levels(4, 50.0, 0.01)
IRSDE_M = forms.irsde_schedule(100, 0.005)[np.round(np.linspace(0, 100, 9)).astype(int)]
LEVELS_CM = published_levels(4, 250, 0.2)


def ddpm_levels(times: np.ndarray) -> list[float]:
    """Levels of DDPM's table at whole times, in [0, 1] units."""
    product = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[times.astype(int)]
    return list(np.sqrt(1 / product - 1) / 2)


Case = tuple[Sampler, Callable[[Scene, Terms], Map]]

CASES: dict[str, Case] = {
    "hqs": (HQS(5, first=0.2), lambda s, t: forms.hqs(replace(t, ridge=0.23 * NOISE**2 / 0.04), GEOMETRIC, 0.23)),
    "pgd": (PGD(5, first=0.2), lambda s, t: forms.pgd(t, GEOMETRIC, norm(s))),
    "admm": (ADMM(5, first=0.2, lam=0.4), lambda s, t: forms.admm(t, GEOMETRIC, 0.4)),
    "red": (RED(5, first=0.2, lam=0.4), lambda s, t: forms.red(t, GEOMETRIC, 0.4, norm(s))),
    "rdmd": (
        RDMD(10, tau=0.3, lam=5.0, zeta=0.4, sigmas=SIGMAS),
        lambda s, t: forms.rdmd(t, [49 / 255 * (NOISE * 255 / 49) ** (k / 4) for k in range(5)], SIGMAS, 0.3, 5, 0.4),
    ),
    "ddnm": (DDNM(5, eta=0.6, sigmas=SIGMAS), lambda s, t: forms.ddnm(t, SIGMAS, 0.6)),
    "ddnm-travel": (
        DDNM(10, eta=0.6, travel=2, repeat=2),
        lambda s, t: forms.ddnm_travel(t, ddpm_levels(np.arange(5, -1, -1) * (1000 // 6)), 0.6, 2, 2),
    ),
    "ddnm+": (DDNMPlus(5, eta=0.6, sigmas=SIGMAS), lambda s, t: forms.ddnm_plus(t, SIGMAS, 0.6)),
    "ddrm": (DDRM(5, eta=0.7, eta_b=0.8, sigmas=SIGMAS), lambda s, t: forms.ddrm(t, SIGMAS, 0.7, 0.8)),
    "ddrm-table": (DDRM(5), lambda s, t: forms.ddrm(t, ddpm_levels(np.arange(4, -1, -1) * 200), 0.85, 1)),
    "ddpg": (
        DDPG(5, gamma=3, zeta=0.4, sigmas=SIGMAS, mode=1),
        lambda s, t: forms.ddpg(t, SIGMAS, 3, 0.4, 0.7, 1),
    ),
    "ddpg-0": (DDPG(5, gamma=3, sigmas=SIGMAS, mode=0), lambda s, t: forms.ddpg(t, SIGMAS, 3, 0.5, 0.7, 0)),
    "idpg-2": (
        DDPG(5, gamma=3, sigmas=SIGMAS, mode=2, inject=False),
        lambda s, t: forms.ddpg(t, SIGMAS, 3, 0.5, 0.7, 2, inject=False),
    ),
    "diffpir": (DiffPIR(5, lam=1.5, zeta=0.4, sigmas=SIGMAS), lambda s, t: forms.diffpir(t, SIGMAS, 1.5, 0.4)),
    "diffpir-table": (
        DiffPIR(5),
        lambda s, t: forms.diffpir(t, ddpm_levels(999 - np.array([0, 500, 707, 866, 999])), 2.0, 0.3),
    ),
    "pigdm": (PiGDM(5, variance=0.1, sigmas=SIGMAS), lambda s, t: forms.pigdm(t, SIGMAS, 0.1)),
    "tds-1": (TDS(5, particles=1, variance=0.1, sigmas=SIGMAS), lambda s, t: forms.tds_of_one(t, SIGMAS, 0.1)),
    "mmps": (MMPS(5, inner=20, sigmas=SIGMAS), lambda s, t: forms.mmps(t, SIGMAS, covariance=True)),
    "mmps-mean": (
        MMPS(5, inner=20, kernel="mean", sigmas=SIGMAS),
        lambda s, t: forms.mmps(t, SIGMAS, covariance=False),
    ),
    "daps": (
        DAPS(12, inner=3, ratio=0.5),
        lambda s, t: forms.daps(t, DAPS_LEVELS, [edm_levels(3, v, min(0.005, v / 2)) for v in DAPS_LEVELS], 0.5),
    ),
    "gibbs": (
        Gibbs(12, inner=3, first=0.3, last=0.25),
        lambda s, t: forms.gibbs(t, [0.3, 0.27, 0.25, 0.25], 3, covariance=False),
    ),
    "gibbs-covariance": (
        Gibbs(4, inner=1, first=0.3, last=0.25, kernel="covariance", lanczos=16),
        lambda s, t: forms.gibbs(t, [0.3, 0.27, 0.25, 0.25], 1, covariance=True),
    ),
    "cm4ir": (
        CM4IR(4, start=250, gamma=0.2, eta=0.3, zeta=2.0, deltas=(0.1, 0.0, 0.4, 0.2)),
        lambda s, t: forms.cm4ir(
            replace(t, ridge=2 * NOISE**2), LEVELS_CM, (0.1, 0, 0.4, 0.2), (2 * NOISE**2,) * 4, 0.3
        ),
    ),
    "cm4ir-rule": (
        CM4IR(4, eta=0.3),
        lambda s, t: forms.cm4ir(
            t, rule(s, 4, 2.5, 1, 0.05), (0,) * 4, [(NOISE / v) ** 2 for v in rule(s, 4, 2.5, 1, 0.05)], 0.3
        ),
    ),
    "cm4ir-denoiser": (
        CM4IR(4),
        lambda s, t: forms.cm4ir(
            *(t, rule(s, 4), (0,) * 4),
            [balance * (NOISE / v) ** 2 for balance, v in zip((0.23,) * 3 + (2,), rule(s, 4), strict=True)],
            *(0.1, True),
        ),
    ),
    "injected-ddnm": (Injected("ddnm", 4, 0.3, 0.1), lambda s, t: forms.injected(t, rule(s, 4), "ddnm", 0.3, 0.1)),
    "injected-diffpir": (Injected("diffpir", 4, 0.3), lambda s, t: forms.injected(t, rule(s, 4), "diffpir", 0.3, 0)),
    "injected-ddrm": (Injected("ddrm", 4, 0.3), lambda s, t: forms.injected(t, rule(s, 4), "ddrm", 0.3, 0)),
    "pnp-cm": (
        PnPCM(4, start=250, gamma=0.2, deltas=(0.3, 0.05, 0.2, 0.2)),
        lambda s, t: forms.pnp_cm(
            t, LEVELS_CM, np.log1p(np.exp([-4, -4 / 3, 4 / 3, 4])).tolist(), (0.3, 0.05, 0.2, 0.2), 0.2
        ),
    ),
    "irsde": (IRSDE(8), lambda s, t: forms.irsde(t, IRSDE_M, 50 / 255, "posterior", guided=True)),
    "irsde-prior": (
        IRSDE(8, guidance="none"),
        lambda s, t: forms.irsde(t, IRSDE_M, 50 / 255, "posterior", guided=False),
    ),
    "irsde-sde": (IRSDE(8, mode="sde"), lambda s, t: forms.irsde(t, IRSDE_M, 50 / 255, "sde", guided=True)),
    "irsde-ode": (IRSDE(8, mode="ode"), lambda s, t: forms.irsde(t, IRSDE_M, 50 / 255, "ode", guided=True)),
}

CONSISTENCY = ("cm4ir", "cm4ir-rule", "pnp-cm")


def check(name: str, s: Scene) -> None:
    sampler, recursion = CASES[name]
    law = law_of(s.operator, s.task.noise, gaussian(s.task, SHAPE, name in CONSISTENCY), sampler, s.x_init)
    ground = s.terms()
    a, g, c = ground.law(recursion(s, ground))
    for what, got, expected in (("a", law.a, a), ("G", law.g, g), ("C", law.c, c)):
        scale = max(float(np.abs(expected).max()), 1e-12)
        error = np.abs(got - expected).max() / scale
        assert error < 1e-10, f"{what} differs by {error:.1e} of {scale:.1e}"


@pytest.mark.parametrize("spec", OPERATORS)
@pytest.mark.parametrize("name", CASES)
def test_law_is_the_closed_form(name: str, spec: str) -> None:
    check(name, scene(spec))


@pytest.mark.parametrize("name", ["hqs", "ddrm", "ddnm+", "ddpg", "cm4ir-rule"])
def test_law_is_the_closed_form_with_mirrored_borders(name: str) -> None:
    check(name, scene("blur:sigma=0.6"))
