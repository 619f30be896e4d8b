"""``zsir convert``: what it writes, what it says, and that it leaves nothing half-written."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from diffusers import CMStochasticIterativeScheduler, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file

from tests.nets.adm_reference import Plan, randomised
from zsir.priors import load
from zsir.priors.checkpoints.adm.load import load_adm

PLAN = Plan(channels=32, mult=(1, 2), head_width=16, attention=(2,))


@pytest.fixture
def saved(folder):
    """net.pt and config.json in the working folder; returns the network."""

    def save(plan: Plan = PLAN, **fields: object):
        net = randomised(plan)
        torch.save({"state_dict": net.state_dict()}, "net.pt")
        given = {"num_head_channels": plan.head_width} if plan.head_width > 0 else {"num_heads": plan.heads}
        (folder / "config.json").write_text(json.dumps({**given, **fields}))
        return net

    return save


def outputs(net, model):
    x, t = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(2)), torch.tensor([77.0])
    with torch.no_grad():
        return net(x, t), model(x, t).sample


def test_folder_is_read_by_diffusers(run, folder, saved):
    net = saved()
    done = run("convert", "net.pt", "out", "--config", "config.json")
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[0].startswith("net.pt: an ADM (guided-diffusion) or consistency-model UNet, ")
    assert lines[1:4] == [
        "  ddpm, 32 channels x (1, 2), 1 blocks per level",
        "  attention at levels [1], heads of 16, q, k, v per head",
        "  scale-shift, residual resizing, learned variance",
    ]
    assert lines[4:] == ["wrote out"]
    names = {"config.json", "diffusion_pytorch_model.safetensors", "scheduler_config.json"}
    assert {file.name for file in (folder / "out").iterdir()} == names
    model = UNet2DModel.from_pretrained("out", local_files_only=True)
    expected, found = outputs(net, model)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    scheduler = DDPMScheduler.from_config(json.loads((folder / "out" / "scheduler_config.json").read_text()))
    assert float(scheduler.alphas_cumprod[0]) == pytest.approx(1 - 1e-4)
    assert scheduler.config.variance_type == "learned_range"


@pytest.mark.parametrize("out", ["out", "out.safetensors"])
def test_converted_prior_equals_the_checkpoint(run, folder, saved, out):
    saved()
    assert run("convert", "net.pt", out, "--config", "config.json").code == 0
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    sigma = torch.tensor([0.3])
    before, after = load("adm:path=net.pt,config=config.json"), load(f"adm:path={out}")
    assert torch.equal(before.denoise(x, sigma), after.denoise(x, sigma))
    assert before.fingerprint != after.fingerprint != ""
    done = run("solve", "--op", "denoise", "--prior", f"adm:path={out},config=config.json", "other.png")
    assert done.code == 2 and "was converted already" in done.message


def test_consistency_model(run, folder, saved):
    plan = Plan(head_width=16, outputs=3, split=True, planar=True, scale_shift=False, updown=False)
    net = saved(plan)
    done = run("convert", "net.pt", "out", "--config", "config.json")
    assert done.code == 0 and "  consistency, " in done.out and "q, k, v apart" in done.out
    expected, found = outputs(net, UNet2DModel.from_pretrained("out", local_files_only=True))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    notes = json.loads((folder / "out" / "scheduler_config.json").read_text())
    assert notes["_class_name"] == "CMStochasticIterativeScheduler"
    assert CMStochasticIterativeScheduler.from_config(notes).config.sigma_max == 80


def test_network_that_diffusers_cannot_describe(run, folder, saved):
    plan = Plan(mult=(1, 2), attention=(1, 2), head_width=-1, heads=2)
    net = saved(plan)
    done = run("convert", "net.pt", "out", "--config", "config.json")
    assert done.code == 2 and "heads have different widths (16, 32)" in done.message.splitlines()[-1]
    assert not (folder / "out").exists()
    assert run("convert", "net.pt", "one.safetensors", "--config", "config.json").code == 0
    expected, found = outputs(net, load_adm("one.safetensors")[0])
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_other_networks_keep_their_names(run, folder):
    state = {"m_head.weight": torch.ones(4, 4, 3, 3), "m_tail.weight": torch.zeros(3, 4, 3, 3)}
    torch.save({"params": state}, "drunet.pth")
    done = run("convert", "drunet.pth", "new/drunet.safetensors")
    assert done.code == 0 and done.out.startswith("drunet.pth: a DRUNet, 0.0 million parameters in 2 tensors\n")
    written = load_file("new/drunet.safetensors")
    assert {k: torch.equal(v, state[k]) for k, v in written.items()} == dict.fromkeys(state, True)
    done = run("convert", "drunet.pth", "folder")
    assert done.code == 2 and "A DRUNet has no diffusers layout" in done.message
    done = run("convert", "drunet.pth", "x.safetensors", "--config", "any.json")
    assert done.code == 2 and "--config is for ADM networks only" in done.message


def test_nothing_is_replaced_unasked(run, folder, saved):
    saved()
    arguments = ("convert", "net.pt", "out", "--config", "config.json")
    assert run(*arguments).code == 0
    done = run(*arguments)
    assert done.code == 1 and done.message == "out exists: add --overwrite to replace it."
    before = (folder / "out" / "config.json").stat().st_ino
    assert run(*arguments, "--overwrite").code == 0
    assert (folder / "out" / "config.json").stat().st_ino != before
    (folder / "out" / "thesis.tex").write_text("x")
    done = run(*arguments, "--overwrite")
    assert done.code == 1 and "is no folder of converted weights" in done.message
    assert (folder / "out" / "thesis.tex").read_text() == "x"
    assert run("convert", "net.pt", "one.safetensors", "--config", "config.json").code == 0
    done = run("convert", "net.pt", "one.safetensors", "--config", "config.json")
    assert done.code == 1 and "add --overwrite" in done.message
    assert not list(folder.glob(".zsir-*"))


def test_failed_write_leaves_nothing(run, folder, saved, monkeypatch):
    saved()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zsir.priors.checkpoints.adm.saved._write", full)
    for out in ("out", "one.safetensors"):
        done = run("convert", "net.pt", out, "--config", "config.json")
        assert done.code == 1 and done.message == f"{out} cannot be written: no space left on device."
        assert not (folder / out).exists()
    assert not list(folder.glob(".zsir-*"))


def test_bad_input(run, folder, saved):
    assert "no weights file at none.pt" in run("convert", "none.pt", "x.safetensors").message
    (folder / "evil.pt").write_bytes(pickle.dumps(print, 2))
    done = run("convert", "evil.pt", "x.safetensors")
    assert done.code == 1 and "zsir runs no code from files" in done.message
    saved()
    assert "give a config (JSON)" in run("convert", "net.pt", "x.safetensors").message
    assert not (folder / "x.safetensors").exists()


def test_foreign_notes_are_refused(run, folder):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, "x.safetensors", {"zsir": '{"shape": 1}'})
    done = run("solve", "--op", "denoise", "--prior", "adm:path=x.safetensors", "other.png")
    assert done.code == 1 and "its notes are not those of 'zsir convert'" in done.message


@pytest.mark.parametrize("first", ["one", "one.safetensors"])
@pytest.mark.parametrize("second", ["two", "two.safetensors"])
def test_its_own_output_is_converted_again(run, folder, saved, first, second):
    saved(diffusion_steps=500, noise_schedule="cosine")
    assert run("convert", "net.pt", first, "--config", "config.json").code == 0
    done = run("convert", first, second)
    assert done.code == 0 and "  ddpm, 32 channels x (1, 2), 1 blocks per level\n" in done.out
    x, sigma = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(3)), torch.tensor([0.3, 0.02])
    before, after = load("adm:path=net.pt,config=config.json"), load(f"adm:path={second}")
    assert torch.equal(before.denoise(x, sigma), after.denoise(x, sigma))
    assert before.sigma_range == after.sigma_range
    assert load_adm(first)[1:] == load_adm(second)[1:] == load_adm("net.pt", "config.json")[1:]
    assert "was converted already" in run("convert", first, "x", "--kind", "edm").message
    assert run("convert", second, second, "--overwrite").code == 0
    assert torch.equal(load(f"adm:path={second}").denoise(x, sigma), before.denoise(x, sigma))


def test_teachers_of_consistency_models(run, folder, saved):
    saved(Plan(head_width=16, outputs=3, split=True, planar=True, scale_shift=False))
    done = run("convert", "net.pt", "edm.safetensors", "--config", "config.json", "--kind", "edm")
    assert done.code == 0 and "  edm, " in done.out
    x, sigma = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3)), torch.tensor([0.3])
    before, after = load("adm:path=net.pt,config=config.json,kind=edm"), load("adm:path=edm.safetensors")
    assert torch.equal(before.denoise(x, sigma), after.denoise(x, sigma)) and after.kind == "denoiser"
    done = run("convert", "net.pt", "out", "--config", "config.json", "--kind", "edm")
    assert done.code == 2 and "250 ln(sigma)" in done.message


def test_notes_of_others_are_kept(run, folder):
    from safetensors import safe_open
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, "x.safetensors", {"config": "{}", "format": "pt"})
    assert run("convert", "x.safetensors", "y.safetensors").code == 0
    with safe_open("y.safetensors", framework="pt") as archive:
        assert archive.metadata() == {"config": "{}", "format": "pt"}


def test_a_folder_of_others_is_used_as_it_is(run, folder):
    from tests.nets.hub_folders import write

    write(folder / "model", "ddpm", plain=True)
    done = run("convert", "model", "x.safetensors")
    assert done.code == 1 and "--prior folder:path=model" in done.message
