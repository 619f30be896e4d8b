"""Whole runs: learning, interruption, full disks, several processes, the command line."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.pictures import folder
from tests.training.runs import SPEC, changed, run_of
from zsir import files, priors
from zsir.cli import main
from zsir.errors import BadSpec, OutputError, SolveError
from zsir.metrics import psnr
from zsir.pictures import read
from zsir.training import distill, recipe, train_denoiser


def start(out: Path, pictures: Path, spec: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "zsir", "train", str(pictures), "-o", str(out), "--recipe", spec]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*command, "--device", "cpu"], env=environment, stdout=quiet, stderr=quiet)


@pytest.mark.slow
def test_training_learns(tmp_path):
    seen: list[Any] = []
    state = train_denoiser(run_of(tmp_path, "run", report=seen.append), recipe(changed("steps=150,every=50,lr=0.01")))
    first, last = state.rows[0], state.rows[-1]
    assert (first[0], last[0]) == (20, 150) and len(last) == 5
    assert last[1] < 0.9 * first[1]
    assert all(b > a + 1 for a, b in zip(first[2:], last[2:], strict=True)), state.rows
    assert [p.step for p in seen] == list(range(10, 151, 10)) and seen[-1].measured is not None
    prior = priors.trained(str(tmp_path / "run/prior.safetensors"))
    x0 = read(tmp_path / "in/p5.png").pixels
    noisy = x0 + 0.1 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    assert psnr(prior.denoise(noisy, torch.tensor([0.1])), x0) > psnr(noisy, x0) + 3
    assert (prior.kind, prior.channels, prior.sigma_range, prior.knows_grey) == ("denoiser", 3, (0.002, 1.25), True)
    card = (tmp_path / "run/card.md").read_text()
    assert prior.fingerprint in card and '"steps": 150' in card and "5 pictures" in card


@pytest.mark.slow
def test_training_learns_with_muon_from_drawings_too(tmp_path):
    more = ",steps=100,every=50,lr=0.01,optimiser=muon,shapes=0.25,log=true"
    first, *_, last = train_denoiser(run_of(tmp_path, "run"), recipe(changed(more))).rows
    assert all(b > a + 0.5 for a, b in zip(first[2:], last[2:], strict=True)), (first, last)


@pytest.mark.slow
def test_killed_again_and_again_a_run_ends_with_the_same_bits(tmp_path, one_thread):
    spec = changed("steps=60")
    train_denoiser(run_of(tmp_path, "whole"), recipe(spec))
    chance, kills = random.Random(4), 0
    for _ in range(4):
        process = start(tmp_path / "killed", tmp_path / "in", spec=spec)
        if kills < 2:
            # wait for a sign of life, so that every kill falls into the training
            before = stamp(tmp_path / "killed/checkpoint.pt")
            while process.poll() is None and stamp(tmp_path / "killed/checkpoint.pt") == before:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.1))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
        if process.wait() == 0:
            break
    assert kills == 2
    for name in ("prior.safetensors", "curve.tsv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", ",optimiser=muon,shapes=0.3,log=true"])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, one_thread, monkeypatch, more):
    from zsir.training import state

    spec = changed(more)
    train_denoiser(run_of(tmp_path, "whole"), recipe(spec))
    written: list[str] = []

    def full(path, data):
        if path.name == "checkpoint.pt" and len(written) == 3:
            raise OutputError(f"{path} cannot be written: no space left on device.")
        written.append(path.name) if path.name == "checkpoint.pt" else None
        return original(path, data)

    original = files.write_bytes
    monkeypatch.setattr(state, "write_bytes", full)
    with pytest.raises(OutputError, match=r"no space left on device\. Training stopped at step 16; .* intact"):
        train_denoiser(run_of(tmp_path, "full"), recipe(spec))
    monkeypatch.undo()
    stored = torch.load(tmp_path / "full/checkpoint.pt", weights_only=True)
    assert stored["step"] == 12
    assert not list((tmp_path / "full").glob("*.part"))
    seen: list[Any] = []
    train_denoiser(run_of(tmp_path, "full", report=seen.append), recipe(spec))
    assert seen[0].step == 16, "the run began anew instead of at step 12"
    assert (tmp_path / "full/prior.safetensors").read_bytes() == (tmp_path / "whole/prior.safetensors").read_bytes()


def test_a_run_that_diverges_keeps_its_last_checkpoint(tmp_path):
    with pytest.raises(SolveError, match=r"no longer finite at step \d+; what was saved before is intact. Lower lr"):
        train_denoiser(run_of(tmp_path, "run"), recipe(changed("lr=1e12,warmup=0")))
    prior = tmp_path / "run/prior.safetensors"
    assert not prior.exists() or all(bool(t.isfinite().all()) for t in load_file(prior).values())


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path):
    """The operating system refuses to let files grow beyond 20 kB, less than a checkpoint."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
        "from zsir.cli import main; main(sys.argv[1:])"
    )
    pictures = folder(tmp_path / "in", 2)
    command = [sys.executable, "-c", script, "train", str(pictures), "-o", str(tmp_path / "run"), "--recipe", SPEC]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "cannot be written: file too large" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", ",optimiser=muon,shapes=0.3,log=true"])
def test_two_processes_make_the_same_prior_as_one(tmp_path, one_thread, more):
    spec = changed(more)
    train_denoiser(run_of(tmp_path, "one"), recipe(spec))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "zsir", "train"]
    options = [str(tmp_path / "in"), "-o", str(tmp_path / "two"), "--recipe", spec, "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *options], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote") == 1
    one, two = (load_file(tmp_path / name / "prior.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        assert torch.allclose(tensor.float(), two[name].float(), rtol=2e-3, atol=1e-4), name
    tables = ((tmp_path / name / "curve.tsv").read_text().splitlines()[1:] for name in ("one", "two"))
    losses = [[float(line.split("\t")[1]) for line in table] for table in tables]
    assert losses[0] == pytest.approx(losses[1], abs=2e-4)


@pytest.mark.slow
def test_distilling_what_was_trained(tmp_path):
    train_denoiser(run_of(tmp_path, "run"), recipe(SPEC))
    teacher = priors.trained(str(tmp_path / "run/prior.safetensors"))
    short = recipe("distill:steps=12,batch=4,patch=16,every=6,warmup=2")
    with pytest.raises(BadSpec, match="log=true is for zsir train"):
        distill(run_of(tmp_path, "cm"), replace(short, log=True), teacher)
    distill(run_of(tmp_path, "cm"), short, teacher)
    student = priors.load(f"trained:path={tmp_path / 'cm/prior.safetensors'}")
    assert student.kind == "consistency" and student.sigma_range == teacher.sigma_range
    x = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    lowest = torch.full((2,), 0.002)
    assert torch.equal(student.denoise(x, lowest), x)
    assert not torch.equal(student.denoise(x, 10 * lowest), teacher.denoise(x, 10 * lowest))
    assert teacher.fingerprint in (tmp_path / "cm/card.md").read_text()
    assert json.loads((tmp_path / "cm/recipe.json").read_text())["widths"] == [8, 16]


@pytest.mark.slow
def test_the_commands(tmp_path, capsys):
    pictures = folder(tmp_path / "in", 5)
    (pictures / "torn.png").write_bytes(b"torn")
    out, val = tmp_path / "run", folder(tmp_path / "val", 2)
    options = ["--recipe", SPEC, "--val", str(val), "--device", "cpu", "--workers", "1"]
    assert main(["train", str(pictures), "-o", str(out), *options], standalone_mode=False) in (None, 0)
    printed = capsys.readouterr().out
    assert "torn.png" in printed and "step 24" in printed and "trained:path=" in printed
    trained = f"trained:path={out / 'prior.safetensors'}"
    short = "distill:steps=4,batch=2,patch=16,every=2"
    main(
        ["distill", trained, str(pictures), "-o", str(tmp_path / "cm"), "--recipe", short, "-q"], standalone_mode=False
    )
    assert capsys.readouterr().out == ""
    result = tmp_path / "out.png"
    solve = ["solve", "--op", "denoise", "--noise", "0.1", "--prior", trained, "-o", str(result)]
    main([*solve, str(pictures / "p0.png")], standalone_mode=False)
    assert read(result).pixels.shape == (1, 3, 40, 52)


@pytest.mark.slow
def test_options_of_both_commands(tmp_path, one_thread, capsys):
    pictures, val = folder(tmp_path / "in", 5), folder(tmp_path / "val", 2)
    train = ["train", str(pictures), "--recipe", changed("steps=8,every=4"), "--val", str(val), "--device", "cpu"]
    main([*train, "-o", str(tmp_path / "a"), "-q"], standalone_mode=False)
    assert capsys.readouterr().out == ""
    main([*train, "-o", str(tmp_path / "b"), "--workers", "1"], standalone_mode=False)
    trained = f"trained:path={tmp_path / 'a' / 'prior.safetensors'}"
    short = "distill:steps=4,batch=2,patch=16,every=2"
    distilled = ["distill", trained, str(pictures), "--recipe", short, "--val", str(val), "--device", "cpu"]
    main([*distilled, "-o", str(tmp_path / "c"), "--workers", "1", "--quiet"], standalone_mode=False)
    main([*distilled, "-o", str(tmp_path / "d")], standalone_mode=False)
    for one, other in ("ab", "cd"):
        weights = [load_file(tmp_path / name / "prior.safetensors") for name in (one, other)]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
        stored = json.loads((tmp_path / one / "pictures.json").read_text())["stored"]
        held_out = {item["name"] for item in stored if item["held_out"]}
        assert len(held_out) == 2 and all(str(val) in name for name in held_out) and len(stored) == 2 + 5
    assert priors.load(f"trained:path={tmp_path / 'd' / 'prior.safetensors'}").kind == "consistency"
    for path in val.iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(SystemExit):
        main([*distilled, "-o", str(tmp_path / "e")])
    assert f"--val {val} holds no usable picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "{in}", "-o", "{out}", "--recipe", "tiyn"], "did you mean 'tiny'"),
        (["train", "{in}/nowhere", "-o", "{out}"], "is not a folder"),
        (["distill", "gaussian", "{in}", "-o", "{out}"], "Only a denoiser of zsir train can be"),
        (["train", "{in}", "-o", "{out}", "--start", "tv"], "trained on (--start) or distilled (PRIOR)"),
        (["train", "{in}", "-o", "{out}", "--start", "cm-photo"], "This NetworkPrior (consistency) is none"),
        (["distill", "trained:path={in}/none", "{in}", "-o", "{out}"], "no weights file"),
        (["train", "{in}", "-o", "{out}", "--device", "cuda"], "no usable CUDA device"),
        (["distill", "photo", "{in}", "-o", "{out}", "--device", "cuda"], "no usable CUDA device"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, arguments, words, capsys):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    pictures = folder(tmp_path / "in", 2)
    filled = [a.replace("{in}", str(pictures)).replace("{out}", str(tmp_path / "out")) for a in arguments]
    with pytest.raises(SystemExit) as stopped:
        main(filled)
    printed = capsys.readouterr().err
    assert stopped.value.code in (1, 2) and words in printed and printed.count("\n") == 1
