"""ADM and consistency-model checkpoints: the converted network computes what the original one does."""

from __future__ import annotations

import dataclasses
import json
import math
import sys

import numpy as np
import pytest
import torch

from tests.nets.adm_reference import ADM, Plan, randomised
from zsir.errors import BadInput, BadSpec, Incompatible
from zsir.priors import load
from zsir.priors.checkpoints.adm.config import published, settle
from zsir.priors.checkpoints.adm.load import adm, load_adm
from zsir.priors.checkpoints.adm.shape import ADMShape, infer
from zsir.priors.checkpoints.adm.to_diffusers import build, convert_tensors, limits
from zsir.testing import check_prior

FULL = Plan(channels=32, mult=(1, 2, 3), blocks=2, attention=(2, 4), classes=5, head_width=32)
PLANS = {
    "adm": FULL,
    "new order": dataclasses.replace(FULL, split=True),
    "no scale-shift": dataclasses.replace(FULL, scale_shift=False, classes=0),
    "convolutions": dataclasses.replace(FULL, updown=False, outputs=3),
    "heads": dataclasses.replace(FULL, head_width=-1, heads=4),
    "one block": Plan(blocks=1, mult=(1, 1, 2), attention=(4,), head_width=16),
    "attention nowhere": Plan(attention=(), heads=2, updown=False, outputs=3, scale_shift=False),
    "attention everywhere": Plan(attention=(1, 2), head_width=8, blocks=3),
    "half": Plan(channels=64, mult=(0.5, 1), head_width=16),
    "single level": Plan(mult=(2,), attention=(1,), heads=2, blocks=2, pictures=1, outputs=2),
    "consistency": Plan(channels=32, mult=(1, 2), outputs=3, scale_shift=False, head_width=16, split=True, planar=True),
}


def config_of(plan: Plan) -> dict[str, object]:
    size = 64
    return {
        "image_size": size,
        "num_channels": plan.channels,
        "num_res_blocks": plan.blocks,
        "channel_mult": ",".join(f"{m:g}" for m in plan.mult),
        "attention_resolutions": ",".join(str(size // a) for a in plan.attention),
        "num_heads": plan.heads,
        "num_head_channels": plan.head_width,
        "num_heads_upsample": -1,
        "learn_sigma": plan.outputs == 2 * plan.pictures,
        "class_cond": plan.classes > 0,
        "use_scale_shift_norm": plan.scale_shift,
        "resblock_updown": plan.updown,
        # the consistency models' options say false, whatever their weights are
        "use_new_attention_order": plan.split and not plan.planar,
        "dropout": 0.1,
        "use_fp16": True,
    }


@pytest.fixture
def saved(tmp_path):
    def save(plan: Plan, change: dict[str, object] | None = None) -> tuple[ADM, str, str]:
        net = randomised(plan)
        torch.save(net.state_dict(), tmp_path / "net.pt")
        (tmp_path / "config.json").write_text(json.dumps({**config_of(plan), **(change or {})}))
        return net, str(tmp_path / "net.pt"), str(tmp_path / "config.json")

    return save


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_converted_network_equals_the_original(saved, plan):
    net, path, config = saved(plan)
    g = torch.Generator().manual_seed(7)
    x, t = torch.randn(2, plan.pictures, 16, 24, generator=g), torch.tensor([3.0, 812.5])
    labels = torch.tensor([0, 4]) if plan.classes else None
    with torch.no_grad():
        expected = net(x, t, labels)
        found = load_adm(path, config)[0](x, t, labels, return_dict=False)[0]
    assert expected.std() > 0.1  # nothing vanishes
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", ["adm", "consistency"])
def test_attention_order_matters(saved, name):
    plan = PLANS[name]
    net, path, config = saved(plan, {"attention_order": "legacy" if plan.split else "split"})
    x, t = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(7)), torch.tensor([30.0])
    labels = torch.tensor([1]) if plan.classes else None
    with torch.no_grad():
        found = load_adm(path, config)[0](x, t, labels, return_dict=False)[0]
        assert (found - net(x, t, labels)).abs().max() > 1e-3


def test_prior_of_a_diffusion_model(saved):
    net, path, config = saved(FULL)
    prior = load(f"adm:path={path},config={config},label=3,clip=false")
    g = torch.Generator().manual_seed(1)
    x, t = torch.rand(2, 3, 16, 16, generator=g), 412
    abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[t]
    level = math.sqrt((1 - abar) / abar)
    noisy = 2 * x - 1
    with torch.no_grad():
        eps = net(noisy * math.sqrt(abar), torch.tensor([float(t)] * 2), torch.tensor([3, 3]))[:, :3]
    expected = (noisy - level * eps + 1) / 2
    found = prior.denoise(x, torch.full((2,), level / 2))
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()
    assert prior.kind == "denoiser" and prior.channels == 3 and len(prior.fingerprint) == 64
    assert prior.sigma_range == pytest.approx((0.0100005 / 2, 157.407 / 2), rel=1e-4)


@pytest.mark.parametrize("kind", ["consistency", "edm"])
def test_prior_of_a_consistency_model(saved, kind):
    plan = PLANS["consistency"]
    net, path, config = saved(plan, {"kind": kind})
    x, s = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)), 1.7
    edge, noisy = (0.002 if kind == "consistency" else 0.0), 2 * x - 1
    with torch.no_grad():
        raw = net(noisy / math.sqrt(s**2 + 0.25), torch.tensor([250 * math.log(s)]))
    native = 0.25 / ((s - edge) ** 2 + 0.25) * noisy + (s - edge) * 0.5 / math.sqrt(s**2 + 0.25) * raw
    expected = ((native + 1) / 2).clamp(0, 1)
    prior = adm(path, config)
    assert (prior.denoise(x, torch.tensor([s / 2])) - expected).abs().max() < 1e-5
    assert prior.kind == ("consistency" if kind == "consistency" else "denoiser")
    assert prior.sigma_range == (0.001, 40.0)


def test_few_steps_of_a_table_are_fine(saved):
    _, path, config = saved(Plan(head_width=16), {"diffusion_steps": 21})
    table = load_adm(path, config)[2].table
    bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 21) * 1000 / 21)
    assert np.abs(table.levels / np.sqrt((1 - bar) / bar) - 1).max() < 1e-12


TEACHER = Plan(head_width=16, outputs=3, split=True, planar=True, scale_shift=False)


@pytest.mark.parametrize("told_by", ["option", "config", "mode"])
def test_teachers_of_consistency_models(saved, told_by):
    """Their files look like those of consistency models; they are EDM denoisers told 250 ln(s)."""
    change = {"option": {}, "config": {"kind": "edm"}, "mode": {"training_mode": "edm"}}[told_by]
    net, path, config = saved(TEACHER, change)
    prior = load(f"adm:path={path},config={config},clip=false" + (",kind=edm" if told_by == "option" else ""))
    x, s = torch.rand(1, 3, 9, 14, generator=torch.Generator().manual_seed(1)), 0.7
    noisy = torch.nn.functional.pad(2 * x - 1, (0, 0, 0, 1), mode="reflect")
    with torch.no_grad():
        raw = net(noisy / math.sqrt(s**2 + 0.25), torch.tensor([250 * math.log(s)]))
    native = (0.25 / (s**2 + 0.25) * noisy + s * 0.5 / math.sqrt(s**2 + 0.25) * raw)[..., :9, :]
    assert prior.kind == "denoiser"
    assert (prior.denoise(x, torch.tensor([s / 2])) - (native + 1) / 2).abs().max() < 1e-5 * native.abs().max()


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "consistency"),
        ({"training_mode": "consistency_distillation"}, "consistency"),
        ({"training_mode": "edm", "kind": "consistency"}, "consistency"),
        ({"kind": "ddpm"}, "ddpm"),
    ],
)
def test_what_a_network_is_taken_for(saved, fields, kind):
    _, path, config = saved(TEACHER, fields)
    assert load_adm(path, config)[2].kind == kind
    assert load_adm(path, config, "edm")[2].kind == "edm"
    with pytest.raises(BadInput, match="kind='gan'; choose one of ddpm"):
        load_adm(path, config, "gan")


def test_contract_at_an_odd_size(saved):
    _, path, config = saved(Plan(head_width=16))
    check_prior(adm(path, config), shape=(3, 13, 18))


def test_rescaled_time_and_cosine_table(saved):
    plan = Plan(head_width=16)
    net, path, config = saved(plan, {"diffusion_steps": 4000, "rescale_timesteps": True, "noise_schedule": "cosine"})
    x, t = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)), 1000
    bar = [math.cos((k / 4000 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in (0, t + 1)]
    abar = bar[1] / bar[0]
    level, noisy = math.sqrt(1 / abar - 1), 2 * x - 1
    with torch.no_grad():
        eps = net(noisy * math.sqrt(abar), torch.tensor([t / 4]))[:, :3]
    expected = (noisy - level * eps + 1) / 2
    found = adm(path, config, clip=False).denoise(x, torch.tensor([level / 2]))
    assert (found - expected).abs().max() < 2e-5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"num_channels": 64}, "config says num_channels=64, the tensors say 32"),
        ({"learn_sigma": False}, "config says learn_sigma=false, the tensors say true"),
        ({"channel_mult": "1,2,4"}, r"channel_mult=\[1.0, 2.0, 4.0\], the tensors say \[1.0, 2.0, 3.0\]"),
        ({"attention_resolutions": [16]}, r"attention_resolutions=\[2\] \(levels with attention\)"),
        ({"num_head_channels": 24}, "num_head_channels=24 does not divide the 64 channels"),
        ({"num_head_channel": 24}, "unknown field 'num_head_channel'; did you mean 'num_head_channels'"),
        ({"num_res_blocks": "2"}, 'num_res_blocks="2" must be of type int'),
        ({"learn_sigma": 1}, "learn_sigma=1 must be of type bool"),
        ({"num_res_blocks": True}, "num_res_blocks=true must be of type int"),
        ({"noise_schedule": "sqrt"}, "noise_schedule='sqrt'; choose one of linear, cosine"),
        ({"kind": "gan"}, "kind='gan'; choose one of ddpm, consistency, edm"),
        ({"diffusion_steps": 0}, r"diffusion_steps=0: it must lie in 2 \.\.\. 100000"),
        ({"diffusion_steps": 1, "noise_schedule": "cosine"}, "diffusion_steps=1: it must lie in 2"),
        ({"diffusion_steps": 10**12}, "diffusion_steps=1000000000000: it must lie in 2"),
        ({"diffusion_steps": 10}, "diffusion_steps=10: too few for the linear table"),
        ({"diffusion_steps": 20}, "diffusion_steps=20: too few for the linear table"),
        ({"diffusion_steps": 1000.5}, "diffusion_steps=1000.5 must be of type int"),
        ({"image_size": -1}, "image_size=-1; a positive number"),
        ({"image_size": 0}, "image_size=0; a positive number"),
        ({"num_head_channels": 0}, "num_head_channels=0; a positive number is needed"),
        ({"num_head_channels": -2}, "num_head_channels=-2; a positive number is needed"),
        ({"num_head_channels": -1, "num_heads": 0}, "num_heads=0; a positive number is needed"),
        ({"num_head_channels": -1, "num_heads": 5}, "num_heads=5 does not divide the 64 channels"),
        ({"channel_mult": "1,x"}, "expected were numbers"),
        ({"num_heads_upsample": 2}, "num_heads_upsample must be -1"),
    ],
)
def test_config_that_contradicts_the_file(saved, change, sentence):
    _, path, config = saved(FULL, change)
    with pytest.raises(BadInput, match=sentence):
        adm(path, config, label=0)


@pytest.mark.slow
def test_labels(saved):
    _, path, config = saved(FULL)
    for label in (-2, 5):
        with pytest.raises(BadSpec, match=r"knows the classes 0 \.\.\. 4"):
            adm(path, config, label=label)
    x, level = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([0.2])
    pictures = [adm(path, config, label=label).denoise(x, level) for label in (-1, 0, 3)]
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[1], pictures[2])  # none given: class 0
    _, path, config = saved(Plan(head_width=16))
    with pytest.raises(BadSpec, match="knows no classes"):
        adm(path, config, label=2)


def test_head_width_must_be_given_for_unknown_networks(saved):
    _, path, _ = saved(FULL)
    with pytest.raises(BadInput, match="shapes do not tell the width of the attention heads"):
        adm(path, label=0)


def test_unreadable_configs(saved, tmp_path):
    _, path, _ = saved(FULL)
    with pytest.raises(BadInput, match="cannot be read"):
        adm(path, str(tmp_path / "none.json"))
    for text, sentence in (("{", "is not JSON"), ("[1]", "must be a JSON object"), ("\xff", "is not JSON")):
        (tmp_path / "bad.json").write_text(text, encoding="latin-1")
        with pytest.raises(BadInput, match=sentence):
            adm(path, str(tmp_path / "bad.json"))


def test_without_diffusers_it_names_the_extra(saved, monkeypatch):
    _, path, config = saved(Plan(head_width=16))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(Incompatible, match=r"pip install 'zsir\[hub\]'"):
        adm(path, config)


def damaged(change):
    state = randomised(Plan(head_width=16)).state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda s: s.pop("input_blocks.1.0.in_layers.2.bias"),
            r"lacks the tensor 'input_blocks.1.0.in_layers.2.bias' of shape \(32,\) \(143 tens.* 144\); .* an ADM",
        ),
        (lambda s: s.pop("middle_block.1.norm.bias"), "lacks the tensor 'middle_block.1.norm.bias'"),
        (lambda s: s.update({"more": torch.zeros(2)}), r"'more' of shape \(2,\) belongs to no ADM UNet"),
        (lambda s: s.pop("out.2.weight"), "lacks the tensor 'out.2.weight' of shape"),
        (
            lambda s: s.pop("time_embed.0.weight"),
            "lacks the tensor 'time_embed.0.weight'; by its other names it is an ADM",
        ),
        (
            lambda s: s.update({"input_blocks.9.0.op.weight": torch.zeros(2)}),
            r"'input_blocks.9.0.op.weight' of shape \(2,\) belongs",
        ),
        (lambda s: [s.pop(k) for k in list(s) if k[:15] == "output_blocks.3"], "fit no ADM UNet with equal levels"),
        (lambda s: s.update({"input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3)}), "is an ADM upsampler"),
        (lambda s: s.update({"out.2.bias": torch.zeros(5)}), r"'out.2.bias' has shape \(5,\), expected was \(6,\)"),
    ],
)
def test_broken_checkpoints(tmp_path, change, sentence):
    torch.save(damaged(change), tmp_path / "net.pt")
    (tmp_path / "c.json").write_text('{"num_head_channels": 16}')
    with pytest.raises(BadInput, match=sentence):
        adm(str(tmp_path / "net.pt"), str(tmp_path / "c.json"))


def count(shape: ADMShape) -> int:
    """Number of parameters, added up by hand from the plan of the network."""
    c, e = shape.model_channels, 4 * shape.model_channels

    def residual(inside: int, outside: int) -> int:
        shortcut = inside * outside + outside if inside != outside else 0
        embedding = (e + 1) * outside * (1 + shape.scale_shift)
        return (
            2 * inside + 9 * inside * outside + outside + embedding + 2 * outside + 9 * outside**2 + outside + shortcut
        )

    def attention(w: int) -> int:
        return 2 * w + 3 * w * w + 3 * w + w * w + w

    def resize(w: int) -> int:
        return residual(w, w) if shape.updown else 9 * w * w + w

    first = shape.widths[0]
    total = c * e + e + e * e + e + shape.classes * e + 9 * shape.in_channels * first + first
    skips, w = [first], first
    for level, width in enumerate(shape.widths):
        for _ in range(shape.blocks):
            total += residual(w, width) + shape.attention[level] * attention(width)
            w = width
            skips.append(w)
        if level + 1 < len(shape.widths):
            total += resize(w)
            skips.append(w)
    total += 2 * residual(w, w) + attention(w)
    for level, width in reversed(list(enumerate(shape.widths))):
        for _ in range(shape.blocks + 1):
            total += residual(w + skips.pop(), width) + shape.attention[level] * attention(width)
            w = width
        total += resize(w) if level else 0
    return total + 2 * w + 9 * w * shape.out_channels + shape.out_channels


ADM256 = Plan(256, (1, 1, 2, 2, 4, 4), 2, (8, 16, 32), head_width=64)
ADM64 = Plan(192, (1, 2, 3, 4), 3, (2, 4, 8), classes=1000, head_width=64, split=True)
#: plan, parameters, tensors in the checkpoint; the papers say 553, 527, 296, 296, 559, 422 and 94 million
SIZES = {
    "ADM-256": (ADM256, 552_814_086, 566),
    "CM-256": (dataclasses.replace(ADM256, outputs=3, scale_shift=False, split=True, planar=True), 526_304_771, 566),
    "CM-64": (dataclasses.replace(ADM64, outputs=3, planar=True), 295_899_267, 541),
    "ADM-64": (ADM64, 295_904_454, 541),
    "ADM-512": (Plan(256, (0.5, 1, 1, 2, 2, 4, 4), 2, (16, 32, 64), classes=1000, head_width=64), 558_997_638, 645),
    "ADM-128": (Plan(256, (1, 1, 2, 3, 4), 2, (4, 8, 16), classes=1000, heads=4), 421_529_606, 493),
    "faces": (Plan(128, (1, 1, 2, 2, 4, 4), 1, (16,), head_width=64), 93_563_910, 362),
}
#: networks that diffusers cannot describe, and why
LIMITED = {"ADM-512": "time embedding 256", "ADM-128": "different widths (128, 192, 256)"}


@pytest.mark.parametrize("name", SIZES)
def test_full_sizes_are_recognised(name):
    plan, parameters, names = SIZES[name]
    with torch.device("meta"):
        tensors = ADM(plan).state_dict()
    shape = infer(tensors, name)
    settings = settle(shape, {}, name)
    net = build(shape, settings)
    own = net.state_dict()
    converted, sources = convert_tensors(tensors, shape, settings, name)
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in own.items()}
    assert {sources[k] for k in converted} == set(tensors)
    total = sum(v.numel() for v in own.values())
    assert total == count(shape) == sum(v.numel() for v in tensors.values()) == parameters
    assert len(tensors) == names
    assert LIMITED[name] in limits(shape, settings) if name in LIMITED else limits(shape, settings) == ""
    assert published(shape) is not None
    assert settings.split_attention == plan.split
    assert settings.kind == ("consistency" if plan.planar else "ddpm")
    assert (settings.head_channels or -1) == plan.head_width
