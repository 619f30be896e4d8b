"""Recipes: the settings of training, written as specs (``small:steps=30000``). Imports no torch."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from zsir.errors import BadSpec
from zsir.names.registry import Entry, Option, Registry

OPTIMISERS = ("adamw", "muon")


@dataclass(frozen=True)
class Recipe:
    """How a prior is trained: the network, the pictures' crops, noise levels and the optimiser.

    The step size rises over ``warmup`` steps, stays at ``lr`` and falls to zero over the last ``decay`` of all steps.
    Noise levels are drawn log-uniformly. A share ``focus`` of them lies between ``focus_low`` and ``focus_high``, where
    restoration happens; the rest covers the whole range. Weights are averaged over about 1/(1 - ema) steps.
    """

    widths: Annotated[tuple[float, ...], Option("channels of each level of the U-Net")] = (48, 96, 192)
    blocks: Annotated[int, Option("residual blocks per level and side")] = 2
    channels: Annotated[int, Option("of the pictures: 3, or 1 for grey pictures only")] = 3
    steps: Annotated[int, Option("optimiser steps")] = 24000
    batch: Annotated[int, Option("crops per step, over all processes")] = 16
    patch: Annotated[int, Option("side of a crop", "pixels")] = 64
    optimiser: Annotated[str, Option("muon: orthogonal steps of convolutions", choices=OPTIMISERS)] = "adamw"
    lr: Annotated[float, Option("step size of the optimiser")] = 1e-3
    warmup: Annotated[int, Option("steps until it is reached")] = 200
    decay: Annotated[float, Option("share of the steps, at the end, in which it falls to zero", "0..1")] = 0.3
    ema: Annotated[float, Option("memory of the averaged weights, per step", "0..1")] = 0.999
    sigma_min: Annotated[float, Option("smallest noise level", "[0, 1]")] = 0.002
    sigma_max: Annotated[float, Option("largest noise level", "[0, 1]")] = 1.25
    focus: Annotated[float, Option("share of levels that are drawn from the focus", "0..1")] = 0.75
    focus_low: Annotated[float, Option("lower end of the focus", "[0, 1]")] = 0.01
    focus_high: Annotated[float, Option("upper end of the focus", "[0, 1]")] = 0.3
    grey: Annotated[float, Option("share of colour crops that are made grey, noise too; 0: no grey noise", "0..1")] = (
        0.125
    )
    mirror: Annotated[bool, Option("every other crop mirrored left to right; not for documents")] = True
    turns: Annotated[bool, Option("quarter turns besides mirroring: for textures and microscopy")] = False
    texture: Annotated[float, Option("how often two crops are drawn and the richer is taken", "0..1")] = 0.75
    shapes: Annotated[float, Option("share of crops that are drawn: plain shapes in a picture's colours", "0..1")] = 0.0
    log: Annotated[bool, Option("zsir train: learn the logarithm of each crop's error, as PSNR counts")] = False
    every: Annotated[int, Option("steps between checkpoints")] = 250
    seed: Annotated[int, Option("of weights, crops and noise")] = 0

    def __post_init__(self) -> None:
        if any(w != int(w) for w in self.widths):
            raise BadSpec("recipe: widths are whole numbers of channels, as in widths=48+96+192.")
        object.__setattr__(self, "widths", tuple(int(w) for w in self.widths))
        if self.optimiser not in OPTIMISERS:
            raise BadSpec(f"recipe: optimiser={self.optimiser}; choose one of {', '.join(OPTIMISERS)}.")
        for name in ("blocks", "steps", "batch", "every"):
            if getattr(self, name) < 1:
                raise BadSpec(f"recipe: {name}={getattr(self, name)} must be at least 1.")
        for name in ("decay", "ema", "focus", "grey", "texture", "shapes"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadSpec(f"recipe: {name}={getattr(self, name):g} must lie in [0, 1].")
        if not self.widths or min(self.widths) < 1 or len(self.widths) > 6:
            raise BadSpec("recipe: widths must be one to six channel counts, as in widths=48+96+192.")
        if self.channels not in (1, 3):
            raise BadSpec(f"recipe: channels={self.channels}; write 3 for colour or 1 for grey.")
        if self.patch < 1 << len(self.widths):
            raise BadSpec(f"recipe: patch={self.patch} is too small for {len(self.widths)} levels; write patch=64.")
        if not self.lr > 0 or self.warmup < 0 or self.seed < 0:
            raise BadSpec("recipe: lr must be positive, warmup and seed not negative.")
        if not 0 < self.sigma_min <= self.focus_low < self.focus_high <= self.sigma_max:
            raise BadSpec("recipe: noise levels must satisfy 0 < sigma_min <= focus_low < focus_high <= sigma_max.")

    def learning_rate(self, step: int) -> float:
        """Step size at ``step`` = 0, 1, ..., steps - 1."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        left = (self.steps - step) / max(self.decay * self.steps, 1.0)
        return self.lr * rise * min(1.0, left)


def _shipped() -> dict[str, dict[str, str]]:
    loaded: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "recipes.json").read_text("utf-8"))
    return loaded


RECIPES = Registry(
    kind="recipe",
    group="zsir.recipes",
    builtin={"recipe": Entry("zsir.training.recipe:Recipe", "all options of a training run")},
    aliases={name: entry["spec"] for name, entry in _shipped().items()},
)


def about() -> dict[str, str]:
    """Name -> one line, of the recipes that come with the package."""
    return {name: entry["about"] for name, entry in _shipped().items()}


def recipe(spec: str) -> Recipe:
    """The recipe of a spec: ``small``, ``small:steps=30000``, or ``run/recipe.json``, a file with the fields above.

    Raises `BadSpec` or `UnknownName`.
    """
    if not spec.endswith(".json"):
        made: Recipe = RECIPES.parse(spec).build()
        return made
    try:
        fields = json.loads(Path(spec).read_text("utf-8"))
        items = {
            key: "+".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in fields.items()
        }
    except (OSError, ValueError, AttributeError) as error:
        raise BadSpec(f"--recipe {spec} is not a readable JSON file of recipe fields ({error}).") from None
    return recipe("recipe:" + ",".join(f"{key}={value}" for key, value in items.items()))


def as_json(r: Recipe) -> str:
    """All fields as JSON, which `recipe` can read."""
    return json.dumps(dataclasses.asdict(r), indent=1) + "\n"
