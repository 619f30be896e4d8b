"""What the samplers refuse, seen from the command line: one sentence, an exit code, other files go on."""

from __future__ import annotations

import math

import pytest

from zsir import priors

GAUSSIAN = ("--prior", "gaussian", "--noise", "0.05")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--sampler", "ddrm:nfe=3", "--op", "motion:angle=30,length=9"), 2, "DDRM needs a singular value"),
        (("--sampler", "ddnm+:nfe=3", "--op", "motion:angle=30,length=9"), 2, "boundary=circular"),
        (("--sampler", "tds:nfe=4,particles=2", "--op", "sr2x", "--noise", "0"), 2, "divides by the noise"),
        (("--sampler", "daps:nfe=7,inner=2", "--op", "sr2x"), 2, "multiple of daps:inner=2"),
        (("--sampler", "daps", "--nfe", "7", "--op", "sr2x"), 2, "multiple of daps:inner=5"),
        (("--sampler", "cm4ir-published:task=cat-blur", "--op", "sr2x"), 2, "choose one of"),
        (("--sampler", "cm4ir-published", "--op", "sr2x"), 2, "needs task="),
        (("--sampler", "ddrm:nfe=2,sigmas=0.1+0.2", "--op", "sr2x"), 2, "fall from step to step"),
        (("--sampler", "gibbs:kernel=exact", "--op", "sr2x"), 2, "ancestral, covariance"),
    ],
)
def test_a_sampler_that_does_not_fit(run, folder, arguments, code, says):
    done = run("solve", *GAUSSIAN, *arguments, "colour.png")
    assert done.code == code and says in done.message
    assert not list(folder.glob("*restored*")) and not list(folder.glob(".zsir*"))


class BrokenForWide:
    """The Gaussian prior, but NaN at its third call for pictures 31 wide."""

    channels, sigma_range, kind, fingerprint = 0, (0.0, 9.0), "denoiser", ""

    def __init__(self):
        self.inner, self.wide = priors.load("gaussian"), 0

    def denoise(self, x, sigma):
        self.wide += x.shape[-1] == 31
        x0 = self.inner.denoise(x, sigma)
        return x0 * math.nan if x.shape[-1] == 31 and self.wide >= 3 else x0


def test_the_others_go_on_where_numbers_go_wrong(run, folder, monkeypatch):
    prior = BrokenForWide()
    monkeypatch.setattr(priors, "load", lambda spec: prior)
    call = ("solve", "--op", "identity", "--noise", "0.05", "--sampler", "diffpir:nfe=5")
    done = run(*call, "colour.png", "other.png", "grey.png", "-o", "out")
    first, last = done.err.splitlines()
    assert done.code == 1
    assert (
        first.startswith("zsir: colour.png: Step 3 gave values that are not finite for picture 0")
        and "network" in first
    )
    assert last == "zsir: 1 of 3 failed: colour.png"
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["grey.png", "other.png"]
