"""Denoisers without training from scikit-image: total variation and non-local means.

The noise level enters each by a rule ``strength = factor * sigma``. The factors were tuned once, each to the highest
mean PSNR over the photographs astronaut, chelsea, coffee and rocket of scikit-image (cut to 128 x 128) with noise of
15, 25 and 50 of 255; none of them was chosen on the pictures that results are reported on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from zsir.errors import BadInput, BadSpec
from zsir.names.registry import Option

#: factors of the rule above
TV_FACTOR, NLM_FACTOR = 0.85, 0.5


@dataclass(frozen=True, eq=False)
class ArrayPrior:
    """A denoiser of one picture (height, width, channels), float32 in [0, 1], as a numpy array, and a level; made by
    `tv` and `nlm`. No gradients; computes on the CPU."""

    function: Callable[[np.ndarray, float], np.ndarray] = field(repr=False)
    name: str
    factor: float
    channels: int = 0
    sigma_range: tuple[float, float] = (0.0, 1.0)
    kind: Literal["denoiser", "consistency"] = "denoiser"
    fingerprint: str = field(default="", repr=False)
    differentiable: bool = field(default=False, repr=False)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,), one by one."""
        levels = sigma.clamp(*self.sigma_range).tolist()
        pictures = x.detach().permute(0, 2, 3, 1).float().cpu().numpy()
        made = [p if s == 0 else self.function(p, s) for p, s in zip(pictures, levels, strict=True)]
        return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).to(x).contiguous()


def tv(
    factor: Annotated[float, Option("weight of the total variation per unit of noise")] = TV_FACTOR,
    iterations: Annotated[int, Option("steps of Chambolle's projection at most")] = 200,
) -> ArrayPrior:
    """Total variation denoising: the piecewise smooth picture near x, jointly in all channels.

    D(x, s) = argmin_z 1/2 ||z - x||^2 + factor s TV(z). Needs: pip install 'zsir[classical]'.
    Source: Chambolle 2004 [tv], as implemented in scikit-image
    """
    if factor <= 0 or iterations < 1:
        raise BadSpec(f"tv:factor={factor:g},iterations={iterations}: both must be positive.")
    restoration = _scikit_image("tv")

    def denoise(picture: np.ndarray, sigma: float) -> np.ndarray:
        made: np.ndarray = restoration.denoise_tv_chambolle(
            picture, weight=factor * sigma, eps=1e-5, max_num_iter=iterations, channel_axis=-1
        )
        return made

    return ArrayPrior(denoise, "tv", factor)


def nlm(
    factor: Annotated[float, Option("width of the kernel between patches per unit of noise")] = NLM_FACTOR,
    patch: Annotated[int, Option("side of a patch", "pixels")] = 5,
    reach: Annotated[int, Option("how far a similar patch may lie", "pixels")] = 8,
) -> ArrayPrior:
    """Non-local means: the average over pixels whose surroundings look alike.

    D(x, s)_i ~ sum_j exp(-max(0, d_ij^2 - 2 s^2)/(factor s)^2) x_j, d_ij^2 the mean squared difference of the patches
    around i and j. Needs: pip install 'zsir[classical]'.
    Source: Buades, Coll and Morel 2005 [nlm], as implemented in scikit-image
    """
    if factor <= 0 or patch < 1 or reach < 1:
        raise BadSpec(f"nlm:factor={factor:g},patch={patch},reach={reach}: all must be positive.")
    restoration = _scikit_image("nlm")

    def denoise(picture: np.ndarray, sigma: float) -> np.ndarray:
        made: np.ndarray = restoration.denoise_nl_means(
            picture, patch, reach, h=factor * sigma, sigma=sigma, fast_mode=True, channel_axis=-1
        )
        return made.reshape(picture.shape)  # sides of one pixel were taken out

    return ArrayPrior(denoise, "nlm", factor)


def _scikit_image(name: str) -> Any:
    try:
        from skimage import restoration
    except ImportError as error:
        raise BadInput(f"{name} needs scikit-image ({error}); pip install 'zsir[classical]'.") from None
    return restoration
