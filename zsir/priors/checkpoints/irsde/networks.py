"""The U-Net of IR-SDE, with the tensor names of the released checkpoints; the other network: `irsde_nafnet`.

``net(x, mu, t)`` predicts the noise in x; it sees x - mu and mu, and a (fractional) time index. Residual blocks without
normalisation, time as scale and shift, linear attention at every level.
Source: Luo et al. 2023 [irsde] and the code released with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsir.priors.checkpoints.votes import Vote, counted, voted
from zsir.priors.unet import pad_to_multiple

HEADS, HEAD_WIDTH = 4, 32


class TimeWaves(nn.Module):
    """[sin(t f_k), cos(t f_k)] with f_k falling from 1 to 1e-4 over half of ``width``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, t: Tensor) -> Tensor:
        """t (batch,) -> (batch, width)."""
        half = self.width // 2
        # in float32 whatever the dtype: these are the frequencies that the networks were trained with
        exponents = torch.arange(half, device=t.device, dtype=torch.float32) * -(math.log(10000.0) / (half - 1))
        angles = t[:, None] * exponents.exp().to(t)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class ChannelNorm(nn.Module):
    """Every pixel's channels to mean 0 and variance 1, times a gain; in the dtype of the gain, also under autocast."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, width, h, w)."""
        x = x.to(self.g.dtype)
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        # the wider floor is that of the released code in reduced precision; it must not depend on what autocast made
        # of x, because that would be another network
        floor = 1e-5 if self.g.dtype in (torch.float32, torch.float64) else 1e-3
        return (x - mean) * (variance + floor).rsqrt() * self.g


class Convolution(nn.Module):
    """A 3x3 convolution without bias, then scale and shift if there are any, then SiLU."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inside, outside, 3, padding=1, bias=False)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """x (batch, inside, h, w); scale and shift (batch, outside, 1, 1)."""
        h: Tensor = self.proj(x)
        if scale is not None and shift is not None:
            h = h * (scale + 1) + shift
        return F.silu(h)


class Residual(nn.Module):
    """Two convolutions, the first of which knows the time, beside a shortcut."""

    def __init__(self, inside: int, outside: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * outside))
        self.block1, self.block2 = Convolution(inside, outside), Convolution(outside, outside)
        self.res_conv = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1, bias=False)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """x (batch, inside, h, w), e (batch, time)."""
        scale, shift = self.mlp(e)[:, :, None, None].chunk(2, dim=1)
        out: Tensor = self.block2(self.block1(x, scale, shift)) + self.res_conv(x)
        return out


class LinearAttention(nn.Module):
    """Attention whose cost is linear in the number of pixels: out = (k^T v)^T q, k and q normalised by softmax.

    The sums over all pixels are done in the dtype of the weights, also under autocast.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = HEADS * HEAD_WIDTH
        self.to_qkv = nn.Conv2d(width, 3 * inner, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(inner, width, 1), ChannelNorm(width))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, width, h, w)."""
        height, width = x.shape[-2:]
        qkv: Tensor = self.to_qkv(x)
        with torch.autocast(x.device.type, enabled=False):
            # numbers divided by the count of pixels, twice, are below what float16 can hold
            q, k, v = qkv.to(self.to_qkv.weight.dtype).reshape(-1, 3, HEADS, HEAD_WIDTH, height * width).unbind(1)
            q = q.softmax(dim=-2) * HEAD_WIDTH**-0.5
            context = k.softmax(dim=-1) @ (v / (height * width)).transpose(-1, -2)
            mixed = context.transpose(-1, -2) @ q
        out: Tensor = self.to_out(mixed.reshape(-1, HEADS * HEAD_WIDTH, height, width))
        return out


class Normed(nn.Module):
    """Attention of the normalised features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.fn = ChannelNorm(width), LinearAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, width, h, w)."""
        out: Tensor = self.fn(self.norm(x))
        return out


class Added(nn.Module):
    """x + attention(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fn = Normed(width)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, width, h, w)."""
        out: Tensor = x + self.fn(x)
        return out


class ConditionalUNet(nn.Module):
    """``net(x, mu, t)``: widths nf, 2 nf, ... 2^depth nf; ``channels`` of a picture; any height and width."""

    def __init__(self, channels: int = 3, nf: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.depth, time = depth, 4 * nf
        self.init_conv = nn.Conv2d(2 * channels, nf, 7, padding=3, bias=False)
        self.time_mlp = nn.Sequential(TimeWaves(nf), nn.Linear(nf, time), nn.GELU(), nn.Linear(time, time))
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level in range(depth):
            fine, coarse = nf << level, nf << (level + 1)
            last = level == depth - 1
            reduce = _conv3(fine, coarse) if last else nn.Conv2d(fine, coarse, 4, stride=2, padding=1)
            enlarge = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(coarse, fine, 3, padding=1))
            down = [Residual(fine, fine, time), Residual(fine, fine, time), Added(fine), reduce]
            up = [Residual(coarse + fine, coarse, time), Residual(coarse + fine, coarse, time), Added(coarse)]
            self.downs.append(nn.ModuleList(down))
            self.ups.insert(0, nn.ModuleList([*up, enlarge if level else _conv3(coarse, fine)]))
        width = nf << depth
        self.mid_block1, self.mid_attn = Residual(width, width, time), Added(width)
        self.mid_block2 = Residual(width, width, time)
        self.final_res_block = Residual(2 * nf, nf, time)
        self.final_conv = nn.Conv2d(nf, channels, 3, padding=1)

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """Noise in x (batch, channels, h, w) in [0, 1] units, given mu of the same shape and times t (batch,)."""
        height, width = x.shape[-2:]
        h = self.init_conv(pad_to_multiple(torch.cat([x - mu, mu], dim=1), 1 << self.depth))
        first, e, skips = h, self.time_mlp(t), []
        for level in self.downs:
            block1, block2, attention, resize = level.children()
            h = block1(h, e)
            skips.append(h)
            h = attention(block2(h, e))
            skips.append(h)
            h = resize(h)
        h = self.mid_block2(self.mid_attn(self.mid_block1(h, e)), e)
        for level in self.ups:
            block1, block2, attention, resize = level.children()
            h = block1(torch.cat([h, skips.pop()], dim=1), e)
            h = resize(attention(block2(torch.cat([h, skips.pop()], dim=1), e)))
        h = self.final_res_block(torch.cat([h, first], dim=1), e)
        out: Tensor = self.final_conv(h)
        return out[..., :height, :width]


def _conv3(inside: int, outside: int) -> nn.Module:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=False)


def unet_for(tensors: Mapping[str, Tensor], channels: int, path: str | Path) -> ConditionalUNet:
    """An empty `ConditionalUNet` on the meta device with the sizes of a checkpoint; raises `BadInput`."""
    first = "downs.0.0.block*.proj.weight"
    votes = (Vote("init_conv.weight"), Vote("final_conv.weight", 1), Vote(first), Vote(first, 1))
    nf = voted(tensors, path, *votes, Vote("time_mlp.1.weight", 1, 2), Vote("time_mlp.1.weight", 0, 2, 4))
    with torch.device("meta"):
        return ConditionalUNet(channels, nf, counted(tensors, "downs."))
