"""Randomness: one generator per picture, so that a picture depends on its seed and number and on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from zsir.errors import BadSpec


class PictureNoise:
    """Standard normal numbers for a batch whose pictures have the given numbers.

    Numbers are drawn on the CPU in float32, picture by picture, whatever the batch size, the number of processes,
    and the dtype or device they are used in: the same seed is the same picture. ``stream`` separates uses
    that must not share numbers (the noise of an observation and the noise of a sampler).

    >>> import torch
    >>> x = torch.zeros(2, 1, 2, 2)
    >>> pair = PictureNoise(0, [0, 1]).randn_like(x)
    >>> torch.equal(pair[1:], PictureNoise(0, [1]).randn_like(x[1:]))
    True
    """

    def __init__(self, seed: int, indices: Sequence[int], stream: str = "sampler") -> None:
        self._generators = [generator(seed, index, stream) for index in indices]

    def randn_like(self, x: Tensor) -> Tensor:
        """Fresh numbers in shape, dtype and on the device of x (batch, ...), one picture per generator."""
        draws = torch.empty(x.shape, dtype=torch.float32, pin_memory=x.is_cuda)
        for image, source in zip(draws, self._generators, strict=True):
            image.normal_(generator=source)
        return draws.to(x.device, non_blocking=True).to(x.dtype)


def generator(seed: int, index: int = 0, stream: str = "sampler") -> torch.Generator:
    """A CPU generator for picture ``index`` under ``seed``; unrelated for any other (seed, index, stream)."""
    digest = hashlib.sha256(f"zsir {stream} {seed} {index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def check_seed(seed: int, name: str) -> None:
    """Raise `BadSpec`, with the seed called ``name``, unless torch's generators take it."""
    if not 0 <= seed < 2**64:
        raise BadSpec(f"{name}={seed} must not be negative or 2^64 and more; take another whole number.")
