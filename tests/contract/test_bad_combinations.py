"""Parts that do not fit, and numbers that go wrong on the way: one clear sentence, in time, and nothing lost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.errors import BadSpec, Incompatible, SolveError, ZsirError
from zsir.linalg import cg
from zsir.loop.solver import Event

SHAPE = (3, 12, 14)


class Counted:
    """The exact Gaussian prior, its calls counted; from call ``breaks`` on it answers NaN for image ``image``."""

    channels, kind, fingerprint = 0, "denoiser", ""

    def __init__(self, breaks=10**9, image=None, top=1.25):
        self.sigma_range, self.inner = (0.002, top), priors.load("gaussian")
        self.breaks, self.image, self.calls = breaks, image, 0

    def __repr__(self):
        return "Counted()"

    def denoise(self, x, sigma):
        self.calls += 1
        x0 = self.inner.denoise(x, sigma)
        if self.calls < self.breaks:
            return x0
        bad = torch.ones(len(x), dtype=torch.bool) if self.image is None else torch.arange(len(x)) == self.image
        return x0 + torch.where(bad, math.nan, 0.0).to(x0).view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Squared:
    """y = x^2: not linear, forward only."""

    in_shape: tuple[int, int, int] = SHAPE
    out_shape: tuple[int, int, int] = SHAPE
    measurements: int = math.prod(SHAPE)

    def forward(self, x):
        return x**2


def picture(batch=2):
    return 0.3 + 0.4 * torch.rand(batch, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def task(spec="sr2x", noise_std=0.05, batch=2):
    op = operators.make(spec, in_shape=SHAPE)
    return Problem(op.forward(picture(batch)), op, noise_std)


def sentence(error: BaseException) -> str:
    """The text, one or two plain sentences without a line break."""
    text = str(error)
    assert isinstance(error, ZsirError) and "\n" not in text and text.endswith(".") and len(text) < 420, text
    return text


# --- what the parts lack ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("cm4ir", "pseudo-inverse (pinv)"),
        ("ddnm:nfe=3", "pseudo-inverse (pinv)"),
        ("pigdm:nfe=3", "pseudo-inverse (pinv)"),
        ("tds:nfe=4,particles=2", "pseudo-inverse (pinv)"),
        ("mcg:nfe=3", "pseudo-inverse (pinv)"),
        ("injected:update=ddnm", "pseudo-inverse (pinv)"),
        ("hqs", "proximal step (prox)"),
        ("admm", "proximal step (prox)"),
        ("diffpir:nfe=3", "proximal step (prox)"),
        ("daps:nfe=5", "proximal step (prox)"),
        ("gibbs:nfe=4", "proximal step (prox)"),
        ("pnp-cm", "proximal step (prox)"),
        ("irsde:nfe=3", "proximal step (prox)"),
        ("irsde:nfe=3,guidance=prox", "proximal step (prox)"),
        ("pgd:nfe=3", "an adjoint"),
        ("red:nfe=3", "an adjoint"),
        ("red-diff:nfe=3", "an adjoint"),
        ("rdmd:nfe=4,recipe=paper", "an adjoint"),
        ("rdmd:nfe=4", "prox"),
        ("ddpg:nfe=3", "an adjoint"),
        ("mmps:nfe=3", "an adjoint"),
        ("ddrm:nfe=3", "singular value decomposition (svd)"),
        ("ddnm+:nfe=3", "singular value decomposition (svd)"),
        ("injected:update=ddrm", "singular value decomposition (svd)"),
    ],
)
def test_an_operator_that_only_goes_forward(spec, words):
    """The missing capability is named before the network is called, and what works instead."""
    prior = Counted()
    problem = Problem(Squared().forward(picture()), Squared(), 0.05)  # type: ignore[arg-type]
    with pytest.raises(Incompatible) as caught:
        solve(problem, prior, samplers.make(spec))  # type: ignore[arg-type]
    text = sentence(caught.value)
    assert words in text and "Squared(" in text and "use dps" in text and prior.calls == 0


def test_dps_works_forward_only():
    """The misfit of y = x^2 falls by far below that of mid-grey, where DPS begins."""
    x = picture()
    problem = Problem(x**2, Squared(), 0.02)  # type: ignore[arg-type]
    sampler = samplers.make("dps:nfe=60,scale=2")
    solution = solve(problem, Counted(), sampler)  # type: ignore[arg-type]
    assert solution.stats.nfe == 60 and set(solution.stats.operator_calls) == {"forward"}
    before, after = (float((t**2 - x**2).square().mean()) for t in (torch.full_like(x, 0.5), solution.x))
    assert after < before / 4


@pytest.mark.parametrize("sampler", ["ddrm:nfe=3", "ddnm+:nfe=3", "injected:update=ddrm"])
def test_an_operator_without_svd(sampler):
    prior = Counted()
    with pytest.raises(Incompatible) as caught:
        solve(task("motion:length=5,angle=30"), prior, samplers.make(sampler))  # type: ignore[arg-type]
    text = sentence(caught.value)
    assert "singular value decomposition (svd)" in text and "boundary=circular" in text and prior.calls == 0
    circular = task("motion:length=5,angle=30,boundary=circular")
    assert solve(circular, prior, samplers.make(sampler)).x.isfinite().all()  # type: ignore[arg-type]


class Outside(Counted):
    """A prior that leaves torch on its way."""

    def __repr__(self):
        return "Outside()"

    def denoise(self, x, sigma):
        self.calls += 1
        return torch.from_numpy(np.asarray(self.numbers(x)) * 0.5 + 0.25)

    def numbers(self, x):
        return x.numpy()


class Detached(Outside):
    def __repr__(self):
        return "Outside()"

    def numbers(self, x):
        return x.detach().numpy()


GRADIENTS = (
    "dps:nfe=3",
    "mcg:nfe=3",
    "pigdm:nfe=3",
    "mmps:nfe=3",
    "tds:nfe=4,particles=2",
    "gibbs:nfe=2,inner=1,kernel=covariance",
    "irsde:nfe=3,dispersion=true",
)


@pytest.mark.parametrize("spec", GRADIENTS)
@pytest.mark.parametrize("kind", [Outside, Detached])
def test_a_prior_without_gradients(spec, kind):
    """One that says so is refused before the first call, one that does not at the first call."""
    honest, silent = kind(), kind()
    honest.differentiable = False
    for prior, calls in ((honest, 0), (silent, 1)):
        with pytest.raises(Incompatible) as caught:
            solve(task(), prior, samplers.make(spec))
        text = sentence(caught.value)
        assert "needs gradients through the prior" in text and "Outside()" in text and "diffpir" in text
        assert prior.calls == calls
    assert solve(task(), honest, samplers.make("diffpir:nfe=3")).x.isfinite().all()


def test_other_errors_of_a_prior_are_its_own():
    class Torn(Counted):
        def denoise(self, x, sigma):
            raise RuntimeError("sizes do not match")

    with pytest.raises(RuntimeError, match="sizes do not match"):
        solve(task(), Torn(), samplers.make("dps:nfe=3"))  # type: ignore[arg-type]


# --- settings that the task or the prior does not allow --------------------------------------------------------------


def test_noise_zero_where_a_method_divides_by_it():
    prior = Counted()
    with pytest.raises(Incompatible) as caught:
        solve(task(noise_std=0.0), prior, samplers.make("tds:nfe=4,particles=2"))  # type: ignore[arg-type]
    text = sentence(caught.value)
    assert "divides by the noise" in text and "noise_std" in text and "0.001" in text and prior.calls == 0


@pytest.mark.parametrize(
    "spec",
    [
        *(f"{name}:nfe=2,sigmas=2+0.1" for name in ("ddrm", "ddnm", "ddnm+", "ddpg", "diffpir", "dps", "pigdm")),
        "mmps:nfe=2,sigmas=2+0.1",
        "red-diff:nfe=2,sigmas=2+0.1",
        "rdmd:nfe=4,sigmas=2+0.1",
        "tds:nfe=4,particles=2,sigmas=2+0.1",
        "gibbs:nfe=4,first=2",
        "irsde:nfe=1,times=1,max_sigma=1",
        "latino:first=2,nfe=2",
    ],
)
def test_levels_that_the_prior_does_not_know(spec):
    prior = Counted()
    with pytest.raises(Incompatible) as caught:
        solve(task(), prior, samplers.make(spec))  # type: ignore[arg-type]
    text = sentence(caught.value)
    assert "Counted()" in text and "made for noise up to 1.25" in text and prior.calls == 0
    if "sigmas=" in spec:
        wide = Counted(top=2.0)
        assert solve(task(), wide, samplers.make(spec)).x.isfinite().all()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        *((f"{name}:nfe=0", "at least one") for name in ("cm4ir", "hqs", "pgd", "admm", "red", "ddrm", "ddnm", "ddpg")),
        *((f"{name}:nfe=0", "at least one") for name in ("diffpir", "dps", "pigdm", "mmps", "red-diff", "pnp-cm")),
        ("cm4ir-published:task=cat-blur-0.05,nfe=3", "are for 4 network calls"),
        ("injected:nfe=-1", "at least one"),
        ("irsde:nfe=0", "must lie in 1..100"),
        ("irsde:nfe=101", "must lie in 1..100"),
        ("daps:nfe=7,inner=2", "nfe=6"),
        ("daps:nfe=2", "nfe=5"),
        ("gibbs:nfe=7", "multiple of gibbs:inner=4"),
        ("gibbs:nfe=4,kernel=covariance", "inner=1"),
        ("tds:nfe=17", "multiple of tds:particles=16"),
        ("rdmd:nfe=3", "2 times a step"),
        ("ddnm:nfe=7,travel=2,repeat=2", "nfe=6 or nfe=9"),
        ("ddrm:nfe=3,sigmas=0.5+0.1", "2 levels for 3 steps"),
        ("ddrm:nfe=2,sigmas=0.1+0.5", "fall from step to step"),
        ("ddrm:nfe=2,sigmas=0.1+0", "fall from step to step"),
        ("rdmd:nfe=4,sigmas=0.1+0.5", "fall from step to step"),
        ("tds:nfe=4,particles=2,sigmas=0.1+0.5", "fall from step to step"),
        ("diffpir:zeta=1.5", "[0, 1]"),
        ("rdmd:tau=-0.1", "[0, 1]"),
        ("ddrm:eta=2", "[0, 1]"),
        ("gibbs:nfe=4,last=0", "above 0"),
    ],
)
def test_numbers_of_calls_and_levels(spec, words):
    with pytest.raises(BadSpec) as caught:
        samplers.make(spec)
    assert words in sentence(caught.value)


# --- numbers that stop being finite ----------------------------------------------------------------------------------

#: settings, and the call of the network that is the first of step 3
LONG = [
    *((f"{name}:nfe=5", 3) for name in ("cm4ir", "hqs", "pgd", "admm", "red", "irsde", "ddrm", "ddnm", "ddnm+")),
    *((f"{name}:nfe=5", 3) for name in ("ddpg", "diffpir", "dps", "pigdm", "mmps", "red-diff", "pnp-cm", "injected")),
    ("rdmd:nfe=10", 5),
    ("daps:nfe=10,inner=2", 5),
    ("gibbs:nfe=10,inner=2", 5),
    ("gibbs:nfe=5,inner=1,kernel=covariance", 3),
    ("tds:nfe=10,particles=2", 4),  # its first call is made before the first step
    ("irsde:nfe=5,dispersion=true", 3),
]


@pytest.mark.parametrize(("spec", "call"), LONG)
@pytest.mark.parametrize("image", [None, 1])
def test_a_network_that_fails_on_the_way(spec, call, image):
    """The step is named, the images where only some fail, and the estimates before it are kept."""
    prior, seen = Counted(breaks=call, image=None if "tds" in spec else image), list[Event]()
    with pytest.raises(SolveError) as caught:
        solve(task(), prior, samplers.make(spec), callbacks=[seen.append])  # type: ignore[arg-type]
    error, text = caught.value, sentence(caught.value)
    assert "Step 3 " in text and "not finite" in text and "network" in text
    assert error.step == 3 and [event.step for event in seen] == [1, 2]
    assert isinstance(error.x0, torch.Tensor) and torch.equal(error.x0, seen[-1].x0) and error.x0.isfinite().all()
    if image is not None and "for image" in text and "tds" not in spec:
        assert "for picture 1 of the batch" in text


def test_a_network_that_fails_at_once():
    for spec, step in (("hqs", 1), ("tds:nfe=4,particles=2", 1)):
        with pytest.raises(SolveError) as caught:
            solve(task(), Counted(breaks=1), samplers.make(spec))  # type: ignore[arg-type]
        assert caught.value.step == step and caught.value.x0 is None


def test_a_sampler_that_diverges_is_told_apart():
    @dataclass(frozen=True)
    class State:
        x0: torch.Tensor
        sigma: float = 0.1
        step: int = 0

    class Exploding:
        nfe = steps = 4

        def init(self, problem, prior, rng):
            return State(picture())

        def step(self, problem, prior, state, rng):
            d = prior.denoise(state.x0, torch.full((2,), 0.1, dtype=torch.float64))
            return State(d * 1e200, step=state.step + 1)

    with pytest.raises(SolveError) as caught:
        solve(task(), Counted(), Exploding())  # type: ignore[arg-type]
    text = sentence(caught.value)
    assert "Step 2 " in text and "the sampler diverged" in text and "gentler" in text and "network" not in text


def test_an_iteration_that_does_not_converge_names_its_step():
    class Stubborn:
        in_shape = out_shape = SHAPE
        measurements = math.prod(SHAPE)
        prox_calls = 0

        def forward(self, x):
            return x

        def prox(self, z, y, rho):
            Stubborn.prox_calls += 1
            if Stubborn.prox_calls <= 11:  # those of the initial estimate and its rule, and one step
                return (y + rho * z) / (1 + rho)
            return cg(lambda v: v * torch.linspace(1e-9, 1, v.numel()).view_as(v), y, tolerance=1e-14, max_iterations=3)

    problem = Problem(picture(1).float(), Stubborn(), 0.05)  # type: ignore[arg-type]
    with pytest.raises(SolveError) as caught:
        solve(problem, Counted(), samplers.make("hqs:nfe=30"))  # type: ignore[arg-type]
    text, step = sentence(caught.value), caught.value.step
    assert (
        step is not None and step >= 1 and text.startswith(f"Step {step} failed: conjugate gradients stopped after 3")
    )
    assert caught.value.x0 is not None
