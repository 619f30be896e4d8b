"""What the tensors of an ADM (guided-diffusion) or consistency-model U-Net tell of its architecture.

The names are those of the released code: ``time_embed``, ``label_emb``, ``input_blocks``, ``middle_block``,
``output_blocks``, ``out``. With n residual blocks per level, level k of the way down is ``input_blocks`` k (n + 1) + 1
to (k + 1)(n + 1), the last of which reduces the size; the way up has n + 1 blocks per level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from zsir.errors import BadInput
from zsir.priors.families import ADM, ADM_CLASSIFIER, looks_like


@dataclass(frozen=True)
class ADMShape:
    """The architecture as far as shapes tell it.

    ``widths`` and ``attention`` have one entry per level, from full resolution down; ``classes`` is 0 for an
    unconditional network; ``planar`` says that attention projections are stored as 2-D convolutions, which the
    consistency models do and guided-diffusion does not.
    """

    in_channels: int
    out_channels: int
    model_channels: int
    widths: tuple[int, ...]
    blocks: int
    attention: tuple[bool, ...]
    classes: int
    scale_shift: bool
    updown: bool
    planar: bool

    @property
    def learned_variance(self) -> bool:
        """Whether half of the output channels describe a variance."""
        return self.out_channels == 2 * self.in_channels

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """Channel numbers at which there is attention, the middle included."""
        levels = [w for w, attends in zip(self.widths, self.attention, strict=True) if attends]
        return tuple(sorted({*levels, self.widths[-1]}))

    def down(self, level: int, block: int) -> str:
        """Name of a residual block (or, for block = ``blocks``, of the reduction) on the way down."""
        return f"input_blocks.{level * (self.blocks + 1) + 1 + block}"

    def up(self, level: int, block: int) -> str:
        """Name of block 0..``blocks`` on the way up at a level, levels counted from full resolution down."""
        return f"output_blocks.{(len(self.widths) - 1 - level) * (self.blocks + 1) + block}"


def infer(tensors: Mapping[str, Tensor], path: str | Path) -> ADMShape:
    """The architecture of a checkpoint; raises `BadInput` for one of another kind or of an unknown variant."""
    kind = looks_like(tensors)
    if kind != ADM or "middle_block.1.qkv.weight" not in tensors:
        known = kind if kind and kind != ADM else "no network that zsir can name"
        advice = " Give the diffusion model's own file." if kind == ADM_CLASSIFIER else ""
        raise BadInput(f"{path} holds {known}, expected was {ADM}.{advice}")
    count = _count(tensors, "output_blocks")
    ups = [k for k in range(count) if _enlarges(tensors, k)]
    levels = len(ups) + 1
    blocks = count // levels - 1
    if count % levels or blocks < 1 or _count(tensors, "input_blocks") != count:
        raise BadInput(f"{path}: the numbers of its input and output blocks fit no ADM UNet with equal levels.")
    first, out = tensors["input_blocks.0.0.weight"], tensors.get("out.2.weight")
    starts = [k * (blocks + 1) + 1 for k in range(levels)]
    if out is None or any(f"input_blocks.{k}.0.out_layers.3.weight" not in tensors for k in starts):
        raise BadInput(f"{path}: tensors are missing; it is no whole ADM UNet.")
    if first.shape[1] == 2 * out.shape[0] or (first.shape[1], out.shape[0]) == (6, 6):
        raise BadInput(f"{path} is an ADM upsampler, which wants a small picture as further input; give a plain UNet.")
    width = tensors["middle_block.0.out_layers.3.weight"].shape[0]
    labels = tensors.get("label_emb.weight")
    return ADMShape(
        in_channels=first.shape[1],
        out_channels=out.shape[0],
        model_channels=tensors["time_embed.0.weight"].shape[1],
        widths=tuple(tensors[f"input_blocks.{k}.0.out_layers.3.weight"].shape[0] for k in starts),
        blocks=blocks,
        attention=tuple(f"input_blocks.{k}.1.qkv.weight" in tensors for k in starts),
        classes=0 if labels is None else labels.shape[0],
        scale_shift=tensors["middle_block.0.emb_layers.1.weight"].shape[0] == 2 * width,
        updown=any(f"output_blocks.{k}.{part}.in_layers.0.weight" in tensors for k in ups for part in (1, 2)),
        planar=tensors["middle_block.1.qkv.weight"].ndim == 4,
    )


def _count(tensors: Mapping[str, Tensor], group: str) -> int:
    numbers = [name.split(".")[1] for name in tensors if name.startswith(f"{group}.")]
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


def _enlarges(tensors: Mapping[str, Tensor], block: int) -> bool:
    """Whether an output block ends with an enlargement: a convolution, or a residual block that is not its first."""
    ends = (f"output_blocks.{block}.{part}.{leaf}" for part in (1, 2) for leaf in ("conv.weight", "in_layers.0.weight"))
    return any(end in tensors for end in ends)
