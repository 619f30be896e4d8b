"""``zsir degrade --op wild``, traces and ``--severity``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from zsir import operators, pictures
from zsir.metrics import severity


def test_a_trace_gives_the_same_file_again(run, folder):
    done = run("degrade", "--op", "wild", "--seed", 3, "--trace", "t.json", "colour.png")
    assert done.code == 0 and done.out.startswith("colour_degraded.png  31x22  from 31x22  jpeg, resize")
    assert pictures.read("colour_degraded.png").text["zsir:op"] == "wild:seed=3"
    assert json.loads(Path("t.json").read_text(encoding="utf-8"))["zsir-trace"] == 1
    assert run("degrade", "--op", "trace:path=t.json", "colour.png", "-o", "again.png").code == 0
    x, y = pictures.read("colour.png").pixels, pictures.read("colour_degraded.png").pixels
    assert torch.equal(pictures.read("again.png").pixels, y)
    assert torch.equal(operators.read_trace("t.json").apply(x), y)
    expected, (trace,) = operators.degrade(x, [operators_generator(3, 0)])
    assert torch.equal(expected, y) and trace == operators.read_trace("t.json")


def operators_generator(seed: int, number: int) -> torch.Generator:
    from zsir.rng import generator

    return generator(seed, number, "wild")


def test_pictures_of_a_folder_have_their_own_draws(run, folder):
    done = run("degrade", "--op", "wild", "colour.png", "other.png", "-o", "low", "--trace", "low")
    assert done.code == 0
    assert sorted(path.name for path in Path("low").iterdir()) == [
        "colour.json",
        "colour.png",
        "other.json",
        "other.png",
    ]
    assert pictures.read("low/other.png").text["zsir:op"] == "wild:seed=0,number=1"
    first, second = (operators.read_trace(f"low/{name}.json").stages for name in ("colour", "other"))
    assert [stage.kind for stage in first] != [stage.kind for stage in second]


def test_a_quarter_of_the_size(run, folder):
    assert run("degrade", "--op", "wild:pipeline=esrgan,seed=5", "colour.png", "--trace", "t.json").code == 0
    assert pictures.read("colour_degraded.png").pixels.shape[-2:] == (5, 7)
    solved = run("solve", "--op", "trace:path=t.json", "--noise", "0.1", "--prior", "gaussian", "colour_degraded.png")
    assert solved.code == 0
    assert pictures.read("colour_degraded_restored.png").pixels.shape[-2:] == (22, 31)


def test_the_operator_of_a_draw_restores(run, folder):
    assert run("degrade", "--op", "wild", "--seed", 1, "colour.png").code == 0
    fast = ("--noise", "0.01", "--prior", "gaussian", "colour_degraded.png")
    assert run("solve", "--op", "wild:seed=1", *fast).code == 0
    refused = run("solve", "--op", "wild", *fast, "-o", "x.png")
    assert refused.code != 0 and "trace:path=t.json" in refused.message and not Path("x.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--op", "wild", "--noise", "0.1"), "adds its own noise"),
        (("--op", "trace:path=t.json", "--noise", "0.1"), "adds its own noise"),
        (("--op", "blur", "--trace", "u.json"), "what --op wild drew"),
        (("--op", "wild", "--severity", "0.1"), "no single strength"),
        (("--op", "blur:sigma=2", "--severity", "0.1"), "chooses blur:sigma"),
        (("--op", "identity", "--severity", "0.1", "--noise", "0.1"), "leave --noise out"),
        (("--op", "blur", "--severity", "2"), "between 0 and 1"),
        (("--op", "blur", "--severity", "0.9"), "cannot be reached by blur"),
        (("--op", "wild", "--trace", "colour.png"), "folder colour.png cannot be made"),
        (("--op", "wild", "--trace", "gone/t.json"), "there is no folder"),
        (("--op", "trace:path=colour.png"), "no trace"),
        (("--op", "trace:path=gone.json"), "no such file"),
    ],
)
def test_what_is_refused(arguments, words, run, folder):
    before = sorted(folder.iterdir())
    done = run("degrade", *arguments, "colour.png")
    assert done.code != 0 and words in done.message
    assert sorted(folder.iterdir()) == before


def test_traces_are_planned(run, folder):
    both = run("degrade", "--op", "wild", "colour.png", "other.png", "--trace", "t.json")
    assert both.code == 2 and "give a folder" in both.message
    assert not Path("colour_degraded.png").exists()
    Path("t.json").write_text("mine", encoding="utf-8")
    kept = run("degrade", "--op", "wild", "colour.png", "--trace", "t.json")
    assert kept.code != 0 and "--overwrite" in kept.message and not Path("colour_degraded.png").exists()
    assert Path("t.json").read_text(encoding="utf-8") == "mine"
    assert run("degrade", "--op", "wild", "colour.png", "--trace", "t.json", "--overwrite").code == 0
    same = run("degrade", "--op", "trace:path=t.json", "colour.png", "-o", "t.png")
    assert same.code == 0
    wrong = run("degrade", "--op", "trace:path=t.json", "other.png")
    assert wrong.code != 0 and "own picture" in wrong.message


@pytest.mark.parametrize("op", ["blur", "mask:seed=2", "identity", "motion:angle=20,boundary=circular"])
def test_severity_is_met(op, run, folder):
    done = run("degrade", "--op", op, "--severity", "0.03", "--bits", "16", "colour.png")
    assert done.code == 0 and "severity 0.0" in done.out
    ((mu, _),) = severity(pictures.read("colour_degraded.png").pixels, pictures.read("colour.png").pixels)
    # one pixel of 682 more is a step of 2 %
    assert mu == pytest.approx(0.03, rel=0.03 if op.startswith("mask") else 0.011)


def test_severity_of_whole_parameters_and_with_noise(run, folder):
    Image.open("colour.png").resize((96, 80)).save("large.png")
    assert run("degrade", "--op", "downsample", "--severity", "0.03", "large.png").code == 0
    assert pictures.read("large_degraded.png").text["zsir:op"].startswith("downsample:factor=")
    done = run(
        "degrade", "--op", "blur", "--severity", "0.05", "--noise", "0.02", "--bits", "16", "-o", "y.png", "large.png"
    )
    assert done.code == 0
    ((mu, _),) = severity(pictures.read("y.png").pixels, pictures.read("large.png").pixels)
    assert mu == pytest.approx(0.05, rel=0.011)


def test_noise_after_a_pipeline_is_refused(run, folder):
    refused = run("degrade", "--op", "blur:sigma=1 | wild:seed=3", "--noise", "0.2", "colour.png", "-o", "y.png")
    assert refused.code != 0 and "leave --noise out" in refused.message
    assert not Path("y.png").exists()
