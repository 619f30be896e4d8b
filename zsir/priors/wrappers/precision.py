"""The network of a prior in half precision, or compiled.

Neither changes what a prior means: `Cast` and `Compiled` agree with it to the precision of their arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from zsir.errors import BadSpec, Incompatible, SolveError
from zsir.priors.network import inner_attribute
from zsir.priors.wrappers.base import Wrapper, with_network
from zsir.protocols import Prior

#: those of `zsir.priors.wrappers.settings.PRECISIONS` that autocast makes
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Autocast(nn.Module):
    """A network whose forward runs under autocast to ``dtype``; its other methods are the network's own, uncast."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net, dtype

    def __getattr__(self, name: str) -> Any:
        return inner_attribute(self, name)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """What the network makes of x and its other inputs, in the dtype of x."""
        with torch.autocast(x.device.type, self.dtype):
            out: Tensor = self.net(x, *others)
        return out.to(x.dtype)


@dataclass(frozen=True, eq=False, repr=False)
class Cast(Wrapper):
    """Runs convolutions and matrix products of the network in half precision, by autocast.

    Only the network's forward changes: the weights stay as they are, and the arithmetic of ranges, levels and
    parametrisation around it (and the auto-encoder of a latent model, whose float16 overflows) keep their dtype.
    Relative errors of the network's output are near 2^-8 (bfloat16) or 2^-11 (float16).

    Attributes:
        prior: The inner prior.
        dtype: `torch.bfloat16` (the default) or `torch.float16`.

    Raises:
        BadSpec: ``dtype`` is another one.
        Incompatible: The inner prior has no network.
    """

    dtype: torch.dtype = torch.bfloat16
    # shared by copies of this wrapper, such as conditioned and inflated ones: no network is changed twice
    _made: dict[nn.Module, nn.Module] = field(default_factory=dict, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES.values():
            raise BadSpec(f"dtype={self.dtype}: autocast knows torch.bfloat16 and torch.float16.")
        if with_network(self.prior, lambda net: net) is None:
            raise Incompatible(
                f"{self.prior!r} has no network to run in half precision; use it without Cast (float32)."
            )

    @cached_property
    def _changed(self) -> Prior:
        return cast(Prior, with_network(self.prior, once(self._made, lambda net: Autocast(net, self.dtype))))

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,), in the dtype of x."""
        return self._changed.denoise(x, sigma)


def once(made: dict[nn.Module, nn.Module], change: Callable[[nn.Module], Any]) -> Callable[[nn.Module], nn.Module]:
    """``change``, which makes the same of the same network: remembered in ``made``."""

    def changed(net: nn.Module) -> nn.Module:
        if net not in made:
            made[net] = change(net)
        return made[net]

    return changed


@dataclass(frozen=True, eq=False, repr=False)
class Compiled(Wrapper):
    """The prior with its network given to torch.compile, at the first call.

    A new size of picture may compile anew. `denoise` raises `zsir.errors.SolveError` where compiling fails.

    Attributes:
        prior: The inner prior.
        mode: That of torch.compile; ``reduce-overhead`` replays CUDA graphs. By default ``default``.
        backend: That of torch.compile. By default ``inductor``.

    Raises:
        Incompatible: The inner prior has no network.
    """

    mode: str = "default"
    backend: str = "inductor"
    _made: dict[nn.Module, nn.Module] = field(default_factory=dict, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if with_network(self.prior, lambda net: net) is None:
            raise Incompatible(f"{self.prior!r} has no network to compile; use it without Compiled (--compile).")

    @cached_property
    def _changed(self) -> Prior:
        # inductor takes a mode, other backends refuse one
        mode = self.mode if self.backend == "inductor" else None
        change = once(self._made, lambda net: torch.compile(net, mode=mode, backend=self.backend))
        return cast(Prior, with_network(self.prior, change))

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,)."""
        from torch._dynamo.exc import TorchDynamoException

        torch.compiler.cudagraph_mark_step_begin()
        try:
            return self._changed.denoise(x, sigma)
        except TorchDynamoException as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise SolveError(
                f"The network cannot be compiled here ({reason}); do without Compiled (--compile)."
            ) from None
