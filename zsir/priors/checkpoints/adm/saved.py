"""Converted ADM networks on disk: a folder in diffusers' layout, or one safetensors file.

Either way the safetensors file carries, under the metadata key ``zsir``, what was recognised and settled, so that
`zsir.priors.checkpoints.adm.load` reads it back without a config.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zsir.errors import BadInput, Incompatible, OutputError
from zsir.files import make_folder, reason
from zsir.priors.checkpoints.adm.config import ADMSettings
from zsir.priors.checkpoints.adm.shape import ADMShape
from zsir.priors.checkpoints.adm.to_diffusers import limits
from zsir.priors.checkpoints.tensors import metadata
from zsir.priors.parametrisations import CONSISTENCY_SIGMA_DATA, CONSISTENCY_SIGMA_MIN

#: largest level of consistency models, pictures in [-1, 1]
SIGMA_MAX = 80.0

WEIGHTS = "diffusion_pytorch_model.safetensors"
PARTS = {WEIGHTS, "config.json", "scheduler_config.json"}


def scheduler_config(shape: ADMShape, settings: ADMSettings) -> dict[str, Any]:
    """The diffusers scheduler that goes with a network, by name and options."""
    if settings.kind == "consistency":
        return {
            "_class_name": "CMStochasticIterativeScheduler",
            "num_train_timesteps": 40,
            "sigma_min": CONSISTENCY_SIGMA_MIN,
            "sigma_max": SIGMA_MAX,
            "sigma_data": CONSISTENCY_SIGMA_DATA,
            "s_noise": 1.0,
            "rho": 7.0,
            "clip_denoised": True,
        }
    schedule, steps, first, last = settings.betas
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": steps,
        "beta_schedule": schedule,
        "beta_start": first,
        "beta_end": last,
        "variance_type": "learned_range" if shape.learned_variance else "fixed_large",
        "prediction_type": "sample" if settings.predict_xstart else "epsilon",
        "clip_sample": True,
    }


def save_folder(out: Path, net: nn.Module, shape: ADMShape, settings: ADMSettings, overwrite: bool = False) -> None:
    """Write a `UNet2DModel` as config.json, weights and scheduler_config.json into the folder ``out``, all or nothing.

    Raises `Incompatible` for a network that diffusers' configuration cannot describe and `OutputError` where the
    folder cannot be written, or exists (with ``overwrite``: exists and holds other files).
    """
    why = limits(shape, settings)
    if why:
        raise Incompatible(f"diffusers cannot describe this network: {why}; write a file ending in .safetensors.")
    if out.exists():
        if not overwrite:
            raise OutputError(f"{out} exists: add --overwrite to replace it.")
        if not out.is_dir() or {file.name for file in out.iterdir()} - PARTS:
            raise OutputError(f"{out} is no folder of converted weights; it stays as it is. Choose another name.")
    make_folder(out.parent)
    described: Any = net
    fresh, old = (out.with_name(f".zsir-{os.getpid()}-{secrets.token_hex(4)}.part") for _ in range(2))
    try:
        fresh.mkdir()
        (fresh / "config.json").write_text(described.to_json_string(), encoding="utf-8")
        scheduler = json.dumps(scheduler_config(shape, settings), indent=2)
        (fresh / "scheduler_config.json").write_text(scheduler + "\n", encoding="utf-8")
        _write(net.state_dict(), fresh / WEIGHTS, _notes(shape, settings))
        if out.exists():
            out.replace(old)
        fresh.replace(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {reason(error)}.") from None
    finally:
        if old.exists() and not out.exists():
            old.replace(out)
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)


def save_file(out: Path, tensors: dict[str, Tensor], notes: dict[str, str], overwrite: bool = False) -> None:
    """Write tensors as one safetensors file, all or nothing; raises `OutputError`."""
    if out.exists() and not (overwrite and out.is_file()):
        raise OutputError(f"{out} exists: add --overwrite to replace it." if out.is_file() else f"{out} is no file.")
    make_folder(out.parent)
    fresh = out.with_name(f".zsir-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        _write(tensors, fresh, notes)
        fresh.replace(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {reason(error)}.") from None
    finally:
        fresh.unlink(missing_ok=True)


def save_network(out: Path, net: nn.Module, shape: ADMShape, settings: ADMSettings, overwrite: bool = False) -> None:
    """Write a `UNet2DModel` as one safetensors file that the prior ``adm`` reads; raises `OutputError`."""
    save_file(out, net.state_dict(), _notes(shape, settings), overwrite)


def weights_file(path: Path) -> Path:
    """The file with the weights in a folder of `save_folder`; a file itself."""
    return path / WEIGHTS if (path / WEIGHTS).is_file() else path


def read_notes(path: Path) -> tuple[ADMShape, ADMSettings] | None:
    """What a converted file says of its network, or None for a file that zsir did not convert; raises `BadInput`."""
    text = metadata(path).get("zsir", "")
    if not text:
        return None
    try:
        notes = json.loads(text)
        lists = {name: tuple(notes["shape"][name]) for name in ("widths", "attention")}
        return ADMShape(**{**notes["shape"], **lists}), ADMSettings(**notes["settings"])
    except (ValueError, TypeError, KeyError):
        raise BadInput(f"{path}: its notes are not those of 'zsir convert'; convert the checkpoint again.") from None


def _notes(shape: ADMShape, settings: ADMSettings) -> dict[str, str]:
    return {"zsir": json.dumps({"shape": dataclasses.asdict(shape), "settings": dataclasses.asdict(settings)})}


def _write(tensors: dict[str, Tensor], path: Path, notes: dict[str, str]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file as write

    try:
        # copies, because safetensors refuses tensors that share their memory
        write({name: t.detach().clone().contiguous() for name, t in tensors.items()}, path, {"format": "pt", **notes})
    except SafetensorError as error:
        raise OSError(str(error)) from None
