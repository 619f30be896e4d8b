"""Folders in the layout of the Hugging Face hub: a diffusers ``UNet2DModel`` and its scheduler become a prior.

FOLDER/unet/config.json                  or FOLDER/config.json
FOLDER/unet/diffusion_pytorch_model.*    or FOLDER/diffusion_pytorch_model.*     safetensors before bin
FOLDER/scheduler/scheduler_config.json   or FOLDER/scheduler_config.json         decides the family: `scheduler`
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from zsir.errors import BadInput, Incompatible
from zsir.priors.checkpoints.labels import chosen_class
from zsir.priors.checkpoints.schedulers import read_scheduler
from zsir.priors.checkpoints.tensors import fingerprint, load_into, read_tensors
from zsir.priors.network import NetworkPrior
from zsir.priors.unet import pad_to_multiple

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

#: parts of pipelines whose network does not work on pixels, or not without a text
FOREIGN = ("vae", "vqvae", "movq", "transformer", "prior", "text_encoder")

#: names of tensors in the first releases of diffusers -> names since
RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


@dataclass(frozen=True)
class Layout:
    """The three files that a prior is made of."""

    config: Path
    weights: Path
    scheduler: Path


class UNetAdapter(nn.Module):
    """``net(x, t)`` around a `UNet2DModel`: any size, always the same class, no channels beyond the picture's.

    A picture is extended by reflection, at its lower and right edge, to the next multiple of 2^(levels - 1), and the
    output cut back. Sizes far from the one it was trained at work, but it has not seen them: structures may come out
    in the scale of its training pictures, and the memory of attention grows with the square of the pixel number.
    """

    def __init__(
        self,
        net: nn.Module,
        multiple: int,
        label: int | None,
        whole_times: bool = False,
        time_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.net, self.multiple, self.label = net, multiple, label
        self.whole_times, self.time_factor = whole_times, time_factor

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, channels, height, width) in native units, t (batch,) the time input; output in the size of x."""
        height, width = x.shape[-2:]
        labels = None if self.label is None else torch.full((x.shape[0],), self.label, device=x.device)
        times = t.round().long() if self.whole_times else t * self.time_factor
        raw: Tensor = self.net(pad_to_multiple(x, self.multiple), times, labels, return_dict=False)[0]
        return raw[:, : x.shape[1], :height, :width]


def load_folder(path: str | Path, name: str = "folder", label: int = -1) -> NetworkPrior:
    """The prior in a folder of the hub's layout, on the CPU in float32.

    A class-conditional network cannot be called without a class. A fixed one keeps every call one that the network was
    trained for. Neither an average of embeddings nor, at one network call per step, an average over classes does. The
    noisier the picture, the more the class decides, so give the true one where it is known.

    Args:
        path: The folder.
        name: Name in messages and records. By default ``folder``.
        label: Class that a class-conditional network is asked for. By default -1, which stands for class 0.

    Returns:
        The prior.

    Raises:
        BadInput: The folder cannot be used.
        BadSpec: There is no such class.
        Incompatible: The folder holds a latent model, or diffusers is missing.
    """
    layout = find(Path(path))
    config, reading = read_json(layout.config), read_scheduler(read_json(layout.scheduler), str(layout.scheduler))
    net = _empty(config, layout.config)
    classes = _classes(config, layout.config)
    asked = chosen_class(name, label, classes)
    fill(net, layout.weights)
    wrapped = UNetAdapter(
        net,
        1 << (len(config["down_block_types"]) - 1),
        asked,
        config.get("time_embedding_type") == "learned",
    )
    width = reading.native_range[1] - reading.native_range[0]
    return NetworkPrior(
        wrapped.eval(),
        reading.parametrise,
        f"{name}, class {asked} of {classes}" if classes else name,
        config["in_channels"],
        (reading.levels[0] / width, reading.levels[1] / width),
        reading.kind,
        reading.clip,
        fingerprint(layout.weights),
        reading.native_range,
    )


def find(folder: Path) -> Layout:
    """The files of a prior in ``folder``; raises `BadInput` that names the missing one, `Incompatible`."""
    if not folder.is_dir():
        what = "is a file; give the folder around it" if folder.is_file() else "does not exist; check the path"
        raise BadInput(f"The folder {folder} {what}.")
    for part in FOREIGN:
        if (folder / part).is_dir():
            raise Incompatible(
                f"{folder} holds a pipeline with a '{part}': not a network of pixels; for Stable Diffusion and "
                "its like see 'zsir describe latent'."
            )
    return layout_of(folder)


def check_configs(folder: Path, id: str) -> None:
    """Whether zsir can use the model ``id`` of which ``folder`` holds the configuration, but not yet the weights.

    Raises `Incompatible` for latent and text-conditional pipelines and where diffusers is missing, `BadInput` for
    another class of network, fields that describe none, and a scheduler that is not known.
    """
    index = folder / "model_index.json"
    parts = read_json(index) if index.is_file() else {}
    # a part that a pipeline goes without is written as [null, null]
    foreign = next((part for part in FOREIGN if parts.get(part) not in (None, [None, None])), "")
    if foreign:
        raise Incompatible(
            f"{id} is a pipeline with a '{foreign}': not a network of pixels, nothing was downloaded but its "
            "description; for Stable Diffusion and its like see 'zsir describe latent'."
        )
    config, scheduler = _configs(folder, id)
    read_scheduler(read_json(scheduler), str(scheduler))
    _empty(read_json(config), config)


def layout_of(folder: Path) -> Layout:
    """The files of the U-Net in ``folder``, whatever else it holds; raises `BadInput` that names the missing one."""
    config, scheduler = _configs(folder, str(folder))
    return Layout(config, weights_in(config.parent), scheduler)


def _configs(folder: Path, name: str) -> tuple[Path, Path]:
    """The configurations of the U-Net and of the scheduler; ``name`` is for the messages."""
    home = folder / "unet" if (folder / "unet").is_dir() else folder
    config = home / "config.json"
    if not config.is_file():
        raise BadInput(f"{name} holds neither unet/config.json nor config.json: not a diffusers model.")
    places = (folder / "scheduler", folder, home)
    scheduler = next((p for p in (place / "scheduler_config.json" for place in places) if p.is_file()), None)
    if scheduler is None:
        raise BadInput(f"{name} lacks scheduler/scheduler_config.json, which tells what the network predicts.")
    return config, scheduler


def weights_in(home: Path) -> Path:
    """The file with a network's weights in its folder; raises `BadInput`."""
    weights = next((home / name for name in WEIGHTS if (home / name).is_file()), None)
    if weights is None:
        if any((home / f"{name}.index.json").is_file() for name in WEIGHTS):
            raise BadInput(f"The weights in {home} are split into several files; save the model in one file.")
        raise BadInput(f"{home} lacks the weights, {WEIGHTS[0]} (or .bin).")
    return weights


def read_json(path: Path) -> dict[str, Any]:
    """The fields of a configuration file; raises `BadInput`."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is not readable JSON ({error}).") from None
    if not isinstance(fields, dict):
        raise BadInput(f"{path} holds no JSON object with fields.")
    return fields


def _empty(config: dict[str, Any], path: Path) -> nn.Module:
    """A `UNet2DModel` of this configuration without weights, on the meta device."""
    net = build("UNet2DModel", config, path)
    for key, kind in (("down_block_types", list), ("block_out_channels", list), ("in_channels", int)):
        if not isinstance(config.get(key), kind):
            raise BadInput(f"{path} lacks the field '{key}', or it is not of type {kind.__name__}.")
    if config.get("out_channels", config["in_channels"]) < config["in_channels"]:
        raise BadInput(f"{path}: fewer channels come out of this network than go in; it is conditioned on a picture.")
    return net


def needed_diffusers() -> ModuleType:
    """The package diffusers; raises `Incompatible` where it is missing."""
    try:
        import diffusers
    except ImportError:
        raise Incompatible("This prior needs the package diffusers; install it with: pip install 'zsir[hub]'") from None
    package: ModuleType = diffusers
    return package


def build(kind: str, config: dict[str, Any], path: Path) -> nn.Module:
    """A network of diffusers' class ``kind`` without weights, on the meta device; ``path`` is for the messages.

    Raises `BadInput` for a configuration of another class or of none, `Incompatible` where diffusers is missing.
    """
    found = config.get("_class_name", kind)
    if found != kind:
        why = " (conditioned on text: a latent model's network)" if found == "UNet2DConditionModel" else ""
        raise BadInput(f"{path} describes a {found}{why}; zsir reads {kind} here.")
    diffusers = needed_diffusers()
    network: Any = getattr(diffusers, kind)
    known = inspect.signature(network.__init__).parameters
    strange = [key for key, value in config.items() if key not in known and key[:1] != "_" and value]
    if strange:
        version = diffusers.__version__
        raise BadInput(f"{path}: diffusers {version} does not know the field '{strange[0]}'; a newer one may.")
    try:
        with torch.device("meta"):
            net: nn.Module = network(**{key: value for key, value in config.items() if key in known})
    except Exception as error:
        # diffusers looks at few fields before it computes with them, so that anything can come of a wrong one
        text = " ".join(str(error).split())[:200]
        raise BadInput(f"{path} describes no network that diffusers can build ({text}).") from None
    return net.eval().requires_grad_(False)


def fill(net: nn.Module, weights: Path) -> None:
    """Load a file of weights into a network of `build`, in float32; raises `BadInput`."""
    load_into(net, _renamed(read_tensors(weights)), weights)
    if any(buffer.is_meta for buffer in net.buffers()):
        raise BadInput(f"{weights}: this network has layers with constants that zsir cannot restore.")


def _classes(config: dict[str, Any], path: Path) -> int:
    """Number of classes that the network knows, 0 for an unconditional one."""
    if config.get("class_embed_type") is not None:
        raise BadInput(f"{path}: class_embed_type {config['class_embed_type']!r} is not known to zsir.")
    return int(config.get("num_class_embeds") or 0)


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under today's names, in float32."""
    renamed = {}
    for name, tensor in tensors.items():
        if ".attentions." in name:
            for old, new in RENAMED.items():
                name = name.replace(old, new)
        if name == "time_proj.W":  # the same numbers as time_proj.weight, which early releases stored twice
            if "time_proj.weight" in tensors:
                continue
            name = "time_proj.weight"
        renamed[name] = tensor.float()
    return renamed
