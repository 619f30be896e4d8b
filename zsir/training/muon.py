"""The optimisers of a recipe: AdamW, or Muon, which takes steps of equal length in all directions of a layer.

Muon (Jordan et al. 2024) takes the momentum M = U S V^T of a layer's weights, as a matrix with one row per index of its
first axis, and steps along the nearest semi-orthogonal matrix, U V^T. Five Newton-Schulz iterations compute it. The
step is scaled to the size of AdamW's (Liu et al. 2025, equation 4), so that both work with a similar ``lr``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

#: coefficients of the odd quintic whose iteration drives singular values towards 1 (Jordan et al. 2024)
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95
#: root mean square of AdamW's usual step, in units of lr
RMS = 0.2
#: orthogonal steps never shrink: without weight decay the weights would grow with the number of steps
WEIGHT_DECAY = {"adamw": 1e-4, "muon": 1e-2}


def optimiser_of(net: nn.Module, name: str, lr: float) -> torch.optim.Optimizer:
    """The optimiser of a network.

    - ``adamw``: AdamW for all weights
    - ``muon``: Muon for the weights of the inner convolutions. AdamW for the rest: the first and last convolution, the
      biases, and the layers of the noise level
    """
    if name == "adamw":
        return torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=WEIGHT_DECAY["adamw"], betas=(0.9, 0.99))
    convolutions = [p for p in net.parameters() if p.ndim == 4]
    inner = {id(p) for p in convolutions[1:-1]}
    rest = [p for p in net.parameters() if id(p) not in inner]
    return Muon([p for p in convolutions if id(p) in inner], rest, lr)


class Muon(torch.optim.AdamW):
    """Muon for ``matrices`` (weights of two or more axes), AdamW for ``rest``."""

    def __init__(self, matrices: list[nn.Parameter], rest: list[nn.Parameter], lr: float) -> None:
        groups: list[dict[str, Any]] = [
            {"params": matrices, "orthogonal": True, "weight_decay": WEIGHT_DECAY["muon"]},
            {"params": rest, "orthogonal": False, "weight_decay": WEIGHT_DECAY["adamw"]},
        ]
        super().__init__(groups, lr=lr, betas=(0.9, 0.99))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of both; the gradients of ``matrices`` are used up."""
        if closure is not None:
            raise TypeError("Muon takes no closure.")
        for group in self.param_groups:
            if group["orthogonal"]:
                for p in group["params"]:
                    if p.grad is not None:
                        self._turn(p, group["lr"], group["weight_decay"])
                        p.grad = None  # AdamW passes over weights without one
        super().step()

    def _turn(self, p: Tensor, lr: float, weight_decay: float) -> None:
        assert p.grad is not None
        state = self.state[p]
        if not state:  # AdamW wants a step of every state that it loads
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(p))
        momentum = state["momentum"]
        momentum.lerp_(p.grad, 1 - MOMENTUM)
        ahead = p.grad.lerp(momentum, MOMENTUM)  # Nesterov's
        matrix = ahead.reshape(len(ahead), -1)
        step = (RMS * max(matrix.shape) ** 0.5 * orthogonal(matrix)).reshape(p.shape)
        p.mul_(1 - lr * weight_decay).add_(step, alpha=-lr)


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V^T of a matrix U S V^T: singular values are brought between 0.7 and 1.2, small ones less.

    With X = M/|M|, G = X X^T (of the shorter side) the iteration X <- (a + b G + c G^2) X needs X at its end only: the
    polynomials in G commute, so that their product is gathered in the small space. That squares the condition number:
    float32 gives three digits (tested), which is plenty; products of fewer bits (TF32) would not do.
    """
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / x.norm().clamp_min(1e-7)
    gram = x @ x.mT
    one = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    product = a * one + b * gram + c * (gram @ gram)
    polynomial = product
    for _ in range(ITERATIONS - 1):
        gram = polynomial @ gram @ polynomial
        polynomial = a * one + b * gram + c * (gram @ gram)
        product = polynomial @ product
    near: Tensor = product @ x
    return near.mT if tall else near
