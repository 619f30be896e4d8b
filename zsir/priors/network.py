"""Networks as priors: the one place where pixel range and parametrisation are converted.

A network works in its native units, pictures in [-1, 1]; a prior speaks [0, 1]:

    D01(x, s) = (D(2x - 1, 2s) + 1) / 2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

#: native denoiser: (net, x, scaling level, level told to the network) -> clean estimate, all in native units
Parametrisation = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class NetworkPrior:
    """A network trained on pictures in [-1, 1] as a denoiser on [0, 1].

    ``parametrise`` turns the network into a denoiser in native units (`edm_estimate`, `consistency_estimate`);
    ``clip`` limits estimates to [0, 1]. The network moves to the device of its input and computes in its own dtype;
    on a CPU pictures go through it one by one, which costs nothing there and makes results independent of the batch.
    """

    net: nn.Module = field(repr=False)
    parametrise: Parametrisation = field(repr=False)
    name: str
    channels: int
    sigma_range: tuple[float, float]
    kind: Literal["denoiser", "consistency"] = "denoiser"
    clip: bool = False
    fingerprint: str = field(default="", repr=False)

    def denoise(self, x: Tensor, sigma: Tensor, *, net_sigma: Tensor | None = None) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,), in [0, 1] units."""
        parameter = next(self.net.parameters())
        if parameter.device != x.device:
            self.net.to(x.device)
        native = (2 * x - 1).to(parameter.dtype)
        levels = 2 * sigma.to(native)
        # the network is never told a level that it was not trained for, zero included
        told = (sigma if net_sigma is None else net_sigma).to(native).clamp(*self.sigma_range) * 2
        if x.is_cuda:
            # reproducible convolutions in full precision; TF32 would cost three digits
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                estimate = self.parametrise(self.net, native, levels, told)
        else:
            pieces = zip(native.split(1), levels.split(1), told.split(1), strict=True)
            estimate = torch.cat([self.parametrise(self.net, *piece) for piece in pieces])
        x0 = ((estimate + 1) / 2).to(x.dtype)
        return x0.clamp(0, 1) if self.clip else x0
