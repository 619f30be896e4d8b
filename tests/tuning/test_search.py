"""The search finds optima known in closed form, stays in its ranges and repeats itself."""

from __future__ import annotations

import math

import pytest
import torch

from zsir import Problem, operators, priors
from zsir.errors import BadSpec, Incompatible, UnknownName
from zsir.names.registry import Range
from zsir.samplers.catalogue import SAMPLERS
from zsir.tuning import Case, Trial, best_of, find_goal, ranges_of, tune

STD, NOISE, SHAPE = 0.2, 0.1, (1, 40, 31)
PRIOR = priors.Gaussian(priors.Stationary(STD, 0.0), 0.5)
#: with hardly any prior in the data step this is one denoising of y at level ``first``
ONE_CALL = "hqs:nfe=1,last=0.004,lam=1e-9"


def case(seed: int = 0) -> Case:
    noise = torch.Generator().manual_seed(seed)
    x = 0.5 + STD * torch.randn(1, *SHAPE, generator=noise, dtype=torch.float64)
    y = x + NOISE * torch.randn(1, *SHAPE, generator=noise, dtype=torch.float64)
    return Case(Problem(y, operators.make("identity", in_shape=SHAPE), NOISE), PRIOR, x, seed)


def best_level(goal: str, cases: list[Case]) -> float:
    """D(y, s) = 0.5 + w (y - 0.5) with w = STD^2/(STD^2 + s^2): the best w is a quotient of two sums."""
    top = bottom = 0.0
    for c in cases:
        assert c.truth is not None
        y, x = c.problem.y - 0.5, c.truth - 0.5
        top += float((x * y).sum()) if goal == "psnr" else float(y.square().sum()) - NOISE**2 * y.numel()
        bottom += float(y.square().sum())
    return STD * math.sqrt(bottom / top - 1)


@pytest.mark.parametrize("goal", ["psnr", "sure"])
def test_the_optimum_of_a_linear_problem_is_found(goal: str) -> None:
    found = best_of(tune([case()], ONE_CALL, find_goal(goal), trials=60, names=["first"]), find_goal(goal))
    level = SAMPLERS.parse(found.spec).options["first"]
    assert level == pytest.approx(best_level(goal, [case()]), rel=0.03)
    assert level == pytest.approx(NOISE, rel=0.15)  # the level that the observation has


def test_the_first_trial_is_the_sampler_as_given() -> None:
    goal = find_goal("psnr")
    seen: list[Trial] = []
    trials = tune([case(0), case(1)], "hqs:nfe=2", goal, trials=7, watch=seen.append)
    assert trials == seen and len(trials) == 7
    assert trials[0].spec == "hqs:nfe=2" and len(trials[0].values) == 2
    assert trials[0].mean == pytest.approx(sum(trials[0].values) / 2, abs=1e-12)
    assert best_of(trials, goal).mean == max(t.mean for t in trials)
    assert best_of([trials[0], trials[0]], goal) is trials[0]
    assert len({t.spec for t in trials}) == 7
    assert trials == tune([case(0), case(1)], "hqs:nfe=2", goal, trials=7)
    assert trials[1:] != tune([case(0), case(1)], "hqs:nfe=2", goal, trials=7, seed=1)[1:]


def test_draws_stay_in_their_ranges_and_cover_them() -> None:
    given = {"start": Range(5, 500, log=True), "eta": Range(0.2, 0.3)}
    trials = tune([case()], "cm4ir:nfe=2", find_goal("psnr"), trials=60, given=given)[1:]
    options = [SAMPLERS.parse(t.spec).options for t in trials]
    assert all(set(o) == {"nfe", "start", "eta"} and isinstance(o["start"], int) for o in options)
    assert all(5 <= o["start"] <= 500 and 0.2 <= o["eta"] <= 0.3 for o in options)
    uniform = [o["start"] for o in options[:35]]
    assert min(uniform) < 10 and max(uniform) > 250
    assert 15 < sorted(uniform)[17] < 160  # evenly in ratio: the median is near 50, not near 250


def test_later_trials_move_the_best() -> None:
    trials = tune([case()], ONE_CALL, find_goal("psnr"), trials=100, names=["first"])
    levels = [math.log(SAMPLERS.parse(t.spec).options["first"] / NOISE) for t in trials[1:]]
    early, late = levels[:55], levels[-35:]
    assert sum(v * v for v in late) / len(late) < 0.5 * sum(v * v for v in early) / len(early)


def test_settings_that_fail_are_counted_and_never_win() -> None:
    class Narrow:
        """Knows no level above 0.12."""

        kind, channels, sigma_range, fingerprint = PRIOR.kind, PRIOR.channels, (0.0, 0.12), ""

        def denoise(self, x, sigma):
            return PRIOR.denoise(x, sigma)

    narrow = Case(case().problem, Narrow(), case().truth)
    goal = find_goal("psnr")
    trials = tune([narrow], "cm4ir:nfe=1,gamma=0.2", goal, trials=20, given={"start": Range(1, 900)})
    failed = [t for t in trials if not t.values]
    assert 3 < len(failed) < 20 and all(math.isnan(t.mean) for t in failed)
    assert best_of(trials, goal).values
    with pytest.raises(Incompatible, match="beyond"):  # what the user gave must work
        tune([narrow], "cm4ir:nfe=1,start=900", goal, trials=3, given={"eta": Range(0, 1)})


@pytest.mark.parametrize(
    ("spec", "names", "given", "error", "text"),
    [
        ("hqs", ["lamb"], {}, BadSpec, "no number 'lamb'.*did you mean 'lam'"),
        ("hqs", ["turns"], {}, BadSpec, "no number 'turns'"),
        ("hqs:lam=0.3", ["lam"], {}, BadSpec, "sets lam"),
        ("mmps", None, {}, BadSpec, "nothing to choose.*nfe=LOW:HIGH"),
        ("hqs:first=0.2,last=0.1,lam=1", None, {}, BadSpec, "nothing to choose"),
        ("ddnm", ["repeat"], {}, BadSpec, "declares no range for repeat"),
        ("hsq", None, {}, UnknownName, "did you mean 'hqs'"),
    ],
)
def test_what_cannot_be_chosen_is_said(spec, names, given, error, text) -> None:
    with pytest.raises(error, match=text):
        ranges_of(spec, names, given)


def test_ranges_that_the_sampler_refuses_end_in_a_sentence() -> None:
    with pytest.raises(BadSpec, match=r"refuses nearly all of these ranges \(eta 2 to 3\)"):
        tune([case()], "cm4ir:nfe=1", find_goal("psnr"), trials=3, given={"eta": Range(2, 3)})


def test_given_ranges_stand_for_declared_ones() -> None:
    assert ranges_of("hqs:lam=1") == {k: v for k, v in SAMPLERS.ranges("hqs").items() if k != "lam"}
    own = Range(0.1, 0.2)
    assert ranges_of("hqs", None, {"lam": own}) == {"lam": own}
    assert ranges_of("hqs", ["first", "lam"], {"lam": own}) == {"first": SAMPLERS.ranges("hqs")["first"], "lam": own}


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_declared_ranges_are_usable(name: str) -> None:
    """Low, middle and high of each range are settings that the sampler takes, with what else it asks for."""
    from zsir import samplers

    for key, span in SAMPLERS.ranges(name).items():
        kind = SAMPLERS.numbers(name)[key]
        others = {"hqs": ",last=0.004", "pgd": ",last=0.004", "admm": ",last=0.004", "red": ",last=0.004"}.get(name, "")
        first = ",first=1" if key == "last" and name not in ("gibbs", "latino") else ""
        for share in (0.0, 0.5, 1.0):
            value = span.at(share)
            spec = (
                f"{name}:{key}={round(value) if kind is int else f'{value:.4g}'}{others if key == 'first' else first}"
            )
            made = getattr(samplers.make(spec), key)
            assert made == pytest.approx(value, rel=1e-3, abs=0.5 if kind is int else 1e-9)
    assert Range(1, 100, log=True).at(0.5) == pytest.approx(10) and Range(1, 3).at(0.25) == 1.5


def test_one_equation_chooses_one_parameter() -> None:
    for goal in ("discrepancy", "whiteness"):
        with pytest.raises(
            BadSpec, match=f"The goal {goal} is one equation, and first, lam are 2 parameters.*-p first"
        ):
            tune([case()], "hqs:nfe=1", find_goal(goal), trials=2, names=["first", "lam"])
        assert len(tune([case()], "hqs:nfe=1", find_goal(goal), trials=2, names=["lam"])) == 2


def test_discrepancy_leaves_as_much_as_the_noise() -> None:
    """y - D(y, s) = (1 - w)(y - 0.5): its size is the noise where 1 - w = NOISE sqrt(n)/|y - 0.5|."""
    goal = find_goal("discrepancy")
    found = best_of(tune([case()], ONE_CALL, goal, trials=60, names=["first"]), goal)
    y = case().problem.y - 0.5
    left = NOISE * math.sqrt(y.numel()) / float(y.norm())
    level = STD * math.sqrt(left / (1 - left))
    assert SAMPLERS.parse(found.spec).options["first"] == pytest.approx(level, rel=0.03)


def test_narrow_ranges_get_the_digits_they_need() -> None:
    given = {"eta": Range(0.12346, 0.12349)}
    trials = tune([case()], "cm4ir:nfe=1", find_goal("psnr"), trials=9, given=given)[1:]
    assert all(0.12346 <= SAMPLERS.parse(t.spec).options["eta"] <= 0.12349 for t in trials)
    assert len({t.spec for t in trials}) > 2
