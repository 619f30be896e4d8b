"""``zsir degrade``."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from zsir import operators, pictures
from zsir.rng import PictureNoise


def test_values_and_notes(run, folder):
    done = run("degrade", "--op", "sr4x", "--noise", "5/255", "--seed", 3, "colour.png", "--bits", 16)
    assert done.code == 0 and done.out == "colour_degraded.png  8x6  from 31x22\n"
    seen = pictures.read("colour_degraded.png")
    assert seen.text == {"zsir:op": "sr4x", "zsir:noise": "5/255", "zsir:seed": "3", "zsir:size": "31x22"}
    x = pictures.read("colour.png").pixels
    y = operators.make("sr4x", in_shape=(3, 22, 31)).forward(x)
    y = y + 5 / 255 * PictureNoise(3, [0], stream="observation").randn_like(y)
    assert float((seen.pixels - y.clamp(0, 1)).abs().max()) <= 0.51 / 65535


def test_eight_bits_are_the_default(run, folder):
    assert run("degrade", "--op", "identity", "--noise", "0.0123", "colour.png").code == 0
    seen = pictures.read("colour_degraded.png")
    assert seen.bits == 8 and seen.text["zsir:noise"] == "0.0123"


def test_hidden_pixels_are_black(run, folder):
    Image.fromarray(np.full((20, 20, 3), 128, np.uint8)).save("flat.png")
    assert run("degrade", "--op", "mask:keep=0.25", "--noise", "0.1", "flat.png").code == 0
    black = (pictures.read("flat_degraded.png").pixels == 0).all(dim=1)
    assert int(black.sum()) == 300


def test_a_folder_and_alpha(run, folder):
    pixels = pictures.read("other.png").pixels
    pictures.write("clear.png", pixels, alpha=torch.ones(1, 1, 16, 24) * 0.4)
    assert run("degrade", "--op", "sr2x", ".", "-o", "low").code == 0
    assert len(list((folder / "low").iterdir())) == 4
    alpha = pictures.read("low/clear.png").alpha
    assert alpha is not None and alpha.shape[-2:] == (8, 12)
    assert float(alpha.mean()) == pytest.approx(0.4, abs=1e-6)


def test_solve_uses_the_notes_only_for_the_same_operator(run, folder):
    assert run("degrade", "--op", "sr4x", "colour.png", "-o", "low.png").code == 0
    fast = ("--prior", "gaussian", "--overwrite", "low.png", "-o", "x.png")
    for op, size in (("downsample:factor=4", (22, 31)), ("sr2x", (12, 16)), ("sr4x-matlab", (24, 32))):
        assert run("solve", "--op", op, *fast).code == 0
        assert pictures.read("x.png").pixels.shape[-2:] == size


def test_solve_reminds_of_noise(run, folder):
    assert run("degrade", "--op", "identity", "--noise", "5/255", "other.png").code == 0
    task = ("solve", "--op", "denoise", "--prior", "gaussian", "other_degraded.png", "--overwrite")
    done = run(*task, "--noise", "0")
    assert done.code == 0 and "says that it holds noise of 0.0196 " in done.message
    assert run(*task, "--record", "r.json").err == ""
    (entry,) = json.loads((folder / "r.json").read_text())["results"]
    expected = math.hypot(5 / 255, 1 / 255 / math.sqrt(12))  # and 8 bits
    assert entry["provenance"]["noise_std"] == pytest.approx(expected, rel=1e-9)


def test_only_png(run, folder):
    done = run("degrade", "--op", "sr2x", "other.png", "-o", "x.jpg")
    assert done.code == 2 and ".png" in done.message


def test_quiet(run, folder):
    done = run("degrade", "--op", "sr2x", "-q", "other.png", "colour.png")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert pictures.read("other_degraded.png").pixels.shape[-2:] == (8, 12)
    failed = run("degrade", "--op", "sr2x", "--quiet", "gone.png", "-o", "x.png")
    assert failed.code == 1 and "gone.png" in failed.message


def test_files_are_replaced_when_asked(run, folder):
    command = ("degrade", "--op", "identity", "--noise", "0.1", "other.png", "-o", "y.png")
    assert run(*command).code == 0
    before = (folder / "y.png").read_bytes()
    refused = run(*command, "--seed", 1)
    assert refused.code != 0 and "--overwrite" in refused.message and (folder / "y.png").read_bytes() == before
    assert run(*command, "--seed", 1, "--overwrite").code == 0
    assert pictures.read("y.png").text["zsir:seed"] == "1" and (folder / "y.png").read_bytes() != before
