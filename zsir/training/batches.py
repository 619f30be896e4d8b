"""Training examples. Example i of step k depends on (seed, k, i) and the pictures, and on nothing else.

Therefore a run goes on after an interruption as if nothing had happened, and processes share a batch without messages.
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
    """Training examples of one step.

    - ``x0``: clean crops (batch, channels, patch, patch) in [0, 1]
    - ``noise``: their noise, of the same shape and of standard deviation 1
    - ``sigma``: noise levels (batch,) in the units of the crops
    """

    x0: Tensor
    noise: Tensor
    sigma: Tensor

    def to(self, device: torch.device) -> Batch:
        """This batch on ``device``, with the pictures in channels-last layout."""
        x0, noise = (t.to(device, non_blocking=True, memory_format=torch.channels_last) for t in (self.x0, self.noise))
        return Batch(x0, noise, self.sigma.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """This batch in page-locked memory, so that copies to a GPU overlap with its work."""
        return Batch(self.x0.pin_memory(), self.noise.pin_memory(), self.sigma.pin_memory())


class Batches(Dataset[Batch]):
    """``batches[k]``: the examples of process ``rank`` of ``world`` in step k."""

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
            # grey observations have grey noise; a grey picture in three channels may also have three noises
            if rng.random() < (0.5 if r.grey and item.shape[2] < r.channels else r.grey):
                pixels, white = pixels.mean(0, keepdim=True).expand_as(pixels), white[:1].expand_as(white)
            x0.append(pixels)
            noise.append(white)
            # one level per stratum: a batch always covers the whole range
            sigma.append(level((i + rng.random()) / r.batch, r))
        return Batch(torch.stack(x0), torch.stack(noise), torch.tensor(sigma, dtype=torch.float32))

    def _crop(self, picture: Array, rng: np.random.Generator) -> NDArray[np.generic]:
        r = self.recipe
        # without shapes no random number is drawn for them, so that older runs still see the same crops
        return drawn(picture, r.patch, rng) if r.shapes and rng.random() < r.shapes else crop(picture, r, rng)


def level(u: float, r: Recipe) -> float:
    """The noise level for a uniform number ``u`` in [0, 1). Numbers below ``focus`` give levels in the focus."""
    if u < r.focus:
        return float(r.focus_low * (r.focus_high / r.focus_low) ** (u / r.focus))
    return float(r.sigma_min * (r.sigma_max / r.sigma_min) ** ((u - r.focus) / (1 - r.focus)))


def crop(picture: Array, r: Recipe, rng: np.random.Generator) -> NDArray[np.generic]:
    """A random square (patch, patch, channels), mirrored and turned as the recipe says. With probability ``texture``
    it is the richer of two random squares."""

    def candidate() -> Array:
        top, left = (int(rng.integers(0, n - r.patch + 1)) for n in picture.shape[:2])
        return picture[top : top + r.patch, left : left + r.patch]

    a, b = candidate(), candidate()
    chosen = max(a, b, key=lambda p: float(p.std(axis=(0, 1)).sum())) if rng.random() < r.texture else a
    if r.turns:
        chosen = np.rot90(chosen, int(rng.integers(4)))
    return chosen[:, ::-1] if r.mirror and rng.random() < 0.5 else chosen
