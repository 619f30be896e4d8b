"""Latent models: every stage against diffusers' own networks, and what a sampler gets from them."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, LCMScheduler, UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding
from safetensors.torch import save_file

from zsir import operators, priors, samplers
from zsir.errors import BadInput, BadSpec, Incompatible
from zsir.loop.solver import solve
from zsir.priors.checkpoints.diffusers_nets import load_folder
from zsir.priors.checkpoints.latent import LatentEstimate, LatentNet, guidance_embedding
from zsir.priors.network import NetworkPrior
from zsir.priors.parametrisations import VPEstimate
from zsir.problem import Problem
from zsir.rng import generator
from zsir.testing import check_prior, check_sampler

#: what SDXL adds to the U-Net: a summary of the text (7 numbers here) and six sizes (4 numbers each)
SDXL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 7 + 6 * 4,
    "transformer_layers_per_block": (1, 2),
    "use_linear_projection": True,
}


@dataclass(frozen=True)
class Model:
    """A tiny model in the hub's layout: 1/2 size in latent space, a U-Net of two levels."""

    spec: str
    lcm: bool
    scheduler: Any
    vae: Any
    unet: Any
    prompt: torch.Tensor
    pooled: torch.Tensor | None

    @property
    def scale(self) -> float:
        return float(self.vae.config.scaling_factor)


@pytest.fixture(scope="module", params=["ddim", "lcm", "sdxl", "sdxl-lcm"])
def model(request, tmp_path_factory) -> Model:
    folder = tmp_path_factory.mktemp(request.param)
    sdxl, lcm = "sdxl" in request.param, "lcm" in request.param
    with torch.random.fork_rng():
        torch.manual_seed(11)
        vae = AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            scaling_factor=0.13025 if sdxl else 0.7,
            shift_factor=None if sdxl else 0.1,
        ).eval()
        unet = UNet2DConditionModel(
            in_channels=4,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            attention_head_dim=4,
            norm_num_groups=4,
            cross_attention_dim=6,
            time_cond_proj_dim=32 if lcm else None,
            **(SDXL if sdxl else {}),
        ).eval()
        prompt, pooled = torch.randn(5, 6), torch.randn(7) if sdxl else None
    vae.save_pretrained(folder / "vae")
    unet.save_pretrained(folder / "unet")
    usual = EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    scheduler = LCMScheduler() if lcm else usual if sdxl else DDIMScheduler(beta_schedule="scaled_linear")
    scheduler.save_pretrained(folder / "scheduler")
    tensors = {"prompt_embeds": prompt} if pooled is None else {"prompt_embeds": prompt, "pooled_prompt_embeds": pooled}
    save_file(tensors, folder / "prompt.safetensors")
    spec = f"latent:path={folder},prompt={folder}/prompt.safetensors"
    return Model(spec, lcm, scheduler, vae, unet, prompt, pooled)


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator(5, 0, "test"))


def expected(model, x, sigma, bar, t):
    """Encode, noise, one call at time t where abar is ``bar``, decode: in the order of the formula."""
    s = 2 * 2 * sigma  # [-1, 1] units, then the gain
    a = 1 / math.sqrt(1 + s * s)
    assert a * a == pytest.approx(bar, rel=1e-4)
    told = guidance_embedding(8.0, 32) if model.lcm else None
    shift, (height, width) = model.vae.config.shift_factor or 0.0, x.shape[-2:]
    added = None
    if model.pooled is not None:
        sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
        added = {"text_embeds": model.pooled[None], "time_ids": sizes}
    x = torch.nn.functional.pad(x, (0, -width % 4, 0, -height % 4), mode="reflect")
    with torch.no_grad():
        z = (model.vae.encode(2 * x - 1).latent_dist.mode() - shift) * model.scale
        z = z + s * LatentEstimate(VPEstimate(), 2.0, 0).noise(z.shape[1:], float(torch.tensor(2 * sigma)))[None]
        given = torch.tensor([t]), model.prompt[None]
        eps = model.unet(a * z, *given, timestep_cond=told, added_cond_kwargs=added).sample
        z0 = (a * z - math.sqrt(1 - a * a) * eps) / a
        if model.lcm:
            c_skip, c_out = LCMScheduler().get_scalings_for_boundary_condition_discrete(t)
            z0 = c_out * z0 + c_skip * a * z
        return ((model.vae.decode(z0 / model.scale + shift).sample + 1) / 2).clamp(0, 1)[..., :height, :width]


@pytest.mark.parametrize("size", [(16, 20), (13, 22)])
@pytest.mark.parametrize("t", [1, 40, 500])
def test_it_is_the_formula(model, t, size):
    prior = priors.load(model.spec)
    assert isinstance(prior, NetworkPrior) and prior.kind == ("consistency" if model.lcm else "denoiser")
    bar = float(model.scheduler.alphas_cumprod[t])
    sigma = math.sqrt((1 - bar) / bar) / 4  # the latent level of time t, over the gain and the width of [-1, 1]
    x = picture(1, 3, *size)
    estimate = prior.denoise(x, torch.tensor([sigma]))
    wanted = expected(model, x, sigma, bar, t)
    assert float((estimate - wanted).abs().max()) < 1e-5 * max(1.0, 4 * sigma)
    assert float((wanted - x).abs().max()) > 1e-2


@pytest.mark.parametrize("model", ["sdxl", "sdxl-lcm"], indirect=True)
def test_sdxl_is_told_the_size_of_the_picture_and_the_summary_of_the_text(model, tmp_path):
    heard = []
    prior = priors.load(model.spec)
    assert isinstance(prior, NetworkPrior) and isinstance(prior.net, LatentNet)
    prior.net.get_submodule("unet.add_embedding").register_forward_pre_hook(
        lambda module, given: heard.append(given[0])
    )
    x, level = picture(2, 3, 13, 22), torch.tensor([0.1, 0.2])
    plain = prior.denoise(x, level)
    sizes = [torch.tensor([13.0, 22.0, 0.0, 0.0, 13.0, 22.0])] * 2
    waves = torch.cat(
        [get_timestep_embedding(s, 4, flip_sin_to_cos=True, downscale_freq_shift=0).flatten() for s in sizes]
    )
    assert torch.allclose(torch.cat(heard)[:, 7:].flatten(), waves, atol=1e-6)
    assert torch.equal(torch.cat(heard)[:, :7], model.pooled.expand(2, 7))
    for changed in (model.pooled + 1, 2 * model.pooled):
        save_file({"prompt_embeds": model.prompt, "pooled_prompt_embeds": changed}, tmp_path / "other.safetensors")
        other = priors.load(f"{model.spec.partition(',')[0]},prompt={tmp_path}/other.safetensors")
        assert other.fingerprint != prior.fingerprint
        assert float((other.denoise(x, level) - plain).abs().max()) > 1e-6


def test_half_precision_leaves_the_autoencoder_alone(model):
    prior = priors.load(model.spec)
    assert isinstance(prior, NetworkPrior) and isinstance(prior.net, LatentNet)
    x, level = picture(1, 3, 16, 16), torch.tensor([0.3])
    on: dict[str, set[bool]] = {"vae": set(), "unet": set()}
    for name, layer in (
        ("vae", prior.net.get_submodule("vae.decoder")),
        ("vae", prior.net.get_submodule("vae.encoder")),
        ("unet", prior.net.unet),
    ):
        layer.register_forward_pre_hook(lambda *_, name=name: on[name].add(torch.is_autocast_enabled("cpu")))
    low = priors.Cast(prior, torch.float16).denoise(x, level)
    assert on == {"vae": {False}, "unet": {True}}
    assert float((low - prior.denoise(x, level)).abs().max()) < 0.02
    double = prior.denoise(x.double(), level.double())
    assert double.dtype == torch.float64 and float((double - prior.denoise(x, level)).abs().max()) < 1e-4


def test_guidance_is_told_by_sines_and_cosines():
    """[sin(1000 (w - 1) f_k), cos(...)], f_k from 1 to 1/10000 in equal ratios, a zero for an odd width."""
    told = guidance_embedding(1.25, 7)[0].tolist()
    angles = [250.0, 250 / 100, 250 / 10000]
    wanted = [*map(math.sin, angles), *map(math.cos, angles), 0.0]
    assert told == pytest.approx(wanted, abs=1e-4)


def test_odd_sizes_batches_and_seeds(model):
    prior, other = priors.load(model.spec), priors.load(model.spec + ",seed=1")
    x, sigma = picture(2, 3, 13, 18), torch.tensor([0.2, 0.7])
    both = prior.denoise(x, sigma)
    assert both.shape == x.shape and bool((both >= 0).all() and (both <= 1).all())
    assert torch.equal(prior.denoise(x[1:], sigma[1:]), both[1:])
    assert torch.equal(prior.denoise(x, sigma), both)
    assert not torch.allclose(other.denoise(x, sigma), both, atol=1e-4)


def test_at_zero_it_is_the_picture(model):
    prior, x = priors.load(model.spec), picture(2, 3, 13, 18)
    low = prior.sigma_range[0]
    levels = low * torch.tensor([0.0, 0.5])
    made, smallest = prior.denoise(x, levels), prior.denoise(x, torch.full((2,), low))
    assert torch.equal(made[0], x[0])
    told = prior.denoise(x, torch.full((2,), low / 2))  # other noise in latent space, the same way to the picture
    assert torch.equal(told[1], made[1])
    assert float((made[1] - x[1]).abs().max()) < 0.3 * float((smallest[1] - x[1]).abs().max())
    check_prior(prior, shape=(3, 13, 18))


def test_every_level_has_its_own_noise():
    estimate = LatentEstimate(VPEstimate(), 2.0, 0)
    shape = torch.Size((4, 32, 32))
    one, two = estimate.noise(shape, 0.5), estimate.noise(shape, 0.4)
    assert abs(float((one * two).mean())) < 0.06 and float(one.std()) == pytest.approx(1, abs=0.05)


def test_latino_restores_the_data_that_the_autoencoder_loses(model):
    operator = operators.make("sr2x", in_shape=(3, 16, 16))
    problem = Problem(operator.forward(picture(1, 3, 16, 16)), operator, 0.0)
    prior = priors.load(model.spec)
    solution = solve(problem, prior, samplers.make("latino", nfe=2), seed=0)
    assert solution.x.shape == (1, 3, 16, 16) and solution.stats.nfe == 2
    assert solution.stats.residual[0] < 1e-2
    lost = prior.denoise(solution.x, torch.tensor([0.05]))
    assert problem.residual(lost)[0] > 0.1  # the random auto-encoder keeps next to nothing


def test_latino_is_its_formula():
    """With an exact Gaussian prior every step is affine: the same in dense linear algebra."""
    op = operators.make("sr2x", in_shape=(1, 6, 4))
    a = op.forward(torch.eye(24, dtype=torch.float64).view(24, 1, 6, 4)).reshape(24, -1).T
    root = torch.randn(24, 24, dtype=torch.float64, generator=generator(1, 0, "test"))
    c = 0.02 * root @ root.T / 24 + 1e-3 * torch.eye(24, dtype=torch.float64)
    y = torch.rand(1, 1, 3, 2, dtype=torch.float64, generator=generator(2, 0, "test"))
    x_init = torch.rand(1, 1, 6, 4, dtype=torch.float64, generator=generator(3, 0, "test"))
    problem = Problem(y, op, 0.05, x_init)
    sampler = samplers.LATINO(3, first=0.8, last=0.05, lam=0.3)
    result = solve(problem, priors.Gaussian(priors.Dense(c), 0.5), sampler, seed=0).x.flatten()
    eye, x = torch.eye(24, dtype=torch.float64), x_init.flatten()
    for sigma in (0.8, 0.2, 0.05):
        u = 0.5 + c @ torch.linalg.solve(c + sigma**2 * eye, x - 0.5)
        rho = 0.3 * 0.05**2 / sigma**2
        x = torch.linalg.solve(a.T @ a + rho * eye, a.T @ y.flatten() + rho * u)
    assert float((result - x).abs().max()) < 1e-10
    check_sampler(sampler, Problem(y.repeat(2, 1, 1, 1), op, 0.05), priors.Gaussian(priors.Dense(c), 0.5))


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("unet", {"addition_embed_type": "image"}, "wants more than a prompt \\(addition_embed_type 'image'"),
        ("unet", {"num_class_embeds": 4}, "wants more than a prompt \\(classes"),
        ("vae", {"latents_mean": [0.1] * 4}, "latents with a mean"),
    ],
)
def test_networks_that_want_more_are_refused(model, tmp_path, part, change, says):
    folder = model.spec.partition("path=")[2].partition(",")[0]
    shutil.copytree(folder, tmp_path / "copy")
    config = tmp_path / "copy" / part / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(Incompatible, match=says):
        priors.load(f"latent:path={tmp_path}/copy,prompt={folder}/prompt.safetensors")


def test_mistakes_end_in_a_sentence(model, tmp_path):
    spec = model.spec
    folder = spec.partition("path=")[2].partition(",")[0]
    if model.pooled is not None:
        save_file({"prompt_embeds": model.prompt}, tmp_path / "half.safetensors")
        save_file({"prompt_embeds": model.prompt, "pooled_prompt_embeds": torch.zeros(9)}, tmp_path / "odd.safetensors")
        with pytest.raises(BadInput, match="lacks the tensor 'pooled_prompt_embeds'"):
            priors.load(f"latent:path={folder},prompt={tmp_path}/half.safetensors")
        with pytest.raises(BadInput, match=r"has shape \(1, 9\), the network expects \(7,\).*refiner"):
            priors.load(f"latent:path={folder},prompt={tmp_path}/odd.safetensors")
    save_file({"prompt_embeds": torch.zeros(3, 7)}, tmp_path / "wide.safetensors")
    save_file({"text": torch.zeros(3, 6)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match=r"shape \(1, 3, 7\), the network expects \(tokens, 6\)"):
        priors.load(f"latent:path={folder},prompt={tmp_path}/wide.safetensors")
    with pytest.raises(BadInput, match="lacks the tensor 'prompt_embeds'"):
        priors.load(f"latent:path={folder},prompt={tmp_path}/other.safetensors")
    with pytest.raises(BadInput, match="There is no weights file at"):
        priors.load(f"latent:path={folder},prompt={tmp_path}/none.safetensors")
    with pytest.raises(BadInput, match="lacks vae/config"):
        priors.load(f"latent:path={tmp_path},prompt=x")
    with pytest.raises(BadSpec, match="gain=0 must be positive"):
        priors.load(f"{spec},gain=0")
    with pytest.raises(BadSpec, match="'latent' needs prompt="):
        priors.load(f"latent:path={folder}")
    with pytest.raises(Incompatible, match="see 'zsir describe latent'"):
        load_folder(folder)
