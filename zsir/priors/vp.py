"""Variance-preserving (DDPM) networks as denoisers.

Source: Ho et al. 2020 [ddpm]; v: Salimans and Ho 2022 [vprediction]. The network sees ``x_t = a x0 + b n`` with
``a = sqrt(abar_t)``, ``b = sqrt(1 - abar_t)``; here the state is ``x = x_t / a = x0 + s n``, so ``a = 1/sqrt(1 + s^2)``
and ``b = s a``. What it predicts becomes a clean estimate by

    eps    x0 = x - s eps
    v      x0 = a^2 x - b v          (v = a eps - b x0)
    x0     as it is
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from zsir.timetables import TimeTable, ddpm_alphas_bar


@dataclass(frozen=True, eq=False)
class VPEstimate:
    """A parametrisation for `NetworkPrior`: native units, the network told its time by ``table``.

    Channels beyond those of the picture (a learned variance) are ignored.
    """

    predicts: Literal["eps", "v", "x0"] = "eps"
    table: TimeTable = field(default_factory=lambda: TimeTable.vp(ddpm_alphas_bar()), repr=False)

    @property
    def skip(self) -> bool:
        """Whether the estimate goes over to x as the level goes to 0."""
        return self.predicts != "x0"

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """Clean estimate of x (batch, c, h, w) at level s (batch,), the network told the time of level ``told``."""
        level = s.view(-1, 1, 1, 1)
        a = (1 + level**2).rsqrt()
        raw: Tensor = net(a * x, self.table.time(told).to(x))[:, : x.shape[1]]
        if self.predicts == "eps":
            return x - level * raw
        if self.predicts == "v":
            return a**2 * x - level * a * raw
        return raw
