"""ADM (guided-diffusion) and consistency-model U-Nets as diffusers' ``UNet2DModel``: names, shapes and layouts.

`UNet2DModel` computes the same function: group norm with eps 1e-5 and 32 groups, SiLU, [cos, sin] time embedding,
scale-shift, residual reduction and enlargement. It has two limits. Its configuration knows one head width for all
attention layers and takes the time embedding as wide as the first level; a network that is otherwise (`limits`) is
built all the same, but its configuration cannot be saved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import reduce
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from zsir.errors import BadInput
from zsir.priors.checkpoints.adm.config import ADMSettings
from zsir.priors.checkpoints.adm.shape import ADMShape
from zsir.priors.checkpoints.diffusers_nets import needed_diffusers
from zsir.priors.checkpoints.votes import Vote, voted

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def module_names(shape: ADMShape) -> Iterator[tuple[str, str, str]]:
    """(name in the checkpoint, name in `UNet2DModel`, ``resnet`` | ``attention`` | ``plain``) of all parts."""
    yield from ((old, new, "plain") for old, new in ENDS.items())
    last = len(shape.widths) - 1
    for level, attends in enumerate(shape.attention):
        for block in range(shape.blocks):
            yield f"{shape.down(level, block)}.0", f"down_blocks.{level}.resnets.{block}", "resnet"
            if attends:
                yield f"{shape.down(level, block)}.1", f"down_blocks.{level}.attentions.{block}", "attention"
        if level < last:
            end, new = shape.down(level, shape.blocks), f"down_blocks.{level}.downsamplers.0"
            yield (f"{end}.0", new, "resnet") if shape.updown else (f"{end}.0.op", f"{new}.conv", "plain")
    yield "middle_block.0", "mid_block.resnets.0", "resnet"
    yield "middle_block.1", "mid_block.attentions.0", "attention"
    yield "middle_block.2", "mid_block.resnets.1", "resnet"
    for level, attends in enumerate(shape.attention):
        for block in range(shape.blocks + 1):
            yield f"{shape.up(level, block)}.0", f"up_blocks.{last - level}.resnets.{block}", "resnet"
            if attends:
                yield f"{shape.up(level, block)}.1", f"up_blocks.{last - level}.attentions.{block}", "attention"
        if level > 0:
            end, new = shape.up(level, shape.blocks), f"up_blocks.{last - level}.upsamplers.0"
            part = 2 if attends else 1
            yield (f"{end}.{part}", new, "resnet") if shape.updown else (f"{end}.{part}.conv", f"{new}.conv", "plain")


def convert_tensors(
    tensors: Mapping[str, Tensor], shape: ADMShape, settings: ADMSettings, path: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors under their names in `UNet2DModel`, and for every such name the one in the checkpoint.

    Raises `BadInput` for tensors that have no place and for attention layers that are not whole.
    """
    renamed: dict[str, Tensor] = {}
    sources: dict[str, str] = {}
    left = dict(tensors)
    for old, new, kind in module_names(shape):
        if kind == "attention":
            for name, source, tensor in _attention(left, old, new, settings, path):
                renamed[name], sources[name] = tensor, source
            continue
        for leaf, own in (RESNET if kind == "resnet" else {"": ""}).items():
            for end in ("weight", "bias"):
                name, source = (".".join(filter(None, parts)) for parts in ((new, own, end), (old, leaf, end)))
                sources[name] = source
                if source in left:
                    renamed[name] = left.pop(source)
    if left:
        name = next(iter(left))
        raise BadInput(f"{path}: the tensor '{name}' of shape {tuple(left[name].shape)} belongs to no ADM UNet.")
    return renamed, sources


def _attention(
    left: dict[str, Tensor], old: str, new: str, settings: ADMSettings, path: str
) -> Iterator[tuple[str, str, Tensor]]:
    """(new name, old name, tensor) of one attention layer; its projections become matrices, q, k and v become three."""
    layer = {name: tensor for name, tensor in left.items() if name.startswith(f"{old}.")}
    votes = Vote(f"{old}.norm.*", 0, 1), Vote(f"{old}.proj_out.bias", 0, 1), Vote(f"{old}.qkv.bias", 0, 1, times=3)
    width = voted(layer, path, *votes)
    heads = 1 if settings.split_attention else settings.heads_at(width)
    for end in ("weight", "bias"):
        for own, count in (("norm", 1), ("proj_out", 1), ("qkv", 3)):
            source = f"{old}.{own}.{end}"
            matrix = end == "weight" and own != "norm"
            wanted = (count * width, width) if matrix else (count * width,)
            if source not in layer:
                raise BadInput(f"{path} lacks the tensor '{source}' of shape {wanted}.")
            tensor = left.pop(source)
            # projections are convolutions of one pixel, of one or two dimensions
            if tuple(tensor.shape[: len(wanted)]) != wanted or tensor.numel() != math.prod(wanted):
                raise BadInput(f"{path}: the tensor '{source}' has shape {tuple(tensor.shape)}, expected was {wanted}.")
            tensor = tensor.reshape(wanted)
            if own == "qkv":
                # legacy order: per head its q, k and v; split order is that of a single head
                parts = tensor.view(heads, 3, width // heads, *wanted[1:]).unbind(1)
                for letter, part in zip("qkv", parts, strict=True):
                    yield f"{new}.to_{letter}.{end}", source, part.reshape(width, *wanted[1:]).contiguous()
            else:
                yield f"{new}.{'group_norm' if own == 'norm' else 'to_out.0'}.{end}", source, tensor


def unet_config(shape: ADMShape, settings: ADMSettings) -> dict[str, Any]:
    """The configuration of `UNet2DModel` for a network."""
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if shape.updown else ("DownBlock2D", "UpBlock2D")
    down = ["AttnDownBlock2D" if attends else plain[0] for attends in shape.attention]
    up = ["AttnUpBlock2D" if attends else plain[1] for attends in reversed(shape.attention)]
    sampling = "resnet" if shape.updown else "conv"
    return {
        "sample_size": settings.image_size or None,
        "in_channels": shape.in_channels,
        "out_channels": shape.out_channels,
        "block_out_channels": list(shape.widths),
        "layers_per_block": shape.blocks,
        "down_block_types": down,
        "up_block_types": up,
        "downsample_type": sampling,
        "upsample_type": sampling,
        "attention_head_dim": reduce(gcd, _head_widths(shape, settings)),
        "resnet_time_scale_shift": "scale_shift" if shape.scale_shift else "default",
        "num_class_embeds": shape.classes or None,
        "time_embedding_dim": 4 * shape.model_channels,
        "norm_num_groups": 32,
        "attn_norm_num_groups": 32,
        "norm_eps": 1e-5,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }


def limits(shape: ADMShape, settings: ADMSettings) -> str:
    """Why a network's diffusers configuration cannot be saved, as the end of a sentence; empty where it can."""
    widths = _head_widths(shape, settings)
    if len(set(widths)) > 1:
        return f"its attention heads have different widths ({', '.join(map(str, sorted(set(widths))))})"
    if shape.widths[0] != shape.model_channels:
        return f"its first level has {shape.widths[0]} channels but its time embedding {shape.model_channels}"
    if settings.kind == "edm":
        return "diffusers has no scheduler that tells it 250 ln(sigma)"
    if settings.time_factor != 1:
        return "diffusers has no scheduler that rescales its time"
    return ""


def build(shape: ADMShape, settings: ADMSettings) -> nn.Module:
    """An empty `UNet2DModel` on the meta device, in evaluation mode; needs the extra ``hub``."""
    network = needed_diffusers().UNet2DModel
    from diffusers.models.embeddings import TimestepEmbedding, Timesteps

    with torch.device("meta"):
        net: Any = network(**unet_config(shape, settings))
        if shape.widths[0] != shape.model_channels:
            net.time_proj = Timesteps(shape.model_channels, flip_sin_to_cos=True, downscale_freq_shift=0)
            net.time_embedding = TimestepEmbedding(shape.model_channels, 4 * shape.model_channels)
    for name, module in net.named_modules():
        if name.endswith(".to_q"):
            layer: Any = net.get_submodule(name.removesuffix(".to_q"))
            width = module.weight.shape[0]
            layer.heads = settings.heads_at(width)
            layer.scale = (width // layer.heads) ** -0.5
    empty: nn.Module = net.eval().requires_grad_(False)
    return empty


def _head_widths(shape: ADMShape, settings: ADMSettings) -> list[int]:
    return [width // settings.heads_at(width) for width in shape.attention_widths]
