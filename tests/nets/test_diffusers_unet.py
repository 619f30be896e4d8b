"""Folders in the hub's layout: every family's formula written out, every way in which a folder can be wrong."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from safetensors.torch import load_file, save_file

from tests.nets.hub_folders import SCHEDULERS, write
from zsir.capabilities import inflated
from zsir.errors import BadInput, BadSpec, Incompatible
from zsir.priors.checkpoints.diffusers_nets import load_folder
from zsir.priors.checkpoints.schedulers import read_scheduler
from zsir.priors.parametrisations import VPEstimate
from zsir.rng import generator
from zsir.testing import check_prior
from zsir.timetables import flow_level, flow_time

FAMILIES = list(SCHEDULERS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """family -> (folder, the network as diffusers built it)."""
    root = tmp_path_factory.mktemp("hub")
    return {family: (root / family, write(root / family, family)) for family in FAMILIES}


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator(3, 0, "test"))


def call(net, x, t, label=None):
    labels = None if label is None else torch.tensor([label])
    with torch.no_grad():
        return net(x, torch.tensor([t], dtype=torch.float32), labels).sample


def vp(scheduler, s):
    """(scale of x, time) of a native level by search in diffusers' own table."""
    bar = scheduler.alphas_cumprod.double().numpy()
    levels = np.sqrt((1 - bar) / bar)
    return 1 / math.sqrt(1 + s * s), float(np.interp(math.log(s), np.log(levels), np.arange(len(levels))))


def expected(family, net, x, sigma):
    """The clean estimate, from the papers' formulae; the table of a VP model is diffusers' own."""
    scheduler = SCHEDULERS[family]()
    if family == "score":  # pictures in [0, 1] inside as well
        return x + sigma**2 * call(net, x, sigma)
    n, s = 2 * x - 1, 2 * sigma
    if family == "ddpm":
        a, t = vp(scheduler, s)
        y = (n - s * call(net, a * n, t)).clamp(-1, 1)
    elif family == "v":
        a, t = vp(scheduler, s)
        x_t = a * n
        y = a * x_t - a * s * call(net, x_t, t)
    elif family == "x0":
        a, t = vp(scheduler, s)
        y = call(net, a * n, t).clamp(-1, 1)
    elif family in ("edm", "edm-v"):
        d, sign = (0.6, 1) if family == "edm" else (0.5, -1)
        total = s * s + d * d
        raw = call(net, n / math.sqrt(total), math.log(s) / 4)
        y = d * d / total * n + sign * s * d / math.sqrt(total) * raw
    elif family == "consistency":
        d, low = 0.4, 0.004
        raw = call(net, n / math.sqrt(s * s + d * d), 250 * math.log(s), label=0)
        y = d * d / ((s - low) ** 2 + d * d) * n + (s - low) * d / math.sqrt(s * s + d * d) * raw
        y = y.clamp(-1, 1)
    else:
        t = s / (1 + s)
        x_t = (1 - t) * n
        y = x_t - t * call(net, x_t, 1000 * t)
    return (y + 1) / 2


@pytest.mark.parametrize("sigma", [0.03, 0.4, 3.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_denoiser_is_the_formula(folders, family, sigma):
    folder, net = folders[family]
    x = picture(1, 3, 16, 16) + sigma * picture(1, 3, 16, 16).sub(0.5)
    estimate = load_folder(folder).denoise(x, torch.tensor([sigma]))
    wanted = expected(family, net, x, sigma)
    # the output is scaled by up to s = 2 sigma, and with it what float32 loses inside the network
    assert float((estimate - wanted).abs().max()) < 1e-5 * max(1.0, 2 * sigma)
    # the network has a say: the formula with another output would differ
    assert float((wanted - x).abs().max()) > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_contract_of_priors(folders, family):
    prior = load_folder(folders[family][0])
    check_prior(prior, shape=(3, 16, 18))
    low = prior.sigma_range[0]
    x = picture(1, 3, 16, 16)
    smallest = torch.tensor([low if family == "consistency" else low / 1000])
    tolerance = 1e-6 if family == "consistency" else 20 * low / 1000  # the network's output is of size a few
    assert float((prior.denoise(x, smallest) - x).abs().max()) < tolerance


def test_levels_and_kinds(folders):
    priors = {family: load_folder(folder) for family, (folder, _) in folders.items()}
    assert {f for f, p in priors.items() if p.kind == "consistency"} == {"consistency"}
    assert priors["consistency"].sigma_range == (0.002, 40.0)
    assert priors["score"].sigma_range == (0.02, 300.0)
    assert priors["edm-v"].sigma_range == (0.005, 40.0)
    assert priors["flow"].sigma_range == pytest.approx((0.5 / 999, 999 / 2), rel=1e-9)
    bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    assert priors["ddpm"].sigma_range == pytest.approx(tuple(np.sqrt(1 / bar[[0, -1]] - 1) / 2), rel=1e-9)
    assert priors["consistency"].name == "folder, class 0 of 5" and priors["ddpm"].name == "folder"
    assert [f for f, p in priors.items() if p.clip] == ["ddpm", "x0", "consistency"]


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "trained", "zero"])
def test_tables_are_those_of_diffusers(schedule):
    fields: dict[str, Any] = {
        "beta_schedule": schedule,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "num_train_timesteps": 400,
    }
    if schedule == "trained":
        fields = {"trained_betas": [0.001, 0.01, 0.02, 0.05]}
    if schedule == "zero":
        fields["beta_schedule"], fields["rescale_betas_zero_snr"] = "linear", True
    bar = DDPMScheduler(**fields).alphas_cumprod.double().numpy()
    if schedule == "zero":
        assert bar[-1] < 1e-12
        bar = bar[:-1]
    estimate = read_scheduler({"_class_name": "DDIMScheduler", **fields}, "scheduler_config.json").parametrise
    assert isinstance(estimate, VPEstimate)
    levels = np.asarray(estimate.table.levels)
    assert len(levels) == len(bar)
    assert np.allclose(1 / (1 + levels**2), bar, rtol=2e-4, atol=0)  # diffusers computes in float32


def test_times_rise_and_invert():
    levels = torch.logspace(-1.9, 2, 60, dtype=torch.float64)
    estimate = read_scheduler(dict(DDIMScheduler().config, _class_name="DDIMScheduler"), "here").parametrise
    assert isinstance(estimate, VPEstimate)
    times = estimate.table.time(levels)
    assert bool((times.diff() > 0).all())
    assert torch.allclose(estimate.table.level(times), levels, rtol=1e-12)
    assert bool((flow_time(levels).diff() > 0).all())
    assert torch.allclose(flow_level(flow_time(levels)), levels, rtol=1e-12)


def test_the_network_is_told_what_the_method_says(folders):
    """Inflating changes what the network is told, not how its output is scaled."""
    folder, net = folders["score"]
    x, sigma, told = picture(1, 3, 16, 16), 0.3, 0.5
    estimate = inflated(load_folder(folder), told / sigma).denoise(x, torch.tensor([sigma]))
    assert torch.allclose(estimate, x + sigma * told * call(net, x, told), atol=1e-6)
    folder, net = folders["flow"]
    estimate = inflated(load_folder(folder), told / sigma).denoise(x, torch.tensor([sigma]))
    x_t = (2 * x - 1) / (1 + 2 * sigma)
    velocity = call(net, x_t, 1000 * 2 * told / (1 + 2 * told))
    assert torch.allclose(estimate, (x_t - 2 * sigma / (1 + 2 * sigma) * velocity + 1) / 2, atol=1e-6)


def test_odd_sizes_are_mirrored_to_a_multiple(folders):
    folder, net = folders["flow"]
    x, sigma = picture(1, 3, 15, 21), 0.2
    wide = torch.nn.functional.pad(x, (0, 1, 0, 1), mode="reflect")
    whole = expected("flow", net, wide, sigma)
    assert torch.allclose(load_folder(folder).denoise(x, torch.tensor([sigma])), whole[..., :15, :21], atol=1e-5)


def test_classes(folders):
    folder, _ = folders["consistency"]
    x, sigma = picture(1, 3, 16, 16), torch.tensor([0.5])
    first, third = load_folder(folder), load_folder(folder, "mine", label=3)
    assert torch.equal(first.denoise(x, sigma), load_folder(folder, label=0).denoise(x, sigma))
    assert not torch.allclose(first.denoise(x, sigma), third.denoise(x, sigma), atol=1e-4)
    assert "class 3 of 5" in repr(third)
    with pytest.raises(BadSpec, match=r"mine:label=5: the network knows the classes 0 \.\.\. 4"):
        load_folder(folder, "mine", label=5)
    with pytest.raises(BadSpec, match="knows no classes"):
        load_folder(folders["ddpm"][0], label=0)


def test_oldest_layout_in_a_pickle_with_old_names(tmp_path):
    """google/ddpm-*: everything at the top, weights from torch.save, attention as query, key, value, proj_attn."""
    net = write(tmp_path, "ddpm", plain=True, safe=False)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    file = tmp_path / "diffusion_pytorch_model.bin"
    tensors = torch.load(file, weights_only=True)
    for new, name in old.items():
        tensors = {key.replace(f".{new}.", f".{name}."): value for key, value in tensors.items()}
    assert any(".query." in name for name in tensors) and not any(".to_q." in name for name in tensors)
    torch.save(tensors, file)
    x = picture(1, 3, 16, 16)
    estimate = load_folder(tmp_path).denoise(x, torch.tensor([0.4]))
    assert torch.allclose(estimate, expected("ddpm", net, x, 0.4), atol=1e-5)


def test_half_precision_weights_are_computed_in_single(tmp_path, folders):
    shutil.copytree(folders["edm"][0], tmp_path / "half")
    file = tmp_path / "half/unet/diffusion_pytorch_model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file)
    prior = load_folder(tmp_path / "half")
    assert all(p.dtype == torch.float32 for p in prior.net.parameters())
    check_prior(prior)


def test_loading_leaves_the_random_numbers_alone(folders):
    before = torch.random.get_rng_state()
    load_folder(folders["ddpm"][0])
    assert torch.equal(before, torch.random.get_rng_state())


def edit(folder: Path, file: str, **fields: object) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def drop(folder: Path, file: str) -> None:
    (folder / file).unlink()


UNET, SCHEDULER = "unet/config.json", "scheduler/scheduler_config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "does not exist; check the path"),
    "no config": (lambda f: drop(f, UNET), "neither unet/config.json nor config.json"),
    "no scheduler": (lambda f: drop(f, SCHEDULER), "lacks scheduler/scheduler_config.json"),
    "no weights": (lambda f: drop(f, WEIGHTS), r"lacks the weights, diffusion_pytorch_model.safetensors"),
    "shards": (
        lambda f: (f / WEIGHTS).rename(f / "unet/diffusion_pytorch_model.safetensors.index.json"),
        "split into several files",
    ),
    "no JSON": (lambda f: (f / UNET).write_text("{"), "config.json is not readable JSON"),
    "a list": (lambda f: (f / SCHEDULER).write_text("[]"), "holds no JSON object"),
    "class": (lambda f: edit(f, UNET, _class_name="UNet2DConditionModel"), r"UNet2DConditionModel \(conditioned on t"),
    "field": (lambda f: edit(f, UNET, rotary=True), "does not know the field 'rotary'"),
    "blocks": (lambda f: edit(f, UNET, down_block_types=["DownBlock2D"]), "no network that diffusers can build"),
    "channels": (lambda f: edit(f, UNET, in_channels=6), "conditioned on a picture"),
    "embedding": (lambda f: edit(f, UNET, class_embed_type="timestep"), "class_embed_type 'timestep' is not known"),
    "scheduler": (lambda f: edit(f, SCHEDULER, _class_name="MyScheduler"), "scheduler 'MyScheduler' is not known"),
    "predicts": (lambda f: edit(f, SCHEDULER, prediction_type="noise"), "'prediction_type' is 'noise'; zsir knows eps"),
    "betas": (lambda f: edit(f, SCHEDULER, beta_schedule="laplace"), "The table of betas 'laplace' is not linear"),
    "number": (lambda f: edit(f, SCHEDULER, beta_end="much"), "'beta_end' is 'much'; a positive number is needed"),
    "kind of number": (lambda f: edit(f, SCHEDULER, prediction_type=["epsilon"]), "zsir knows epsilon"),
    "steps": (lambda f: edit(f, SCHEDULER, num_train_timesteps=10**12), r"it must lie in 2 \.\.\. 100000"),
    "groups": (lambda f: edit(f, UNET, norm_num_groups=0), "no network that diffusers can build"),
    "classes": (lambda f: edit(f, UNET, num_class_embeds=True), "no network that diffusers can build"),
    "table": (lambda f: edit(f, SCHEDULER, trained_betas=[0.1, 1.5]), "do not give a falling table"),
    "mismatch": (
        lambda f: edit(f, UNET, block_out_channels=[8, 24]),
        r"tensor '[a-z_.0-9]+' has shape \(.*\), expected was \(",
    ),
    "cut short": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:900]), "not a readable safetensors"),
}


@pytest.mark.parametrize("damage", WRONG)
def test_wrong_folders_end_in_one_sentence(tmp_path, folders, damage):
    folder = tmp_path / "model"
    shutil.copytree(folders["ddpm"][0], folder)
    act, sentence = WRONG[damage]
    act(folder)
    with pytest.raises(BadInput, match=sentence) as caught:
        load_folder(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_latent_pipelines_are_refused(tmp_path, folders):
    shutil.copytree(folders["ddpm"][0], tmp_path / "latent")
    (tmp_path / "latent/vqvae").mkdir()
    with pytest.raises(Incompatible, match="pipeline with a 'vqvae': not a network of pixels"):
        load_folder(tmp_path / "latent")


def test_levels_that_do_not_rise():
    with pytest.raises(BadInput, match="sigma_min = 90 is not below sigma_max = 80"):
        read_scheduler({"_class_name": "EDMEulerScheduler", "sigma_min": 90}, "here")
