"""The bar for real files: without a level, within 0.3 dB of the best level by hand, and never below the observation."""

from __future__ import annotations

import pytest

from tests.benchmarks.cases import CASES, Case, solve_all
from zsir import priors


@pytest.mark.slow
@pytest.mark.parametrize("case", [one for one in CASES if one.name in ("blur q75", "scan", "phone 0.06 q80")], ids=str)
def test_no_level_is_as_good_as_the_best_by_hand(case: Case) -> None:
    row = solve_all(case, 1, 128, priors.load("photo"), by_hand=(0.004, 0.008, 0.011, 0.0155, 0.022, 0.055))
    assert row.best[0] - row.default < 0.3
    assert row.default > row.plain
    assert not row.harm
    assert not row.misleading
