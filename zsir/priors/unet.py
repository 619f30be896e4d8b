"""The network of the embedded prior: a small noise-conditional U-Net without normalisation layers.

It works at half resolution behind a pixel-unshuffle, takes any height and width (reflected up to a multiple of
8, cropped afterwards), and has no layer that averages over the picture, so that what it does to a region does
not depend on how large the picture is. The noise level enters every block as a per-channel scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a `UNet`: image channels, width of each level, residual blocks per level and side."""

    channels: int = 3
    widths: tuple[int, ...] = (64, 96, 128)
    blocks: int = 2
    embedding: int = 128

    @property
    def multiple(self) -> int:
        """Height and width are padded to this multiple: 2 of the unshuffle times 2 per coarser level."""
        return 1 << len(self.widths)


class Block(nn.Module):
    """Residual block ``x + conv(act(gain(e) * conv(act(x))))``."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.gain = nn.Linear(embedding, width)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """x (batch, width, h, w), e (batch, embedding)."""
        h = self.conv1(F.relu(x))
        h = h * (1 + self.gain(e))[:, :, None, None]
        out: Tensor = x + self.conv2(F.relu(h))
        return out


class UNet(nn.Module):
    """``net(x, c)``: x (batch, channels, height, width), c (batch,) the noise condition ``ln(sigma) / 4``."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        w, e = config.widths, config.embedding
        self.embed = nn.Sequential(nn.Linear(32, e), nn.SiLU(), nn.Linear(e, e), nn.SiLU())
        self.register_buffer("freqs", 2.0 ** torch.linspace(-2, 4, 16), persistent=False)
        self.head = nn.Conv2d(4 * config.channels, w[0], 3, padding=1)
        self.down = nn.ModuleList(self._level(width) for width in w[:-1])
        self.reduce = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(w))
        self.middle = self._level(w[-1])
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(w))
        self.up = nn.ModuleList(self._level(width) for width in w[:-1])
        self.tail = nn.Conv2d(w[0], 4 * config.channels, 3, padding=1)

    def initialise(self, generator: torch.Generator) -> UNet:
        """Random weights from ``generator``, PyTorch's usual ones, but for the last layer of each block and of the
        network, which begin at zero; returns the network."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
                if module.bias is not None:
                    bound = 1 / math.sqrt(nn.init._calculate_fan_in_and_fan_out(module.weight)[0])
                    nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        blocks = [module for module in self.modules() if isinstance(module, Block)]
        for block in blocks:
            nn.init.zeros_(block.conv2.weight)
            nn.init.zeros_(block.gain.weight)
        nn.init.zeros_(self.tail.weight)
        return self

    def _level(self, width: int) -> nn.ModuleList:
        return nn.ModuleList(Block(width, self.config.embedding) for _ in range(self.config.blocks))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """The raw output F, in the shape of x."""
        height, width = x.shape[-2:]
        angles = c[:, None] * self.get_buffer("freqs")  # (batch, 16)
        e = self.embed(torch.cat([angles.cos(), angles.sin()], dim=1))
        h = self.head(F.pixel_unshuffle(pad_to_multiple(x, self.config.multiple), 2))
        skips = []
        for level, reduce in zip(self.down, self.reduce, strict=True):
            h = _run(level, h, e)
            skips.append(h)
            h = reduce(h)
        h = _run(self.middle, h, e)
        for level, enlarge, skip in zip(reversed(self.up), reversed(self.enlarge), reversed(skips), strict=True):
            h = _run(level, enlarge(h) + skip, e)
        return F.pixel_shuffle(self.tail(h), 2)[..., :height, :width]


def _run(level: nn.Module, h: Tensor, e: Tensor) -> Tensor:
    for block in level.children():
        h = block(h, e)
    return h


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend x at its lower and right edge to a multiple, mirrored where large enough, else repeated."""
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if not (bottom or right):
        return x
    mirrored = bottom < x.shape[-2] and right < x.shape[-1]
    return F.pad(x, (0, right, 0, bottom), mode="reflect" if mirrored else "replicate")
