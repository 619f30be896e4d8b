"""Noise levels: DDPM's table as samplers walk it, EDM's rule, and the IR-SDE schedule, in plain numpy."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from zsir import priors
from zsir.priors import Gaussian
from zsir.samplers.chain import DDPM, Spacing, abar, ladder
from zsir.samplers.levels import karras
from zsir.timetables import IRSDESchedule, flow_level, flow_time

ABAR = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
TABLE = np.sqrt((1 - ABAR) / ABAR) / 2  # [0, 1] scale


def limited(top: float) -> Gaussian:
    exact = priors.load("gaussian")
    assert isinstance(exact, Gaussian)
    return dataclasses.replace(exact, sigma_range=(0.002, top))


def test_uniform_times_are_0_k_2k() -> None:
    for nfe in (2, 3, 20, 100, 1000):
        times = (1000 // nfe) * np.arange(nfe)[::-1]
        assert ladder(nfe, None, limited(math.inf)) == pytest.approx((*TABLE[times], 0.0), rel=1e-12)
    # a single step begins at the top: there is nothing else for it to do
    assert ladder(1, None, limited(math.inf)) == pytest.approx((TABLE[999], 0.0), rel=1e-12)


@pytest.mark.parametrize("nfe", [2, 7, 100])
def test_times_of_a_part_of_the_table_span_it(nfe: int) -> None:
    got = np.array(ladder(nfe, None, limited(1.25)))
    assert got[0] == pytest.approx(TABLE[TABLE <= 1.25].max(), rel=1e-12)
    assert got[-2] == pytest.approx(TABLE[0], rel=1e-12) and (np.diff(got) < 0).all()


def test_quadratic_times_are_dense_at_the_end() -> None:
    """Squares of the remaining times are evenly spaced; the first level is the largest, the last the smallest."""
    got = np.array(ladder(5, None, limited(math.inf), "quadratic"))
    times = [999, 499, 292, 133, 0]  # 999 - floor(1000 sqrt(k/4)), and 0
    assert got == pytest.approx([*TABLE[times], 0.0], rel=1e-12)


def test_a_prior_that_knows_less_begins_lower() -> None:
    spacings: tuple[Spacing, ...] = ("uniform", "quadratic")
    for spacing in spacings:
        levels = ladder(10, None, limited(1.25), spacing)
        assert 0.9 < levels[0] <= 1.25 and levels[-2] == pytest.approx(TABLE[0]) and levels[-1] == 0
        assert all(a > b for a, b in itertools.pairwise(levels))


def test_levels_and_abar_belong_together() -> None:
    for time in (0, 17, 999):
        assert abar(float(DDPM.level(torch.tensor(time))) / 2) == pytest.approx(ABAR[time], rel=1e-10)
        assert float(DDPM.time(torch.tensor(2 * TABLE[time]))) == pytest.approx(time, abs=1e-8)
    assert DDPM.nearest(2 * TABLE[17] * 1.001) == pytest.approx(2 * TABLE[17])
    t = torch.tensor([0.0, 0.3, 0.9])
    assert torch.allclose(flow_time(flow_level(t)), t) and float(flow_level(t[1])) == pytest.approx(3 / 7)


def test_karras_levels_are_even_in_their_seventh_root() -> None:
    levels = np.array(karras(6, 50, 0.01))
    assert (levels[0], levels[-1]) == pytest.approx((50, 0.01))
    assert np.ptp(np.diff(levels ** (1 / 7))) < 1e-12


def test_irsde_schedules_are_the_released_ones() -> None:
    """Numbers recorded from the released code, T = 100, lambda = 50/255."""
    cosine = IRSDESchedule()
    assert cosine.m[[50, 75, 100]] == pytest.approx([0.36082161, 0.05923649, 0.005], rel=1e-6)
    assert (cosine.h[1], cosine.h[100]) == pytest.approx((1.7639e-4, 0.104070), rel=1e-4)
    assert IRSDESchedule(kind="linear").h[100] == pytest.approx(0.104405, rel=1e-4)
    assert IRSDESchedule(kind="constant").h[7] == pytest.approx(0.0529832, rel=1e-6)
    # sigma = lambda sqrt(1/m^2 - 1)
    assert cosine.sigma[100] == pytest.approx(50 / 255 * 199.9975, rel=1e-6)
    assert cosine.sigma[50] == pytest.approx(50 / 255 * 2.5848, rel=1e-4)
