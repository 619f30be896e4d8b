"""What the tensors of an ADM network do not tell: head width, attention order, noise table and kind.

It comes from a JSON file with the field names of the published options, or, for checkpoints that are recognised, from
the table of published models below.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zsir.errors import BadInput, BadSpec
from zsir.priors.checkpoints.adm.shape import ADMShape
from zsir.timetables import TimeTable, alphas_bar, checked_bar

Kind = Literal["ddpm", "consistency", "edm"]
KINDS: tuple[Kind, ...] = ("ddpm", "consistency", "edm")


@dataclass(frozen=True)
class ADMSettings:
    """Everything about an ADM network that is not in its shapes.

    Exactly one of ``head_channels`` and ``heads`` is positive. ``split_attention``: the 3 C channels of a q-k-v
    projection are [all q | all k | all v]; else per head [q, k, v]. ``kind``: what the network predicts and how it is
    told its level (``ddpm``: noise in x_t and t; ``consistency`` and ``edm``: 250 ln sigma).
    """

    head_channels: int = 0
    heads: int = 0
    split_attention: bool = False
    kind: Kind = "ddpm"
    noise_schedule: Literal["linear", "cosine"] = "linear"
    diffusion_steps: int = 1000
    rescale_timesteps: bool = False
    predict_xstart: bool = False
    image_size: int = 0

    def __post_init__(self) -> None:
        for name in ("head_channels", "heads", "image_size"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name}={getattr(self, name)}: it cannot be negative.")
        if not 2 <= self.diffusion_steps <= MOST_STEPS:
            raise BadInput(f"diffusion_steps={self.diffusion_steps}: it must lie in 2 ... {MOST_STEPS}, usually 1000.")
        try:
            if self.kind == "ddpm":
                checked_bar(alphas_bar(*self.betas))
        except BadSpec:
            raise BadInput(
                f"diffusion_steps={self.diffusion_steps}: too few for the {self.noise_schedule} table, whose betas "
                "would reach 1; give the number that the network was trained with, usually 1000."
            ) from None

    def heads_at(self, width: int) -> int:
        """Number of attention heads at a channel number."""
        return width // self.head_channels if self.head_channels else self.heads

    @property
    def table(self) -> TimeTable:
        """Noise levels of the times of a ``ddpm`` network, in its own units.

        Sources: Ho et al. 2020 (linear, stretched to other numbers of steps); Nichol and Dhariwal 2021 (cosine).
        """
        return TimeTable.vp(alphas_bar(*self.betas))

    @property
    def betas(self) -> tuple[str, int, float, float]:
        """The arguments of `zsir.timetables.alphas_bar`: name, steps, first and last beta."""
        stretch = 1000 / self.diffusion_steps
        name = "linear" if self.noise_schedule == "linear" else "squaredcos_cap_v2"
        return name, self.diffusion_steps, 1e-4 * stretch, 0.02 * stretch

    @property
    def time_factor(self) -> float:
        """What the network's time input is multiplied by."""
        return 1000 / self.diffusion_steps if self.rescale_timesteps else 1.0


#: more times than any network is trained with, and a table that still takes no memory
MOST_STEPS = 100_000

#: fields that only the options of the consistency-model code have
CONSISTENCY_ONLY = frozenset({"weight_schedule", "attention_type", "training_mode", "distillation", "loss_norm"})

#: published fields without effect here whose names are near to those of fields with one
WITHOUT_EFFECT = frozenset({"num_classes", "num_samples", "in_channels", "out_channels", "small_size", "large_size"})

#: field -> allowed types
FIELDS: dict[str, tuple[type, ...]] = {
    "image_size": (int,),
    "num_channels": (int,),
    "model_channels": (int,),
    "num_res_blocks": (int,),
    "channel_mult": (str, list),
    "attention_resolutions": (str, list, int),
    "num_heads": (int,),
    "num_head_channels": (int,),
    "num_heads_upsample": (int,),
    "learn_sigma": (bool,),
    "class_cond": (bool,),
    "use_scale_shift_norm": (bool,),
    "resblock_updown": (bool,),
    "use_new_attention_order": (bool,),
    "noise_schedule": (str,),
    "diffusion_steps": (int,),
    "rescale_timesteps": (bool,),
    "predict_xstart": (bool,),
    "kind": (str,),
    "attention_order": (str,),
}


def read_config(path: str | Path) -> dict[str, Any]:
    """The fields of a JSON file, checked for types and misspelt names; raises `BadInput`.

    Fields that say how a network was trained (dropout, use_fp16, ...) are accepted and have no effect.
    """
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"The config {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The config {path} is not JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise BadInput(f"The config {path} must be a JSON object of fields such as num_head_channels.")
    for name, value in fields.items():
        if name in WITHOUT_EFFECT or name in CONSISTENCY_ONLY:
            continue
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.75)
            if close:
                raise BadInput(f"The config {path} has an unknown field '{name}'; did you mean '{close[0]}'?")
            continue  # the published options name much that matters for training only
        allowed = FIELDS[name]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            wanted = " or ".join(kind.__name__ for kind in allowed)
            raise BadInput(f"The config {path}: {name}={json.dumps(value)} must be of type {wanted}.")
    return fields


def settle(shape: ADMShape, fields: dict[str, Any], path: str | Path) -> ADMSettings:
    """The settings of a network of this shape: those of the published model that it is, changed by ``fields``.

    Raises `BadInput` if a field contradicts the shapes or takes an unknown value, or if the head width is not known.
    """
    if fields.get("image_size", 1) < 1:
        raise BadInput(f"The config says image_size={fields['image_size']}; a positive number is needed.")
    _check_shape(shape, fields, path)
    base = published(shape) or ADMSettings()
    kind = _choice(fields, "kind", KINDS, _likely_kind(shape, fields))
    split = base.split_attention or kind != "ddpm" or shape.planar or fields.get("use_new_attention_order", False)
    if "use_new_attention_order" in fields and kind == "ddpm" and not shape.planar:
        split = fields["use_new_attention_order"]
    order = _choice(fields, "attention_order", ("legacy", "split"), "split" if split else "legacy")
    head_channels, heads = _heads(shape, fields, base, path)
    return ADMSettings(
        head_channels=head_channels,
        heads=heads,
        split_attention=order == "split",
        kind=kind,
        noise_schedule=_choice(fields, "noise_schedule", ("linear", "cosine"), base.noise_schedule),
        diffusion_steps=fields.get("diffusion_steps", base.diffusion_steps),
        rescale_timesteps=fields.get("rescale_timesteps", base.rescale_timesteps),
        predict_xstart=fields.get("predict_xstart", base.predict_xstart),
        image_size=fields.get("image_size", base.image_size),
    )


def _likely_kind(shape: ADMShape, fields: dict[str, Any]) -> Kind:
    """What a network is where nobody says: the teachers of the consistency models differ from them by
    ``training_mode`` alone."""
    if "training_mode" in fields:
        return "consistency" if "consistency" in str(fields["training_mode"]) else "edm"
    return "consistency" if shape.planar or CONSISTENCY_ONLY & fields.keys() else "ddpm"


def published(shape: ADMShape) -> ADMSettings | None:
    """The settings of the published model with these shapes, or None.

    guided-diffusion's and the consistency models' README files; for the 128-channel network trained on faces the
    configuration that its users publish.
    """
    mult = ",".join(f"{w / shape.model_channels:g}" for w in shape.widths)
    settings = PUBLISHED.get((shape.model_channels, mult, shape.blocks, _first(shape.attention)))
    if settings and shape.model_channels == 192 and not shape.planar:
        # the diffusion model of 64 pixels has another attention order and noise table than the larger ones
        return dataclasses.replace(settings, split_attention=True, noise_schedule="cosine")
    return settings


def _first(attention: tuple[bool, ...]) -> int:
    return attention.index(True) if True in attention else -1


#: model channels, multiples per level, residual blocks, first level with attention -> settings
PUBLISHED: dict[tuple[int, str, int, int], ADMSettings] = {
    (192, "1,2,3,4", 3, 1): ADMSettings(head_channels=64, image_size=64),
    (256, "1,1,2,3,4", 2, 2): ADMSettings(heads=4, image_size=128),
    (256, "1,1,2,2,4,4", 2, 3): ADMSettings(head_channels=64, image_size=256),
    (256, "0.5,1,1,2,2,4,4", 2, 4): ADMSettings(head_channels=64, image_size=512),
    (128, "1,1,2,2,4,4", 1, 4): ADMSettings(head_channels=64, image_size=256),
}


def _heads(shape: ADMShape, fields: dict[str, Any], base: ADMSettings, path: str | Path) -> tuple[int, int]:
    """(head_channels, heads), one of them 0."""
    for name in ("num_head_channels", "num_heads"):
        if fields.get(name, -1) != -1 and fields[name] < 1:
            raise BadInput(f"The config says {name}={fields[name]}; a positive number is needed (-1: not given).")
    channels, heads = fields.get("num_head_channels", -1), fields.get("num_heads", -1)
    if channels == -1 and heads == -1:
        channels, heads = base.head_channels or -1, base.heads or -1
    if channels == -1 and heads == -1:
        raise BadInput(
            f"{path}: shapes do not tell the width of the attention heads; give a config (JSON) with num_head_channels "
            "or num_heads."
        )
    heads = 0 if channels != -1 else heads
    if fields.get("num_heads_upsample", -1) not in (-1, heads):
        raise BadInput("num_heads_upsample must be -1 (as on the way down); other values are not supported.")
    for width in shape.attention_widths:
        if (channels != -1 and width % channels) or (heads and width % heads):
            given = f"num_heads={heads}" if heads else f"num_head_channels={channels}"
            raise BadInput(f"{path}: {given} does not divide the {width} channels of an attention layer.")
    return max(channels, 0), heads


def _check_shape(shape: ADMShape, fields: dict[str, Any], path: str | Path) -> None:
    """Raise `BadInput` for the first field that the shapes contradict."""
    found: dict[str, Any] = {
        "num_channels": shape.model_channels,
        "model_channels": shape.model_channels,
        "num_res_blocks": shape.blocks,
        "learn_sigma": shape.learned_variance,
        "class_cond": shape.classes > 0,
        "use_scale_shift_norm": shape.scale_shift,
        "resblock_updown": shape.updown,
        "channel_mult": [w / shape.model_channels for w in shape.widths],
    }
    given = dict(fields)
    _parse_list(given, "channel_mult", float, path)
    _parse_list(given, "attention_resolutions", int, path)
    size = fields.get("image_size", 0)
    if size and given.get("attention_resolutions"):
        levels = range(len(shape.widths))
        found["attention_resolutions"] = [k for k in levels if shape.attention[k]]
        given["attention_resolutions"] = [k for k in levels if size // 2**k in given["attention_resolutions"]]
    if len(shape.widths) == 1:
        found.pop("resblock_updown")
    for name, value in found.items():
        if name in given and given[name] not in (value, []):
            at = " (levels with attention)" if name == "attention_resolutions" else ""
            raise BadInput(
                f"{path}: the config says {name}={json.dumps(given[name])}{at}, the tensors say {json.dumps(value)}."
            )


def _parse_list(fields: dict[str, Any], name: str, number: Callable[[str], Any], path: str | Path) -> None:
    """Lists are written as JSON lists or as text, ``"32,16,8"``; an empty one means the published default."""
    value = fields.get(name, [])
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    try:
        fields[name] = [number(str(part)) for part in parts if str(part).strip()]
    except ValueError:
        raise BadInput(f"{path}: the config says {name}={json.dumps(value)}, expected were numbers.") from None


def _choice(fields: dict[str, Any], name: str, allowed: tuple[str, ...], default: str) -> Any:
    value = fields.get(name, default)
    if value not in allowed:
        raise BadInput(f"The config says {name}='{value}'; choose one of {', '.join(allowed)}.")
    return value
