"""The progress of a run: PSNR on held-out pictures, and a sheet to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zsir.metrics import psnr
from zsir.pictures import contact_sheet, write
from zsir.priors.network import NetworkPrior
from zsir.priors.wrappers.grey import Grey
from zsir.rng import PictureNoise

#: noise of the measured denoising, on the [0, 1] scale
LEVELS = (15 / 255, 25 / 255, 50 / 255)
#: the preview: side of a picture, number of pictures, noise levels, and steps of a sample
SIDE, SHOWN, SHOWN_LEVELS, SAMPLE_STEPS = 128, 3, (25 / 255, 0.3), 24


@dataclass(frozen=True)
class Measured:
    """Mean PSNR (dB) of denoising at `LEVELS`."""

    psnr: tuple[float, ...]


@torch.no_grad()
def measure(prior: NetworkPrior, pictures: Sequence[Tensor]) -> Measured:
    """Denoise held-out pictures (1, channels, height, width). The noise is always the same, and grey on grey ones."""
    totals = [0.0] * len(LEVELS)
    for number, x in enumerate(pictures):
        source = PictureNoise(0, [number], "validation")
        for k, sigma in enumerate(LEVELS):
            totals[k] += psnr(_denoised(prior, x, sigma, source)[1].clamp(0, 1), x) / len(pictures)
    return Measured(tuple(totals))


def _denoised(network: NetworkPrior, x: Tensor, sigma: float, source: PictureNoise) -> tuple[Tensor, Tensor]:
    """A noisy picture and its estimate, in the channels of x."""
    y = x + sigma * source.randn_like(x)
    prior = Grey(network) if x.shape[1] < network.channels else network
    return y, prior.denoise(y.to(_device(network)), torch.full((1,), sigma, device=_device(network))).cpu()


@torch.no_grad()
def sample(prior: NetworkPrior, side: int, seed: int) -> Tensor:
    """A picture (1, channels, side, side) out of noise: Euler steps of the ODE ``dx/ds = (x - D(x, s))/s`` in equal
    ratios, or, from a consistency model, one call."""
    highest = prior.sigma_range[1]
    lowest = min(0.01, highest / 2)
    x = torch.zeros(1, prior.channels, side, side)
    x = (0.5 + highest * PictureNoise(seed, [0], "preview").randn_like(x)).to(_device(prior))
    steps = SAMPLE_STEPS if prior.kind == "denoiser" else 1
    sigmas = [highest * (lowest / highest) ** (k / steps) for k in range(steps)]
    for sigma, after in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        x0 = prior.denoise(x, x.new_full((1,), sigma))
        x = x0 + after / sigma * (x - x0)
    return x.cpu()


def write_preview(path: Path, prior: NetworkPrior, pictures: Sequence[Tensor]) -> None:
    """Write a sheet: pictures with noise 25/255 and 0.3, their restorations, the clean pictures, and samples from pure
    noise."""
    columns: dict[str, list[Tensor]] = {}
    for number, x in enumerate(pictures[:SHOWN]):
        x = x[..., :SIDE, :SIDE].expand(-1, 3, -1, -1) if x.shape[1] == 1 else x[..., :SIDE, :SIDE]
        source = PictureNoise(1, [number], "validation")
        for sigma in SHOWN_LEVELS:
            shown = x[:, : prior.channels]
            noisy, estimate = _denoised(prior, shown, sigma, source)
            columns.setdefault(f"noise {sigma:.2g}", []).append(_framed(noisy))
            columns.setdefault(f"restored {sigma:.2g}", []).append(_framed(estimate))
        columns.setdefault("picture", []).append(_framed(x))
    samples = [_framed(sample(prior, SIDE, k)) for k in range(SHOWN)]
    columns["samples"] = samples
    write(path, contact_sheet([(title, torch.cat(column, 2)) for title, column in columns.items()]))


def _framed(x: Tensor) -> Tensor:
    """x as three channels on a white square of the sheet's size."""
    out = torch.ones(1, 3, SIDE + 4, SIDE + 4)
    out[..., : x.shape[-2], : x.shape[-1]] = x.clamp(0, 1)
    return out


def _device(prior: NetworkPrior) -> torch.device:
    return next(prior.net.parameters()).device
