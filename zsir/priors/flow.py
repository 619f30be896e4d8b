"""Flow-matching (rectified-flow) networks as denoisers.

Source: Lipman et al. 2023 [flow], straight paths. The network sees ``x_t = (1 - t) x0 + t n`` and predicts the
velocity ``v = n - x0``; here the state is ``x = x_t/(1 - t) = x0 + s n`` with ``s = t/(1 - t)``, so

    t = s/(1 + s)        x_t = x/(1 + s)        x0 = x_t - t v
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zsir.timetables import flow_time


@dataclass(frozen=True)
class FlowEstimate:
    """A parametrisation for `NetworkPrior`: native units, the network told ``time_factor`` times t."""

    time_factor: float = 1000.0

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """Clean estimate of x (batch, c, h, w) at level s (batch,), the network told the time of level ``told``."""
        level = s.view(-1, 1, 1, 1)
        x_t = x / (1 + level)
        velocity: Tensor = net(x_t, self.time_factor * flow_time(told))[:, : x.shape[1]]
        return x_t - flow_time(level) * velocity
