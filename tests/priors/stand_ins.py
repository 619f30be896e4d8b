"""Small networks and priors with known properties, shared by the tests of priors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from zsir.priors import (
    FlowEstimate,
    NetworkPrior,
    VPEstimate,
    consistency_estimate,
    edm_estimate,
    score_estimate,
)
from zsir.priors.denoisers.spandrel import SpandrelEstimate
from zsir.priors.network import Parametrisation
from zsir.priors.parametrisations import unit_estimate

#: all parametrisations of networks of pictures
FAMILIES: dict[str, Parametrisation] = {
    "eps": VPEstimate(),
    "v": VPEstimate("v"),
    "x0": VPEstimate("x0"),
    "edm": edm_estimate,
    "consistency": consistency_estimate,
    "score": score_estimate,
    "flow": FlowEstimate(),
    "unit": unit_estimate,
    "spandrel": SpandrelEstimate(leveled=True),
}

#: how far a pixel of `LocalNet` looks
REACH = 3


class LocalNet(nn.Module):
    """Three convolutions: a pixel sees 7 x 7 pixels and nothing else; not symmetric."""

    def __init__(self, channels: int = 3, width: int = 8) -> None:
        super().__init__()
        sizes = (channels + 1, width, width, channels)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        g = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=g))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = torch.cat([x, level.view(-1, 1, 1, 1).expand(-1, 1, *x.shape[-2:])], dim=1)
        for layer in self.layers:
            h = torch.tanh(layer(h))
        return h


def skip(net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
    """D = x - s net(x, told): gives back x as s goes to 0."""
    return x - s.view(-1, 1, 1, 1) * net(x, told)


def local_prior(width: int = 8, dtype: torch.dtype = torch.float32) -> NetworkPrior:
    net = LocalNet(width=width).to(dtype).requires_grad_(False)
    return NetworkPrior(net, skip, "local", 3, (0.0, 2.0), fingerprint="f" * 64)


@dataclass(frozen=True)
class WindowMean:
    """Takes a fifth of the mean of all that it is shown off the picture: two windows never agree."""

    channels: int = 0
    sigma_range: tuple[float, float] = (0.0, float("inf"))
    kind: Literal["denoiser", "consistency"] = "denoiser"
    fingerprint: str = ""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x - 0.2 * x.mean((1, 2, 3), keepdim=True)


def picture(height: int, width: int, *, batch: int = 1, seed: int = 0, channels: int = 3) -> Tensor:
    """Smooth waves and noise, in [0, 1]."""
    rows = torch.linspace(0, 6, height)[:, None]
    columns = torch.linspace(0, 9, width)
    waves = 0.5 + 0.3 * torch.sin(rows + torch.arange(channels).view(-1, 1, 1)) * torch.cos(columns)
    noise = torch.randn((batch, channels, height, width), generator=torch.Generator().manual_seed(seed))
    return waves + 0.05 * noise
