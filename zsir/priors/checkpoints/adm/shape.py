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
from zsir.priors.checkpoints.families import ADM, ADM_CLASSIFIER, looks_like, recognised
from zsir.priors.checkpoints.votes import Vote, counted, voted

#: what the last part of an output block begins with where it enlarges: a convolution, or a residual block
ENLARGING = ("conv", "in_layers", "emb_layers", "out_layers")


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
    classifier = looks_like(tensors) == ADM_CLASSIFIER
    recognised(tensors, path, (ADM,), "; give the diffusion model's own file" if classifier else "")
    count = counted(tensors, "output_blocks.")
    ups = {k: part for k, part, leaf in _parts(tensors) if part > 0 and leaf in ENLARGING}
    levels = len(ups) + 1
    blocks = count // levels - 1
    if count % levels or blocks < 1 or counted(tensors, "input_blocks.") != count:
        raise BadInput(f"{path}: the numbers of its input and output blocks fit no ADM UNet with equal levels.")
    inputs, outputs = _ends(tensors, path)
    starts = [k * (blocks + 1) + 1 for k in range(levels)]
    widths = tuple(_width(tensors, path, f"input_blocks.{k}.0") for k in starts)
    attention = [any(name.startswith(f"input_blocks.{k}.1.") for name in tensors) for k in starts]
    middle = "middle_block.*.emb_layers.1"
    told = voted(tensors, path, Vote(f"{middle}.weight", 0, 2), Vote(f"{middle}.bias", 0, 1))
    time = Vote("time_embed.0.weight", 1, 2), Vote("time_embed.2.weight", 1, 2, 4), Vote("time_embed.*.bias", 0, 1, 4)
    dimensions = [tensors[name].ndim for name in tensors if name.endswith((".qkv.weight", ".proj_out.weight"))]
    return ADMShape(
        in_channels=inputs,
        out_channels=outputs,
        model_channels=voted(tensors, path, *time, Vote(f"{middle}.weight", 1, 2, 4)),
        widths=widths,
        blocks=blocks,
        attention=tuple(attention),
        classes=voted(tensors, path, Vote("label_emb.weight", 0, 2)) if "label_emb.weight" in tensors else 0,
        scale_shift=told == 2 * widths[-1],
        updown=any(leaf == "in_layers" for k, part, leaf in _parts(tensors) if ups.get(k) == part),
        planar=dimensions.count(4) > dimensions.count(3),
    )


def _parts(tensors: Mapping[str, Tensor]) -> set[tuple[int, int, str]]:
    """(K, part, leaf) of all names ``output_blocks.K.part.leaf``."""
    names = (name.split(".") for name in tensors if name.startswith("output_blocks."))
    return {(int(n[1]), int(n[2]), n[3]) for n in names if len(n) > 3 and n[1].isdecimal() and n[2].isdecimal()}


def _ends(tensors: Mapping[str, Tensor], path: str | Path) -> tuple[int, int]:
    """Channels that go in and come out; raises `BadInput` for a network that sees more than the picture."""
    inputs = voted(tensors, path, Vote("input_blocks.0.0.weight", 1))
    outputs = voted(tensors, path, Vote("out.2.weight"), Vote("out.2.bias", 0, 1), usual=(inputs, 2 * inputs))
    if inputs == 2 * outputs or (inputs, outputs) == (6, 6):
        raise BadInput(f"{path} is an ADM upsampler, which wants a small picture as further input; give a plain UNet.")
    return inputs, outputs


def _width(tensors: Mapping[str, Tensor], path: str | Path, block: str) -> int:
    """Channels that come out of a residual block."""
    last = f"{block}.out_layers.3.weight"
    norms = Vote(f"{block}.out_layers.0.*", 0, 1), Vote(f"{block}.out_layers.3.bias", 0, 1)
    return voted(tensors, path, Vote(last), Vote(last, 1), Vote(f"{block}.in_layers.2.weight"), *norms)
