"""Latent models: every stage against diffusers' own networks, and what a sampler gets from them."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, LCMScheduler, UNet2DConditionModel
from safetensors.torch import save_file

from zsir import operators, priors, samplers
from zsir.errors import BadInput, BadSpec, Incompatible
from zsir.loop import solve
from zsir.priors.diffusers_unet import load_folder
from zsir.priors.latent import LatentEstimate, guidance_embedding
from zsir.priors.network import NetworkPrior
from zsir.priors.vp import VPEstimate
from zsir.problem import Problem
from zsir.rng import generator
from zsir.testing import check_prior, check_sampler


@pytest.fixture(scope="module", params=["ddim", "lcm"])
def model(request, tmp_path_factory):
    """(spec, kind, vae, unet, prompt) of a tiny model: 1/2 size in latent space, a U-Net of two levels."""
    folder = tmp_path_factory.mktemp(request.param)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        vae = AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            scaling_factor=0.7,
            shift_factor=0.1,
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
            time_cond_proj_dim=32 if request.param == "lcm" else None,
        ).eval()
        prompt = torch.randn(5, 6)
    vae.save_pretrained(folder / "vae")
    unet.save_pretrained(folder / "unet")
    scheduler = LCMScheduler() if request.param == "lcm" else DDIMScheduler(beta_schedule="scaled_linear")
    scheduler.save_pretrained(folder / "scheduler")
    save_file({"prompt_embeds": prompt}, folder / "prompt.safetensors")
    return f"latent:path={folder},prompt={folder}/prompt.safetensors", request.param, vae, unet, prompt


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator(5, 0, "test"))


def expected(model, x, sigma, bar, t):
    """Encode, noise, one call at time t where abar is ``bar``, decode: in the order of the formula."""
    _, kind, vae, unet, prompt = model
    s = 2 * 2 * sigma  # [-1, 1] units, then the gain
    a = 1 / math.sqrt(1 + s * s)
    assert a * a == pytest.approx(bar, rel=1e-4)
    told = guidance_embedding(8.0, 32) if kind == "lcm" else None
    with torch.no_grad():
        z = (vae.encode(2 * x - 1).latent_dist.mode() - 0.1) * 0.7
        z = z + s * LatentEstimate(VPEstimate(), 2.0, 0).noise(z.shape[1:], float(torch.tensor(2 * sigma)))[None]
        eps = unet(a * z, torch.tensor([t]), prompt[None], timestep_cond=told).sample
        z0 = (a * z - math.sqrt(1 - a * a) * eps) / a
        if kind == "lcm":
            c_skip, c_out = LCMScheduler().get_scalings_for_boundary_condition_discrete(t)
            z0 = c_out * z0 + c_skip * a * z
        return ((vae.decode(z0 / 0.7 + 0.1).sample + 1) / 2).clamp(0, 1)


@pytest.mark.parametrize("t", [1, 40, 500])
def test_it_is_the_formula(model, t):
    prior = priors.load(model[0])
    assert isinstance(prior, NetworkPrior) and prior.kind == ("consistency" if model[1] == "lcm" else "denoiser")
    scheduler = LCMScheduler() if model[1] == "lcm" else DDIMScheduler(beta_schedule="scaled_linear")
    bar = float(scheduler.alphas_cumprod[t])
    sigma = math.sqrt((1 - bar) / bar) / 4  # the latent level of time t, over the gain and the width of [-1, 1]
    x = picture(1, 3, 16, 20)
    estimate = prior.denoise(x, torch.tensor([sigma]))
    wanted = expected(model, x, sigma, bar, t)
    assert float((estimate - wanted).abs().max()) < 1e-5 * max(1.0, 4 * sigma)
    assert float((wanted - x).abs().max()) > 1e-2


def test_guidance_is_told_by_sines_and_cosines():
    """[sin(1000 (w - 1) f_k), cos(...)], f_k from 1 to 1/10000 in equal ratios, a zero for an odd width."""
    told = guidance_embedding(1.25, 7)[0].tolist()
    angles = [250.0, 250 / 100, 250 / 10000]
    wanted = [*map(math.sin, angles), *map(math.cos, angles), 0.0]
    assert told == pytest.approx(wanted, abs=1e-4)


def test_odd_sizes_batches_and_seeds(model):
    prior, other = priors.load(model[0]), priors.load(model[0] + ",seed=1")
    x, sigma = picture(2, 3, 13, 18), torch.tensor([0.2, 0.7])
    both = prior.denoise(x, sigma)
    assert both.shape == x.shape and bool((both >= 0).all() and (both <= 1).all())
    assert torch.equal(prior.denoise(x[1:], sigma[1:]), both[1:])
    assert torch.equal(prior.denoise(x, sigma), both)
    assert not torch.allclose(other.denoise(x, sigma), both, atol=1e-4)


def test_at_zero_it_is_the_picture(model):
    prior, x = priors.load(model[0]), picture(2, 3, 13, 18)
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
    prior = priors.load(model[0])
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


def test_mistakes_end_in_a_sentence(model, tmp_path):
    spec = model[0]
    folder = spec.partition("path=")[2].partition(",")[0]
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
