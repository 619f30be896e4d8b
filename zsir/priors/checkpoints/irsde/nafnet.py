"""The NAFNet of Refusion (IR-SDE), with the tensor names of the released checkpoints.

``net(x, mu, t)`` as in `irsde_nets`: blocks of gated convolutions without activations, time as scale and shift.
Source: Luo et al. 2023 [refusion] and the code released with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsir.priors.checkpoints.irsde.networks import ChannelNorm, TimeWaves
from zsir.priors.checkpoints.votes import Vote, counted, voted


class Gate(nn.Module):
    """The product of the two halves of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, 2 c, ...) -> (batch, c, ...)."""
        one, other = x.chunk(2, dim=1)
        return one * other


class NAFBlock(nn.Module):
    """Gated convolutions with channel attention, then a gated pointwise network, each beside a shortcut."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(Gate(), nn.Linear(time // 2, 4 * width))
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.sg = Gate()
        self.conv4, self.conv5 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """x (batch, width, h, w), e (batch, time)."""
        shift1, scale1, shift2, scale2 = self.mlp(e)[:, :, None, None].chunk(4, dim=1)
        h = self.sg(self.conv2(self.conv1(self.norm1(x) * (scale1 + 1) + shift1)))
        x = x + self.conv3(h * self.sca(h)) * self.beta
        h = self.sg(self.conv4(self.norm2(x) * (scale2 + 1) + shift2))
        out: Tensor = x + self.conv5(h) * self.gamma
        return out


class ConditionalNAFNet(nn.Module):
    """``net(x, mu, t)``: ``down`` and ``up`` blocks per level, ``middle`` blocks below; any height and width."""

    def __init__(
        self,
        channels: int = 3,
        width: int = 64,
        middle: int = 1,
        down: Sequence[int] = (1, 1, 1, 28),
        up: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        time, levels = 4 * width, len(down)
        self.levels = levels
        self.time_mlp = nn.Sequential(TimeWaves(width), nn.Linear(width, 2 * time), Gate(), nn.Linear(time, time))
        self.intro = nn.Conv2d(2 * channels, width, 3, padding=1)
        self.ending = nn.Conv2d(width, channels, 3, padding=1)
        widths = [width << level for level in range(levels + 1)]
        self.encoders = nn.ModuleList(_blocks(n, w, time) for n, w in zip(down, widths, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.middle_blks = _blocks(middle, widths[-1], time)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, 2 * w, 1, bias=False), nn.PixelShuffle(2)) for w in reversed(widths[1:])
        )
        self.decoders = nn.ModuleList(_blocks(n, w, time) for n, w in zip(up, reversed(widths[:-1]), strict=True))

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """Noise in x (batch, channels, h, w) in [0, 1] units, given mu of the same shape and times t (batch,)."""
        height, width = x.shape[-2:]
        multiple = 1 << self.levels
        h, e = torch.cat([x - mu, mu], dim=1), self.time_mlp(t)
        # zeros as in the released code, where the U-Net reflects
        h = self.intro(F.pad(h, (0, -width % multiple, 0, -height % multiple)))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            h = _run(encoder, h, e)
            skips.append(h)
            h = down(h)
        h = _run(self.middle_blks, h, e)
        for decoder, up in zip(self.decoders, self.ups, strict=True):
            h = _run(decoder, up(h) + skips.pop(), e)
        out: Tensor = self.ending(h)
        return out[..., :height, :width]


def _blocks(count: int, width: int, time: int) -> nn.ModuleList:
    return nn.ModuleList(NAFBlock(width, time) for _ in range(count))


def _run(blocks: nn.Module, h: Tensor, e: Tensor) -> Tensor:
    for block in blocks.children():
        h = block(h, e)
    return h


def nafnet_for(tensors: Mapping[str, Tensor], channels: int, path: str | Path) -> ConditionalNAFNet:
    """An empty `ConditionalNAFNet` on the meta device with the sizes of a checkpoint; raises `BadInput`."""
    ends = Vote("intro.weight"), Vote("intro.bias", 0, 1), Vote("ending.weight", 1)
    width = voted(tensors, path, *ends, Vote("time_mlp.1.weight", 1, 2), Vote("time_mlp.3.bias", 0, 1, 4))
    levels = range(counted(tensors, "downs."))
    down, up = ([counted(tensors, f"{group}.{level}.") for level in levels] for group in ("encoders", "decoders"))
    with torch.device("meta"):
        return ConditionalNAFNet(channels, width, counted(tensors, "middle_blks."), down, up)
