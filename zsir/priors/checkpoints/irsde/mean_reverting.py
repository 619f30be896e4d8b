"""IR-SDE networks as denoisers: the network knows the degraded picture mu and predicts the noise in x_t.

In the VE view ``u = x0 + sigma n`` of `zsir.timetables.IRSDESchedule`:

    x_t = mu + m_t (u - mu)        m_t = 1/sqrt(1 + (sigma/lambda)^2)
    x0  = u - sigma eps            eps = net(x_t, mu, t)

The networks are trained so that one Euler-Maruyama step from x_t lands on the median of x_{t-1}. Their eps is
therefore a biased read-out of x0, at t = T by as much as the picture's range. Read out as trained, by that very step
(h = theta_t dt, q = 1 - m_t^2, and c1, c2 of the posterior's mean c1 (x_t - mu) + c2 (x0 - mu)):

    mu + c1 (x_t - mu) + c2 (x0 - mu) = x_t + h (x_t - mu) - 2 lambda h eps/sqrt(q)
    x0 = u - q (e^h - 1 - h)/(2 sinh h) (u - mu) - sigma h/sinh(h) eps
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn

from zsir.errors import BadSpec, Incompatible
from zsir.names.registry import Option
from zsir.priors.checkpoints.tensors import fingerprint, read_tensors, understood
from zsir.priors.wrappers.base import fitted
from zsir.timetables import IRSDESchedule

#: (x_t, mu, t) -> eps; pictures (1 or batch, channels, height, width) in [0, 1], times (batch,)
NoiseNet = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class IRSDEPrior:
    """E[x0 | x0 + sigma n, mu] by a network trained for IR-SDE, of one kind of degradation.

    Source: Luo et al. 2023 [irsde]; read-out derived from the training loss of the code released with it

    Attributes:
        net: The network, (x_t, mu, t) -> eps.
        schedule: The schedule that it was trained with. By default that of the released networks.
        mu: The degraded picture in the size of x, (batch or 1, channels, height, width) in [0, 1], or None until
            `conditioned_on` gives it.
        debias: Whether to read x0 out by the step that the network was trained for (the default), or by ``u - sigma
            eps``.
        time_scale: The network is told this many times the (fractional) index of the schedule. By default 1.
        name: Name in messages and records.
        fingerprint: SHA-256 of the weights, or an empty string.
        channels: Number of channels. By default 3.
        kind: ``denoiser``.
        inflation: The network is told the time of this many times the level. By default 1.
    """

    net: NoiseNet = field(repr=False)
    schedule: IRSDESchedule = field(default_factory=IRSDESchedule)
    mu: Tensor | None = field(default=None, repr=False)
    debias: bool = True
    time_scale: float = 1.0
    name: str = "irsde-net"
    fingerprint: str = field(default="", repr=False)
    channels: int = 3
    kind: Literal["denoiser", "consistency"] = "denoiser"
    inflation: float = field(default=1.0, repr=False)

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Levels of the schedule's times 1 and T, on the [0, 1] scale."""
        return float(self.schedule.sigma[1]), float(self.schedule.sigma[-1])

    def conditioned_on(self, mu: Tensor) -> IRSDEPrior:
        """The same network for the degraded pictures ``mu`` (batch or 1, channels, height, width) in [0, 1]."""
        return dataclasses.replace(self, mu=mu)

    def inflated(self, ratio: float) -> IRSDEPrior:
        """The same prior, its network told the time of ``ratio`` times the level (`zsir.capabilities.inflated`)."""
        return dataclasses.replace(self, inflation=ratio * self.inflation)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of ``x = x0 + sigma n`` (batch, channels, height, width) at levels sigma (batch,).

        Raises:
            Incompatible: There is no ``mu``.
            ShapeError: ``mu`` has another size.
        """
        mu = self._mean_for(x)
        _follow(self.net, x)
        if x.is_cuda:
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                return self._estimate(x, mu, sigma)
        pieces = zip(x.split(1), mu.split(1), sigma.split(1), strict=True)
        return torch.cat([self._estimate(*piece) for piece in pieces])

    def _mean_for(self, x: Tensor) -> Tensor:
        if self.mu is None:
            raise Incompatible(
                f"The prior '{self.name}' is conditional on the degraded picture: use it with the sampler 'irsde', or "
                "give that picture with prior.conditioned_on(mu)."
            )
        return fitted(self.mu, x)

    def _estimate(self, u: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
        dtype = _dtype_of(self.net, u)
        ratio = sigma.double() / self.schedule.max_sigma
        time = self.schedule.table.time(self.inflation * sigma)
        m = (1 + ratio**2).rsqrt().to(u).view(-1, 1, 1, 1)
        x_t = mu + m * (u - mu)
        eps = self.net(x_t.to(dtype), mu.to(dtype), (time * self.time_scale).to(dtype)).to(u.dtype)
        if not self.debias:
            return u - sigma.to(u).view(-1, 1, 1, 1) * eps
        h, q = self._step_size(time), ratio**2 / (1 + ratio**2)
        shrink = q * (torch.expm1(h) - h) / (2 * torch.sinh(h))
        weight = sigma * h / torch.sinh(h)
        return u - shrink.to(u).view(-1, 1, 1, 1) * (u - mu) - weight.to(u).view(-1, 1, 1, 1) * eps

    def _step_size(self, time: Tensor) -> Tensor:
        """theta_t dt at (fractional) times in [1, T]."""
        table = torch.from_numpy(self.schedule.h).to(time.device)
        lower = time.floor().clamp(1, max(self.schedule.steps - 1, 1)).long()
        return torch.lerp(table[lower], table[(lower + 1).clamp_max(self.schedule.steps)], time - lower)


def irsde(
    path: Annotated[str, Option("the released checkpoint, .pth or .safetensors")],
    max_sigma: Annotated[
        float | None, Option("lambda that it was trained with, e.g. 10/255; 50/255 where left out for a NAFNet")
    ] = None,
    schedule: Annotated[
        str, Option("speeds of the SDE it was trained with", choices=("cosine", "linear", "constant"))
    ] = "cosine",
    eps: Annotated[float, Option("share of x0 - mu that is left at the end, as trained")] = 0.005,
    steps: Annotated[int, Option("number of times it was trained with")] = 100,
    debias: Annotated[bool, Option("read x0 out by the step that the network was trained for")] = True,
) -> IRSDEPrior:
    """Network of IR-SDE or Refusion for one kind of degradation; it must be given the degraded picture mu.

    x0 = u - sigma eps(mu + m (u - mu), mu, t) with the bias of its training loss taken out; see
    mean_reverting.py. The network (U-Net or NAFNet) and its sizes follow from the file; max_sigma, which the file does
    not tell, is 10/255 for deraining and deblurring, 30/255 for inpainting and enlargement, 50/255 for Refusion.
    Source: Luo et al. 2023 [irsde]; Luo et al. 2023 [refusion]
    """
    from zsir.priors.checkpoints.irsde.nafnet import ConditionalNAFNet
    from zsir.priors.checkpoints.irsde.recognised import network_of

    tensors = read_tensors(path)
    with understood(path):
        net = network_of(tensors, path)
    if max_sigma is None:
        if not isinstance(net, ConditionalNAFNet):
            raise BadSpec(f"irsde-net: {path} does not tell max_sigma; published are 10/255, 30/255 and 50/255.")
        max_sigma = 50 / 255
    kind = cast(Literal["cosine", "linear", "constant"], schedule)
    channels = net.get_parameter("ending.bias" if isinstance(net, ConditionalNAFNet) else "final_conv.bias").numel()
    return IRSDEPrior(
        net,
        IRSDESchedule(steps, max_sigma, eps, kind),
        debias=debias,
        fingerprint=fingerprint(path),
        channels=channels,
    )


def _follow(net: NoiseNet, x: Tensor) -> None:
    """Move a network, where it is one and not a function, to the device of x."""
    if isinstance(net, nn.Module) and any(parameter.device != x.device for parameter in net.parameters()):
        net.to(x.device)


def _dtype_of(net: NoiseNet, x: Tensor) -> torch.dtype:
    parameter = next(net.parameters(), None) if isinstance(net, nn.Module) else None
    return x.dtype if parameter is None else parameter.dtype
