"""What a folder of a run holds, who may go on with it, and with what training begins."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.pictures import folder
from tests.training.runs import SPEC, changed, run_of
from zsir import files, priors
from zsir.cli import main
from zsir.errors import BadInput, BadSpec, Incompatible
from zsir.training import distill, recipe, train_denoiser

SHORT = "recipe:widths=8+16,blocks=1,batch=2,patch=16,steps=2,every=2"


@pytest.mark.slow
def test_a_folder_holds_one_run(tmp_path):
    train_denoiser(run_of(tmp_path, "run"), recipe(SPEC))
    with pytest.raises(Incompatible, match=r"holds a run with steps 24, not 30"):
        train_denoiser(run_of(tmp_path, "run"), recipe(changed("steps=30")))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f"run/.zsir-{files._place()}-{gone.pid}-0.part").write_text("left by a run that was killed")
    with pytest.raises(Incompatible, match=r"holds a run with validation one picture in 16, not"):
        train_denoiser(run_of(tmp_path, "run", validation=tmp_path / "in"), recipe(SPEC))
    assert not list((tmp_path / "run").glob(".zsir-*"))
    for name, words in (("settings.json", "damaged; begin in another"), ("pictures.json", "damaged; remove it")):
        whole = (tmp_path / "run" / name).read_bytes()
        (tmp_path / "run" / name).write_bytes(b"")
        with pytest.raises(BadInput, match=words):
            train_denoiser(run_of(tmp_path, "run"), recipe(SPEC))
        (tmp_path / "run" / name).write_bytes(whole)
    with tarfile.open(tmp_path / "old.tar", "w") as old:  # the layout of torch before 0.4
        old.add(tmp_path / "run" / "settings.json", "storages")
    for content in (b"nonsense", (tmp_path / "old.tar").read_bytes()):
        (tmp_path / "run/checkpoint.pt").write_bytes(content)
        with pytest.raises(BadInput, match=r"torch.save did not write it\); remove it to begin again"):
            train_denoiser(run_of(tmp_path, "run"), recipe(SPEC))


def test_a_checkpoint_is_not_taken_for_another_run(tmp_path):
    """The pictures may be deleted when a run is over; its network is not that of the next one."""
    train_denoiser(run_of(tmp_path, "run"), recipe(SHORT))
    out = tmp_path / "run"
    before = (out / "prior.safetensors").read_bytes()
    for name in ("pictures.bin", "pictures.json"):
        (out / name).unlink()
    teacher = priors.load(f"trained:path={out / 'prior.safetensors'}")
    with pytest.raises(Incompatible, match=r"trains a denoiser; this one would train a consistency model of trained"):
        distill(run_of(tmp_path, "run"), recipe("distill:steps=2,batch=2,patch=16"), teacher)
    with pytest.raises(Incompatible, match="holds a run with seed 0, not 1"):
        train_denoiser(run_of(tmp_path, "run"), recipe(SHORT + ",seed=1"))
    assert (out / "prior.safetensors").read_bytes() == before
    assert train_denoiser(run_of(tmp_path, "run"), recipe(SHORT)).step == 2
    assert (out / "pictures.bin").is_file() and (out / "prior.safetensors").read_bytes() == before


@pytest.mark.parametrize("option", [[], ["--val", "{pictures}"]])
def test_a_folder_of_pictures_is_no_folder_for_a_run(tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(tmp_path)
    pictures, others = folder(tmp_path / "in", 2), folder(tmp_path / "others", 2)
    before = sorted(pictures.iterdir())
    learned = others if option else pictures
    filled = [text.format(pictures=pictures) for text in option]
    with pytest.raises(SystemExit):
        main(["train", str(learned), *filled, "-o", "others/../in", "--recipe", SHORT])
    assert "--out others/../in is a folder of pictures to learn from" in capsys.readouterr().err
    assert sorted(pictures.iterdir()) == before


@pytest.mark.parametrize("arguments", [["{in}", "{in}/nowhere"], ["{in}", "--val", "{in}/nowhere"]])
def test_a_mistyped_folder_leaves_nothing(tmp_path, capsys, arguments):
    pictures = folder(tmp_path / "in", 2)
    filled = [text.replace("{in}", str(pictures)) for text in arguments]
    with pytest.raises(SystemExit):
        main(["train", *filled, "-o", str(tmp_path / "run"), "--recipe", SHORT])
    named = "--val " if "--val" in arguments else ""
    assert capsys.readouterr().err.endswith(
        f" {named}{pictures}/nowhere is not a folder; give folders with pictures.\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_lock_goes_with_its_process_though_children_live_on(tmp_path):
    script = (
        "import os, sys, time; from zsir.files import held\n"
        "with held(sys.argv[1], 'never'):\n"
        "    there, here = os.pipe()\n"
        "    child = os.fork()\n"
        "    if child == 0: os.write(here, b'.'); time.sleep(60)\n"
        "    os.read(there, 1)  # the child runs\n"
        "    print(child, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    assert process.returncode == -9
    try:
        os.kill(child, 0)  # it lives
        with files.held(lock, "The lock is still held"):
            pass
    finally:
        os.kill(child, 9)


def test_names_that_are_no_text(tmp_path):
    out = tmp_path / "run"
    pictures = folder(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")), 2)
    Path(os.fsdecode(os.fsencode(pictures) + b"/torn\xe9.png")).write_bytes(b"torn")
    main(["train", str(pictures), "-o", str(out), "--recipe", SHORT, "--device", "cpu"], standalone_mode=False)
    card = (out / "card.md").read_text("utf-8")
    assert "caf?/torn?.png" in card and card.count("caf?") == 2


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_folder(tmp_path):
    run = run_of(tmp_path, "run")
    with files.held(tmp_path / "lock", "never"):
        pass
    (tmp_path / "run").mkdir()
    with (
        files.held(tmp_path / "run" / ".lock", "never"),
        pytest.raises(Incompatible, match="Another process is training"),
    ):
        train_denoiser(run, recipe(SPEC))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert train_denoiser(run, recipe(SPEC)).step == 24


def test_a_batch_that_cannot_be_shared_leaves_nothing(tmp_path, monkeypatch):
    from zsir.training import session

    class Three:
        num_processes = 3

    monkeypatch.setattr(session, "accelerator_on", lambda device: Three())
    with pytest.raises(BadSpec, match="batch=4 cannot be shared evenly by 3 processes"):
        train_denoiser(run_of(tmp_path, "run"), recipe(SPEC))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_training_that_begins_with_a_prior(tmp_path, one_thread):
    train_denoiser(run_of(tmp_path, "first"), recipe(changed("channels=1,sigma_max=0.2,focus_high=0.15,grey=0")))
    first = f"trained:path={tmp_path / 'first/prior.safetensors'}"
    begun = ["train", str(tmp_path / "in"), "--device", "cpu", "--start", first, "-o", str(tmp_path / "still")]
    main([*begun, "--recipe", "small:steps=1,batch=2,patch=16,lr=1e-12"], standalone_mode=False)
    one, still = (load_file(tmp_path / name / "prior.safetensors") for name in ("first", "still"))
    for name, tensor in one.items():
        assert torch.allclose(tensor.float(), still[name].float(), rtol=1e-3, atol=1e-7), name
    used = recipe(str(tmp_path / "still/recipe.json"))
    assert (used.widths, used.blocks, used.channels, used.lr) == ((8, 16), 1, 1, 1e-12)
    assert (used.sigma_min, used.sigma_max, used.focus_low, used.focus_high) == (0.002, 0.2, 0.01, 0.2)
    prior = priors.load(f"trained:path={tmp_path / 'still/prior.safetensors'}")
    assert (prior.channels, prior.sigma_range) == (1, (0.002, 0.2))
    card = (tmp_path / "still/card.md").read_text()
    assert f"It began as trained (SHA-256 `{priors.load(first).fingerprint}`)" in card
    with pytest.raises(BadSpec, match=r"knows noise levels from 0\.002 to 0\.2, and none between .* \(0\.3 to 0\.5\)"):
        train_denoiser(run_of(tmp_path, "none"), recipe(SHORT + ",focus_low=0.3,focus_high=0.5"), priors.load(first))


@pytest.mark.slow
def test_a_run_that_began_with_a_prior_goes_on(tmp_path, one_thread):
    train_denoiser(run_of(tmp_path, "first"), recipe(SHORT))
    train_denoiser(run_of(tmp_path, "other"), recipe(SHORT + ",seed=1"))
    first, other = (priors.load(f"trained:path={tmp_path / name / 'prior.safetensors'}") for name in ("first", "other"))
    r = recipe("small:steps=24,every=4,batch=2,patch=16")
    train_denoiser(run_of(tmp_path, "whole"), r, first)

    class Stopped(Exception):
        pass

    def stop(progress):
        raise Stopped

    with pytest.raises(Stopped):
        train_denoiser(run_of(tmp_path, "run", report=stop), r, first)
    torn = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    assert torn["step"] == 4
    for begin in (None, other):
        with pytest.raises(Incompatible, match=r"trains a denoiser that began as trained .*; .* give the same --start"):
            train_denoiser(run_of(tmp_path, "run"), r, begin)
    train_denoiser(run_of(tmp_path, "run"), r, first)
    assert (tmp_path / "run/prior.safetensors").read_bytes() == (tmp_path / "whole/prior.safetensors").read_bytes()
