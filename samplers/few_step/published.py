"""Published settings of the samplers, as data, in the units and names of their sources.

CM4IR: from the evaluation script of the authors' repository (tirer-lab/CM4IR, revision e5fe0a0). The ``deltas`` are
commented out there; its author says that they belong to the paper's results (issue 3 of that repository). Units there
are pictures in [-1, 1]; `zsir.samplers.few_step.cm4ir.published` converts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CM4IRPreset:
    """One row of the script: noise on [0, 1], index into the DDPM table, growth, ridge factor, inflations, type."""

    noise_std: float
    start: int
    gamma: float
    zeta: float = 0.0
    deltas: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    delta_type: int = 0


CM4IR_PRESETS: dict[str, CM4IRPreset] = {
    "bedroom-sr4x-0.025": CM4IRPreset(0.025, 400, 0.7, 0, (0, 0.5, 0.1, 0)),
    "bedroom-sr4x-0.05": CM4IRPreset(0.05, 250, 0.2, 0, (0, 0.3, 0.05, 0.1)),
    "bedroom-blur-0.025": CM4IRPreset(0.025, 75, 0.01, 3, (0.1, 0, 0, 0.05)),
    "bedroom-blur-0.05": CM4IRPreset(0.05, 150, 0.05, 1, (0.1, 0, 0, 0.05)),
    "bedroom-inpaint-0": CM4IRPreset(0.0, 150, 0.2, 0, (0.2, 0.1, 1.0, 1.0), 1),
    "bedroom-inpaint-0.025": CM4IRPreset(0.025, 150, 0.2, 0, (0.1, 0.1, 0.8, 0.8), 1),
    "bedroom-inpaint-0.05": CM4IRPreset(0.05, 150, 0.2, 0, (0.2, 0.3, 0.8, 0.8), 1),
    "bedroom-text-0.025": CM4IRPreset(0.025, 150, 0.2, 0, (0.2, 0.3, 0.8, 0.8), 1),
    "cat-sr4x-0.025": CM4IRPreset(0.025, 400, 0.7, 0, (0, 0.3, 0, 0)),
    "cat-sr4x-0.05": CM4IRPreset(0.05, 250, 0.2, 0, (0.1, 0.1, 0, 0)),
    "cat-blur-0.025": CM4IRPreset(0.025, 125, 0.05, 4),
    "cat-blur-0.05": CM4IRPreset(0.05, 250, 0.2, 1),
    "cat-inpaint-0.025": CM4IRPreset(0.025, 150, 0.2, 0, (0, 0, 1.0, 1.0), 1),
    "cat-inpaint-0.05": CM4IRPreset(0.05, 150, 0.2, 0, (0, 0, 1.0, 1.0), 1),
    "imagenet64-sr2x-0.01": CM4IRPreset(0.01, 50, 0.01),
    "imagenet64-sr2x-0.025": CM4IRPreset(0.025, 75, 0.02),
    "imagenet64-sr2x-0.05": CM4IRPreset(0.05, 100, 0.03),
}
