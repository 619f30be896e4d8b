"""Wavelet shrinkage in plain torch: translation-invariant Haar wavelets, soft thresholds.

Averages and differences of pixels 2^j apart, ``(x_i +- x_(i + 2^j))/2`` along rows and columns, j = 0, 1, ...; their
adjoints, added up, give back x. White noise s becomes noise s/2^(j+1) in the three detail bands of scale j. Each band
is shrunk by ``b -> sign(b) max(|b| - T, 0)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option

#: an orthonormal basis of colours: grey, and two differences, so that noise stays white
COLOURS = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


@dataclass(frozen=True)
class Wavelet:
    """Haar shrinkage by the thresholds of `wavelet`; follows device and dtype of its input, differentiable."""

    rule: Literal["bayes", "visu"] = "bayes"
    levels: int = 4
    channels: int = 0
    sigma_range: tuple[float, float] = (0.0, 1.0)
    kind: Literal["denoiser", "consistency"] = "denoiser"
    fingerprint: str = field(default="", repr=False)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width) at noise levels sigma (batch,)."""
        level = sigma.to(x).clamp(*self.sigma_range).view(-1, 1, 1, 1)
        basis = torch.tensor(COLOURS, dtype=x.dtype, device=x.device) if x.shape[1] == 3 else None
        if basis is not None:
            x = torch.einsum("kc,bchw->bkhw", basis, x)
        margin = 1 << self.levels  # what wraps around at the border of the picture stays in it
        made = self._shrunk(F.pad(x, [margin] * 4, mode="replicate"), level, 0)
        made = made[..., margin:-margin, margin:-margin]
        return made if basis is None else torch.einsum("kc,bkhw->bchw", basis, made)

    def _shrunk(self, x: Tensor, level: Tensor, scale: int) -> Tensor:
        """x with the details of ``scale`` and coarser ones shrunk."""
        if scale == self.levels:
            return x
        step, noise = 1 << scale, level / 2 ** (scale + 1)
        made = torch.zeros_like(x)
        for down in (1, -1):
            rows = (x + down * x.roll(-step, -2)) / 2
            for right in (1, -1):
                band = (rows + right * rows.roll(-step, -1)) / 2
                if down == right == 1:
                    band = self._shrunk(band, level, scale + 1)
                else:
                    threshold = self._threshold(band, noise)
                    band = band.sign() * (band.abs() - threshold).clamp_min(0)
                back = (band + right * band.roll(step, -1)) / 2
                made = made + (back + down * back.roll(step, -2)) / 2
        return made

    def _threshold(self, band: Tensor, noise: Tensor) -> Tensor:
        """T for a band (batch, channels, height, width) that holds ``noise`` (batch, 1, 1, 1)."""
        if self.rule == "visu":
            return noise * math.sqrt(2 * math.log(band.shape[-1] * band.shape[-2]))
        power = band.square().mean((-2, -1), keepdim=True)
        signal = (power - noise**2).clamp_min(torch.finfo(band.dtype).tiny).sqrt()
        return noise**2 / signal


def wavelet(
    rule: Annotated[str, Option("how thresholds are chosen", choices=("bayes", "visu"))] = "bayes",
    levels: Annotated[int, Option("number of scales")] = 4,
) -> Wavelet:
    """Shrinkage of translation-invariant Haar wavelets, in decorrelated colours.

    Thresholds per band: noise^2/signal with signal^2 = mean(band^2) - noise^2 (rule=bayes), noise sqrt(2 ln pixels)
    (rule=visu).
    Source: Chang, Yu and Vetterli 2000 [wavelet]
    """
    if rule not in ("bayes", "visu"):
        raise BadSpec(f"wavelet:rule={rule}: choose bayes or visu.")
    if not 1 <= levels <= 8:
        raise BadSpec(f"wavelet:levels={levels}: between 1 and 8 scales.")
    return Wavelet(cast(Literal["bayes", "visu"], rule), levels)
