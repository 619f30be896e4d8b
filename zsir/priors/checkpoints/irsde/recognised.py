"""Which of the two networks an IR-SDE checkpoint holds, told by its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from zsir.errors import BadInput
from zsir.priors.checkpoints.families import IRSDE_NAFNET, IRSDE_UNET, recognised
from zsir.priors.checkpoints.irsde.nafnet import nafnet_for
from zsir.priors.checkpoints.irsde.networks import unet_for
from zsir.priors.checkpoints.tensors import load_into
from zsir.priors.checkpoints.votes import Vote, voted


def network_of(tensors: Mapping[str, Tensor], path: str | Path) -> nn.Module:
    """The IR-SDE network of a checkpoint's tensors, in float32, sizes told by their shapes.

    Raises `BadInput` for another kind of network and for one that works on latents instead of pictures.
    """
    family = recognised(tensors, path, (IRSDE_UNET, IRSDE_NAFNET))
    first, last = ("init_conv", "final_conv") if family == IRSDE_UNET else ("intro", "ending")
    votes = Vote(f"{first}.weight", 1, times=2), Vote(f"{last}.weight"), Vote(f"{last}.bias", 0, 1)
    channels = voted(tensors, path, *votes, usual=(1, 3))
    if channels not in (1, 3):
        raise BadInput(f"{path} works on {channels} channels: a network for latents, which zsir does not support.")
    net: nn.Module = (unet_for if family == IRSDE_UNET else nafnet_for)(tensors, channels, path)
    load_into(net, tensors, path)
    return net.eval().requires_grad_(False)
