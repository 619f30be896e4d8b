"""The faults of mutants.txt still fit the source; whether tests notice them is for `make mutation`."""

from __future__ import annotations

from tests.mutation import mutants
from tests.sources import ROOT


def test_every_fault_has_its_place_in_the_source() -> None:
    wrong = []
    for mutant in mutants():
        if (count := (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)) != 1:
            wrong.append(f"{mutant.name}: {mutant.file} has this {count} times: {mutant.old}")
        wrong += [f"{mutant.name}: there is no {test}" for test in mutant.tests if not _exists(test)]
    assert len(mutants()) > 100
    assert not wrong, "\n".join(wrong)


def _exists(test: str) -> bool:
    """Whether there is the file and, where an id names one, the function."""
    file, _, function = test.partition("[")[0].partition("::")
    if not (ROOT / file).exists():
        return False
    return not function or f"\ndef {function.rpartition('::')[2]}(" in (ROOT / file).read_text(encoding="utf-8")


def test_names_are_different() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(set(names)) == len(names)
