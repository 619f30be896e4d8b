"""``zsir solve --samples K``."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from zsir import Problem, operators, pictures, priors, samplers
from zsir.cli.batch import Display
from zsir.pictures import Picture, read
from zsir.workflow.method import load_method
from zsir.workflow.pose import Posed, pose
from zsir.workflow.restore import restored, restored_from
from zsir.workflow.spread import about_sampler, draw

GAUSS = ("--prior", "gaussian", "--sampler", "gibbs:nfe=8")


def test_files_and_record(run, folder):
    done = run("solve", "--op", "sr2x", "--noise", "0.05", *GAUSS, "--simulate", "--samples", "5", "--record", "r.json",
               "--sheet", "colour.png", "-o", "mean.png")  # fmt: skip
    assert done.code == 0, done.err
    (entry,) = json.loads((folder / "r.json").read_text())["results"]
    std = np.load(folder / "mean_std.npy")
    assert std.shape == tuple(read(folder / "mean.png").pixels.shape[1:]) and std.min() > 0
    shown = read(folder / "mean_std.png")
    assert shown.bits == 16 and np.allclose(shown.pixels[0].numpy() * 0.25, std.clip(0, 0.25), atol=1e-5)
    low, high = (read(folder / f"mean_{q}.png").pixels for q in ("q05", "q95"))
    assert bool((low <= high).all()) and float((high - low).mean()) > 0
    assert entry["spread"]["samples"] == 5 == len(entry["spread"]["residuals"])
    assert entry["provenance"]["indices"] == [0, 1, 2, 3, 4] and entry["stats"]["nfe"] == 40
    assert len(entry["stats"]["residual"]) == 1
    assert entry["spread"]["std_rms"] == pytest.approx(float(np.sqrt((std.astype(float) ** 2).mean())), rel=1e-5)
    # half of the numbers in each direction are measured, with little noise: most of the spread is unseen
    assert 0.5 * entry["spread"]["std_rms"] < entry["spread"]["std_null_rms"] < 1.1 * entry["spread"]["std_rms"]
    assert (folder / "mean_std_null.png").exists() and (folder / "mean_sheet.png").exists()
    again = run("solve", "--op", "sr2x", *GAUSS, "--samples", "2", "colour.png", "-o", "mean.png")
    assert again.code == 1 and "exists: add --overwrite" in again.err


def test_samples_do_not_depend_on_what_is_drawn_with_them(folder):
    method = load_method("sr2x", 0.05, "gaussian", "gibbs:nfe=4", device="cpu", dtype="float64")
    posed = pose(read(folder / "colour.png"), method, seed=3, simulate=True)
    spread = draw(posed, method.sampler, 3, 5)
    one_by_one = draw(posed, method.sampler, 3, 5, together=1)
    assert torch.equal(spread.samples, one_by_one.samples)
    alone = restored_from(read(folder / "colour.png"), posed, method, method.settings(seed=3))
    assert torch.equal(spread.samples[:1], alone.x)


@pytest.mark.slow
def test_the_spread_is_that_of_the_posterior():
    """Denoising under an exact white prior N(0.5, v): the posterior's standard deviation is sqrt(v s^2/(v + s^2))."""
    std, noise = 0.1, 0.1
    prior = priors.Gaussian(priors.Stationary(std, 0.0), 0.5)
    op = operators.make("identity", in_shape=(1, 24, 30))
    y = torch.full((1, 1, 24, 30), 0.5, dtype=torch.float64)
    sampler = samplers.make("mmps:nfe=10")  # exact for a Gaussian prior
    spread = draw(Posed(Problem(y, op, noise), prior, y, None), sampler, 0, 24)
    expected = (std**2 * noise**2 / (std**2 + noise**2)) ** 0.5
    assert float(spread.std.square().mean().sqrt()) == pytest.approx(expected, rel=0.12)
    assert spread.std_null is not None and float(spread.std_null.max()) < 1e-6


def test_an_estimator_is_told_apart_from_a_sampler(run, folder):
    done = run("solve", "--op", "sr2x", "--prior", "gaussian", "--sampler", "hqs:nfe=2", "--samples", "3", "colour.png",
               "--noise", "0", "-o", "one.png")  # fmt: skip
    assert done.code == 0
    assert done.message.startswith("note: HQS is an estimator") and "mmps with kernel=covariance" in done.message
    assert float(np.abs(np.load(folder / "one_std.npy")).max()) == 0


@pytest.mark.parametrize("count", ["0", "1001", "many"])
def test_a_wrong_number(run, folder, count):
    done = run("solve", "--op", "sr2x", "--samples", count, "colour.png")
    assert done.code == 2 and "--samples" in done.err


WHITE = Picture(torch.ones(1, 3, 16, 18), None, 8, "RGB", Path("white.png"))


def spread_of(op, sampler, count, noise=0.02):
    """The spread of a noisy white picture's restorations, and what was solved."""
    method = load_method(op, noise, "gaussian", sampler, device="cpu", dtype="float32")
    posed = pose(WHITE, method, seed=0, simulate=True)
    return posed, method, draw(posed, method.sampler, 0, count)


def test_the_unseen_part_is_no_larger_than_the_whole(folder):
    """Of a white picture half of every sample is clipped away: both maps must speak of what is left."""
    _, _, spread = spread_of("mask:keep=0.1", "mmps:nfe=3", 12)
    assert spread.std_null is not None
    whole, part = (float(s.square().mean()) for s in (spread.std, spread.std_null))
    assert 0.5 * whole < part <= whole * (1 + 1e-6)


def test_the_record_is_of_the_mean_and_of_all_samples(folder):
    posed, method, spread = spread_of("sr2x", "gibbs:nfe=4", 11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # half of every sample is clipped away, which contradicts the data
        result = restored(WHITE, method, samples=11, simulate=True)
    assert torch.equal(result.x, spread.mean) and torch.equal(spread.mean, spread.samples.mean(0, keepdim=True))
    stats = spread.solution.stats
    assert stats.residual == posed.problem.residual(spread.mean) and stats.residual[0] != spread.residuals[0]
    assert stats.nfe == 11 * 4 and spread.solution.provenance["indices"] == list(range(11))
    alone = restored_from(WHITE, posed, method, method.settings()).solution.stats
    assert spread.residuals[0] == pytest.approx(alone.residual[0], rel=1e-6) and len(spread.residuals) == 11
    # two solves, of 8 and of 3 samples, now that all plans are made
    warm = draw(posed, method.sampler, 0, 11).solution.stats.operator_calls
    assert warm == {name: 2 * calls for name, calls in alone.operator_calls.items()}


def test_steps_are_counted_through_all_samples(folder):
    posed, method, _ = spread_of("sr2x", "gibbs:nfe=8", 2)
    seen: list[tuple[int, int]] = []
    draw(posed, method.sampler, 0, 5, together=2, callbacks=[lambda event: seen.append((event.step, event.steps))])
    assert seen == [(k, 6) for k in range(1, 7)]  # three groups of two iterations


def test_a_misfit_is_told(run, folder):
    pictures.write("rough.png", torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(0)))
    done = run("solve", "--op", "blur:sigma=3", "--noise", "0.01", "--prior", "gaussian", "--sampler", "mmps:nfe=2",
               "--samples", "2", "--record", "r.json", "rough.png", "-o", "mean.png", "-q", "--force")  # fmt: skip
    doubt, misfit = done.err.splitlines()  # one from the observation alone, one from the result
    (entry,) = json.loads((folder / "r.json").read_text())["results"]
    assert (
        done.code == 0
        and doubt == f"zsir: note: rough.png: {entry['doubt']}"
        and misfit == f"zsir: note: rough.png: {entry['misfit']}"
    )
    assert "looks more noisy than stated" in doubt and "The result misses the observation" in misfit


def test_a_folder_is_done_again_without_its_own_maps(run, folder):
    (folder / "f").mkdir()
    (folder / "other.png").rename(folder / "f" / "a.png")
    task = ("solve", "--op", "sr2x", *GAUSS, "f/")
    assert run(*task, "--samples", "2").code == 0
    assert {p.name for p in (folder / "f").glob("*.png")} == {"a.png"} | {
        f"a_restored{ending}.png" for ending in ("", "_std", "_std_null", "_q05", "_q95")
    }
    assert run(*task, "-o", "out").code == 0
    assert [p.name for p in (folder / "out").iterdir()] == ["a.png"]
    again = run(*task, "--samples", "2", "--overwrite")
    assert again.code == 0, again.err


@pytest.mark.slow
def test_a_map_of_another_run_does_not_stay(run, folder):
    task = ("solve", "--prior", "gaussian", "--sampler", "gibbs:nfe=4", "--samples", "2", "other.png", "-o", "m.png",
            "--force")  # fmt: skip
    assert run(*task, "--op", "sr2x", "-q", "--noise", "0.02").code == 0 and (folder / "m_std_null.png").exists()
    done = run(*task, "--op", "motion:length=9,angle=40,boundary=reflect", "--noise", "0.05", "--overwrite")
    assert done.code == 0, done.err
    assert (
        "there is no map of what the operator cannot see (std_null): its pseudo-inverse does not converge" in done.err
    )
    assert not (folder / "m_std_null.png").exists() and (folder / "m_std.png").exists()


@pytest.mark.parametrize("name", ["w_std.png", "w_std.npy", "w_sheet.png"])
def test_the_record_is_not_written_over_a_map(run, folder, name):
    done = run(
        "solve", "--op", "sr2x", *GAUSS, "--samples", "2", "--sheet", "--record", name, "other.png", "-o", "w.png"
    )
    assert done.code == 2 and f"{name} is an input or a result already" in done.message
    assert not (folder / "w.png").exists()


def test_without_a_sampler_the_posterior_is_sampled(run, folder):
    """Denoising under a Gaussian prior: cm4ir, the default for one result, has a tenth of the spread."""
    common = ("solve", "--op", "identity", "--noise", "0.1", "--prior", "gaussian", "--simulate", "other.png", "-q")
    spreads = {}
    for name, more in {
        "default": (),
        "mmps": ("--sampler", "mmps:nfe=10,inner=3"),
        "cm4ir": ("--sampler", "cm4ir"),
    }.items():
        done = run(*common, *more, "--samples", "4", "-o", f"{name}.png", "--record", f"{name}.json")
        assert done.code == 0 and (done.err == "") == (name != "cm4ir"), done.err
        (entry,) = json.loads((folder / f"{name}.json").read_text())["results"]
        spreads[name] = entry["spread"]["std_rms"]
    assert spreads["default"] == spreads["mmps"] > 3 * spreads["cm4ir"]


@pytest.mark.parametrize(
    ("nfe", "gradients", "expected"),
    [
        *((None, True, "mmps:nfe=10,inner=3"), (7, True, "mmps:nfe=7,inner=3")),
        *((None, False, "gibbs:nfe=40,inner=4"), (9, False, "gibbs:nfe=9,inner=3"), (7, False, "gibbs:nfe=7,inner=1")),
    ],
)
def test_the_default_follows_calls_and_gradients(nfe, gradients, expected):
    assert samplers.default_for_samples(nfe, gradients) == expected
    assert samplers.make(expected, nfe=nfe).nfe == int(expected.split("=")[1].split(",")[0])


def test_a_prior_without_gradients_gets_another_default():
    pytest.importorskip("skimage")
    method = load_method("sr2x", 0.02, "tv", None, device="cpu", dtype="float32", several=True)
    assert type(method.sampler).__name__ == "Gibbs"
    assert "only as its calls grow" in about_sampler(method.sampler)


def test_gradients_are_taken_one_sample_at_a_time(folder):
    """Else eight times the activations are held."""
    posed, method, _ = spread_of("sr2x", "mmps:nfe=2", 2)
    seen: list[int] = []
    draw(posed, method.sampler, 0, 3, callbacks=[lambda event: seen.append(len(event.x0))])
    assert set(seen) == {1}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        *(("cm4ir", "CM4IR is an estimator"), ("ddrm", "DDRM does not draw from the posterior")),
        *(
            ("gibbs", "Gibbs draws from the posterior only as"),
            ("mmps:kernel=mean", "MMPS draws from the posterior only"),
        ),
    ],
)
def test_what_is_said_of_a_sampler(spec, words):
    assert about_sampler(samplers.make(spec)).startswith(words)


def test_what_is_said_of_others():
    assert about_sampler(samplers.make("mmps")) == ""
    assert "does not say what its draws are" in about_sampler(object())  # type: ignore[arg-type]


def test_the_bar_moves_within_a_picture(run, folder, monkeypatch):
    shown: list[tuple[float, str]] = []
    monkeypatch.setattr(Display, "step", lambda self, name, done, state: shown.append((done, state)))
    task = ("solve", "--op", "sr2x", "--prior", "gaussian", "--sampler", "mmps:nfe=2", "--samples", "3", "-q")
    assert run(*task, "--force", "other.png", "-o", "m.png").code == 0
    assert shown == [(0, ""), *((k / 6, f"step {k} of 6") for k in range(1, 7))]
