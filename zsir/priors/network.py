"""Networks as priors: the one place where pixel range and parametrisation are converted.

A network works in its native units, pictures in [l, h], nearly always [-1, 1]; a prior speaks [0, 1]:

    D01(x, s) = (D(w x + l, w s) - l) / w        w = h - l
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
    """A network trained on pictures in ``native_range`` as a denoiser on [0, 1].

    ``parametrise`` turns the network into a denoiser in native units (`edm_estimate`, `consistency_estimate`);
    ``sigma_range`` is in [0, 1] units all the same; ``clip`` limits estimates to [0, 1];
    ``knows_grey`` says that it learned grey pictures, three equal channels, with equal noise. The network moves to the
    device of its input and computes in its own dtype; on a CPU pictures go through it one by one, which costs nothing
    there and makes results independent of the batch.
    """

    net: nn.Module = field(repr=False)
    parametrise: Parametrisation = field(repr=False)
    name: str
    channels: int
    sigma_range: tuple[float, float]
    kind: Literal["denoiser", "consistency"] = "denoiser"
    clip: bool = False
    fingerprint: str = field(default="", repr=False)
    native_range: tuple[float, float] = field(default=(-1.0, 1.0), repr=False)
    knows_grey: bool = field(default=False, repr=False)

    def denoise(self, x: Tensor, sigma: Tensor, *, net_sigma: Tensor | None = None) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,), in [0, 1] units."""
        parameter = next(self.net.parameters())
        if parameter.device != x.device:
            self.net.to(x.device)
        low, width = self.native_range[0], self.native_range[1] - self.native_range[0]
        native = (width * x + low).to(parameter.dtype)
        levels = width * sigma.to(native)
        # the network is never told a level that it was not trained for, zero included
        told = (sigma if net_sigma is None else net_sigma).to(native).clamp(*self.sigma_range) * width
        if x.is_cuda:
            # reproducible convolutions in full precision; TF32 would cost three digits
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                estimate = self.parametrise(self.net, native, levels, told)
        else:
            pieces = zip(native.split(1), levels.split(1), told.split(1), strict=True)
            estimate = torch.cat([self.parametrise(self.net, *piece) for piece in pieces])
        x0 = ((estimate - low) / width).to(x.dtype)
        return x0.clamp(0, 1) if self.clip else x0
