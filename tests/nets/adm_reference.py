"""The U-Net of guided-diffusion, written from its published description for tests: names as in released checkpoints.

Dhariwal and Nichol 2021, section 3 and the tables of its appendix; Ho et al. 2020 for the overall plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Plan:
    """What varies between the networks; ``head_width`` counts where it is positive, else ``heads``."""

    channels: int = 32
    mult: tuple[float, ...] = (1, 2)
    blocks: int = 1
    attention: tuple[int, ...] = (2,)  # reductions at which there is attention
    pictures: int = 3
    outputs: int = 6
    classes: int = 0
    scale_shift: bool = True
    updown: bool = True
    head_width: int = -1
    heads: int = 1
    split: bool = False
    planar: bool = False


def norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, width, eps=1e-5)


class Resize(nn.Module):
    """Halve by averaging or double by repetition, without weights."""

    def __init__(self, direction: str) -> None:
        super().__init__()
        self.direction = direction

    def forward(self, x: Tensor) -> Tensor:
        if self.direction == "down":
            return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2) if self.direction == "up" else x


class Residual(nn.Module):
    def __init__(self, plan: Plan, inside: int, outside: int, direction: str = "") -> None:
        super().__init__()
        self.scale_shift, self.resize = plan.scale_shift, Resize(direction)
        self.in_layers = nn.Sequential(norm(inside), nn.SiLU(), nn.Conv2d(inside, outside, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * plan.channels, outside * (1 + plan.scale_shift)))
        self.out_layers = nn.Sequential(
            norm(outside), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(outside, outside, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.in_layers[2](self.resize(F.silu(self.in_layers[0](x))))
        e = self.emb_layers(e)[:, :, None, None]
        if self.scale_shift:
            half = e.shape[1] // 2
            h = self.out_layers[0](h) * (1 + e[:, :half]) + e[:, half:]
        else:
            h = self.out_layers[0](h + e)
        return self.skip_connection(self.resize(x)) + self.out_layers[3](F.silu(h))


def linear(conv: nn.Module, x: Tensor) -> Tensor:
    """A 1x1 convolution of either dimension, applied to (batch, channels, pixels)."""
    weight, bias = conv.get_parameter("weight"), conv.get_parameter("bias")
    return torch.einsum("oc,bcn->bon", weight.flatten(1), x) + bias[:, None]


class Attention(nn.Module):
    def __init__(self, plan: Plan, width: int) -> None:
        super().__init__()
        self.heads = width // plan.head_width if plan.head_width > 0 else plan.heads
        self.split = plan.split
        conv = nn.Conv2d if plan.planar else nn.Conv1d
        self.norm, self.qkv, self.proj_out = norm(width), conv(width, 3 * width, 1), conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.norm(x).flatten(2)
        c = flat.shape[1]
        d = c // self.heads
        qkv = linear(self.qkv, flat)
        out = []
        for head in range(self.heads):
            # where q, k and v of this head lie among the 3 c channels
            starts = [k * c + head * d if self.split else (3 * head + k) * d for k in range(3)]
            q, k, v = (qkv[:, s : s + d] for s in starts)
            weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(d), dim=-1)
            out.append(v @ weights.transpose(1, 2))
        return x + linear(self.proj_out, torch.cat(out, 1)).view(x.shape)


class Down(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Up(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(Resize("up")(x))


class ADM(nn.Module):
    """``net(x, t, labels)``, t real, as the released networks compute it."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan, c = plan, plan.channels
        self.time_embed = nn.Sequential(nn.Linear(c, 4 * c), nn.SiLU(), nn.Linear(4 * c, 4 * c))
        if plan.classes:
            self.label_emb = nn.Embedding(plan.classes, 4 * c)
        width = int(plan.mult[0] * c)
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(plan.pictures, width, 3, padding=1)])])
        skips, reduction = [width], 1
        for level, mult in enumerate(plan.mult):
            for _ in range(plan.blocks):
                parts: list[nn.Module] = [Residual(plan, width, int(mult * c))]
                width = int(mult * c)
                parts += [Attention(plan, width)] if reduction in plan.attention else []
                self.input_blocks.append(nn.ModuleList(parts))
                skips.append(width)
            if level + 1 < len(plan.mult):
                end = Residual(plan, width, width, "down") if plan.updown else Down(width)
                self.input_blocks.append(nn.ModuleList([end]))
                skips.append(width)
                reduction *= 2
        self.middle_block = nn.ModuleList(
            [Residual(plan, width, width), Attention(plan, width), Residual(plan, width, width)]
        )
        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(plan.mult))):
            for block in range(plan.blocks + 1):
                parts = [Residual(plan, width + skips.pop(), int(mult * c))]
                width = int(mult * c)
                parts += [Attention(plan, width)] if reduction in plan.attention else []
                if level and block == plan.blocks:
                    parts.append(Residual(plan, width, width, "up") if plan.updown else Up(width))
                    reduction //= 2
                self.output_blocks.append(nn.ModuleList(parts))
        self.out = nn.Sequential(norm(width), nn.SiLU(), nn.Conv2d(width, plan.outputs, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        half = self.plan.channels // 2
        angles = t[:, None] * torch.exp(-math.log(10000.0) * torch.arange(half) / half)
        e = self.time_embed(torch.cat([angles.cos(), angles.sin()], 1))
        if labels is not None:
            e = e + self.label_emb(labels)
        skips = []
        for block in self.input_blocks:
            x = self._run(block, x, e)
            skips.append(x)
        x = self._run(self.middle_block, x, e)
        for block in self.output_blocks:
            x = self._run(block, torch.cat([x, skips.pop()], 1), e)
        return self.out(x)

    @staticmethod
    def _run(block: nn.Module, x: Tensor, e: Tensor) -> Tensor:
        for part in block.children():
            x = part(x, e) if isinstance(part, Residual) else part(x)
        return x


def randomised(plan: Plan, seed: int = 0) -> ADM:
    """A network with weights drawn from a generator of its own, large enough that every part shows in the output."""
    g = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        net = ADM(plan)
    state = {}
    for name, tensor in net.state_dict().items():
        fan = math.prod(tensor.shape[1:]) if tensor.ndim > 1 else 4
        base = 1.0 if tensor.ndim == 1 and name.endswith("weight") else 0.0
        state[name] = base + torch.randn(tensor.shape, generator=g) / math.sqrt(fan)
    net.load_state_dict(state, assign=True)
    return net.eval().requires_grad_(False)
