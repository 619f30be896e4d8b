"""What is known of the samplers' laws beforehand: which are exact, how fast the others come near, what holds without
noise; and numbers that other people's code gave for the same laws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.analytic.affine import (
    Distance,
    Law,
    Matrix,
    Task,
    ar1,
    bures,
    compare,
    gaussian,
    law_of,
    random_covariance,
    root,
    row_law,
    row_tasks,
)
from zsir import Problem, operators, solve
from zsir.priors import Gaussian, Stationary
from zsir.protocols import Sampler
from zsir.samplers import DDNM, DDPG, DDRM, DPS, IRSDE, MMPS, DDNMPlus, Gibbs, PiGDM, REDDiff

#: a first level where nothing is left of the start
FAR = 1e4


def levels(count: int, first: float = FAR, last: float = 0.01) -> tuple[float, ...]:
    return tuple(np.geomspace(first, last, count).tolist())


def random_task(noise: float = 0.05, covariance: np.ndarray | None = None) -> Task:
    numbers = np.random.default_rng(5)
    a = numbers.standard_normal((5, 9)) / 3
    return Task(a, numbers.uniform(0.2, 0.8, 9), random_covariance(9) if covariance is None else covariance, noise)


# --- the yardstick itself ----------------------------------------------------------------------------------------


def test_distance_of_known_laws() -> None:
    """The posterior is at 0, its mean at W2 = 1, the prior where numpy without the harness puts it."""
    task = random_task()
    exact = task.posterior
    near = compare(exact, task)
    assert near.bias < 1e-12 and near.variance == pytest.approx(1) and near.w2 < 1e-7
    point = compare(Law(exact.a, exact.g, 0 * exact.c), task)
    assert (point.bias, point.variance, point.w2) == pytest.approx((0, 0, 1), abs=1e-7)
    prior = compare(Law(task.m, 0 * exact.g, task.s), task)
    # the posterior mean scatters with covariance S - V, and that is a prior sample's bias
    assert prior.bias == pytest.approx(np.sqrt(np.trace(task.s - exact.c) / np.trace(exact.c)))
    assert prior.variance == pytest.approx(np.trace(task.s) / np.trace(exact.c))


def test_bures_distance_is_the_formula() -> None:
    """Commuting matrices: the sum of (sqrt a - sqrt b)^2; others: tr(C + V - 2 (V^.5 C V^.5)^.5)."""
    assert bures(np.diag([4.0, 1.0]), np.diag([9.0, 0.0])) == pytest.approx(2)
    c, v = random_covariance(6, 1), random_covariance(6, 2)
    expected = np.trace(c + v) - 2 * np.trace(root(root(v) @ c @ root(v)))
    assert bures(c, v) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sampler", [DPS(5, scale=1.0), REDDiff(5)], ids=lambda s: type(s).__name__)
def test_samplers_that_are_not_affine_are_found_out(sampler: Sampler) -> None:
    with pytest.raises(AssertionError, match="not affine"):
        row_law(row_tasks()["SRx4"], sampler)


#: bias / variance ratio / W2 of an independent implementation of these methods (numpy, its own Gaussian and mixture
#: code agreed on five of them); two digits are given, and its last digit may be off by one
MEASURED: dict[str, tuple[Sampler, dict[str, tuple[float, float, float]]]] = {
    "ddrm": (DDRM(20), {"SRx4": (0.20, 0.55, 0.37), "box": (0.61, 0.94, 0.65)}),
    "ddnm+": (DDNMPlus(100), {"SRx4": (0.03, 0.58, 0.27), "box": (0.32, 0.83, 0.35)}),
    "ddpg": (DDPG(100), {"SRx4": (0.17, 0.64, 0.29), "box": (0.33, 0.54, 0.42)}),
}


@pytest.mark.parametrize("name", MEASURED)
def test_distances_are_those_measured_independently(name: str) -> None:
    sampler, expected = MEASURED[name]
    for task, numbers in expected.items():
        got = compare(row_law(row_tasks()[task], sampler), row_tasks()[task])
        assert (got.bias, got.variance, got.w2) == pytest.approx(numbers, abs=0.0151)


# --- exact, and how fast -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 5, 10])
@pytest.mark.parametrize("covariance", ["random", "ar1"])
def test_mmps_with_matched_covariance_is_exact_for_any_number_of_steps(count: int, covariance: str) -> None:
    task = random_task(covariance=None if covariance == "random" else ar1(9))
    law = row_law(task, MMPS(count, inner=20, sigmas=levels(count)))
    assert compare(law, task).w2 < 1e-6


@pytest.mark.slow
def test_mmps_with_the_mean_as_published_comes_near_as_one_over_steps() -> None:
    """Twice the steps, half the distance; and the mean is exact all the time."""
    task = random_task()
    found: list[Distance] = []
    for count in (20, 40, 80):
        sampler = MMPS(count, inner=7, kernel="mean", sigmas=levels(count, 50.0))
        found.append(compare(row_law(task, sampler), task))
    assert found[0].w2 > 0.1
    assert all(0.4 < b.w2 / a.w2 < 0.6 for a, b in itertools.pairwise(found))
    assert all(d.bias < 1e-3 and d.variance < 1 for d in found)


def test_pigdm_has_no_bias_for_white_pictures_of_its_variance_and_one_for_others() -> None:
    white = random_task(covariance=0.04 * np.eye(9))
    sampler = PiGDM(6, variance=0.04, sigmas=levels(6))
    assert compare(row_law(white, sampler), white).bias < 1e-6
    correlated = random_task(covariance=ar1(9, 0.2))
    assert compare(row_law(correlated, sampler), correlated).bias > 0.1


def gibbs_step(task: Task, rho: float) -> tuple[Law, np.ndarray]:
    """One iteration from x: its law from x = 0, and the matrix B that multiplies x."""
    operator, d = Matrix(task.a), len(task.m)
    prior = gaussian(task, operator.in_shape)
    sampler = Gibbs(1, inner=1, first=rho, last=rho, kernel="covariance", lanczos=d)
    zero = law_of(operator, task.noise, prior, sampler, np.zeros(d))
    columns = [law_of(operator, task.noise, prior, sampler, e).a - zero.a for e in np.eye(d)]
    return zero, np.array(columns).T


@pytest.mark.parametrize("rho", [0.02, 0.1, 0.4])
def test_split_gibbs_is_stationary_at_the_posterior_of_inflated_noise(rho: float) -> None:
    """x' = B x + step: the fixed law is the posterior where noise^2 I is replaced by noise^2 I + rho^2 A A^T."""
    task = random_task()
    step, b = gibbs_step(task, rho)
    eye = np.eye(len(b))
    assert np.abs(np.linalg.eigvals(b)).max() < 1
    a, g = np.linalg.solve(eye - b, step.a), np.linalg.solve(eye - b, step.g)
    c = np.linalg.solve(np.eye(b.size) - np.kron(b, b), step.c.flatten()).reshape(b.shape)

    noise = task.noise**2 * np.eye(len(task.a)) + rho**2 * task.a @ task.a.T
    k = task.s @ task.a.T @ np.linalg.inv(task.a @ task.s @ task.a.T + noise)
    assert np.abs(g - k).max() < 1e-10
    assert np.abs(a - (task.m - k @ task.a @ task.m)).max() < 1e-10
    assert np.abs(c - (task.s - k @ task.a @ task.s)).max() < 1e-10


def test_posterior_of_inflated_noise_is_as_far_away_as_measured_independently() -> None:
    """What split Gibbs settles at, by the test above: variance and W2 at couplings 0.15, 0.05 and 0.015."""
    task = row_tasks()["SRx4"]
    found = []
    for rho in (0.15, 0.05, 0.015):
        inflated = task.noise**2 * np.eye(4) + rho**2 * task.a @ task.a.T
        k = task.s @ task.a.T @ np.linalg.inv(task.a @ task.s @ task.a.T + inflated)
        found.append(compare(Law(task.m - k @ task.a @ task.m, k, task.s - k @ task.a @ task.s), task))
    assert [round(d.variance, 2) for d in found] == [1.48, 1.06, 1.01]
    assert [round(d.w2, 2) for d in found] == [0.43, 0.07, 0.01]


# --- without noise -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["sr2x", "mask:keep=0.5"])
@pytest.mark.parametrize(
    "sampler",
    [DDRM(4), DDNM(4), DDNM(7, travel=1, repeat=2), DDNMPlus(4), DDPG(4, mode=0)],
    ids=["ddrm", "ddnm", "ddnm-travel", "ddnm+", "ddpg"],
)
def test_without_noise_results_reproduce_the_data(spec: str, sampler: Sampler) -> None:
    """A (a + G y) = y for every y in the range, and A C A^T = 0. DDPG keeps a ridge of 1e-4 (and with mode=1 makes no
    data step at the end)."""
    shape = (1, 4, 4)
    op = operators.make(spec, in_shape=shape)
    a = op.forward(torch.eye(16, dtype=torch.float64).view(16, *shape)).flatten(1).T.numpy()
    task = Task(a, np.full(16, 0.5), random_covariance(16), 0.0)
    law = law_of(op, 0.0, gaussian(task, shape), sampler, np.full(16, 0.5))
    tolerance = 0.01 if isinstance(sampler, DDPG) else 1e-9
    assert np.abs(a @ law.a).max() < tolerance
    assert np.abs(a @ law.g @ a - a).max() < tolerance
    assert np.abs(a @ law.c @ a.T).max() < tolerance
    assert np.trace(law.c) > 0.01  # what the data leave open is still drawn


def test_released_ddrm_leaves_noise_free_data() -> None:
    """A tie t = noise/s_i = 0 counts as unseen there: the last step returns the denoised modes."""
    task = row_tasks(0.0)["SRx4"]
    assert np.abs(task.a @ row_law(task, DDRM(4)).g - np.eye(4)).max() < 1e-9
    assert np.abs(task.a @ row_law(task, DDRM(4, recipe="released")).g - np.eye(4)).max() > 1e-4


# --- IR-SDE ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nfe", "mode", "std"),
    [
        (100, "posterior", 0.0954),
        (50, "posterior", 0.0912),
        (20, "posterior", 0.0815),
        (10, "posterior", 0.0702),
        (100, "sde", 0.1022),
        (50, "sde", 0.1042),
        (20, "sde", 0.1111),
        (10, "sde", 0.1236),
        (100, "ode", 0.1021),
        (10, "ode", 0.1207),
    ],
)
def test_irsde_draws_from_a_prior_of_standard_deviation_one_tenth(nfe: int, mode: str, std: float) -> None:
    """Posterior steps spread too little and Euler's too much, by the numbers of the reference (lambda 50/255, delta
    .005, cosine)."""
    task = Task(np.eye(1), np.array([0.5]), np.array([[0.01]]), 0.05)
    law = row_law(task, IRSDE(nfe, mode=mode, guidance="none"))
    assert np.sqrt(law.c[0, 0]) == pytest.approx(std, abs=3e-4)


@pytest.mark.parametrize("nfe", [100, 20, 10])
def test_irsde_with_dispersion_restores_the_standard_deviation(nfe: int) -> None:
    """A white prior: the divergence, estimated with one random vector, is a mean over the pixels of the picture."""
    op = operators.make("identity", in_shape=(1, 48, 48))
    y = torch.full((12, 1, 48, 48), 0.5, dtype=torch.float64)
    prior = Gaussian(Stationary(0.1, 0.0), 0.5)
    x = solve(Problem(y, op, 0.05), prior, IRSDE(nfe, guidance="none", dispersion=True), seed=3).x
    # 27,648 pixels: standard error 0.1/sqrt(2 x 27,648) = 4e-4
    assert float((x - 0.5).square().mean().sqrt()) == pytest.approx(0.1, abs=1.3e-3)
