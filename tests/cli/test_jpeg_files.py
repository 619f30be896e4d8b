"""JPEG files are restored from their codes. ``--ignore-jpeg`` takes their pixels, as from a PNG file."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from PIL import Image

from tests.cli.conftest import pattern
from zsir import pictures
from zsir.tuning import Preset

METHOD = ("--op", "identity", "--noise", "0.02", "--prior", "gaussian", "--seed", 2)


@pytest.fixture
def coded(folder):
    """A JPEG file, and a PNG file with the pixels that Pillow decodes."""
    Image.fromarray(pattern(40, 56)).save("coded.jpg", quality=30)
    with Image.open("coded.jpg") as file:
        file.save("decoded.png")
    return folder


def succeeded(*outcomes):
    for done in outcomes:
        assert done.code == 0, done.err


def test_solve(run, coded):
    succeeded(
        run("solve", *METHOD, "coded.jpg", "-o", "codes.png", "--record", "codes.json"),
        run("solve", *METHOD, "--ignore-jpeg", "coded.jpg", "-o", "pixels.png", "--record", "pixels.json"),
        run("solve", *METHOD, "decoded.png", "-o", "png.png"),
    )
    codes, pixels, png = (pictures.read(f"{name}.png").pixels for name in ("codes", "pixels", "png"))
    assert torch.equal(pixels, png) and not torch.equal(codes, png)
    # a recorded command is repeated with the option, or without it
    for name in ("codes", "pixels"):
        succeeded(run("solve", "--again", f"{name}.json", "-o", f"{name}/"))
        (again,) = (coded / name).glob("*.png")
        assert again.read_bytes() == (coded / f"{name}.png").read_bytes()


def test_compare(run, coded):
    command = (*METHOD, "-m", "hqs:nfe=2", "-m", "cm4ir:nfe=2", "-q")
    succeeded(
        run("compare", *command, "coded.jpg", "-o", "codes"),
        run("compare", *command, "--ignore-jpeg", "coded.jpg", "-o", "pixels"),
        run("compare", *command, "decoded.png", "-o", "png"),
    )

    def residuals(name):
        results = json.loads((coded / name / "record.json").read_text())["results"]
        return [entry["residual"] for entry in results]

    codes, pixels, png = (residuals(name) for name in ("codes", "pixels", "png"))
    assert pixels == png and len(png) == 2
    assert all(a != b for a, b in zip(codes, png, strict=True))


def test_trace(run, coded):
    command = (*METHOD, "--nfe", 2, "-q")
    succeeded(
        run("trace", *command, "coded.jpg", "-o", "codes"),
        run("trace", *command, "--ignore-jpeg", "coded.jpg", "-o", "pixels"),
        run("trace", *command, "decoded.png", "-o", "png"),
    )

    def residuals(name):
        with (coded / name / "trace.csv").open() as file:
            return [row["residual"] for row in csv.DictReader(file)]

    codes, pixels, png = (residuals(name) for name in ("codes", "pixels", "png"))
    assert pixels == png and len(png) == 2
    assert all(a != b for a, b in zip(codes, png, strict=True))


def test_tune(run, coded):
    command = (*METHOD, "--sampler", "hqs:nfe=1", "--trials", "2", "-p", "first=0.1:0.4", "-q")
    succeeded(
        run("tune", *command, "coded.jpg", "-o", "codes.json"),
        run("tune", *command, "--ignore-jpeg", "coded.jpg", "-o", "pixels.json"),
        run("tune", *command, "decoded.png", "-o", "png.json"),
    )
    codes, pixels, png = (Preset.read(coded / f"{name}.json").given_value for name in ("codes", "pixels", "png"))
    assert pixels == png and codes != png
