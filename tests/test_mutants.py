"""The faults of mutants.txt still fit the source; whether tests notice them is for `make mutation`."""

from __future__ import annotations

import pytest

from tests.mutation import Mutant, mutants
from tests.sources import ROOT


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_a_fault_has_its_place_in_the_source(mutant: Mutant) -> None:
    count = (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)
    assert count == 1, f"{mutant.file} has this {count} times: {mutant.old}"
    for test in mutant.tests:
        assert (ROOT / test.partition("::")[0]).exists(), f"there is no {test}"


def test_names_are_different() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(set(names)) == len(names)
