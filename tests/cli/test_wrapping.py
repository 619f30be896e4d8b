"""``zsir solve --tile --precision --ensemble --compile``: what is put around the prior, and that the record says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from zsir import operators, pictures, priors, samplers
from zsir.loop.solver import solve
from zsir.priors import Tiled
from zsir.problem import Problem

DENOISE = ("solve", "--op", "identity", "--noise", "0.1", "--nfe", "1")


def recorded(run, *arguments):
    done = run(*DENOISE, *arguments, "other.png", "--record", "r.json", "--overwrite")
    assert done.code == 0, done.err
    (entry,) = json.loads(Path("r.json").read_text())["results"]
    return entry["provenance"]["prior"]


def test_the_record_names_the_wrappers(run, folder):
    assert recorded(run) == "photo"
    assert recorded(run, "--precision", "bf16") == "Cast(photo, dtype=torch.bfloat16)"
    wrapped = recorded(run, "--tile", 16, "--precision", "bf16", "--ensemble")
    assert wrapped == "SelfEnsemble(Tiled(Cast(photo, dtype=torch.bfloat16), tile=16, overlap=None, batch=4))"


def test_tiles_are_those_of_the_library(run, folder):
    assert recorded(run, "--prior", "gaussian", "--tile", 16).startswith("Tiled(gaussian, tile=16")
    y = pictures.read("other.png").pixels  # 24 x 16, a global prior: windows change the result
    problem = Problem(y, operators.make("identity", out_shape=(3, 16, 24)), 0.1)
    prior = priors.load("gaussian")
    tiled, plain = (solve(problem, p, samplers.make(nfe=1)).x for p in (Tiled(prior, 16), prior))
    pictures.write("expected.png", tiled)
    assert torch.equal(pictures.read("other_restored.png").pixels, pictures.read("expected.png").pixels)
    assert float((tiled - plain).abs().max()) > 1e-3


def test_half_precision_is_close(run, folder):
    assert run(*DENOISE, "colour.png", "-o", "a.png").code == 0
    assert run(*DENOISE, "--precision", "bf16", "colour.png", "-o", "b.png").code == 0
    a, b = pictures.read("a.png").pixels, pictures.read("b.png").pixels
    assert 0 < float((a - b).abs().max()) < 0.02


@pytest.mark.slow
def test_the_network_is_compiled_when_asked(run, folder, monkeypatch):
    given = []

    def compiler(net, **options):
        given.append((type(net).__name__, options))
        return net

    monkeypatch.setattr(torch, "compile", compiler)
    assert recorded(run, "--compile") == "Compiled(photo, mode=default, backend=inductor)"
    assert given == [("UNet", {"mode": "default", "backend": "inductor"})]


def test_compare_wraps_every_method(run, folder):
    shared = ("compare", "--op", "identity", "--noise", "0.1", "-m", "cm4ir:nfe=1", "-m", "hqs:nfe=1@cm-photo")
    done = run(*shared, "--tile", 16, "--precision", "bf16", "other.png", "-o", "c")
    assert done.code == 0, done.err
    entries = json.loads((folder / "c" / "record.json").read_text())["results"]
    around = "Tiled(Cast({}, dtype=torch.bfloat16), tile=16, overlap=None, batch=4)"
    assert [e["provenance"]["prior"] for e in entries] == [around.format("photo"), around.format("cm-photo")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--tile", "100"), "multiple of 8"),
        (("--tile", "0"), "--tile"),
        (("--precision", "half"), "--precision"),
        (("--prior", "gaussian", "--compile"), "no network to compile"),
    ],
)
def test_mistakes(run, folder, arguments, says):
    done = run(*DENOISE, *arguments, "other.png")
    assert done.code != 0 and says in done.message
    assert not (folder / "other_restored.png").exists()
