"""``zsir solve`` on files that are as they should be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.conftest import pattern
from zsir import operators, pictures, priors, samplers
from zsir.capabilities import cut
from zsir.errors import BadSpec
from zsir.loop.solver import solve
from zsir.problem import Problem
from zsir.workflow.method import load_method, pick_device
from zsir.workflow.restore import restored

FAST = ("--prior", "gaussian")


def test_one_file(run, folder):
    done = run("solve", "--op", "sr4x", *FAST, "--noise", "0", "colour.png", "-o", "big.png")
    assert done.code == 0 and done.err == ""
    assert pictures.read("big.png").pixels.shape == (1, 3, 88, 124)
    (line,) = done.out.splitlines()
    assert line.startswith("big.png  124x88  NFE 4  ") and "residual" in line and "PSNR" not in line


def test_it_is_what_the_library_computes(run, folder):
    assert run("solve", "--op", "blur:sigma=1", *FAST, "--noise", "5/255", "--seed", 7, "colour.png").code == 0
    y = pictures.read("colour.png").pixels
    # what lies beyond the border of a file is unknown, and is cut off in the end
    blur = operators.make("blur:sigma=1,boundary=unknown", out_shape=(3, 22, 31))
    assert blur.in_shape != blur.out_shape
    x = solve(Problem(y, blur, 5 / 255), priors.load("gaussian"), samplers.make(nfe=4), seed=7).x
    pictures.write("expected.png", cut(blur, x))
    assert torch.equal(pictures.read("colour_restored.png").pixels, pictures.read("expected.png").pixels)


def test_the_default_prior(run, folder):
    done = run("solve", "--op", "sr2x", "other.png", "--nfe", 1)
    assert done.code == 0 and pictures.read("other_restored.png").pixels.shape == (1, 3, 32, 48)


def test_a_grey_picture_stays_grey(run, folder):
    assert run("solve", "--op", "sr2x", "grey.png", "--nfe", 1).code == 0  # photo knows three channels
    assert pictures.read("grey_restored.png").mode == "L"


def test_simulated_grey_noise_is_one_noise():
    """Three independent noises in place of one would make the task easier than it is."""
    x = torch.full((1, 1, 16, 16), 0.5)
    picture = pictures.Picture(x, None, 8, "L", Path("x.png"))
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Colour:
        channels, sigma_range, fingerprint = 3, (0.0, 9.0), ""
        kind: Literal["denoiser"] = "denoiser"

        def denoise(self, x, sigma):
            seen.append((x, sigma))
            return x

    method = load_method("identity", 0.1, Colour(), nfe=1, device="cpu")
    result = restored(picture, method, seed=0, simulate=True)
    assert result.x.shape == (1, 1, 16, 16)
    # a network that knows colour only sees noises of their own in three channels, of the level that it is told
    assert seen[0][0].shape == (1, 3, 16, 16)
    assert float((seen[0][0] - x).std()) == pytest.approx(float(seen[0][1]), rel=0.2)
    assert float((result.observation - x).std()) == pytest.approx(0.1, rel=0.2)


def test_simulate_reports_quality(run, folder):
    done = run("solve", "--op", "sr4x", *FAST, "--simulate", "colour.png", "--sheet", "--record", "r.json")
    assert done.code == 0 and "PSNR" in done.out and "SSIM" in done.out
    (entry,) = json.loads((folder / "r.json").read_text())["results"]
    assert entry["size"] == [31, 22] and entry["output"] == "colour_restored.png"
    assert entry["stats"]["nfe"] == 4 and entry["provenance"]["seed"] == 0
    truth, restored = (pictures.read(name).pixels for name in ("colour.png", "colour_restored.png"))
    error = float((truth - restored).double().square().mean())
    assert entry["psnr"] == pytest.approx(-10 * math.log10(error), abs=0.05)
    assert entry["observation_psnr"] > 5
    assert pictures.read("colour_restored_sheet.png").pixels.shape[-1] > 3 * 31


def test_simulation_equals_degrade_then_solve(run, folder):
    options = ("--op", "sr2x", "--noise", "0.02", "--seed", "3")
    assert run("degrade", *options, "--bits", 16, "colour.png", "-o", "y.png").code == 0
    assert run("solve", *options, *FAST, "y.png", "-o", "a.png").code == 0
    assert run("solve", *options, *FAST, "--simulate", "colour.png", "-o", "b.png").code == 0
    a, b = pictures.read("a.png").pixels, pictures.read("b.png").pixels
    # 22 is even and 31 is not: the size came from the file's notes. Clipping of y leaves a small difference.
    assert a.shape == b.shape == (1, 3, 22, 31)
    assert float((a - b).abs().mean()) < 0.01


def test_several_seeds(run, folder):
    done = run("solve", "--op", "sr2x", "--sampler", "cm4ir:eta=1", *FAST, "--seed", "0-1,5", "other.png", "-o", "out/")
    assert done.code == 0 and len(done.out.splitlines()) == 3
    names = sorted(p.name for p in (folder / "out").iterdir())
    assert names == ["other_seed0.png", "other_seed1.png", "other_seed5.png"]
    a, b = (pictures.read(folder / "out" / n).pixels for n in names[:2])
    assert not torch.equal(a, b)
    assert run("solve", "--op", "sr2x", *FAST, "--seed", "1,2", "other.png").code == 0
    assert (folder / "other_restored_seed2.png").exists()


def test_a_folder_twice(run, folder):
    done = run("solve", "--op", "identity", "--noise", "0.05", *FAST, folder, "--nfe", 2)
    assert done.code == 0 and len(done.out.splitlines()) == 3
    again = run("solve", "--op", "identity", "--noise", "0.05", *FAST, folder, "--nfe", 2)
    assert again.code == 1 and "3 of 3 failed" in again.err  # its own results are not taken for inputs
    assert again.err.count("exists: add --overwrite") == 3
    assert run("solve", "--op", "identity", "--noise", "0.05", *FAST, folder, "--nfe", 2, "--overwrite", "-q").out == ""


def test_16_bits_alpha_and_profile(run, folder):
    rgb = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    alpha = torch.linspace(0, 1, 120).view(1, 1, 12, 10)
    pictures.write("deep.png", rgb, bits=16, alpha=alpha, icc=b"profile")
    assert run("solve", "--op", "sr2x", *FAST, "deep.png").code == 0
    result = pictures.read("deep_restored.png")
    assert result.bits == 16 and result.icc == b"profile" and result.alpha is not None
    assert result.alpha.shape[-2:] == (24, 20) and float(result.alpha.min()) < 0.01 < 0.99 < float(result.alpha.max())
    assert len(np.unique((result.pixels.numpy() * 65535).round() % 257)) > 50  # not 8 bits in disguise


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3)])
def test_tiny_pictures(run, folder, size):
    Image.fromarray(pattern(*size)).save("tiny.png")
    for prior in ("gaussian", "photo"):
        done = run("solve", "--op", "identity", "--noise", "0.1", "--prior", prior, "tiny.png", "--simulate",
                   "--overwrite")  # fmt: skip
        assert done.code == 0, done.err
        assert "PSNR" in done.out and "SSIM" not in done.out
    assert pictures.read("tiny_restored.png").pixels.shape[-2:] == size


def test_size(run, folder):
    assert run("solve", "--op", "sr4x", *FAST, "colour.png", "--size", "121x87").code == 0
    assert pictures.read("colour_restored.png").pixels.shape[-2:] == (87, 121)


def test_float64(run, folder):
    done = run("solve", "--op", "sr2x", "--dtype", "float64", "--device", "cpu", "other.png", "--record", "r.json")
    assert done.code == 0
    assert json.loads((folder / "r.json").read_text())["results"][0]["provenance"]["dtype"] == "float64"


@pytest.mark.cuda
def test_on_cuda(run, folder):
    done = run("solve", "--op", "sr2x", "--device", "cuda", "other.png", "--record", "r.json")
    assert done.code == 0
    assert json.loads((folder / "r.json").read_text())["results"][0]["provenance"]["device"].startswith("cuda")
    assert run("solve", "--op", "sr2x", "--device", "cpu", "other.png", "-o", "cpu.png").code == 0
    a, b = pictures.read("other_restored.png").pixels, pictures.read("cpu.png").pixels
    assert float((a - b).abs().max()) <= 2 / 255


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("cuda:77", "tpu", "meta", ""):
        with pytest.raises(BadSpec, match="--device"):
            pick_device(name)


@pytest.mark.parametrize(
    "arguments",
    [("mask:keep=0.4",), ("box:size=0.3",), ("motion:length=5,angle=30", "--noise", "0.02"), ("uniform:size=3",)],
)
def test_operators(run, folder, arguments):
    done = run("solve", "--op", *arguments, *FAST, "--simulate", "colour.png")
    assert done.code == 0, done.err


def test_mask_and_kernel_files(run, folder):
    Image.fromarray(np.where(pattern(22, 31)[:, :, 2] > 0, 255, 0).astype(np.uint8)).save("mask.png")
    np.save("kernel.npy", np.ones((3, 4)))
    for op in ("mask-file:path=mask.png", "kernel:path=kernel.npy"):
        done = run("solve", "--op", op, *FAST, "--noise", "0.02", "--simulate", "colour.png", "--overwrite")
        assert done.code == 0, done.err


def test_demo(run, folder):
    for _ in range(2):
        done = run("demo", "demo")
        assert done.code == 0, done.err
    assert {p.name for p in (folder / "demo").iterdir()} == {
        "observation.png",
        "restored.png",
        "contact_sheet.png",
        "record.json",
    }
    (entry,) = json.loads((folder / "demo" / "record.json").read_text())["results"]
    assert entry["stats"]["nfe"] == 4 and entry["psnr"] > entry["observation_psnr"]


def test_noise_is_estimated_and_recorded(run, folder):
    x = torch.from_numpy(pattern(60, 70) / 255).permute(2, 0, 1)[None] * 0.6 + 0.2
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    pictures.write("noisy.png", x + 10 / 255 * noise)
    for sampler in ("cm4ir:nfe=1", "hqs:nfe=2"):
        task = ("--op", "identity", "--sampler", sampler, *FAST, "noisy.png", "--overwrite")
        assert run("solve", *task, "--noise", "auto", "--record", "r.json").code == 0
        (entry,) = json.loads((folder / "r.json").read_text())["results"]
        assert entry["provenance"]["noise_std"] == entry["noise_estimated"] == pytest.approx(10 / 255, rel=0.1)
        assert "misfit" not in entry
    done = run("compare", "--op", "identity", *FAST, "--noise", "auto", "-m", "hqs:nfe=2", "noisy.png", "-o", "o")
    assert done.code == 0 and "noise estimated" in (folder / "o" / "table.md").read_text()
    assert "--noise 5/255" in run("solve", "--op", "mask:keep=0.2", *FAST, "--noise", "auto", "grey.png").message
    assert "with --simulate state" in run("solve", "--op", "sr2x", "--simulate", "--noise", "auto", "noisy.png").message


def test_a_misfit_is_one_sentence_and_recorded(run, folder):
    sharp = torch.full((1, 3, 48, 60), 0.1)
    sharp[..., 12:36, 14:44] = 0.9
    pictures.write("rough.png", sharp)
    task = ("--op", "blur:sigma=3", *FAST, "--noise", "0.01", "rough.png", "--overwrite")
    done = run("solve", *task, "--record", "r.json", "--force")
    assert done.code == 0 and done.message.startswith("note: rough.png: The result ")
    assert "(contradicts the observation)" in done.out
    (entry,) = json.loads((folder / "r.json").read_text())["results"]
    assert entry["misfit"].startswith("The result misses the observation by 0.") and "refused" not in entry
    assert done.message == f"note: rough.png: {entry['harm']}"


def test_noise_stated_wrongly_is_told_and_recorded(run, folder):
    x = torch.from_numpy(pattern(60, 70) / 255).permute(2, 0, 1)[None] * 0.6 + 0.2
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    pictures.write("noisy.png", x + 0.06 * noise)
    task = ("solve", "--op", "identity", *FAST, "--nfe", 1, "noisy.png", "--overwrite", "--record", "r.json")
    for stated, than in (("0", "more"), ("0.005", "more"), ("0.5", "less")):
        done = run(*task, "--noise", stated, "--seed", "0,1")  # one note for both seeds
        assert done.code == 0 and done.message.startswith(f"note: noisy.png: The observation looks {than} noisy"), (
            stated
        )
        entries = json.loads((folder / "r.json").read_text())["results"]
        assert [f"note: noisy.png: {entry['doubt']}" for entry in entries] == [done.message] * 2
    for stated in ("0.05", "0.08", "auto"):
        assert run(*task, "--noise", stated).err == ""
        assert "doubt" not in json.loads((folder / "r.json").read_text())["results"][0]
    # what is simulated is as stated, whatever noise the clean picture has
    assert run("solve", "--op", "identity", *FAST, "--nfe", 1, "--simulate", "noisy.png", "--overwrite").err == ""


def test_grey_saved_as_colour_is_estimated_with_a_note(run, folder):
    x = 0.5 + 0.1 * torch.randn(1, 1, 110, 130, generator=torch.Generator().manual_seed(1))
    pictures.write("scan.png", x.expand(1, 3, -1, -1))
    done = run("solve", "--op", "identity", *FAST, "--nfe", 1, "--noise", "auto", "scan.png", "--record", "r.json")
    assert done.code == 0
    assert done.message.startswith("note: scan.png: The noise of the colour channels is not independent")
    (entry,) = json.loads((folder / "r.json").read_text())["results"]
    assert entry["noise_estimated"] == pytest.approx(0.1, rel=0.1)


def test_a_mask_is_an_operator(run, folder):
    mask = np.full((22, 31), 255, np.uint8)
    mask[5:9, 4:20] = 0
    Image.fromarray(mask).save("mask.png")
    task = ("--noise", "0", *FAST, "colour.png", "--overwrite")
    assert run("solve", "--mask", "mask.png", *task, "-o", "a.png", "--force").code == 0
    assert run("solve", "--op", "mask-file:path=mask.png", *task, "-o", "b.png", "--force").code == 0
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    assert "give one of them" in run("solve", "--mask", "mask.png", "--op", "identity", *task).message
    assert "has no damage" in run("solve", "--mask", "auto", *task).message
