"""Specs, names and their errors; none of it needs torch until something is built."""

from __future__ import annotations

import importlib

import pytest

from tests.sources import modules
from zsir import operators, priors, samplers
from zsir.errors import BadSpec, UnknownName, ZsirError
from zsir.names.citations import BIBTEX, HOMES, OWN, Citations
from zsir.names.registry import number
from zsir.operators.catalogue import OPERATORS
from zsir.priors.catalogue import PRIORS
from zsir.samplers.catalogue import SAMPLERS


def test_aliases_expand_and_take_more_options() -> None:
    parsed = OPERATORS.parse("sr4x:kernel=box")
    assert (parsed.name, parsed.options) == ("downsample", {"factor": 4, "kernel": "box"})
    assert parsed.spec == "downsample:factor=4,kernel=box"
    assert OPERATORS.parse("denoise").name == "identity"
    assert SAMPLERS.parse("dpir:lam=1/4").options == {"lam": 0.25}
    assert SAMPLERS.parse("cm4ir:deltas=0+0.3+0.1+0").options == {"deltas": (0, 0.3, 0.1, 0)}


@pytest.mark.parametrize(
    ("registry", "spec", "words"),
    [
        (OPERATORS, "blurr:sigma=3", "'blur'"),
        (OPERATORS, "blur:sigm=3", "'sigma'"),
        (PRIORS, "foto", "'photo'"),
        (SAMPLERS, "cm4i", "'cm4ir'"),
        (SAMPLERS, "hqs:lambda=3", "lam"),
        (OPERATORS, "sr5y", "zsir list"),
    ],
)
def test_unknown_names_suggest(registry, spec: str, words: str) -> None:
    with pytest.raises(UnknownName, match=words):
        registry.parse(spec)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("blur:sigma", "key=value"),
        ("blur:sigma=wide", "not a number"),
        ("blur:sigma=1/0", "not a number"),
        ("blur:sigma=1e400/2", "not a number"),
        ("blur:sigma=1,sigma=2", "sigma is given twice"),
        ("sr4x:kernel=box,kernel=box", "kernel is given twice"),
        ("blur | ", "a stage is empty"),
        ("|", "a stage is empty"),
        ("blur||sr2x", "a stage is empty"),
        ("blur:sigma=nan", "finite"),
        ("downsample:factor=2.5", "whole number"),
        ("downsample:kernel=bicubik", "bicubic"),
    ],
)
def test_bad_specs_say_what_to_write(spec: str, words: str) -> None:
    with pytest.raises(BadSpec, match=words):
        OPERATORS.parse(spec)


def test_options_of_an_alias_can_be_changed() -> None:
    assert OPERATORS.parse("sr4x:factor=3,kernel=box").spec == "downsample:factor=3,kernel=box"


def test_numbers() -> None:
    assert number("5/255") == 5 / 255
    assert number(" 0.02 ") == 0.02
    with pytest.raises(BadSpec):
        number("5/255/2")


@pytest.mark.parametrize("registry", [OPERATORS, PRIORS, SAMPLERS], ids=lambda r: r.kind)
def test_every_name_describes_itself(registry) -> None:
    for name in registry.names():
        about = registry.describe(name)
        assert registry.summary(name) == about.summary
        assert len(about.formula) > 60, name
        for parameter in about.parameters:
            assert parameter.help, f"{name}:{parameter.name} has no help text"
        if "[" in about.source:
            assert about.bibtex, name
    with pytest.raises(UnknownName):
        registry.describe("nothing")


def test_citations_are_well_formed() -> None:
    for key, entry in BIBTEX.items():
        assert entry.startswith("@") and entry.count("{") == entry.count("}"), key
        assert "title" in entry and "author" in entry and "year" in entry


def test_citations_stand_beside_the_methods() -> None:
    """Every folder's entries are found under their keys, each key in one folder, and a folder cites what it holds."""
    folders = {home: importlib.import_module(home) for home in HOMES}
    assert len(BIBTEX) == len(OWN) + sum(len(folder.BIBTEX) for folder in folders.values())
    for home, folder in folders.items():
        assert folder.BIBTEX and all(BIBTEX[key] == entry for key, entry in folder.BIBTEX.items())
        if home != HOMES[-1]:  # priors also hold the entries that only cards and tables cite
            room = home.rpartition(".")[0]
            text = "".join(
                file.read_text(encoding="utf-8") for name, file in modules().items() if name.startswith(room)
            )
            assert not [key for key in folder.BIBTEX if f"[{key}]" not in text]


def test_a_key_that_two_folders_hold_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module(HOMES[0]).BIBTEX, "cm4ir", "@misc{another}")
    with pytest.raises(ValueError, match="repeats the key cm4ir"):
        Citations()["keys"]


def test_makers_refuse_what_does_not_fit() -> None:
    with pytest.raises(BadSpec, match="give one of them"):
        samplers.make("cm4ir:nfe=3", nfe=4)
    with pytest.raises(BadSpec, match="nfe=0"):
        samplers.make(nfe=0)
    with pytest.raises(BadSpec, match="positive"):
        priors.load("gaussian:std=0")
    with pytest.raises(BadSpec, match="path="):
        operators.make("mask-file", in_shape=(3, 8, 8))
    assert type(samplers.make(nfe=8)).__name__ == "CM4IR"
    assert type(samplers.make(nfe=9)).__name__ == "HQS"


def test_all_errors_share_one_base() -> None:
    from zsir import errors

    kinds = [v for v in vars(errors).values() if isinstance(v, type)]
    failures = [kind for kind in kinds if not issubclass(kind, Warning)]
    assert len(failures) == 8 and all(issubclass(kind, ZsirError) for kind in failures)
