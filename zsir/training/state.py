"""What training is given, and what a checkpoint of it holds."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from zsir.errors import BadInput
from zsir.files import write_bytes
from zsir.priors.unet import UNet
from zsir.training.dataset import Pictures
from zsir.training.objectives import Objective
from zsir.training.recipe import Recipe

#: how often in a run PSNR is measured and the preview written, besides early on
MEASUREMENTS = 20
#: steps after which a first preview is written: something to look at within a minute
EARLY = (20, 100)


@dataclass(frozen=True)
class TrainingTask:
    """All that training needs to know: the run's folder, recipe, objective, pictures, and the network to begin with.

    ``settings`` describes objective and pictures in words; a run is resumed with equal ones only.
    """

    folder: Path
    recipe: Recipe
    objective: Objective
    pictures: Pictures
    net: UNet = field(repr=False)
    settings: dict[str, str] = field(default_factory=dict)

    def measured_at(self, step: int) -> bool:
        """Whether PSNR is measured and the preview written after ``step`` steps: 20 times a run, and early."""
        r = self.recipe
        between = max(1, r.steps // (MEASUREMENTS * r.every)) * r.every
        return step in EARLY or step % between == 0 or step == r.steps


@dataclass
class State:
    """What a checkpoint holds. ``rows`` of the learning curve are step, loss and PSNR (dB) at the measured levels."""

    net: UNet
    averaged: UNet
    optimiser: torch.optim.Optimizer
    loss: Tensor
    step: int = 0
    seconds: float = 0.0
    rows: list[list[float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all; raises `OutputError`."""
        buffer = io.BytesIO()
        modules = {name: getattr(self, name).state_dict() for name in MODULES}
        torch.save({**modules, **{name: getattr(self, name) for name in NUMBERS}}, buffer)
        write_bytes(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; raises `BadInput` where it is damaged or of another network."""
        try:
            with path.open("rb") as file:
                if file.read(4) != b"PK\x03\x04":  # torch before 2.6 runs code from tar files, weights_only or not
                    raise ValueError("torch.save did not write it")
            stored = torch.load(path, map_location=self.loss.device, weights_only=True)
            for name in MODULES:
                getattr(self, name).load_state_dict(stored[name])
            for name in NUMBERS:
                setattr(self, name, stored[name])
        except Exception as error:  # a damaged file makes the unpickler fail in any way
            what = str(error).split("\n")[0]
            raise BadInput(f"{path} cannot be read ({what}); remove it to begin again.") from None

    def average(self, ema: float) -> None:
        """Move the averaged weights towards the present ones; at the start of a run they follow faster."""
        keep = min(ema, self.step / (self.step + 9))
        for a, p in zip(self.averaged.parameters(), self.net.parameters(), strict=True):
            a.data.lerp_(p.data, 1 - keep)


MODULES, NUMBERS = ("net", "averaged", "optimiser"), ("loss", "step", "seconds", "rows")
