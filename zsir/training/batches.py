"""Training examples: example i of step k is a function of (seed, k, i) and the pictures, and of nothing else.

So a run goes on after an interruption as if nothing had happened, and processes share a batch without talking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from zsir.training.dataset import Array, Pictures, as_floats
from zsir.training.recipe import Recipe
from zsir.training.shapes import drawn


@dataclass(frozen=True)
class Batch:
    """Clean crops and their noise (batch, channels, patch, patch), the noise of standard deviation 1, and noise levels
    (batch,); crops in [0, 1], levels in the same units."""

    x0: Tensor
    noise: Tensor
    sigma: Tensor

    def to(self, device: torch.device) -> Batch:
        """On ``device``, the pictures channels last."""
        x0, noise = (t.to(device, non_blocking=True, memory_format=torch.channels_last) for t in (self.x0, self.noise))
        return Batch(x0, noise, self.sigma.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """In page-locked memory, from which copies to a GPU overlap with its work."""
        return Batch(self.x0.pin_memory(), self.noise.pin_memory(), self.sigma.pin_memory())


class Batches(Dataset[Batch]):
    """``batches[k]``: what process ``rank`` of ``world`` learns from in step k."""

    def __init__(self, pictures: Pictures, r: Recipe, rank: int = 0, world: int = 1) -> None:
        self.pictures, self.recipe, self.rank, self.world = pictures, r, rank, world
        self._training, self._weights = pictures.training, pictures.weights

    def __getitem__(self, step: int) -> Batch:
        r = self.recipe
        x0, noise, sigma = [], [], []
        for i in range(self.rank, r.batch, self.world):
            rng = np.random.default_rng([r.seed, step, i])
            item = self._training[int(rng.choice(len(self._training), p=self._weights))]
            pixels = as_floats(self._crop(self.pictures.array(item), rng)).expand(r.channels, -1, -1)
            white = torch.from_numpy(rng.standard_normal((r.channels, r.patch, r.patch), dtype=np.float32))
            # a grey observation has grey noise; but grey may also be seen in three channels, with three noises
            if rng.random() < (0.5 if r.grey and item.shape[2] < r.channels else r.grey):
                pixels, white = pixels.mean(0, keepdim=True).expand_as(pixels), white[:1].expand_as(white)
            x0.append(pixels)
            noise.append(white)
            # one level per stratum: a batch always covers the whole range
            sigma.append(level((i + rng.random()) / r.batch, r))
        return Batch(torch.stack(x0), torch.stack(noise), torch.tensor(sigma, dtype=torch.float32))

    def _crop(self, picture: Array, rng: np.random.Generator) -> NDArray[np.generic]:
        r = self.recipe
        # without drawings no number is drawn for them, so that runs from before they were offered see what they saw
        return drawn(picture, r.patch, rng) if r.shapes and rng.random() < r.shapes else crop(picture, r, rng)


def level(u: float, r: Recipe) -> float:
    """The noise level of a uniform number ``u`` in [0, 1): the first ``focus`` of them lie in the focus."""
    if u < r.focus:
        return float(r.focus_low * (r.focus_high / r.focus_low) ** (u / r.focus))
    return float(r.sigma_min * (r.sigma_max / r.sigma_min) ** ((u - r.focus) / (1 - r.focus)))


def crop(picture: Array, r: Recipe, rng: np.random.Generator) -> NDArray[np.generic]:
    """A random square (patch, patch, channels), mirrored left to right, and turned where the recipe says so; of two
    candidates mostly the one with more texture."""

    def candidate() -> Array:
        top, left = (int(rng.integers(0, n - r.patch + 1)) for n in picture.shape[:2])
        return picture[top : top + r.patch, left : left + r.patch]

    a, b = candidate(), candidate()
    chosen = max(a, b, key=lambda p: float(p.std(axis=(0, 1)).sum())) if rng.random() < r.texture else a
    if r.turns:
        chosen = np.rot90(chosen, int(rng.integers(4)))
    return chosen[:, ::-1] if r.mirror and rng.random() < 0.5 else chosen
