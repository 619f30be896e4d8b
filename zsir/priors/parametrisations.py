"""Every parametrisation of a network: how its raw output becomes a clean estimate D(x, s).

All in native units, with ``x = x0 + s n``: the network F is given an input, is told the level s in a form of its own,
and its output is read as D. With d = sigma_data, ``a = 1/sqrt(1 + s^2)``, ``b = s a`` and ``t = s/(1 + s)``:

    name                  F is given      F is told       D(x, s)                       D(x, 0)
    edm                   c_in x          ln(s)/4         c_skip x + c_out F            x
    edm, predicts v       c_in x          ln(s)/4         c_skip x - c_out F            x
    consistency           c_in x          250 ln(s)       k_skip x + k_out F            x
    vp, predicts eps      a x             time of s       x - s F                       x
    vp, predicts v        a x             time of s       a^2 x - b F                   x
    vp, predicts x0       a x             time of s       F                             F
    flow                  x/(1 + s)       1000 t          x/(1 + s) - t F               x
    score                 x               s               x + s^2 F                     x
    unit                  (x + 1)/2       s/2             2 F - 1                       2 F - 1

    c_skip = d^2/(s^2 + d^2)                c_out = s d/sqrt(s^2 + d^2)              c_in = 1/sqrt(s^2 + d^2)
    k_skip = d^2/((s - s_min)^2 + d^2)      k_out = (s - s_min) d/sqrt(s^2 + d^2)    k_skip = 1, k_out = 0 below s_min

``vp, predicts x0`` and ``unit`` do not go over to x as s goes to 0. Both have ``skip = False``, and
`zsir.priors.network.faded` sees to it. Every function takes the level twice: ``s`` scales, ``told`` is what the network
is told. The two differ only for an inflated prior (`zsir.capabilities.inflated`).

Sources:

- edm: Karras et al. 2022 [edm], table 1.
- consistency: Song et al. 2023 [consistency], appendix C, with the constants of the released checkpoints.
- vp: Ho et al. 2020 [ddpm], where F sees ``x_t = a x0 + b n = a x``. v = a eps - b x0: Salimans and Ho 2022
  [vprediction].
- flow: Lipman et al. 2023 [flow], straight paths, where F sees ``x_t = (1 - t) x0 + t n`` and predicts n - x0.
- score: Song et al. 2021 [scoresde], where F is minus the noise over the level that the network was told.
- unit: denoisers that work in [0, 1] themselves, such as DRUNet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from zsir.timetables import TimeTable, ddpm_alphas_bar, flow_time

#: standard deviation of pictures in [-1, 1], as EDM's networks were trained with
EDM_SIGMA_DATA = 0.5
#: the same of the released consistency models, and the level below which they count a picture as clean
CONSISTENCY_SIGMA_DATA = 0.5
CONSISTENCY_SIGMA_MIN = 0.002


def edm_coefficients(s: Tensor, sigma_data: float = EDM_SIGMA_DATA) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in, ln(s)/4) at native levels ``s`` (batch,); the first three of shape (batch, 1, 1, 1)."""
    total = s**2 + sigma_data**2
    c_skip, c_out, c_in = sigma_data**2 / total, s * sigma_data / total.sqrt(), 1 / total.sqrt()
    shape = (-1, 1, 1, 1)
    return c_skip.view(shape), c_out.view(shape), c_in.view(shape), torch.log(s) / 4


@dataclass(frozen=True)
class EDMEstimate:
    """A parametrisation for `NetworkPrior`: EDM's.

    Source: Karras et al. 2022 [edm]

    Attributes:
        sigma_data: Standard deviation of the training pictures in native units. By default 0.5.
        predicts: What the network gives: ``F``, as in the paper (the default), or ``v``, which is -F (networks that
            learned v in EDM's coordinates).
    """

    sigma_data: float = EDM_SIGMA_DATA
    predicts: Literal["F", "v"] = "F"

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """D(x, s), x (batch, c, h, w) and levels (batch,) > 0, with the network told level ``told``."""
        c_skip, c_out, c_in, _ = edm_coefficients(s, self.sigma_data)
        raw: Tensor = net(c_in * x, torch.log(told) / 4)
        return c_skip * x + (c_out if self.predicts == "F" else -c_out) * raw


def edm_estimate(net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
    """`EDMEstimate` with sigma_data = 0.5, in native units.

    Source: Karras et al. 2022 [edm]

    Args:
        net: The network.
        x: Noisy pictures, (batch, c, h, w).
        s: Noise level of each picture, (batch,), > 0.
        told: The level that the network is told, (batch,), > 0.

    Returns:
        The estimate D(x, s), (batch, c, h, w).
    """
    return EDMEstimate()(net, x, s, told)


def edm_errors(net: Callable[[Tensor, Tensor], Tensor], x0: Tensor, noise: Tensor, s: Tensor) -> Tensor:
    """Squared error of F, in the shape of x0: the EDM-weighted denoising error ``(D - x0)^2 / c_out^2``."""
    c_skip, c_out, c_in, c_noise = edm_coefficients(s)
    x = x0 + s.view(-1, 1, 1, 1) * noise
    return (net(c_in * x, c_noise) - (x0 - c_skip * x) / c_out).square()


@dataclass(frozen=True)
class ConsistencyEstimate:
    """A parametrisation for `NetworkPrior`: that of consistency models. The network is told ``told`` ln(s).

    Source: Song et al. 2023 [consistency]

    Attributes:
        sigma_data: Standard deviation of the training pictures in native units. By default 0.5.
        sigma_min: Level in native units below which the model counts a picture as clean; the estimate is then x. By
            default 0.002.
        told: Factor of ln(s). By default 250.
    """

    sigma_data: float = CONSISTENCY_SIGMA_DATA
    sigma_min: float = CONSISTENCY_SIGMA_MIN
    told: float = 250

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """D(x, s) with the network told level ``told``; x (batch, c, h, w), levels (batch,) > 0."""
        shape = (-1, 1, 1, 1)
        total = s**2 + self.sigma_data**2
        above = (s - self.sigma_min).clamp_min(0)
        k_skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        k_out = above * self.sigma_data / total.sqrt()
        raw: Tensor = net(x / total.sqrt().view(shape), self.told * (told + 1e-44).log())
        return k_out.view(shape) * raw + k_skip.view(shape) * x


def consistency_estimate(net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
    """`ConsistencyEstimate` with the constants of the released checkpoints, in native units.

    Source: Song et al. 2023 [consistency]

    Args:
        net: The network.
        x: Noisy pictures, (batch, c, h, w).
        s: Noise level of each picture, (batch,), > 0.
        told: The level that the network is told, (batch,), > 0.

    Returns:
        The estimate f(x, s), (batch, c, h, w).
    """
    return ConsistencyEstimate()(net, x, s, told)


@dataclass(frozen=True, eq=False)
class VPEstimate:
    """A parametrisation for `NetworkPrior`: variance-preserving networks (DDPM).

    Channels beyond those of the picture (a learned variance) are ignored.
    Source: Ho et al. 2020 [ddpm]; v: Salimans and Ho 2022 [vprediction]

    Attributes:
        predicts: What the network gives: the noise ``eps`` (the default), ``v`` or the clean picture ``x0``.
        table: What turns a level into the time that the network is told. By default the 1000 times of DDPM.
    """

    predicts: Literal["eps", "v", "x0"] = "eps"
    table: TimeTable = field(default_factory=lambda: TimeTable.vp(ddpm_alphas_bar()), repr=False)

    @property
    def skip(self) -> bool:
        """Whether the estimate goes over to x as the level goes to 0."""
        return self.predicts != "x0"

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """D(x, s), x (batch, c, h, w) and levels (batch,), the network told the time of level ``told``."""
        level = s.view(-1, 1, 1, 1)
        a = (1 + level**2).rsqrt()
        raw: Tensor = net(a * x, self.table.time(told).to(x))[:, : x.shape[1]]
        if self.predicts == "eps":
            return x - level * raw
        if self.predicts == "v":
            return a**2 * x - level * a * raw
        return raw


@dataclass(frozen=True)
class FlowEstimate:
    """A parametrisation for `NetworkPrior`: flow matching on straight paths (rectified flow).

    Source: Lipman et al. 2023 [flow]

    Attributes:
        time_factor: The network is told this many times t = s/(1 + s). By default 1000.
    """

    time_factor: float = 1000.0

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """D(x, s), x (batch, c, h, w) and levels (batch,), the network told the time of level ``told``."""
        level = s.view(-1, 1, 1, 1)
        x_t = x / (1 + level)
        velocity: Tensor = net(x_t, self.time_factor * flow_time(told))[:, : x.shape[1]]
        return x_t - flow_time(level) * velocity


def score_estimate(net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
    """A parametrisation for `NetworkPrior`: variance-exploding score networks (NCSN++), which are told s itself.

    The noise is ``-told F``, whatever the network was told, so that ``D = x + s told F``.
    Source: Song et al. 2021 [scoresde]

    Args:
        net: The network F.
        x: Noisy pictures, (batch, c, h, w).
        s: Noise level of each picture, (batch,), > 0.
        told: The level that the network is told, (batch,), > 0.

    Returns:
        The estimate D(x, s), (batch, c, h, w).
    """
    score: Tensor = net(x, told)[:, : x.shape[1]]
    return x + (s * told).view(-1, 1, 1, 1) * score


@dataclass(frozen=True)
class UnitEstimate:
    """A parametrisation for `NetworkPrior`: denoisers of pictures in [0, 1], with levels on that scale.

    At level 0 these networks only come near the picture.
    """

    skip: ClassVar[bool] = False

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """D(x, s) by ``net(picture in [0, 1], level)``; x (batch, c, h, w), levels (batch,) in [-1, 1] units."""
        raw: Tensor = net((x + 1) / 2, told / 2)
        return 2 * raw - 1


unit_estimate = UnitEstimate()
