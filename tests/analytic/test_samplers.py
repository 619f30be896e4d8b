"""Samplers against the same iteration written in dense linear algebra, and the contract of every sampler.

With a Gaussian prior every step is affine, so that a whole run can be computed with explicit matrices that share no
code with the package.
"""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.errors import BadSpec
from zsir.pictures import read
from zsir.priors import Dense, Gaussian
from zsir.protocols import Prior
from zsir.rng import PictureNoise
from zsir.samplers import CM4IR, HQS, RDMD
from zsir.samplers.few_step.cm4ir import published
from zsir.samplers.few_step.published import CM4IR_PRESETS
from zsir.samplers.initial import ROUNDING, expected_start, initial_estimate, median_fill
from zsir.samplers.levels import cm4ir_levels, geometric
from zsir.samplers.plug_and_play.hqs import turned, turned_back
from zsir.testing import check_sampler

SHAPE = (1, 6, 7)


class Draws:
    """A noise source that keeps what it gave."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(5)
        self.given: list[np.ndarray] = []

    def randn_like(self, x: torch.Tensor) -> torch.Tensor:
        draw = torch.randn(x.shape, dtype=x.dtype, generator=self.generator)
        self.given.append(draw.flatten().numpy())
        return draw


def gaussian_prior(n: int) -> tuple[Gaussian, np.ndarray]:
    root = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) / n**0.5
    c = 0.05 * root @ root.T + 1e-3 * torch.eye(n, dtype=torch.float64)
    return Gaussian(Dense(c), 0.5), c.numpy()


def dense_problem(spec: str, noise_std: float) -> tuple[Problem, np.ndarray, np.ndarray]:
    op = operators.make(spec, in_shape=SHAPE)
    n = int(np.prod(SHAPE))
    a = op.forward(torch.eye(n, dtype=torch.float64).view(n, *SHAPE)).reshape(n, -1).T.numpy()
    y = torch.rand(1, *op.out_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    y = op.forward(op.adjoint(y)).clamp(0, 1)  # inside the range, so that masks write 0
    return Problem(y, op, noise_std), a, y.flatten().numpy()


def denoiser(c: np.ndarray, x: np.ndarray, sigma: float) -> np.ndarray:
    return 0.5 + c @ np.linalg.solve(c + sigma**2 * np.eye(len(c)), x - 0.5)


@pytest.mark.parametrize("spec", ["sr2x", "blur:sigma=1", "blur:sigma=1,boundary=zero"])
@pytest.mark.parametrize("noise_std", [0.0, 0.05])
def test_cm4ir_is_its_formula(spec: str, noise_std: float) -> None:
    problem, a, y = dense_problem(spec, noise_std)
    prior, c = gaussian_prior(a.shape[1])
    deltas, eta, zeta = (0.1, 0.0, 0.4, 0.2), 0.3, 2.0
    sampler = CM4IR(4, start=250, gamma=0.2, eta=eta, zeta=zeta, deltas=deltas)
    draws = Draws()
    result = solve(problem, prior, sampler, noise=draws).x.flatten().numpy()

    ridge = zeta * noise_std**2
    inverse = a.T @ np.linalg.inv(a @ a.T + ridge * np.eye(len(a))) if ridge else np.linalg.pinv(a)
    abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    level = [abar[251]]
    for _ in range(3):
        level.append(min(level[-1] * 1.2, 0.9999))
    sigma = [math.sqrt(1 - v) / 2 for v in level]
    x_init = 0.5 + inverse @ (y - a @ np.full(a.shape[1], 0.5))
    x = x_init + sigma[0] * draws.given[0]
    for k in range(4):
        d = denoiser(c, x, (1 + deltas[k]) * sigma[k])
        result_k = d if k == 3 and noise_std else d - inverse @ (a @ d - y)
        if k < 3:
            guided = d - inverse @ (a @ d - y)
            x = guided + sigma[k + 1] * (eta * draws.given[k + 1] + math.sqrt(1 - eta**2) * (d - x) / sigma[k])
    assert np.abs(result - result_k).max() < (1e-10 if spec == "sr2x" or ridge else 1e-5)


@pytest.mark.parametrize("spec", ["sr2x", "blur:sigma=1", "identity", "motion:length=4,angle=30"])
def test_hqs_is_its_formula(spec: str) -> None:
    noise_std = 0.03
    problem, a, y = dense_problem(spec, noise_std)
    prior, c = gaussian_prior(a.shape[1])
    result = solve(problem, prior, HQS(nfe=5, turns=False)).x.flatten().numpy()

    last = max(noise_std, (2 if spec == "sr2x" else 1) / 255)
    sigmas = [49 / 255 * (last / (49 / 255)) ** (k / 4) for k in range(5)]

    def data_step(z: np.ndarray, rho: float) -> np.ndarray:
        return np.linalg.solve(a.T @ a + rho * np.eye(a.shape[1]), a.T @ y + rho * z)

    z = data_step(np.full(a.shape[1], 0.5), 0.23 * noise_std**2 / sigmas[0] ** 2)
    for sigma in sigmas:
        z = denoiser(c, data_step(z, 0.23 * noise_std**2 / sigma**2), sigma)
    assert np.abs(result - z).max() < 1e-9


def test_turning_undoes_itself() -> None:
    x = torch.rand(2, 3, 4, 7, generator=torch.Generator().manual_seed(0))
    seen = [turned(x, k) for k in range(8)]
    assert all(torch.equal(turned_back(view, k), x) for k, view in enumerate(seen))
    assert len({tuple(view.flatten().tolist()) for view in seen}) == 8


@pytest.mark.slow
def test_rdmd_knob_trades_fidelity_for_texture() -> None:
    """On a photograph, at every tau: PSNR falls, energy beyond a quarter of the sampling rate rises.

    In 24 steps, a quarter of the default. In 12 the energy at tau = 0.1 is that of tau = 0 within 1 %, on either side.
    """
    file = files("zsir") / "assets" / "demo.png"
    truth = read(str(file)).pixels[..., 80:176, 80:176]
    op = operators.make("sr4x", in_shape=(3, 96, 96))
    noise = 0.05 * torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    problem, prior = Problem(op.forward(truth) + noise, op, 0.05), priors.load("photo")
    taus = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
    pictures = [solve(problem, prior, RDMD(nfe=24 if tau in (0, 1) else 48, tau=tau)).x for tau in taus]
    fidelity = [float(-(x - truth).square().mean()) for x in pictures]
    f = torch.fft.fftfreq(96)
    fine = (f[:, None] ** 2 + f[None] ** 2).sqrt() > 0.25
    texture = [float(torch.fft.fft2(x).abs().square()[..., fine].sum()) for x in pictures]
    assert all(a > b for a, b in pairwise(fidelity)), fidelity
    assert all(a < b for a, b in pairwise(texture)), texture


@pytest.mark.parametrize(("delta_type", "scaling"), [(0, 0.2), (1, 0.3)])
def test_delta_types(delta_type: int, scaling: float) -> None:
    """delta changes what the network is told; the level of the scaling around it only in type 1."""

    class Spy:
        channels, sigma_range, kind, fingerprint = 0, (0.0, 1.0), "denoiser", ""

        ratio = 1.0

        def inflated(self, ratio):
            spy = Spy()
            spy.ratio = ratio
            return spy

        def denoise(self, x, sigma):
            seen.append((float(sigma), self.ratio * float(sigma)))
            return x

    seen: list[tuple[float, float]] = []
    op = operators.make("identity", in_shape=SHAPE)
    sampler = CM4IR(1, start=100, deltas=(0.5,), delta_type=delta_type)
    level = cm4ir_levels(1, 100, 0)[0]
    solve(Problem(torch.zeros(1, *SHAPE), op, 0.1), Spy(), sampler)  # type: ignore[arg-type]
    assert seen[0] == pytest.approx((level * scaling / 0.2, level * 1.5))


def test_published_levels_are_the_papers() -> None:
    """The released code's tables, in [-1, 1] units, to the digits recorded from it."""
    table = {
        (400, 0.70): (0.8989, 0.8207, 0.6672, 0.2381),
        (250, 0.20): (0.6937, 0.6144, 0.5030, 0.3218),
        (75, 0.01): (0.2528, 0.2335, 0.2123, 0.1885),
        (150, 0.20): (0.4654, 0.2447, 0.0100, 0.0100),
        (50, 0.01): (0.1764, 0.1464, 0.1080, 0.0421),
        (100, 0.03): (0.3267, 0.2828, 0.2288, 0.1547),
    }
    for (start, gamma), levels in table.items():
        assert np.abs(2 * np.array(cm4ir_levels(4, start, gamma)) - levels).max() < 6e-5


@pytest.mark.parametrize("name", CM4IR_PRESETS)
def test_published_settings_build(name: str) -> None:
    sampler = published(name)
    preset = CM4IR_PRESETS[name]
    assert sampler.nfe == 4 and sampler.zeta == 4 * preset.zeta and sampler.deltas == preset.deltas


@pytest.mark.parametrize("name", ["cm4ir", "hqs"])
@pytest.mark.parametrize("spec", ["sr2x", "mask:keep=0.5", "blur:sigma=1"])
def test_contract(name: str, spec: str) -> None:
    op = operators.make(spec, in_shape=(3, 17, 22))
    x = torch.rand(4, 3, 17, 22, generator=torch.Generator().manual_seed(0))
    for noise_std in (0.0, 0.05):
        problem = Problem(op.forward(x), op, noise_std)
        for nfe in (1, 4, 7):
            check_sampler(samplers.make(name, nfe=nfe), problem, priors.load("gaussian"))


@pytest.mark.parametrize("name", ["cm4ir", "hqs"])
@pytest.mark.parametrize("spec", ["sr4x", "blur:sigma=2", "mask:keep=0.3"])
def test_same_bytes_in_batch_one_and_four(name: str, spec: str) -> None:
    """With the embedded network, on a CPU, a picture is the same to the last bit whoever is beside it."""
    op = operators.make(spec, in_shape=(3, 45, 64))
    x = torch.rand(4, 3, 45, 64, generator=torch.Generator().manual_seed(1))
    prior, sampler = priors.load("photo"), samplers.make(name, nfe=3)
    together = solve(Problem(op.forward(x), op, 0.02), prior, sampler, seed=7).x
    for k in range(4):
        alone = solve(Problem(op.forward(x[k : k + 1]), op, 0.02), prior, sampler, seed=7, indices=[k]).x
        assert torch.equal(alone[0], together[k])


@pytest.mark.parametrize("kind", ["denoiser", "consistency"])
@pytest.mark.parametrize("nfe", range(1, 17))
@pytest.mark.parametrize("spec", ["sr4x", "blur:sigma=3", "identity", "box:size=0.3"])
def test_rule_gives_sensible_schedules(nfe: int, spec: str, kind: str) -> None:
    """For any number of calls: levels fall, stay in the prior's range, and start above what the data leave open."""
    op = operators.make(spec, in_shape=(3, 48, 64))
    for noise_std in (0.0, 0.02, 0.2):
        plan = CM4IR(nfe).plan(Problem(torch.rand(1, *op.out_shape), op, noise_std), 0.9, kind)
        assert len(plan.sigmas) == nfe and len(plan.ridges) == nfe + 1
        assert all(a >= b - 1e-12 for a, b in zip(plan.sigmas, plan.sigmas[1:], strict=False))
        assert 0.01 <= plan.sigmas[-1] <= plan.sigmas[0] + 1e-12 <= 0.9 + 1e-9
        assert plan.sigmas[0] >= expected_start(op, noise_std, torch.zeros(1)).error


def test_cm4ir_notices_what_kind_of_prior_it_has() -> None:
    """Fresh noise and higher levels for a consistency model, which has texture to give; published settings stay."""
    op = operators.make("sr2x", in_shape=(1, 24, 30))
    y = torch.rand(1, *op.out_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    problem = Problem(y, op, 0.0)
    mean, draw = (priors.load(f"gaussian:kind={kind}") for kind in ("denoiser", "consistency"))

    def restored(prior: Prior, sampler: CM4IR) -> torch.Tensor:
        return solve(problem, prior, sampler, seed=3).x

    error = expected_start(op, 0.0, y).error
    for prior, over, last in ((mean, 1.5, 0.02), (draw, 2.5, 0.05)):
        sigmas = CM4IR().init(problem, prior, PictureNoise(0, [0])).plan.sigmas
        assert (sigmas[0], sigmas[-1]) == pytest.approx((over * error, last))
    for prior, eta in ((mean, 0.1), (draw, 0.95)):
        assert torch.equal(restored(prior, CM4IR()), restored(prior, CM4IR(eta=eta)))
    published = CM4IR(start=80, gamma=0.2)
    assert torch.equal(restored(draw, published), restored(draw, replace(published, eta=0.1)))


def test_expected_start_finds_the_wiener_ridge() -> None:
    """For pure denoising the best ridge is noise^2/variance and the error is that of the Wiener shrinkage.

    A blur of one tap is the identity for all but `seen_pixels`.
    """
    op = operators.convolution((1, 64, 64), torch.ones(1, 1), "circular", "one tap")
    for noise_std, factor in ((0.25, 1), (0.5, 4), (0.125, 0.25)):  # the picture's variance is 1/16
        start = expected_start(op, noise_std, torch.zeros(1, dtype=torch.float64))
        # y/(1 + r) - x has variance (r^2/16 + noise^2)/(1 + r)^2, smallest at r = 16 noise^2
        assert start.ridge == noise_std**2 * 4.0**2
        assert start.error == pytest.approx((1 / 16 / (1 + 1 / factor)) ** 0.5, rel=0.03)


def test_pixels_that_are_shown_begin_as_they_are() -> None:
    """Their expected error is the noise."""
    op = operators.make("identity", in_shape=(1, 64, 64))
    for noise_std in (0.02, 0.25):
        start = expected_start(op, noise_std, torch.zeros(1, dtype=torch.float64))
        assert start.error == pytest.approx(noise_std, rel=0.03)


def test_median_fill_by_hand() -> None:
    """A 5-pixel row with one unknown: the lower median of its four known neighbours; and an empty mask is grey."""
    y = torch.tensor([[[[0.1, 0.4, 0.0, 0.2, 0.9]]]])
    known = torch.tensor([[True, True, False, True, True]])
    assert median_fill(y, known)[0, 0, 0].tolist() == pytest.approx([0.1, 0.4, 0.2, 0.2, 0.9])
    assert (median_fill(y, torch.zeros(1, 5, dtype=torch.bool)) == 0.5).all()


def test_initial_estimate_without_ridge_is_the_solution_closest_to_grey() -> None:
    problem, a, y = dense_problem("sr2x", 0.0)
    expected = 0.5 + np.linalg.pinv(a) @ (y - a @ np.full(a.shape[1], 0.5))
    assert np.abs(initial_estimate(problem, 0.0).flatten().numpy() - expected).max() < 1e-10


def test_levels() -> None:
    assert geometric(1, 0.3, 0.1) == (0.3,)
    assert geometric(3, 0.4, 0.1) == pytest.approx((0.4, 0.2, 0.1))
    assert geometric(3, 0.1, 0.4) == pytest.approx((0.4, 0.4, 0.4))  # never rising
    assert pytest.approx(1.132e-3, rel=1e-3) == ROUNDING


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: CM4IR(nfe=0), "at least one"),
        (lambda: CM4IR(eta=2), "eta"),
        (lambda: CM4IR(deltas=(0.1,)), "one per step"),
        (lambda: CM4IR(start=1000), "0..998"),
        (lambda: CM4IR(gamma=-1), "gamma"),
        (lambda: CM4IR(zeta=-1), "zeta"),
        (lambda: CM4IR(delta_type=2), "delta_type"),
        (lambda: published("bedroom"), "bedroom-sr4x-0.05"),
        (lambda: HQS(nfe=-3), "at least one"),
        (lambda: HQS(lam=0), "lam"),
        (lambda: HQS(last=0.5), "last"),
    ],
)
def test_bad_settings(build, words: str) -> None:
    with pytest.raises(BadSpec, match=words):
        build()
