"""Small random networks, written by diffusers itself in the layout of the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    DDPMScheduler,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
    ScoreSdeVeScheduler,
    UNet2DModel,
)

SCHEDULERS = {
    "ddpm": lambda: DDPMScheduler(),
    "v": lambda: DDPMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2", clip_sample=False),
    "x0": lambda: DDPMScheduler(prediction_type="sample", beta_schedule="scaled_linear", num_train_timesteps=500),
    "edm": lambda: EDMEulerScheduler(sigma_data=0.6),
    "edm-v": lambda: EDMEulerScheduler(prediction_type="v_prediction", sigma_min=0.01),
    "consistency": lambda: CMStochasticIterativeScheduler(sigma_min=0.004, sigma_data=0.4),
    "score": lambda: ScoreSdeVeScheduler(sigma_min=0.02, sigma_max=300.0),
    "flow": lambda: FlowMatchEulerDiscreteScheduler(shift=3.0),
}

TINY: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}
#: what is special about the published networks of a family
SPECIAL: dict[str, dict[str, Any]] = {
    "score": {
        "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
        "block_out_channels": (32, 32),
        "time_embedding_type": "fourier",
        "center_input_sample": True,
        "mid_block_scale_factor": 1.41421356237,
        "norm_num_groups": None,
    },
    "consistency": {
        "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "num_class_embeds": 5,
        "attn_norm_num_groups": 4,
        "resnet_time_scale_shift": "scale_shift",
    },
}


def unet(family: str, **fields: Any) -> UNet2DModel:
    """A random network of a family, the same one every time."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return UNet2DModel(**{**TINY, **SPECIAL.get(family, {}), **fields}).eval()


def write(folder: Path, family: str, *, plain: bool = False, safe: bool = True, **fields: Any) -> UNet2DModel:
    """Write a network and its scheduler; ``plain``: all files at the top, as the oldest models of the hub have them."""
    net = unet(family, **fields)
    net.save_pretrained(folder if plain else folder / "unet", safe_serialization=safe)
    SCHEDULERS[family]().save_pretrained(folder if plain else folder / "scheduler")
    if not plain:
        index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}
        (folder / "model_index.json").write_text(json.dumps(index))
    return net
