"""Latent diffusion and latent consistency models as priors of pixels, in the manner of LATINO.

Source: Spagnoletti et al. 2025 [latino]: x is encoded, noised in latent space, denoised there in one call, decoded:

    denoise(x, s) = D(f(E(x) + g s n, g s))

A stochastic auto-encoder, not a denoiser in the strict sense. What is approximate:

- x is encoded as it is. An encoder was trained on clean pictures; noise that a sampler put into x is in part smoothed
  away and in part encoded as structure, so samplers that add no noise of their own fit best (latino, hqs).
- The latent level g s is that of equal signal-to-noise: pictures in [-1, 1] have a spread of about 1/2, latents of 1,
  so g = 2.
- D(E(x)) is not x: fine detail is lost at every level that the network knows (below the smallest, `faded` goes over to
  x). A sampler has to end with its data step, as latino does, to get back what y knows.
- SDXL is told the size of the picture as original and as target size, without a crop.
- n depends on the seed and the level only: fresh at every step of a run, the same for every picture of a batch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from zsir.errors import BadInput, BadSpec, Incompatible
from zsir.names.registry import Option
from zsir.priors.checkpoints.diffusers_nets import build, fill, layout_of, read_json, weights_in
from zsir.priors.checkpoints.schedulers import read_scheduler
from zsir.priors.checkpoints.tensors import fingerprint, read_tensors
from zsir.priors.network import NetworkPrior, Parametrisation
from zsir.priors.parametrisations import VPEstimate
from zsir.priors.unet import pad_to_multiple
from zsir.rng import generator


@dataclass(frozen=True, eq=False)
class Prompt:
    """A text as the network is told it: ``text`` (1, tokens, width) and, for SDXL, a summary ``pooled`` (1, width)."""

    text: Tensor
    pooled: Tensor | None = None


class LatentNet(nn.Module):
    """A U-Net of latents with its prompt, and the auto-encoder around it; ``net(z, t)`` is the U-Net's raw output.

    The auto-encoder is not part of ``forward``: half precision of the network leaves it alone, whose decoder overflows
    in float16 (SDXL's does).
    """

    prompt: Tensor
    pooled: Tensor | None

    def __init__(self, vae: nn.Module, unet: nn.Module, prompt: Prompt, guidance: float) -> None:
        super().__init__()
        self.vae, self.unet, self.guidance = vae, unet, guidance
        self.register_buffer("prompt", prompt.text, persistent=False)
        self.register_buffer("pooled", prompt.pooled, persistent=False)
        settings: Any = vae.config
        self.scale, self.shift = float(settings.scaling_factor), float(settings.shift_factor or 0.0)
        self.reduction = 1 << (len(settings.block_out_channels) - 1)
        inside: Any = unet.config
        self.multiple = self.reduction << (len(inside.block_out_channels) - 1)
        self.guidance_width: int | None = inside.time_cond_proj_dim

    def encode(self, x: Tensor) -> Tensor:
        """Mean latents (batch, latent channels, height / reduction, ...) of pictures in [-1, 1], with unit spread."""
        vae: Any = self.vae
        return (cast(Tensor, vae.encode(x.to(vae.dtype)).latent_dist.mode()).to(x.dtype) - self.shift) * self.scale

    def decode(self, z: Tensor) -> Tensor:
        """The pictures in [-1, 1] of latents."""
        vae: Any = self.vae
        return cast(Tensor, vae.decode((z / self.scale + self.shift).to(vae.dtype), return_dict=False)[0]).to(z.dtype)

    def forward(self, z: Tensor, t: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Raw output of the U-Net at times t (batch,); ``sizes`` (6,): (h, w, 0, 0, h, w) of the picture, for SDXL."""
        prompt = self.prompt.expand(z.shape[0], -1, -1)
        told, added = None, None
        if self.guidance_width:
            told = guidance_embedding(self.guidance, self.guidance_width).to(z).expand(z.shape[0], -1)
        if self.pooled is not None and sizes is not None:
            pooled = self.pooled.expand(z.shape[0], -1)
            added = {"text_embeds": pooled, "time_ids": sizes.expand(z.shape[0], -1)}
        raw: Tensor = self.unet(z, t, prompt, timestep_cond=told, added_cond_kwargs=added, return_dict=False)[0]
        return raw


def guidance_embedding(scale: float, width: int) -> Tensor:
    """How an LCM is told its guidance scale w: sines and cosines of 1000 (w - 1), shape (1, width).

    Source: Luo et al. 2023 [lcm] and the code released with it
    """
    half = width // 2
    angles = 1000 * (scale - 1) * torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))
    return torch.cat([angles.sin(), angles.cos(), torch.zeros(width - 2 * half)])[None]


@dataclass(frozen=True)
class BoundaryEstimate:
    """A latent consistency model: f = c_skip x_t + c_out x0, with d = 1/2 and c of ten times the time t.

    c_skip = d^2/(100 t^2 + d^2), c_out = 10 t/sqrt(100 t^2 + d^2): all but 0 and 1 beyond the first times.
    Source: Luo et al. 2023 [lcm]
    """

    inner: VPEstimate
    factor: float = 10.0

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """Clean latents of x (batch, c, h, w) at levels s (batch,), the network told the time of ``told``."""
        x0 = self.inner(net, x, s, told)
        t = self.factor * self.inner.table.time(told).to(x).view(-1, 1, 1, 1)
        total = t**2 + 0.25
        return 0.25 / total * x * (1 + s.view(-1, 1, 1, 1) ** 2).rsqrt() + t / total.sqrt() * x0


@dataclass(frozen=True)
class LatentEstimate:
    """A parametrisation for `NetworkPrior` with a `LatentNet`: the stochastic auto-encoder D(f(E(x) + g s n, g s))."""

    skip: ClassVar[bool] = False
    inner: Parametrisation
    gain: float
    seed: int

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """A clean picture for each of x (batch, c, h, w) in [-1, 1], at levels s (batch,)."""
        latent = cast(LatentNet, net)
        height, width = x.shape[-2:]
        z = latent.encode(pad_to_multiple(x, latent.multiple))
        level = self.gain * s
        noise = torch.stack([self.noise(z.shape[1:], float(value)) for value in s]).to(z)
        sizes = torch.tensor([height, width, 0, 0, height, width]).to(z)
        unet: Any = latent if latent.pooled is None else lambda z, t: latent(z, t, sizes)
        x0 = self.inner(unet, z + level.view(-1, 1, 1, 1) * noise, level, self.gain * told)
        return latent.decode(x0)[..., :height, :width]

    def noise(self, shape: torch.Size, level: float) -> Tensor:
        """The numbers that go with a level, float32 on the CPU: a step apart by more than 1e-6 has others."""
        source = generator(self.seed, 0, f"latent {level:.5e}")
        return torch.randn(shape, generator=source)


def latent(
    path: Annotated[str, Option("folder with vae/, unet/, scheduler/ in the hub's layout")],
    prompt: Annotated[
        str, Option("safetensors file with the text's embedding: prompt_embeds; SDXL: pooled_prompt_embeds, too")
    ],
    gain: Annotated[float, Option("latent noise level per level of pictures in [-1, 1]")] = 2.0,
    guidance: Annotated[float, Option("guidance scale told to a latent consistency model")] = 8.0,
    seed: Annotated[int, Option("of the noise that is added in latent space")] = 0,
) -> NetworkPrior:
    """Latent diffusion or latent consistency model (Stable Diffusion 1.5, 2.1, SDXL, LCM).

    Encode, noise, denoise, decode: denoise(x, s) = D(f(E(x) + g s n, g s)). Approximate: detail that the auto-encoder
    loses is lost at any level, x is encoded with whatever noise it holds, and g matches signal-to-noise ratios on
    average only. The text's embedding comes from a file: there is no text encoder and no unconditional branch (no
    classifier-free guidance). The sampler for it is latino. Needs the extra ``hub``: pip install 'zsir[hub]'.
    Source: Spagnoletti et al. 2025 [latino]; Luo et al. 2023 [lcm]
    """
    if not gain > 0:
        raise BadSpec(f"latent:gain={gain:g} must be positive, usually 2.")
    folder = Path(path)
    if not (folder / "vae" / "config.json").is_file():
        raise BadInput(f"latent: {folder} lacks vae/config.json; give the folder of a pipeline with vae and unet.")
    layout, home = layout_of(folder), folder / "vae"
    reading = read_scheduler(read_json(layout.scheduler), str(layout.scheduler))
    config = read_json(layout.config)
    _understood(config, layout.config)
    vae_config = read_json(home / "config.json")
    if vae_config.get("latents_mean") or vae_config.get("latents_std"):
        raise Incompatible(f"{home / 'config.json'}: latents with a mean and spread per channel are not known to zsir.")
    vae = build("AutoencoderKL", vae_config, home / "config.json")
    unet = build("UNet2DConditionModel", config, layout.config)
    text = _prompt(Path(prompt), unet)
    files = (layout.weights, weights_in(home), Path(prompt))
    fill(unet, files[0])
    fill(vae, files[1])
    consistency = read_json(layout.scheduler).get("_class_name") == "LCMScheduler"
    inner: Parametrisation = reading.parametrise
    if consistency and isinstance(inner, VPEstimate):
        inner = BoundaryEstimate(inner)
    low, high = (level / gain / 2 for level in reading.levels)  # of pictures in [0, 1]
    return NetworkPrior(
        LatentNet(vae, unet, text, guidance).eval(),
        LatentEstimate(inner, gain, seed),
        "latent",
        3,
        (low, high),
        "consistency" if consistency else "denoiser",
        clip=True,
        fingerprint=hashlib.sha256("".join(map(fingerprint, files)).encode()).hexdigest(),
    )


def _understood(config: dict[str, Any], path: Path) -> None:
    """Raises `Incompatible` for a U-Net that wants more than a prompt and, as SDXL does, its summary and sizes."""
    added = config.get("addition_embed_type")
    if added not in (None, "text_time") or config.get("class_embed_type") or config.get("num_class_embeds"):
        what = "classes" if added in (None, "text_time") else f"addition_embed_type {added!r}"
        raise Incompatible(f"{path}: this network wants more than a prompt ({what}), which zsir lacks.")


def _prompt(file: Path, unet: nn.Module) -> Prompt:
    """The embedding of a text; raises `BadInput` where it does not fit the network."""
    tensors = read_tensors(file)
    inside: Any = unet.config
    text = _embedding(tensors, "prompt_embeds", file)
    text = text[None] if text.ndim == 2 else text
    if text.ndim != 3 or text.shape[0] != 1 or text.shape[2] != inside.cross_attention_dim:
        raise BadInput(
            f"{file}: prompt_embeds has shape {tuple(text.shape)}, the network expects (tokens, "
            f"{inside.cross_attention_dim}): the embedding is another text encoder's."
        )
    if inside.addition_embed_type is None:
        return Prompt(text)
    pooled = _embedding(tensors, "pooled_prompt_embeds", file)
    pooled = pooled[None] if pooled.ndim == 1 else pooled
    # the six numbers of the sizes take the rest
    width = inside.projection_class_embeddings_input_dim - 6 * inside.addition_time_embed_dim
    if pooled.shape != (1, width):
        raise BadInput(
            f"{file}: pooled_prompt_embeds has shape {tuple(pooled.shape)}, the network expects ({width},): the "
            "embedding is another text encoder's, or the network is SDXL's refiner, which zsir does not know."
        )
    return Prompt(text, pooled)


def _embedding(tensors: Mapping[str, Tensor], name: str, file: Path) -> Tensor:
    if name not in tensors:
        raise BadInput(f"{file} lacks the tensor '{name}', which the network is told; it holds {', '.join(tensors)}.")
    return tensors[name].float()
