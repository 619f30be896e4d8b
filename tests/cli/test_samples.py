"""``zsir solve --samples K``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from zsir import Problem, operators, priors, samplers
from zsir.cli import restore
from zsir.cli.samples import draw
from zsir.images import read

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
    assert entry["spread"]["samples"] == 5
    assert entry["spread"]["std_rms"] == pytest.approx(float(np.sqrt((std.astype(float) ** 2).mean())), rel=1e-5)
    # half of the numbers in each direction are measured, with little noise: most of the spread is unseen
    assert 0.5 * entry["spread"]["std_rms"] < entry["spread"]["std_null_rms"] < 1.1 * entry["spread"]["std_rms"]
    assert (folder / "mean_std_null.png").exists() and (folder / "mean_sheet.png").exists()
    again = run("solve", "--op", "sr2x", *GAUSS, "--samples", "2", "colour.png", "-o", "mean.png")
    assert again.code == 1 and "exists: add --overwrite" in again.err


def test_samples_do_not_depend_on_what_is_drawn_with_them(folder):
    how = restore.method("sr2x", 0.05, "gaussian", "gibbs:nfe=4", nfe=None, device="cpu", dtype="float64")
    posed = restore.pose(read(folder / "colour.png"), how, seed=3, simulate=True)
    spread = draw(posed, how, 3, 5)
    one_by_one = draw(posed, how, 3, 5, together=1)
    assert torch.equal(spread.samples, one_by_one.samples)
    alone = restore.restore_posed(posed, how, 3)
    assert torch.equal(spread.samples[:1], alone.pixels)


def test_the_spread_is_that_of_the_posterior():
    """Denoising under an exact white prior N(0.5, v): the posterior's standard deviation is sqrt(v s^2/(v + s^2))."""
    std, noise = 0.1, 0.1
    prior = priors.Gaussian(priors.Stationary(std, 0.0), 0.5)
    op = operators.make("identity", in_shape=(1, 24, 30))
    y = torch.full((1, 1, 24, 30), 0.5, dtype=torch.float64)
    sampler = samplers.make("mmps:nfe=10")  # exact for a Gaussian prior
    how = restore.Method("identity", noise, prior, sampler, torch.device("cpu"), torch.float64)
    spread = draw(restore.Posed(Problem(y, op, noise), prior, y, None), how, 0, 24)
    expected = (std**2 * noise**2 / (std**2 + noise**2)) ** 0.5
    assert float(spread.std.square().mean().sqrt()) == pytest.approx(expected, rel=0.12)
    assert spread.std_null is not None and float(spread.std_null.max()) < 1e-6


def test_an_estimator_is_told_apart_from_a_sampler(run, folder):
    done = run("solve", "--op", "sr2x", "--prior", "gaussian", "--sampler", "hqs:nfe=2", "--samples", "3", "colour.png",
               "-o", "one.png")  # fmt: skip
    assert done.code == 0 and "all 3 samples are the same picture" in done.err
    assert float(np.abs(np.load(folder / "one_std.npy")).max()) == 0


@pytest.mark.parametrize("count", ["0", "1001", "many"])
def test_a_wrong_number(run, folder, count):
    done = run("solve", "--op", "sr2x", "--samples", count, "colour.png")
    assert done.code == 2 and "--samples" in done.err
