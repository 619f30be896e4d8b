"""Every sampler of the catalogue under the public contract, at ordinary and at extreme settings.

`CASES` names the settings; a sampler that is added to the catalogue without a line here fails the first test.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from functools import lru_cache
from typing import Any, cast

import pytest
import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.names.parsed import spec_of
from zsir.operators import Operator
from zsir.priors import Gaussian, photo
from zsir.protocols import Prior
from zsir.samplers.catalogue import SAMPLERS
from zsir.testing import check_sampler

SHAPE = (3, 13, 18)
#: odd sizes, colour; the operators that every method must get along with
SPECS = ("sr2x", "mask:keep=0.5", "blur:sigma=1", "motion:length=4,angle=30,boundary=circular", "identity")

#: name -> settings, the first an ordinary short run, then the smallest run that is allowed and the ends of each range
CASES: dict[str, tuple[str, ...]] = {
    "cm4ir": ("nfe=3", "nfe=1", "nfe=3,eta=0", "nfe=3,eta=1", "nfe=3,start=998,gamma=0", "nfe=2,zeta=0,deltas=0+1"),
    "cm4ir-published": ("task=bedroom-blur-0.05", "task=bedroom-sr4x-0.05", "task=bedroom-inpaint-0"),
    "injected": (
        "nfe=3",
        "nfe=1",
        *(f"nfe=3,update={update},eta={eta}" for update in ("ddnm", "diffpir", "ddrm") for eta in (0, 1)),
        "nfe=3,delta=0.5",
    ),
    "hqs": ("nfe=3", "nfe=1", "nfe=9,turns=true", "nfe=3,first=1,last=1", "nfe=3,first=0.001"),
    "pgd": ("nfe=3", "nfe=1", "nfe=3,first=1", "nfe=3,first=0.001"),
    "admm": ("nfe=3", "nfe=1", "nfe=3,first=1,lam=100", "nfe=3,first=0.001"),
    "red": ("nfe=3", "nfe=1", "nfe=3,first=1,lam=100", "nfe=3,first=0.001"),
    "rdmd": (
        "nfe=6",
        "nfe=2",
        "nfe=1,tau=0",
        "nfe=1,tau=1",
        "nfe=3,tau=0",
        "nfe=3,tau=1",
        "nfe=3,tau=1,zeta=0",
        "nfe=3,tau=1,zeta=1",
        "nfe=4,tau=0,recipe=paper",
        "nfe=3,tau=0,recipe=paper,output=z",
        "nfe=3,tau=1,recipe=paper",
    ),
    "irsde": (
        "nfe=3",
        "nfe=1",
        "nfe=1,times=2,eps=0.5",
        "nfe=4,mode=sde",
        "nfe=4,mode=ode",
        "nfe=3,dispersion=true",
        "nfe=3,guidance=none",
        "nfe=3,schedule=linear,eps=0.5",
        "nfe=3,schedule=constant,max_sigma=1",
    ),
    "ddrm": ("nfe=3", "nfe=1", "nfe=3,eta=0,eta_b=0", "nfe=3,eta=1,eta_b=1", "nfe=3,recipe=released"),
    "ddnm": ("nfe=3", "nfe=1", "nfe=3,eta=0", "nfe=3,eta=1", "nfe=6,travel=2,repeat=2"),
    "ddnm+": ("nfe=3", "nfe=1", "nfe=3,eta=0", "nfe=3,eta=1"),
    "ddpg": (
        "nfe=3",
        "nfe=1",
        *(f"nfe=3,mode={mode},zeta={zeta}" for mode, zeta in ((0, 0), (1, 1), (2, 0.5))),
        "nfe=3,gamma=0",
        "nfe=3,inject=false,reg_scale=0",
    ),
    "diffpir": ("nfe=3", "nfe=1", "nfe=3,zeta=0", "nfe=3,zeta=1", "nfe=3,lam=1000"),
    "dps": ("nfe=3", "nfe=1", "nfe=3,scale=0", "nfe=3,project=true"),
    "pigdm": ("nfe=3", "nfe=1", "nfe=3,variance=100", "nfe=3,variance=0.02"),
    "mmps": ("nfe=3", "nfe=1,inner=1", "nfe=3,kernel=mean", "nfe=2,inner=20"),
    "red-diff": ("nfe=3", "nfe=1", "nfe=3,lam=0"),
    "daps": ("nfe=6,inner=2", "nfe=1,inner=1", "nfe=5", "nfe=4,inner=2,ratio=0.01"),
    "gibbs": ("nfe=6,inner=2", "nfe=1,inner=1", "nfe=2,inner=1,kernel=covariance", "nfe=2,inner=1,first=1,last=1"),
    "pnp-cm": ("nfe=3", "nfe=1", "nfe=3,momentum=0", "nfe=3,momentum=1,deltas=0+0+1", "nfe=3,start=0"),
    "latino": ("nfe=3", "nfe=1", "nfe=3,first=0.5,last=0.5"),
    "tds": ("nfe=6,particles=2", "nfe=1,particles=1", "nfe=3,particles=1", "nfe=16,particles=8"),
}

#: samplers whose steps take gradients through the prior: results agree to rounding only
GRADIENTS = {"dps", "pigdm", "mmps", "tds"}
#: where a singular value counts as zero depends on the precision, and these treat zero unlike very small
BY_MODE = {"ddrm", "ddnm+"}
ALL = [(name, options) for name, rows in CASES.items() for options in rows]

each = pytest.mark.parametrize("name", CASES)
each_case = pytest.mark.parametrize(("name", "options"), ALL, ids=[f"{name}:{options}" for name, options in ALL])


def test_every_sampler_has_a_case() -> None:
    assert set(CASES) == set(SAMPLERS.builtin)


@lru_cache
def operator(spec: str) -> Operator:
    return operators.make(spec, in_shape=SHAPE)  # shared: what is asked of an operator once is remembered


@lru_cache
def prior() -> Prior:
    """A Gaussian prior that, like a network, knows limited noise."""
    exact = priors.load("gaussian")
    assert isinstance(exact, Gaussian)
    return dataclasses.replace(exact, sigma_range=(0.002, 1.25))


def observed(spec: str, noise_std: float, dtype: torch.dtype = torch.float64, batch: int = 2) -> Problem:
    op, numbers = operator(spec), torch.Generator().manual_seed(7)
    x = torch.rand(batch, *SHAPE, generator=numbers, dtype=torch.float64)
    n = torch.randn(batch, *op.out_shape, generator=numbers, dtype=torch.float64)
    return Problem((op.forward(x) + noise_std * n).to(dtype), op, noise_std)


def noises(name: str) -> tuple[float, ...]:
    needs = getattr(samplers.make(f"{name}:{CASES[name][0]}"), "needs", ())
    return (0.05,) if "noise" in needs else (0.05, 0.0)


@each
@pytest.mark.parametrize("spec", SPECS)
def test_contract(name: str, spec: str) -> None:
    """Declared calls, repeatability and independence of the batch, with and without noise."""
    sampler = samplers.make(f"{name}:{CASES[name][0]}")
    for noise_std in noises(name):
        check_sampler(sampler, observed(spec, noise_std), prior())


@each
def test_single_precision_follows_double(name: str) -> None:
    """The same seed sees the same noise, so that float32 gives the picture of float64 to the rounding of a run."""
    sampler = samplers.make(f"{name}:{CASES[name][0]}")
    for spec in ("sr2x", "blur:sigma=1"):
        check_sampler(sampler, observed(spec, 0.05, torch.float32), prior())
        single, double = (solve(observed(spec, 0.05, t), prior(), sampler).x for t in (torch.float32, torch.float64))
        assert single.dtype == torch.float32 and double.dtype == torch.float64
        assert (single - double).abs().max() < (1e-2 if name in BY_MODE else 2e-4)


@each_case
def test_extreme_settings(name: str, options: str) -> None:
    """Finite pictures of the right shape from the declared number of calls, at both ends of every option."""
    sampler = samplers.make(f"{name}:{options}")
    for spec in ("sr2x", "mask:keep=0.5"):
        for noise_std in noises(name):
            problem = observed(spec, noise_std, batch=2)
            solution = solve(problem, prior(), sampler, seed=1)
            assert solution.stats.nfe == sampler.nfe
            assert solution.x.shape == (2, *SHAPE) and solution.x.isfinite().all()
            assert solution.x.abs().max() < 50


@each
def test_same_picture_in_batch_one_and_eight(name: str) -> None:
    """With the embedded network on a CPU: the same bits, or rounding where gradients are taken."""
    sampler, network = samplers.make(f"{name}:{CASES[name][0]}"), embedded()
    together = observed("sr2x", 0.05, torch.float32, batch=8)
    x = solve(together, network, sampler, seed=7).x
    for k in (0, 5):
        problem = Problem(together.y[k : k + 1], together.operator, 0.05)
        alone = solve(problem, network, sampler, seed=7, indices=[k]).x
        if name in GRADIENTS:
            assert (alone[0] - x[k]).abs().max() < 1e-4
        else:
            assert torch.equal(alone[0], x[k])


@lru_cache
def embedded() -> Prior:
    return photo()


@each_case
def test_spec_round_trip(name: str, options: str) -> None:
    """What a spec built is built again by its canonical spec, and by a spec that writes out every field."""
    sampler = samplers.make(f"{name}:{options}")
    again = samplers.make(spec_of(sampler))
    assert again == sampler and repr(again) == repr(sampler) and spec_of(again) == spec_of(sampler)
    if not inspect.isclass(SAMPLERS.target(name)):  # a function that builds another sampler
        return
    values = {field.name: getattr(sampler, field.name) for field in dataclasses.fields(cast(Any, sampler))}
    texts = {k: "+".join(map(repr, v)) if isinstance(v, tuple) else v for k, v in values.items()}
    texts = {k: v for k, v in texts.items() if v is not None}
    assert set(texts) <= set(inspect.signature(SAMPLERS.target(name)).parameters)
    assert samplers.make(f"{name}:" + ",".join(f"{k}={v}" for k, v in texts.items())) == sampler


#: words in backticks that name something else than an option: a method, a prior, formulae
OTHER_WORDS = {"cm4ir-published": {"bedroom-sr4x-0.05"}, "irsde": {"irsde"}, "dps": {"forward"}, "latino": {"latent"}}
CODE = re.compile(r"``([\w.+-]+(?:=[\w.+-]+)?)``")
PLAIN = re.compile(r"\b([a-z_]+=(?:true|false|[a-z]{3,}))\b")


@each
def test_options_named_in_docstrings_exist(name: str) -> None:
    target = SAMPLERS.target(name)
    known = {p.name for p in SAMPLERS.describe(name).parameters}
    text = inspect.getdoc(target) or ""
    for word in {*CODE.findall(text), *PLAIN.findall(text)} - OTHER_WORDS.get(name, set()):
        key, equals, _ = word.partition("=")
        assert key in known, f"{name} speaks of an option '{key}'"
        if equals:
            SAMPLERS.parse(f"{name}:{word}")  # a value that does not exist raises


@each
def test_module_says_where_it_comes_from(name: str) -> None:
    target = SAMPLERS.target(name)
    assert SAMPLERS.describe(name).source, f"{name} names no source"
    assert sys.modules[target.__module__].__doc__
