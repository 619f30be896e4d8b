"""``auto`` where a result does not fit: more noise, then the easier hypothesis, at last nothing."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import pytest
import torch

import zsir
from tests.inspection.conftest import photograph
from zsir.errors import BadSpec, ShapeError
from zsir.pictures import as_picture
from zsir.workflow import attempts
from zsir.workflow.auto import HARM, Decision
from zsir.workflow.method import load_method
from zsir.workflow.pose import Posed, pose
from zsir.workflow.restore import restored_from
from zsir.workflow.result import Restored


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zsir.PictureWarning)
        yield


def solved(op: str, noise: float) -> tuple[Posed, Restored]:
    """A picture of 48 x 60 pixels, taken as the observation of an operator."""
    picture = as_picture(photograph("monuments_wonders_petra")[0, :, 100:148, 90:150])
    method = load_method(op, noise, "gaussian", "hqs", nfe=2)
    posed = pose(picture, method)
    settings = method.settings() | {"op": op}
    return posed, restored_from(picture, posed, method, settings)


def with_residual(result: Restored, residual: float, harm: str = "") -> Restored:
    stats = dataclasses.replace(result.solution.stats, residual=[residual])
    return dataclasses.replace(result, solution=dataclasses.replace(result.solution, stats=stats), harm=harm)


def test_the_next_level_follows_from_the_residual(monkeypatch):
    posed, result = solved("blur:sigma=1.2", 4 / 255)
    monkeypatch.setattr(attempts, "unseen_power", lambda operator, x: 0.1)
    assert attempts.more_noise(posed, with_residual(result, 1.0)) is None
    found = attempts.more_noise(posed, with_residual(result, 2.0))
    assert found == pytest.approx(attempts.MARGIN * 2.0 * 4 / 255, rel=1e-12)
    monkeypatch.setattr(attempts, "unseen_power", lambda operator, x: 0.9)
    assert attempts.more_noise(posed, with_residual(result, 1.0)) == pytest.approx(8 / 255, rel=1e-12)


def test_what_coding_adds_to_the_level_is_not_counted_twice(monkeypatch):
    """Of a level that is noise and the error of a file, only the noise can be stated; the rest is added again."""
    posed, result = solved("blur:sigma=1.2", 0.03)
    posed = dataclasses.replace(posed, level=dataclasses.replace(posed.level, std=0.01))
    found = attempts.more_noise(posed, with_residual(result, 2.0))
    coding = math.sqrt(0.03**2 - 0.01**2)
    assert found is not None and math.hypot(found, coding) == pytest.approx(attempts.MARGIN * 2.0 * 0.03, rel=1e-12)


def test_nothing_is_raised_where_a_residual_says_nothing():
    posed, result = solved("mask:keep=0.6,seed=1", 4 / 255)
    assert attempts.more_noise(posed, with_residual(result, 5.0)) is None


def run_of(results: dict[str, Restored], posed: Posed, done: list[str]) -> Any:
    def run(step: Decision) -> tuple[Posed, Restored]:
        done.append(f"{step.op} {step.noise:.2f}")
        return posed, results[step.op]

    return run


def test_harm_leads_to_the_easier_hypothesis_and_then_to_nothing():
    posed, result = solved("blur:sigma=1.2", 4 / 255)
    good, bad = with_residual(result, 0.5), with_residual(result, 0.5, "It is worse.")
    easier = Decision("jpeg", 0.02, ("easier",))
    decision = Decision("blur:sigma=1", 0.01, ("first",), easier=(easier,))
    done = list[str]()
    made = attempts.attempted(decision, run_of({"blur:sigma=1": bad, "jpeg": good}, posed, done))
    assert made is not None and made[1] is good and done == ["blur:sigma=1 0.01", "jpeg 0.02"]
    assert attempts.attempted(decision, run_of({"blur:sigma=1": bad, "jpeg": bad}, posed, [])) is None
    made = attempts.attempted(decision, run_of({"blur:sigma=1": good, "jpeg": bad}, posed, []))
    assert made is not None and made[1] is good


def given_up(monkeypatch, op, residual):
    """What is tried, in order, where ``op`` leaves a residual and the identity fits, which is then taken."""
    monkeypatch.setattr(attempts, "unseen_power", lambda operator, x: 0.0)
    posed, result = solved(op, 4 / 255)
    wrong, good = with_residual(result, residual), with_residual(result, 0.5)
    decision = Decision(op, 0.01, (), easier=(Decision("identity", 0.02, ()),))
    done = list[str]()
    made = attempts.attempted(decision, run_of({decision.op: wrong, "identity": good}, posed, done))
    assert made is not None and made[1] is good
    return done


def test_noise_beyond_belief_means_another_hypothesis(monkeypatch):
    assert given_up(monkeypatch, "blur:sigma=1.2", 9.0) == ["blur:sigma=1.2 0.01", "identity 0.02"]


def test_what_more_noise_does_not_mend_is_another_hypothesis(monkeypatch):
    """What the operator hardly sees stays strong with twice the noise: the operator is wrong."""
    monkeypatch.setattr(attempts, "unseen_power", lambda operator, x: 0.9)
    posed, result = solved("motion:length=9,angle=0", 4 / 255)
    decision = Decision("motion:length=9,angle=0", 0.01, ())
    done = list[str]()
    assert attempts.attempted(decision, run_of({decision.op: with_residual(result, 0.5)}, posed, done)) is None
    assert done == ["motion:length=9,angle=0 0.01", "motion:length=9,angle=0 0.03"]


def test_a_motion_that_does_not_fit_is_given_up(monkeypatch):
    assert len(given_up(monkeypatch, "motion:length=9,angle=0", 2.5)) == 2


@pytest.mark.slow
def test_options_of_a_picture_that_needs_nothing_are_not_ignored():
    sharp = photograph("monuments_wonders_petra")[0, :, :128, :160]
    with pytest.raises(ShapeError, match="--protect"):
        zsir.restore(sharp, protect=torch.ones(1, 1, 1))
    with pytest.raises((BadSpec, ShapeError), match=r"256x320|320x256"):
        zsir.restore(sharp, size=(256, 320))
    assert "no maps" in " ".join(zsir.restore(sharp, samples=2, nfe=2).verdict)
    made = zsir.restore(sharp, noise=10 / 255, nfe=2)
    assert made.stats.nfe == 2 and not torch.equal(made.x[0], sharp)


def test_a_picture_that_nothing_helps_stays_as_it_is(monkeypatch):
    from zsir.workflow import restore

    blurred = photograph("monuments_wonders_petra")
    decision = Decision("blur:sigma=2", 0.01, ("It is blurred.", "Restored."))
    monkeypatch.setattr(restore, "decide", lambda picture, method: decision)
    monkeypatch.setattr(restore, "attempted", lambda decision, run: None)
    made = zsir.restore(blurred[0])
    assert torch.equal(made.x, blurred) and made.verdict == ("It is blurred.", HARM) and not made.harm
