"""``--op`` with ``auto`` in it: numbers and kernels that are found in the picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.conftest import Run
from zsir import operators
from zsir.blind import KernelEstimate, resolve
from zsir.pictures import read_gray, write

QUICK = ("--prior", "gaussian", "--noise", "0.01")


@pytest.fixture
def photo(folder: Path) -> Path:
    """A picture with the spectrum of photographs, 96x80, blurred by a Gaussian of 2 pixels, with noise of 0.01."""
    drawn = torch.Generator().manual_seed(3)
    x = torch.randn(1, 3, 128, 128, generator=drawn)
    rows, columns = torch.fft.fftfreq(128)[:, None], torch.fft.rfftfreq(128)
    x = torch.fft.irfft2(torch.fft.rfft2(x) * (rows**2 + columns**2).clamp_min(1e-4) ** -0.65)
    x = (0.5 + 0.16 * (x - x.mean()) / x.std())[..., :96, :112]
    y = operators.make("blur:sigma=2,boundary=circular", in_shape=(3, 96, 112)).forward(x)[..., 8:-8, 8:-8]
    write(folder / "photo.png", (y + 0.01 * torch.randn(y.shape, generator=drawn)).clamp(0, 1))
    return folder / "photo.png"


def test_numbers_are_found(run: Run, photo: Path) -> None:
    done = run("solve", photo, "--op", "blur:sigma=auto | jpeg", *QUICK, "-o", "x.png", "--record", "x.json", "-q")
    assert done.code == 0, done.err
    assert "Found sigma" in done.err and "±" in done.err
    (entry,) = json.loads(Path("x.json").read_text())["results"]
    name, _, sigma = entry["op_found"].partition(" | ")[0].partition("=")
    assert name == "blur:sigma" and abs(float(sigma) - 2) < 0.4
    assert entry["settings"]["op"] == "blur:sigma=auto | jpeg"
    assert entry["provenance"]["operator"] == f"blur:boundary=unknown,sigma={float(sigma)}"
    again = run("solve", "--again", "x.json", "-o", "again", "-q")
    assert again.code == 0, again.err


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """What every search finds: a corner of 7 pixels in an array of 9."""
    taps = torch.zeros(9, 9, dtype=torch.float64)
    taps[2:7, 3], taps[6, 3:7] = 1, 1
    taps = taps / taps.sum()
    found = KernelEstimate(taps, torch.zeros(1, 3, 8, 8), 1.0, 0.0, gain=500, gain_straight=10, spread=0.8)
    monkeypatch.setattr(resolve, "estimate_kernel", lambda *_: found)
    return taps


def test_a_kernel_is_written_beside_the_result(run: Run, photo: Path, kernel: torch.Tensor) -> None:
    arguments = ("solve", photo, "--op", "kernel:auto,size=9", *QUICK, "-o", "x.png", "--record", "x.json", "--force")
    done = run(*arguments, "-q")
    assert done.code == 0, done.err
    taps = np.load("x_kernel.npy")
    np.testing.assert_array_equal(taps, kernel.numpy())
    drawn = read_gray("x_kernel.png")
    np.testing.assert_allclose(drawn / drawn.sum(), taps, atol=1e-5)
    (entry,) = json.loads(Path("x.json").read_text())["results"]
    assert entry["op_found"] == "kernel:path=x_kernel.npy"
    assert entry["provenance"]["operator"] == "kernel:auto,size=9"
    refused = run(*arguments)
    assert refused.code != 0 and "exists" in refused.err
    again = run("solve", "--again", "x.json", "-o", "again", "-q")
    assert again.code == 0, again.err
    np.testing.assert_array_equal(np.load("again/x_kernel.npy"), taps)
    by_hand = run("solve", photo, "--op", entry["op_found"], *QUICK, "-o", "hand.png", "--force", "-q")
    assert by_hand.code == 0, by_hand.err
    with Image.open("hand.png") as one, Image.open("x.png") as other:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_kernel_that_is_no_clear_find_is_not_used(run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doubtful = KernelEstimate(torch.eye(3).double() / 3, torch.zeros(1, 3, 8, 8), 1.0, 0.0, gain=100, gain_straight=98)
    monkeypatch.setattr(resolve, "estimate_kernel", lambda *_: doubtful)
    Path("x_kernel.npy").write_bytes(b"of another run")
    arguments = ("solve", photo, "--op", "kernel:auto,size=9", *QUICK, "-o", "x.png", "--record", "x.json", "-q")
    done = run(*arguments, "--overwrite")
    assert done.code == 0, done.err
    assert "no blur is undone" in done.err
    (entry,) = json.loads(Path("x.json").read_text())["results"]
    assert entry["op_found"] == "identity"
    assert not Path("x_kernel.npy").exists() and not Path("x_kernel.png").exists()
    assert run("solve", photo, "--op", "identity", *QUICK, "-o", "y.png", "-q").code == 0
    assert Path("x.png").read_bytes() == Path("y.png").read_bytes()


def test_the_kernel_takes_the_place_of_nothing(run: Run, photo: Path) -> None:
    Path("x_kernel.npy").write_bytes(b"mine")
    done = run("solve", photo, "--op", "kernel:auto,size=9", *QUICK, "-o", "x.png", "-q")
    assert done.code != 0 and "x_kernel.npy exists" in done.err
    assert Path("x_kernel.npy").read_bytes() == b"mine" and not Path("x.png").exists()


@pytest.mark.parametrize(
    ("command", "op", "says"),
    [
        ("solve", "blurr:sigma=auto", "blur"),
        ("solve", "blur:sigma=auto,sgma=2", "sigma"),
        ("solve", "blur:sigma=auto,boundary=odd", "boundary"),
        ("solve", "blur:sigma=auto | sr2x", "'sr2x' follows it"),
        ("solve", "blur:sigma=auto | motion:length=auto,angle=3", "only one stage"),
        ("solve", "uniform:size=auto", "whole number"),
        ("degrade", "kernel:auto", "state its numbers"),
        ("tune", "kernel:auto", "state its numbers"),
    ],
)
def test_what_cannot_be_found(run: Run, folder: Path, command: str, op: str, says: str) -> None:
    done = run(command, "colour.png", "--op", op, "-o", "x.toml" if command == "tune" else "x.png", "-q")
    assert done.code != 0 and says in done.err, done.err


def test_nothing_is_found_for_simulations(run: Run, folder: Path) -> None:
    done = run("solve", "colour.png", "--op", "motion:length=auto,angle=auto", "--simulate", "-q")
    assert "for a simulated observation state its numbers" in done.message
