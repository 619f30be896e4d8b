"""Gradients through the prior, for the samplers that pull the data term back to the noisy state.

A vector-Jacobian product costs about two forward passes and keeps the activations of one in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from zsir.errors import Incompatible
from zsir.protocols import Prior
from zsir.samplers.chain import check_reach, levels

Vjp = Callable[[Tensor], Tensor]


def denoise_with_vjp(prior: Prior, x: Tensor, sigma: float) -> tuple[Tensor, Vjp]:
    """``x0 = D(x, sigma)`` and the map ``v -> (dD/dx)^T v``, both on (batch, c, h, w).

    Raises `Incompatible` when the prior's estimate is not differentiable.
    """
    check_reach(prior, sigma)
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        try:
            x0 = prior.denoise(leaf, levels(x, sigma))
        except RuntimeError as error:
            if "numpy() on Tensor that requires grad" not in str(error):
                raise
            x0 = x.detach()  # a prior that leaves torch has no gradients
    if not x0.requires_grad:
        raise Incompatible(
            f"This sampler needs gradients through the prior, and {prior!r} gives none; use a network, or a sampler "
            "without gradients such as diffpir, ddrm or hqs."
        )

    def vjp(v: Tensor) -> Tensor:
        with reproducible(x):
            return torch.autograd.grad(x0, leaf, v, retain_graph=True)[0]

    return x0.detach(), vjp


def gradient(prior: Prior, x: Tensor, sigma: float, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """``x0 = D(x, sigma)`` and ``d loss(x0)/dx`` for a loss of shape (batch,), differentiated through both."""
    x0, vjp = denoise_with_vjp(prior, x, sigma)
    with torch.enable_grad():
        leaf = x0.requires_grad_(True)
        (slope,) = torch.autograd.grad(loss(leaf).sum(), leaf)
    return x0.detach(), vjp(slope)


@contextmanager
def reproducible(x: Tensor) -> Iterator[None]:
    """On CUDA, convolutions whose gradients are the same in every run, in full precision."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=x.is_cuda, allow_tf32=False):
        yield
