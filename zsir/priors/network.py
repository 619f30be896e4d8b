"""Networks as priors: the one place where pixel range and parametrisation are converted.

A network works in its native units, pictures in [l, h], nearly always [-1, 1]; a prior speaks [0, 1]:

    D01(x, s) = (D(w x + l, w s) - l) / w        w = h - l

As s goes to 0 every estimate goes to x. Most parametrisations see to it (``x - s eps``, c_skip, ...); for the others
`faded` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zsir.capabilities import goes_over_to_x

#: standard deviation of the rounding of 8-bit pictures: no network distinguishes smaller levels from a clean picture
NEGLIGIBLE = 1 / (255 * math.sqrt(12))

#: native denoiser: (net, x, scaling level, level told to the network) -> clean estimate, all in native units
#: an attribute ``skip = False`` says that nothing in it makes the estimate go over to x as the level goes to 0
Parametrisation = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


def faded(x0: Tensor, x: Tensor, sigma: Tensor, low: float) -> Tensor:
    """``x + w (x0 - x)`` with ``w = (sigma/low)^2`` below the smallest level ``low`` that a network knows, else x0.

    x0 (batch, c, h, w) is the estimate at level ``low``, sigma (batch,). By Tweedie's formula D(x, s) - x = s^2 score,
    and below ``low`` the score is taken as that at ``low``; so the estimate is continuous in sigma, and at 0 it is x.
    A network for levels from 0 on has `NEGLIGIBLE` as its smallest.
    """
    weight = (sigma / (low or NEGLIGIBLE)).clamp_max(1).square().to(x0).view(-1, 1, 1, 1)
    return torch.lerp(x.to(x0), x0, weight)


class InItsDtype(nn.Module):
    """A network that computes in ``dtype`` among tensors of another one; its other methods are the network's own."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net, dtype

    def __getattr__(self, name: str) -> Any:
        return inner_attribute(self, name)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """What the network makes of x and its other inputs, in the dtype of x."""
        out: Tensor = self.net(x.to(self.dtype), *(t.to(self.dtype) for t in others))
        return out.to(x.dtype)


def inner_attribute(module: nn.Module, name: str) -> Any:
    """Attribute ``name`` of a module around a module ``net``, else of that one: for ``__getattr__``."""
    inner = nn.Module.__getattr__(module, "net")
    return inner if name == "net" else getattr(inner, name)


@dataclass(frozen=True, eq=False)
class NetworkPrior:
    """A network trained on pictures in ``native_range`` as a denoiser on [0, 1].

    The network moves to the device of its input and computes in its own dtype. Everything around it computes in the
    dtype of the picture, if that is finer. On a CPU pictures go through it one by one, which costs nothing there and
    makes results independent of the batch.

    Attributes:
        net: The network.
        parametrise: What makes the network a denoiser in native units, such as `edm_estimate` or
            `consistency_estimate`.
        name: Name in messages and records.
        channels: Channels of the pictures that it knows.
        sigma_range: Smallest and largest noise level that it was trained for, on the [0, 1] scale.
        kind: ``denoiser`` (the default) or ``consistency``.
        clip: Whether estimates are limited to [0, 1]. By default False.
        fingerprint: SHA-256 of the weights.
        native_range: Black and white of the pictures that it was trained on. By default (-1, 1).
        knows_grey: Whether it learned grey pictures, three equal channels, with equal noise. By default False.
        inflation: The network is told this many times the level that scales its output. By default 1.
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
    inflation: float = field(default=1.0, repr=False)

    def inflated(self, ratio: float) -> NetworkPrior:
        """The same prior, its network told ``ratio`` times the level (`zsir.capabilities.inflated`)."""
        return replace(self, inflation=ratio * self.inflation)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,), in [0, 1] units."""
        parameter = next(self.net.parameters())
        if parameter.device != x.device:
            self.net.to(x.device)
        low, width = self.native_range[0], self.native_range[1] - self.native_range[0]
        native = width * x.to(torch.promote_types(x.dtype, parameter.dtype)) + low
        net = self.net if native.dtype == parameter.dtype else InItsDtype(self.net, parameter.dtype)
        levels = width * sigma.to(native)
        # the network is never told a level that it was not trained for, zero included
        told = (self.inflation * sigma).to(native).clamp(*self.sigma_range) * width
        if x.is_cuda:
            # reproducible convolutions in full precision; TF32 would cost three digits
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                estimate = self.parametrise(net, native, levels, told)
        else:
            pieces = zip(native.split(1), levels.split(1), told.split(1), strict=True)
            estimate = torch.cat([self.parametrise(net, *piece) for piece in pieces])
        x0 = ((estimate - low) / width).to(x.dtype)
        x0 = x0.clamp(0, 1) if self.clip else x0
        return x0 if goes_over_to_x(self.parametrise) else faded(x0, x, sigma, self.sigma_range[0])
