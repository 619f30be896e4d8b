"""The results of a run: a prior in one file, and its model card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save as to_bytes
from torch import nn

import zsir
from zsir.files import write_bytes
from zsir.priors.checkpoints.tensors import fingerprint
from zsir.priors.embedded import NOTES
from zsir.priors.network import NetworkPrior
from zsir.priors.unet import UNet
from zsir.training.objectives import Objective
from zsir.training.recipe import Recipe, as_json

if TYPE_CHECKING:
    from zsir.training.state import State, TrainingTask

HEADER = ("step", "loss", "psnr_15", "psnr_25", "psnr_50")


def prior_of(net: nn.Module, objective: Objective, r: Recipe) -> NetworkPrior:
    """The network as a prior, while it is still being trained."""
    levels = (r.sigma_min, r.sigma_max)
    return NetworkPrior(
        net, objective.parametrise, "training", r.channels, levels, kind=objective.kind, knows_grey=r.grey > 0
    )


def curve(rows: Sequence[Sequence[float]]) -> str:
    """The learning curve as a table with tabs; PSNR in dB at noise 15, 25 and 50 of 255."""
    lines = ["\t".join(HEADER)]
    lines += ["\t".join([f"{row[0]:.0f}", f"{row[1]:.5f}", *(f"{value:.2f}" for value in row[2:])]) for row in rows]
    return "\n".join(lines) + "\n"


def write_prior(path: Path, net: UNet, objective: Objective, r: Recipe, step: int) -> str:
    """Write the network in half precision for `zsir.priors.embedded.trained`; returns the SHA-256 of the file."""
    tensors = {name: tensor.half().cpu().contiguous() for name, tensor in net.state_dict().items()}
    about = {
        "config": dataclasses.asdict(net.config),
        "kind": objective.kind,
        "sigma_range": [r.sigma_min, r.sigma_max],
        "grey": r.grey > 0,
        "step": step,
    }
    # one entry: the order of several would change from file to file, and the hash with it
    write_bytes(path, to_bytes(tensors, {NOTES: json.dumps(about)}))
    return fingerprint(path)


def write_card(path: Path, task: TrainingTask, state: State, title: str, digest: str) -> None:
    """Write the model card of a finished run."""
    r, net, pictures = task.recipe, state.averaged, task.pictures
    learned = {item.name: item for item in reversed(pictures.training)}
    template = (Path(__file__).parent / "card.md").read_text("utf-8")
    text = template.format(
        title=title,
        parameters=sum(p.numel() for p in net.parameters()),
        widths=", ".join(map(str, net.config.widths)),
        blocks=net.config.blocks,
        channels=r.channels,
        sigma_min=r.sigma_min,
        sigma_max=r.sigma_max,
        digest=digest,
        pictures=len(learned),
        megapixels=sum(item.pixels for item in learned.values()) / 1e6,
        packed=len(pictures.training),
        held_out=len({item.name for item in pictures.stored if item.held_out}),
        folders=task.settings["folders"],
        skipped="\n".join(["\nLeft out:\n", *(f"- {line}" for line in pictures.skipped)]) if pictures.skipped else "",
        steps=state.step,
        hours=state.seconds / 3600,
        where=where(net),
        version=zsir.__version__,
        recipe=as_json(r).strip(),
        curve=_table(state.rows),
    )
    write_bytes(path, text.encode("utf-8", "replace"))  # a folder's name need not be text


def where(net: nn.Module) -> str:
    """The processor that a network is on, in words."""
    if next(net.parameters()).is_cuda:
        return torch.cuda.get_device_name()
    return f"a CPU with {torch.get_num_threads()} threads"


def _table(rows: Sequence[Sequence[float]]) -> str:
    """The measured part of the learning curve, in Markdown."""
    measured = [row for row in rows if len(row) > 2]
    if not measured:
        return "No pictures were kept back to measure on."
    head = "| step | PSNR (dB) at noise 15/255 | 25/255 | 50/255 |\n|---|---|---|---|"
    return "\n".join(
        [head, *(f"| {row[0]:.0f} | " + " | ".join(f"{v:.2f}" for v in row[2:]) + " |" for row in measured)]
    )
