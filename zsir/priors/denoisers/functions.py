"""Denoisers of other packages and functions of your own as priors, without importing where they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.priors.network import faded
from zsir.timetables import inverted

Denoise = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class FunctionPrior:
    """A function ``(x, sigma) -> x0`` as a prior; made by `from_callable`.

    Attributes:
        function: The function. It is called with pictures in [0, 1], or in [-1, 1] with levels twice as large if
            ``symmetric``.
        name: Name in messages and records.
        channels: Channels of the pictures that it knows; 0 where any number works.
        sigma_range: Smallest and largest noise level that it is made for, on the [0, 1] scale.
        kind: ``denoiser`` (the default) or ``consistency``.
        symmetric: Whether the function works on pictures in [-1, 1]. By default False.
        differentiable: Whether gradients flow through it. By default True.
        module: The network inside, if any. It follows the device of the picture and sets the dtype of the call.
        fingerprint: SHA-256 of the weights, or an empty string.
    """

    function: Denoise = field(repr=False)
    name: str
    channels: int
    sigma_range: tuple[float, float]
    kind: Literal["denoiser", "consistency"] = "denoiser"
    symmetric: bool = False
    differentiable: bool = True
    module: nn.Module | None = field(default=None, repr=False)
    fingerprint: str = field(default="", repr=False)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,), in [0, 1] units.

        The function is told levels outside ``sigma_range`` as its nearest end. Below that range the estimate goes over
        to x (`faded`), whatever the function does there.

        Raises:
            BadInput: The function does not return a tensor.
            ShapeError: The function returns another shape than that of x.
        """
        parameter = next(self.module.parameters(), None) if self.module is not None else None
        if self.module is not None and parameter is not None and parameter.device != x.device:
            self.module.to(x.device)
        dtype = x.dtype if parameter is None else parameter.dtype
        told = sigma.clamp(*self.sigma_range)
        if self.symmetric:
            made = self.function((2 * x - 1).to(dtype), (2 * told).to(dtype))
        else:
            made = self.function(x.to(dtype), told.to(dtype))
        if not isinstance(made, Tensor):
            raise BadInput(f"{self.name} returned {type(made).__name__}; a denoiser returns a tensor like x.")
        if made.shape != x.shape:
            raise ShapeError(f"{self.name} returned shape {tuple(made.shape)} for pictures of {tuple(x.shape)}.")
        x0 = ((made + 1) / 2 if self.symmetric else made).to(x.dtype)
        return faded(x0, x, sigma, self.sigma_range[0])


def from_callable(
    function: Denoise,
    *,
    channels: int,
    sigma_range: tuple[float, float],
    kind: Literal["denoiser", "consistency"] = "denoiser",
    native: Literal["[0, 1]", "[-1, 1]"] = "[0, 1]",
    name: str = "",
    differentiable: bool = True,
    fingerprint: str = "",
) -> FunctionPrior:
    """Make a prior of any function or `torch.nn.Module` ``(x, sigma) -> x0``.

    Args:
        function: It gets noisy pictures x = x0 + sigma n, (batch, channels, height, width), and levels sigma, (batch,).
            It returns x0 in the shape of x.
        channels: Channels of the pictures that it knows; 0 where any number works.
        sigma_range: Smallest and largest noise level that it is made for, on the [0, 1] scale whatever ``native`` is.
        kind: ``denoiser`` for the posterior mean (the default), or ``consistency`` for one plausible picture.
        native: Units of the function: ``"[0, 1]"`` (the default), or ``"[-1, 1]"``, where levels are twice as large
            too.
        name: Name in messages and records. By default that of the function.
        differentiable: Whether gradients flow through it. False keeps samplers away that need gradients. By default
            True.
        fingerprint: SHA-256 of the weights, for records. By default empty.

    Returns:
        The prior.

    Raises:
        BadSpec: The function cannot be called, the levels do not rise, or ``native`` is not one of the two.

    >>> prior = from_callable(lambda x, s: x / (1 + s.view(-1, 1, 1, 1)), channels=0, sigma_range=(0, 1))
    >>> prior.denoise(torch.ones(1, 1, 1, 2), torch.tensor([0.25]))
    tensor([[[[0.8000, 0.8000]]]])
    """
    if not callable(function):
        raise BadSpec(f"from_callable needs a function (x, sigma) -> x0, not {type(function).__name__}.")
    low, high = sigma_range
    if not 0 <= low < high:
        raise BadSpec(f"sigma_range={sigma_range}: noise levels on the [0, 1] scale, the smaller first.")
    if native not in ("[0, 1]", "[-1, 1]"):
        raise BadSpec(f"native={native!r}: write '[0, 1]' or '[-1, 1]'.")
    net = function if isinstance(function, nn.Module) else None
    label = name or getattr(function, "__name__", type(function).__name__)
    symmetric = native == "[-1, 1]"
    return FunctionPrior(function, label, channels, (low, high), kind, symmetric, differentiable, net, fingerprint)


def from_deepinv(
    denoiser: Callable[..., Tensor],
    *,
    channels: int = 3,
    sigma_range: tuple[float, float] = (0.0, 1.0),
    differentiable: bool = True,
) -> FunctionPrior:
    """Make a prior of a deepinv denoiser ``denoiser(x, sigma)``, for pictures in [0, 1] and levels on the same scale.

    Pictures go through it one by one with a plain number as level. Not all of deepinv's denoisers take a tensor of
    levels, and some look at the whole batch.

    Args:
        denoiser: The denoiser.
        channels: Channels of the pictures that it knows; 0 where any number works. By default 3.
        sigma_range: Smallest and largest noise level that it is made for, on the [0, 1] scale. By default (0, 1).
        differentiable: Whether gradients flow through it. By default True.

    Returns:
        The prior.
    """

    def one_by_one(x: Tensor, sigma: Tensor) -> Tensor:
        levels = sigma.tolist()
        return torch.cat([denoiser(piece, level) for piece, level in zip(x.split(1), levels, strict=True)])

    net = denoiser if isinstance(denoiser, nn.Module) else None
    name = f"deepinv {type(denoiser).__name__}"
    return FunctionPrior(one_by_one, name, channels, sigma_range, differentiable=differentiable, module=net)


def from_azula(
    denoiser: Any,
    *,
    channels: int = 3,
    native: Literal["[0, 1]", "[-1, 1]"] = "[-1, 1]",
    times: tuple[float, float] = (0.0, 1.0),
) -> FunctionPrior:
    """Make a prior of an azula denoiser ``denoiser(x_t, t)`` with its ``schedule(t) -> (alpha_t, sigma_t)``.

    Its state is x_t = alpha_t x0 + sigma_t n. Ours is x = x_t / alpha_t with the level sigma_t / alpha_t, from which t
    is found by bisection. The estimate is the mean of what it returns (older versions return the mean itself).

    Args:
        denoiser: The denoiser.
        channels: Channels of the pictures that it knows; 0 where any number works. By default 3.
        native: Range of the pictures that it was trained on, ``"[0, 1]"`` or ``"[-1, 1]"`` (the default).
        times: First and last time t of its schedule. By default (0, 1).

    Returns:
        The prior, for the levels of these times.

    Raises:
        BadInput: The denoiser has no schedule or cannot be called.
    """
    schedule = getattr(denoiser, "schedule", None)
    if not callable(denoiser) or not callable(schedule):
        raise BadInput(f"{type(denoiser).__name__} is no azula denoiser: it has no schedule(t) -> (alpha_t, sigma_t).")

    def level(t: Tensor) -> Tensor:
        alpha, std = schedule(t)
        ratio: Tensor = (std / alpha).reshape(t.shape)
        return ratio

    def estimate(x: Tensor, sigma: Tensor) -> Tensor:
        t = inverted(level, sigma, *times)
        alpha = schedule(t)[0].reshape(-1, 1, 1, 1)
        made = denoiser(alpha * x, t)
        mean: Tensor = made if isinstance(made, Tensor) else made.mean
        return mean

    scale = 0.5 if native == "[-1, 1]" else 1.0
    low, high = (float(scale * level(torch.tensor([t]))) for t in times)
    net = denoiser if isinstance(denoiser, nn.Module) else None
    name = f"azula {type(denoiser).__name__}"
    return FunctionPrior(estimate, name, channels, (low, high), symmetric=native == "[-1, 1]", module=net)
