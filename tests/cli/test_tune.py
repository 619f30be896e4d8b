"""``zsir tune`` and ``zsir solve --preset``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import pattern
from zsir.cli.batch import Display
from zsir.tuning import Preset

QUICK = ("--prior", "gaussian", "--sampler", "hqs:nfe=1,last=0.004", "--trials", "6")
TASK = ("--op", "identity", "--noise", "0.1")


def test_a_preset_is_found_and_used(run, folder):
    done = run("tune", *TASK, *QUICK, "--simulate", "colour.png", "other.png", "-o", "p.json")
    assert done.code == 0, done.err
    preset = Preset.read(folder / "p.json")
    assert (preset.op, preset.noise, preset.prior, preset.goal) == ("identity", 0.1, "gaussian", "psnr")
    assert (preset.given, preset.pictures, preset.trials) == ("hqs:nfe=1,last=0.004", 2, 6)
    assert preset.sampler.startswith("hqs:nfe=1,last=0.004,first=") and preset.value > preset.given_value + 0.1
    lines = done.out.splitlines()
    assert lines[0].startswith("1/6  ") and lines[-1] == "Use it: zsir solve --preset p.json INPUT"
    gain = f"{preset.value - preset.given_value:+.3g} on average"
    assert gain in lines[-2] and "of 2 pictures" in lines[-2]
    # the preset gives what its settings give
    used = run("solve", "--preset", "p.json", "colour.png", "--simulate", "-o", "a.png", "--record", "a.json")
    named = run("solve", *TASK, "--prior", "gaussian", "--sampler", preset.sampler, "colour.png", "--simulate", "-o",
                "b.png", "--record", "b.json")  # fmt: skip
    assert used.code == named.code == 0 and used.err == ""
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    a, b = (json.loads((folder / f"{n}.json").read_text())["results"][0]["provenance"] for n in "ab")
    assert a == b


def test_the_same_search_gives_the_same_file(run, folder):
    for name in ("a.json", "b.json"):
        assert run("tune", *TASK, *QUICK, "--simulate", "colour.png", "-o", name, "-q").out == ""
    assert (folder / "a.json").read_bytes() == (folder / "b.json").read_bytes()
    again = run("tune", *TASK, *QUICK, "--simulate", "colour.png", "-o", "a.json")
    assert again.code == 1 and "exists: add --overwrite" in again.message


@pytest.mark.parametrize("goal", ["sure", "discrepancy", "whiteness"])
def test_observations_without_truth(run, folder, goal):
    run("degrade", *TASK, "colour.png", "-o", "seen.png")
    chosen = () if goal == "sure" else ("--goal", goal)
    done = run("tune", *TASK, *QUICK, *chosen, "-p", "first=0.05:0.6", "seen.png", "-o", "p.json")
    assert done.code == 0, done.err
    preset = Preset.read(folder / "p.json")
    assert preset.goal == goal and preset.value <= preset.given_value
    assert preset.sampler == preset.given or 0.05 <= float(preset.sampler.rpartition("first=")[2]) <= 0.6


def test_crop_seed_and_the_default_sampler(run, folder):
    """`--crop` takes the middle; the number of calls goes into the spec; the noise may be estimated."""
    done = run("tune", *TASK, "--prior", "gaussian", "--nfe", "2", "-p", "eta", "--trials", "2", "--simulate", "--crop",
               "16", "colour.png", "-o", "p.json")  # fmt: skip
    assert done.code == 0, done.err
    a = Preset.read(folder / "p.json")
    assert a.given == "cm4ir:nfe=2"
    run("tune", *TASK, "--prior", "gaussian", "--nfe", "2", "-p", "eta", "--trials", "2", "--simulate", "--crop", "16",
        "colour.png", "-o", "p.json", "--seed", "1", "--overwrite")  # fmt: skip
    assert Preset.read(folder / "p.json").given_value != a.given_value  # other noise


def soft_observation(run) -> None:
    """seen.png, 40x32, whose noise is not cut off at black or white."""
    Image.fromarray((80 + 0.4 * pattern(32, 40)).astype(np.uint8)).save("soft.png")
    run("degrade", *TASK, "soft.png", "-o", "seen.png")


def test_noise_auto_is_kept(run, folder):
    soft_observation(run)
    done = run("tune", "--op", "identity", "--noise", "auto", *QUICK, "seen.png", "-o", "p.json")
    assert done.code == 0, done.err
    assert Preset.read(folder / "p.json").noise is None
    assert run("solve", "--preset", "p.json", "seen.png", "-o", "out.png").code == 0


def test_what_is_given_goes_before_the_preset(run, folder):
    run("tune", *TASK, *QUICK, "--simulate", "colour.png", "-o", "p.json")
    done = run("solve", "--preset", "p.json", "--noise", "0.05", "--op", "blur:sigma=1", "colour.png", "-o", "a.png")
    assert done.code == 0
    assert "tuned for --op identity." in done.err and "tuned for --noise 0.1." in done.err
    other = run("solve", "--preset", "p.json", "--prior", "wavelet", "colour.png", "-o", "b.png")
    assert other.code == 0 and "tuned for --prior gaussian." in other.err
    data = json.loads((folder / "p.json").read_text())
    (folder / "old.json").write_text(json.dumps({**data, "weights_sha256": "00"}))
    old = run("solve", "--preset", "old.json", "colour.png", "-o", "c.png")
    assert old.code == 0 and "other weights than gaussian has now" in old.err
    assert "give one of them" in run("solve", "--preset", "p.json", "--sampler", "hqs", "colour.png").message
    assert "nfe=1" in run("solve", "--preset", "p.json", "--nfe", "9", "colour.png").message
    (folder / "p.json").write_text("{}")
    wrong = run("solve", "--preset", "p.json", "colour.png")
    assert wrong.code == 2 and "no preset" in wrong.message
    assert "cannot be read" in run("solve", "--preset", "none.json", "colour.png").message


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--goal", "psnr"), "--goal psnr compares with the true picture: add --simulate"),
        (("--goal", "pnsr"), "pnsr"),
        (("--noise", "0"), "--goal sure divides by the noise, which for colour.png is stated as 0"),
        (("--goal", "whiteness"), "is one equation, and first, lam are 2 parameters"),
        (("-o", "colour.png", "--overwrite"), "-o colour.png is one of the inputs"),
        (("--crop", "16"), "--crop is for --simulate"),
        (("--simulate", "--noise", "auto"), "with --simulate state the noise"),
        (("--simulate", "--crop", "30"), "--crop 30: colour.png has 31x22 pixels only"),
        (("-p", "lamb"), "no number 'lamb'"),
        (("-p", "last"), "sets last"),
        (("-p", "lam=1"), "--parameter lam=1: write a name"),
        (("-p", "lam=2:1"), "must be smaller"),
        (("-p", "lam=a:1"), "'a' is not a number"),
        (("-p", "lam", "-p", "lam"), "lam is given twice"),
        (("--nfe", "3"), "name two numbers of calls"),
        (("-o", "none/p.json"), "there is no folder"),
    ],
)
def test_mistakes_end_in_one_sentence(run, folder, arguments, text):
    done = run("tune", *TASK, *QUICK, "colour.png", "-o", "p.json", *arguments)
    assert done.code in (1, 2) and text in done.message
    assert not (folder / "p.json").exists()


def test_an_empty_folder_and_a_broken_picture(run, folder):
    (folder / "empty").mkdir()
    assert "holds no pictures" in run("tune", *TASK, *QUICK, "empty", "-o", "p.json").message
    (folder / "broken.png").write_bytes(b"\x89PNG")
    assert "broken.png" in run("tune", *TASK, *QUICK, "broken.png", "-o", "p.json").message


def test_the_order_of_pictures_does_not_matter(run, folder):
    both = ("colour.png", "other.png")
    for name, inputs in (("a.json", both), ("b.json", both[::-1])):
        assert run("tune", *TASK, *QUICK, "--simulate", *inputs, "-o", name).code == 0
    a, b = (Preset.read(folder / name) for name in ("a.json", "b.json"))
    assert a.given_value == pytest.approx(b.given_value, abs=1e-12) and a.sampler == b.sampler


def test_what_a_file_says_of_its_noise_is_passed_on(run, folder):
    run("degrade", *TASK, "colour.png", "-o", "seen.png")
    done = run("tune", "--op", "identity", *QUICK, "--goal", "whiteness", "-p", "first", "seen.png", "-o", "p.json",
               "--noise", "0")  # fmt: skip
    assert done.code == 0 and "says that it holds noise of 0.1 " in done.err


def test_a_preset_keeps_arithmetic_and_tiles(run, folder):
    around = ("--tile", "16", "--precision", "bf16", "--dtype", "float64")
    task = (*TASK, "--prior", "photo", "--sampler", "hqs:nfe=1,last=0.004")
    done = run("tune", *task, *around, "--trials", "2", "--simulate", "colour.png", "-o", "p.json")
    assert done.code == 0, done.err
    preset = Preset.read(folder / "p.json")
    assert (preset.tile, preset.precision, preset.dtype) == (16, "bf16", "float64")
    run("solve", "--preset", "p.json", "--simulate", "colour.png", "-o", "a.png")
    run("solve", *task[:-2], "--sampler", preset.sampler, *around, "--simulate", "colour.png", "-o", "b.png")
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


def test_a_preset_with_estimated_noise_cannot_simulate(run, folder):
    soft_observation(run)
    run("tune", "--op", "identity", "--noise", "auto", *QUICK, "seen.png", "-o", "p.json")
    done = run("solve", "--preset", "p.json", "--simulate", "colour.png", "-o", "a.png")
    assert done.code == 2 and "The preset estimates the noise" in done.message


def test_an_interrupted_search_keeps_its_best(run, folder, monkeypatch):
    def interrupt(self: Display, name: str, done: float, state: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Display, "step", interrupt)
    done = run("tune", *TASK, *QUICK, "--simulate", "colour.png", "-o", "p.json")
    assert done.code == 130 and "interrupted" in done.message
    assert Preset.read(folder / "p.json").trials == 3


def test_describe_names_the_ranges(run, folder):
    assert "(tuned over 0.02 to 2)" in run("describe", "hqs").out


@pytest.mark.parametrize(
    "around", [("--tile", "16"), ("--precision", "bf16"), ("--dtype", "float64", "--device", "cpu")]
)
def test_arithmetic_and_tiles_are_those_of_solve(run, folder, around):
    """The goal of the sampler as given is what `zsir solve` reports with the same options."""
    task = ("--op", "identity", "--noise", "0.1", "--prior", "photo", "--sampler", "hqs:nfe=1,last=0.004")
    plain = run("tune", *task, "--trials", "2", "--simulate", "colour.png", "-o", "plain.json")
    done = run("tune", *task, *around, "--trials", "2", "--simulate", "colour.png", "-o", "p.json")
    assert plain.code == done.code == 0, done.err
    run("solve", *task, *around, "--simulate", "colour.png", "-o", "a.png", "--record", "r.json")
    psnr = json.loads((folder / "r.json").read_text())["results"][0]["psnr"]
    value = Preset.read(folder / "p.json").given_value
    assert value == pytest.approx(psnr, abs=1e-4)
    assert value != Preset.read(folder / "plain.json").given_value
    assert "no such CUDA device" in run("tune", *task, "--device", "cuda:7", "colour.png", "-o", "q.json").message


def test_the_size_of_an_odd_picture(run, folder):
    run("degrade", "--op", "sr2x", "--noise", "0.05", "colour.png", "-o", "half.png")
    with_size = ("--op", "sr2x", "--noise", "0.05", *QUICK, "half.png", "-o", "p.json")
    assert run("tune", *with_size, "--size", "31x22").code == 0
    assert "--size 31x40" in run("tune", *with_size, "--size", "31x40", "--overwrite").message
