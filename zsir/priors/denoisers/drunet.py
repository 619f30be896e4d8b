"""DRUNet: the strong denoiser of DPIR, a U-Net of residual blocks without biases, told the level by a constant channel.

Three reductions by strided 2 x 2 convolutions, 64 to 512 channels, four residual blocks per level and side, skips that
are added; 32,640,960 numbers in colour, 32,638,656 in grey. Without biases D(a x, a s) = a D(x, s).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from zsir.names.registry import Option
from zsir.priors.checkpoints.families import DRUNET, recognised
from zsir.priors.checkpoints.tensors import fingerprint, load_into, read_tensors, understood
from zsir.priors.checkpoints.votes import Vote, counted, voted
from zsir.priors.denoisers.inputs import replicated, with_level
from zsir.priors.network import NetworkPrior
from zsir.priors.parametrisations import unit_estimate

#: noise levels it was trained for, on the [0, 1] scale
SIGMA_RANGE = (0.0, 50 / 255)

WIDTHS = (64, 128, 256, 512)


class Residual(nn.Module):
    """``x + conv(relu(conv(x)))`` without biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.res = nn.Sequential(first, nn.ReLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, width, h, w)."""
        out: Tensor = x + self.res(x)
        return out


class DRUNet(nn.Module):
    """``net(x, sigma)``: x (batch, channels, height, width) in [0, 1], any size; sigma (batch,) on the same scale."""

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = WIDTHS, blocks: int = 4) -> None:
        super().__init__()
        self.levels = len(widths) - 1
        self.m_head = nn.Conv2d(channels + 1, widths[0], 3, padding=1, bias=False)
        for number, (fine, coarse) in enumerate(pairwise(widths), 1):
            down = nn.Conv2d(fine, coarse, 2, stride=2, bias=False)
            up = nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=False)
            self.add_module(f"m_down{number}", nn.Sequential(*(Residual(fine) for _ in range(blocks)), down))
            self.add_module(f"m_up{number}", nn.Sequential(up, *(Residual(fine) for _ in range(blocks))))
        self.m_body = nn.Sequential(*(Residual(widths[-1]) for _ in range(blocks)))
        self.m_tail = nn.Conv2d(widths[0], channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean estimate, in the shape of x."""
        height, width = x.shape[-2:]
        skips = [self.m_head(with_level(replicated(x, 1 << self.levels), sigma))]
        for number in range(1, self.levels + 1):
            skips.append(self.get_submodule(f"m_down{number}")(skips[-1]))
        h = self.m_body(skips[-1])
        for number in range(self.levels, 0, -1):
            h = self.get_submodule(f"m_up{number}")(h + skips.pop())
        out: Tensor = self.m_tail(h + skips.pop())[..., :height, :width]
        return out


def drunet(path: Annotated[str, Option("published weights, drunet_color.pth or drunet_gray.pth")]) -> NetworkPrior:
    """DRUNet, a large network for noise levels up to 50/255; colour or grey as the weights say.

    D(x, s) = net(x, s), s as one channel more. It does not come with zsir: download the published file.
    Source: Zhang et al. 2022 [dpir]
    """
    tensors = read_tensors(path)
    with understood(path):
        channels, widths, blocks = _sizes(tensors, path)
        with torch.device("meta"):
            net = DRUNet(channels, widths, blocks)
        load_into(net, tensors, path)
    net.eval().requires_grad_(False)
    name = Path(path).stem
    return NetworkPrior(net, unit_estimate, name, channels, SIGMA_RANGE, fingerprint=fingerprint(path))


def _sizes(tensors: Mapping[str, Tensor], path: str) -> tuple[int, tuple[int, ...], int]:
    """Channels of pictures, widths of the levels and blocks per level, told by the shapes of the weights."""
    recognised(tensors, path, (DRUNET,), "; the published file is drunet_color.pth")
    channels = voted(tensors, path, Vote("m_head.weight", 1, more=1), Vote("m_tail.weight"), usual=(1, 3))
    levels = 0
    while any(name.startswith(f"m_down{levels + 1}.") for name in tensors):
        levels += 1
    widths = [
        voted(
            tensors, path, *(Vote(f"m_{way}{level}.*.res.*.weight", axis) for way in ("down", "up") for axis in (0, 1))
        )
        for level in range(1, levels + 1)
    ]
    widths.append(voted(tensors, path, Vote("m_body.*.res.*.weight"), Vote("m_body.*.res.*.weight", 1)))
    return channels, tuple(widths), counted(tensors, "m_body.")
