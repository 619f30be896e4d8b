"""Everything a user can do wrong: one sentence, an exit code, and nothing half-written or lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import ENVIRONMENT, pattern
from zsir import operators, pictures, priors
from zsir.workflow import method, restore

FAST = ("--prior", "gaussian", "--nfe", "1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("slove",), "did you mean 'solve'"),
        (("bogus",), "known are"),
        (("--bogus",), "--bogus"),
        (("degrade", "colour.png"), "--op"),
        (("solve", "--op", "sr4x"), "INPUT"),
        (("solve", "--op", "sr4x", "--nosie", "0", "colour.png"), "--noise"),
        (("solve", "--op", "sr4x", "--noise", "12", "colour.png"), "[0, 1] scale: write 12/255"),
        (("solve", "--op", "sr4x", "--noise", "-0.1", "colour.png"), "not negative"),
        (("solve", "--op", "sr4x", "--noise", "loud", "colour.png"), "0.02 or 5/255"),
        (("solve", "--op", "sr4x", "--noise", "nan", "colour.png"), "finite"),
        (("solve", "--op", "sr4x", "--nfe", "0", "colour.png"), "--nfe"),
        (("solve", "--op", "sr4x", "--nfe", "four", "colour.png"), "--nfe"),
        (("solve", "--op", "sr4x", "--seed", "x", "colour.png"), "0-3"),
        (("solve", "--op", "sr4x", "--seed", "3-1", "colour.png"), "upwards"),
        (("solve", "--op", "sr4x", "--seed", "0-99999999999", "colour.png"), "at most"),
        (("solve", "--op", "sr4x", "--size", "12", "colour.png"), "640x480"),
        (("solve", "--op", "sr4x", "--size", "124x88", "--simulate", "colour.png"), "--simulate"),
        (("solve", "--op", "sr4x", "--device", "cuda:77", "colour.png"), "use --device cpu"),
        (("solve", "--op", "sr4x", "--dtype", "float16", "colour.png"), "float32"),
        (("solve", "--op", "sr4", "colour.png"), "did you mean 'sr4x'"),
        (("solve", "--op", "blur:sigm=3", "colour.png"), "did you mean 'sigma'"),
        (("solve", "--op", "blur:sigma", "colour.png"), "key=value"),
        (("solve", "--op", "blur:sigma=-1", *FAST, "colour.png"), "positive"),
        (("solve", "--op", "downsample:factor=0", *FAST, "colour.png"), "factor=0"),
        (("solve", "--op", "downsample:factor=0", *FAST, "--simulate", "colour.png"), "factor=0"),
        (("solve", "--op", "mask:keep=2", *FAST, "colour.png"), "keep=2"),
        (("solve", "--op", "sr4x", "--prior", "foto", "colour.png"), "did you mean 'photo'"),
        (("solve", "--op", "sr4x", "--sampler", "cm4ri", "colour.png"), "did you mean 'cm4ir'"),
        (("solve", "--op", "sr4x", "--sampler", "cm4ir:nfe=3", "--nfe", "4", "colour.png"), "nfe"),
        (("solve", "--op", "sr4x", "colour.png", "-o", "x.bmp"), "ends in .png"),
        (("solve", "--op", "sr4x", "colour.png", "-o", "colour.png", "--overwrite"), "is an input"),
        (("solve", "--op", "sr4x", "colour.png", "grey.png", "-o", "x.png"), "give a folder"),
        (("solve", "--op", "sr4x", "colour.png", "--seed", "0-3", "-o", "x.png"), "4 results"),
        (("solve", "--op", "sr4x", "colour.png", "sub/colour.png", "-o", "out"), "both be written to out/colour.png"),
        (("solve", "--op", "sr4x", "colour.png", "--record", "colour.png", "--overwrite"), "another name"),
        (("degrade", "--op", "sr4x", "--seed", "0-3", "colour.png"), "one whole number"),
        (("degrade", "--op", "sr4x", "--bits", "12", "colour.png"), "'8', '16'"),
        (("describe", "dwnsample"), "did you mean 'downsample'"),
        (("describe", "zzzzzz"), "zsir list"),
        (("cite", "zzzzzz"), "zsir list"),
        (("cite", "--op", "sr4"), "sr4x"),
        (("list", "operators"), "'ops'"),
        (("demo",), "FOLDER"),
    ],
)
def test_usage(run, folder, arguments, says):
    before = sorted(p.name for p in folder.iterdir())
    done = run(*arguments)
    assert done.code == 2 and says in done.message
    assert sorted(p.name for p in folder.iterdir()) == before


def write_damaged(folder: Path) -> None:
    content = (folder / "colour.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "fake.png").write_text("<html>")
    (folder / "empty.png").touch()
    (folder / "nothing").mkdir()
    (folder / "nothing" / "text.txt").touch()
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(folder / "nan.tif")
    Image.fromarray(pattern(1, 1)).save(folder / "one.png")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "black.png")
    np.save(folder / "negative.npy", np.array([[1.0, -2.0]]))
    np.save(folder / "line.npy", np.ones(3))


@pytest.mark.parametrize("simulate", [(), ("--simulate",)])
@pytest.mark.parametrize(
    ("op", "name", "says", "code"),
    [
        ("identity", "missing.png", "no such file", 1),
        ("identity", "nothing", "holds no pictures", 1),
        ("identity", "cut.png", "damaged", 1),
        ("identity", "fake.png", "known format", 1),
        ("identity", "empty.png", "known format", 1),
        ("identity", "nan.tif", "NaN", 1),
        ("mask-file:path=other.png", "colour.png", "31x22", 1),
        ("mask-file:path=missing.png", "colour.png", "no such file", 1),
        ("mask-file:path=black.png", "colour.png", "", 1),
        ("kernel:path=black.png", "colour.png", "positive sum", 2),
        ("kernel:path=negative.npy", "colour.png", "positive sum", 2),
        ("kernel:path=line.npy", "colour.png", "two-dimensional", 1),
        ("kernel:path=fake.png", "colour.png", "known format", 1),
    ],
)
def test_files(run, folder, op, name, says, code, simulate):
    write_damaged(folder)
    done = run("solve", "--op", op, *FAST, *simulate, name)
    assert done.code == code and says in done.message
    assert not list(folder.glob("*restored*")) and not list(folder.glob(".zsir*"))


def test_a_factor_larger_than_the_picture(run, folder):
    for command in (("solve", *FAST, "--simulate"), ("degrade",)):
        done = run(*command, "--op", "downsample:factor=40", "colour.png")
        assert done.code == 1 and "larger than the picture (31x22)" in done.message


@pytest.mark.parametrize("rows", ["0.5+0.5+0;0+0+1", "1+-1+0"])
def test_only_pictures_are_written(run, folder, rows):
    """Two channels, and values below 0, have no place in a file."""
    done = run("degrade", "--op", f"channels:rows={rows}", "colour.png")
    assert done.code != 0 and "does not make a picture" in done.message and not list(folder.glob("*degraded*"))


def test_size_that_does_not_fit(run, folder):
    done = run("solve", "--op", "sr4x", *FAST, "--size", "200x100", "colour.png")
    assert done.code == 1 and "50x25" in done.message and "31x22" in done.message


def test_decompression_bomb(run, folder, monkeypatch):
    for limit in (300, 600):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        done = run("solve", "--op", "identity", *FAST, "colour.png")
        assert done.code == 1 and "million pixels" in done.message


def test_a_prior_for_other_channels(run, folder, monkeypatch):
    class OneChannel:
        channels, sigma_range, kind, fingerprint = 1, (0.0, 9.0), "denoiser", ""

        def __repr__(self):
            return "OneChannel()"

    monkeypatch.setattr(priors, "load", lambda spec: OneChannel())
    done = run("solve", "--op", "identity", "colour.png")
    assert done.code == 2 and "1 channel, this one has 3 channels" in done.message


def test_the_others_go_on(run, folder):
    write_damaged(folder)
    done = run("solve", "--op", "identity", *FAST, "cut.png", "colour.png", "fake.png", "other.png", "-o", "out")
    assert done.code == 1
    assert done.err.splitlines()[-1] == "zsir: 2 of 4 failed: cut.png, fake.png"
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["colour.png", "other.png"]
    assert len(done.out.splitlines()) == 2


def test_existing_results_are_kept(run, folder):
    (folder / "x.png").write_text("precious")
    done = run("solve", "--op", "identity", *FAST, "other.png", "-o", "x.png")
    assert done.code == 1 and done.message == "x.png exists: add --overwrite to replace it."
    assert (folder / "x.png").read_text() == "precious"
    assert run("solve", "--op", "identity", *FAST, "other.png", "-o", "x.png", "--overwrite").code == 0
    assert pictures.read("x.png").pixels.shape == (1, 3, 16, 24)
    done = run("solve", "--op", "identity", *FAST, "other.png", "--record", "x.png")
    assert done.code == 1 and "exists" in done.message


@pytest.mark.parametrize("command", ["solve", "degrade", "demo"])
def test_full_disk(run, folder, monkeypatch, command):
    (folder / "x.png").write_text("precious")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    if command == "demo":
        done = run("demo", "out")
    else:
        extra = (*FAST, "--noise", "0") if command == "solve" else ()
        done = run(command, "--op", "identity", *extra, "other.png", "-o", "x.png", "--overwrite")
    assert done.code == 1 and "no space left on device" in done.message
    assert (folder / "x.png").read_text() == "precious" and not list(folder.glob(".zsir*"))


def test_a_folder_that_cannot_be_written(run, folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    done = run("solve", "--op", "identity", *FAST, "other.png", "-o", "x.png")
    assert done.code == 1 and "no permission" in done.message
    done = run("solve", "--op", "identity", *FAST, "other.png", "colour.png", "-o", "grey.png/out")
    assert done.code == 1 and "cannot be made" in done.message


def test_devices_are_left_alone(run, folder):
    os.mkfifo("pipe.png")
    done = run("solve", "--op", "identity", *FAST, "other.png", "-o", "pipe.png", "--overwrite")
    assert done.code == 1 and "pipe" in done.message
    done = run("solve", "--op", "identity", *FAST, "other.png", "-o", "/dev/full", "--overwrite")
    assert done.code == 2 and "/dev/full" in done.message


def test_interrupted(run, folder, monkeypatch):
    original, seen = operators.make, []

    def make(*args, **options):
        seen.append(1)
        if len(seen) > 1:
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(operators, "make", make)
    done = run("solve", "--op", "identity", *FAST, "--noise", "0", folder, "--record", "r.json")
    assert done.code == 130 and done.message == "interrupted; 1 of 3 files were written"
    assert pictures.read("colour_restored.png").pixels.shape == (1, 3, 22, 31)
    assert (folder / "r.json").exists()


def test_ctrl_c(folder):
    command = [sys.executable, "-m", "zsir", "solve", "--op", "identity", "--prior", "gaussian", "--seed", "0-999",
               "--noise", "0"]  # fmt: skip
    process = subprocess.Popen(
        [*command, str(folder), "-o", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # a shell's background job starts with the signal ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("out/colour_seed0.png")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("zsir: interrupted; ") and err.count("\n") == 1
    written = list((folder / "out").iterdir())
    assert f"; {len(written)} of 3000 files" in err
    for path in written:
        pictures.read(path)


def test_a_bug_is_called_one(run, folder, monkeypatch):
    def broken(*args, **options):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(restore, "restored", broken)
    done = run("solve", "--op", "identity", *FAST, "other.png")
    assert done.code == 70 and "internal error: ZeroDivisionError: oh" in done.message and "ZSIR_DEBUG" in done.message
    monkeypatch.setattr(method, "load_method", broken)
    assert run("solve", "--op", "identity", *FAST, "other.png").code == 70
    monkeypatch.setenv("ZSIR_DEBUG", "1")
    assert run("solve", "--op", "identity", *FAST, "other.png").code == 1  # the exception itself


def test_out_of_memory(run, folder, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(restore, "restored", broken)
    done = run("solve", "--op", "identity", *FAST, "other.png")
    assert done.code == 1 and "not enough memory" in done.message


def test_a_closed_pipe_is_quiet(folder):
    command = f"{sys.executable} -m zsir list | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout == "Operators\n" and "Traceback" not in done.stderr


def test_progress_bar_on_a_terminal(folder):
    """Under a pseudo-terminal there is a bar, and the lines of the results stay."""
    import pty

    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "zsir", "solve", "--op", "sr2x", "--prior", "gaussian", "other.png", "grey.png"],
        stdout=terminal,
        stderr=terminal,
        env={**ENVIRONMENT, "TERM": "xterm"},
    )
    os.close(terminal)
    seen = b""
    while True:
        try:
            chunk = os.read(controller, 4096)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(controller)
    assert process.wait(timeout=60) == 0
    text = seen.decode()
    assert "step" in text and "other_restored.png" in text and "grey_restored.png" in text
