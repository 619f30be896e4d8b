"""Which network a checkpoint belongs to, told by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from zsir.errors import BadInput

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Family:
    """A kind of network: what to call it, names that its checkpoints have, and a further condition."""

    title: str
    names: tuple[str, ...]
    condition: Callable[[Tensors], bool] = lambda tensors: True

    def fits(self, tensors: Tensors) -> bool:
        """Whether a checkpoint with these tensors is of this kind."""
        return all(name in tensors for name in self.names) and self.condition(tensors)


def _has(part: str) -> Callable[[Tensors], bool]:
    return lambda tensors: any(part in name for name in tensors)


def _lacks(part: str) -> Callable[[Tensors], bool]:
    return lambda tensors: not any(part in name for name in tensors)


def _plain_stack(noise_map: bool) -> Callable[[Tensors], bool]:
    """A sequence of convolutions; with a noise map FFDNet's first one takes 4 c + 1 channels."""

    def fits(tensors: Tensors) -> bool:
        if not all(name.startswith("model.") and name.split(".")[1].isdigit() for name in tensors):
            return False
        first = tensors["model.0.weight"]
        return first.ndim == 4 and (first.shape[1] % 4 == 1 and first.shape[1] > 4) is noise_map

    return fits


ADM = "an ADM (guided-diffusion) or consistency-model UNet"
ADM_CLASSIFIER = "an ADM (guided-diffusion) classifier, not a denoiser"
DIFFUSERS = "a diffusers UNet2DModel"
IRSDE_UNET = "an IR-SDE UNet"
IRSDE_NAFNET = "an IR-SDE NAFNet"
FFDNET = "an FFDNet"
DRUNET = "a DRUNet"

#: special kinds before the general ones that they resemble
FAMILIES = (
    Family("a Stable Diffusion (latent diffusion) checkpoint", (), _has("model.diffusion_model.input_blocks.")),
    Family(ADM_CLASSIFIER, ("input_blocks.0.0.weight", "time_embed.0.weight"), _lacks("output_blocks.")),
    Family("a text-conditional latent-diffusion UNet", ("input_blocks.0.0.weight",), _has(".attn2.to_k.weight")),
    Family(ADM, ("input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight")),
    Family("a diffusers UNet2DConditionModel", ("conv_in.weight",), _has(".attn2.to_k.weight")),
    Family(DIFFUSERS, ("conv_in.weight", "time_embedding.linear_1.weight")),
    Family("a DA-CLIP UNet", ("init_conv.weight", "time_mlp.1.weight"), _has(".attn2.to_k.weight")),
    Family(IRSDE_UNET, ("init_conv.weight", "time_mlp.1.weight", "downs.0.0.block1.proj.weight")),
    Family("an IR-SDE latent auto-encoder", ("init_conv.weight", "latent_conv.weight")),
    Family("a stereo NAFNet", ("intro.weight", "ending.weight"), _has("fusion.")),
    Family(IRSDE_NAFNET, ("intro.weight", "time_mlp.1.weight", "ending.weight")),
    Family(
        "a NAFNet without time (one step, not a diffusion model)",
        ("intro.weight", "ending.weight"),
        _lacks("time_mlp."),
    ),
    Family("an SCUNet", ("m_head.0.weight",), _has(".trans_block.")),
    Family(DRUNET, ("m_head.weight", "m_tail.weight")),
    Family(FFDNET, ("model.0.weight",), _plain_stack(noise_map=True)),
    Family("a DnCNN", ("model.0.weight",), _plain_stack(noise_map=False)),
    Family("a SwinIR", ("conv_first.weight",), _has("layers.0.residual_group.")),
    Family("an ESRGAN (RRDBNet)", ("conv_first.weight",), _has(".rdb1.conv1.")),
    Family("a Restormer", ("patch_embed.proj.weight",), _has("encoder_level1.")),
    Family("an NCSN++ or DDPM++ of the EDM code", (), _has(".map_layer0.weight")),
    Family("a denoiser of 'zsir train'", ("head.weight", "embed.0.weight", "reduce.0.weight")),
)


def looks_like(tensors: Tensors) -> str:
    """What a checkpoint holds, with its article (``a DRUNet``), or an empty string for one of unknown kind."""
    return next((family.title for family in FAMILIES if family.fits(tensors)), "")


def recognised(tensors: Tensors, path: str | Path, titles: tuple[str, ...], advice: str = "") -> str:
    """The one of the families ``titles`` that a checkpoint is of; ``advice`` ends the sentence where it is of none.

    Raises `BadInput`, which names the missing tensor where only some that tell the family are there.
    """
    found = looks_like(tensors)
    if found in titles:
        return found
    near = [
        ([name for name in family.names if name not in tensors], family)
        for family in FAMILIES
        if not found and family.title in titles and any(name in tensors for name in family.names)
    ]
    if near:
        missing, family = min(near, key=lambda pair: len(pair[0]))
        raise BadInput(f"{path} lacks the tensor '{missing[0]}'; by its other names it is {family.title}.")
    wanted = " or ".join(titles)
    raise BadInput(f"{path} holds {found or 'no network that zsir can name'}, expected was {wanted}{advice}.")
