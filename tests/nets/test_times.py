"""Time maps of every family: what the network is told rises with the level and leads back to it by a formula that is
written here from the papers, not taken from the package."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from tests.nets.hub_folders import SCHEDULERS
from zsir.priors import NetworkPrior
from zsir.priors.checkpoints.adm.config import ADMSettings
from zsir.priors.checkpoints.adm.load import _reading
from zsir.priors.checkpoints.irsde.mean_reverting import IRSDEPrior
from zsir.priors.checkpoints.schedulers import Reading, read_scheduler
from zsir.timetables import IRSDESchedule

STEPS = 400
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
ADM = {
    "adm linear": ADMSettings(head_channels=16),
    "adm cosine": ADMSettings(head_channels=16, noise_schedule="cosine"),
    "adm rescaled": ADMSettings(head_channels=16, diffusion_steps=250, rescale_timesteps=True),
}
ADM_LOGARITHMIC = {
    "consistency": ADMSettings(head_channels=16, kind="consistency"),
    "edm": ADMSettings(head_channels=16, kind="edm"),
}
KINDS: tuple[Literal["cosine", "linear", "constant"], ...] = ("cosine", "linear", "constant")


class Listening(nn.Module):
    """Remembers what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64), requires_grad=False)
        self.told: list[Tensor] = []

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        self.told.append(told)
        return 0 * x


def times_of(reading: Reading, levels: Tensor) -> Tensor:
    """What a network is told at ``levels`` of pictures in [0, 1]."""
    net, width = Listening(), reading.native_range[1] - reading.native_range[0]
    ends = reading.levels[0] / width, reading.levels[1] / width
    prior = NetworkPrior(net, reading.parametrise, "heard", 3, ends, native_range=reading.native_range)
    prior.denoise(torch.full((len(levels), 3, 2, 2), 0.5, dtype=torch.float64), levels)
    return torch.cat(net.told)


def by_table(bar: np.ndarray, factor: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Level of pictures in [0, 1] of times: between whole times its logarithm is a straight line."""
    logs = 0.5 * np.log((1 - bar) / bar)
    return lambda told: torch.from_numpy(np.exp(np.interp(told.numpy() / factor, np.arange(len(bar)), logs)) / 2)


def by_logarithm(scale: float, told: Tensor) -> Tensor:
    """Level of pictures in [0, 1] of ``scale`` times the logarithm of the level in [-1, 1] units."""
    return (told / scale).exp() / 2


def families() -> Iterator[tuple[str, Reading, Callable[[Tensor], Tensor]]]:
    """(name, how the network is read, level of what it is told)."""
    formulas: dict[str, Callable[[Tensor], Tensor]] = {
        "edm": partial(by_logarithm, 0.25),
        "edm-v": partial(by_logarithm, 0.25),
        "consistency": partial(by_logarithm, 250.0),
        "score": lambda told: told,
        "flow": lambda told: told / 1000 / (1 - told / 1000) / 2,
    }
    for name, make in SCHEDULERS.items():
        scheduler = make()
        reading = read_scheduler(dict(scheduler.config, _class_name=type(scheduler).__name__), name)
        yield name, reading, formulas.get(name) or by_table(scheduler.alphas_cumprod.double().numpy())
    for table in BETAS:
        config = {"beta_schedule": table, "num_train_timesteps": STEPS, "beta_start": 1e-3, "beta_end": 0.03}
        bar = DDPMScheduler(**config).alphas_cumprod.double().numpy()
        yield table, read_scheduler({"_class_name": "DDPMScheduler", **config}, table), by_table(bar)
    zero = {"_class_name": "DDPMScheduler", "rescale_betas_zero_snr": True}
    bar = DDPMScheduler(rescale_betas_zero_snr=True).alphas_cumprod.double().numpy()[:-1]
    yield "zero terminal", read_scheduler(zero, "zero"), by_table(bar)
    for name, settings in ADM.items():
        parametrise, levels, factor = _reading(settings)
        n = settings.diffusion_steps
        betas = np.linspace(1e-4, 0.02, n) * 1000 / n
        if settings.noise_schedule == "cosine":
            f = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * math.pi / 2) ** 2
            betas = np.minimum(1 - f[1:] / f[:-1], 0.999)
        assert factor == (4.0 if settings.rescale_timesteps else 1.0)
        yield name, Reading(parametrise, levels), by_table(np.cumprod(1 - betas))
    for kind, settings in ADM_LOGARITHMIC.items():
        parametrise, levels, factor = _reading(settings)
        # both are told 250 ln(s), which is a thousand times EDM's ln(s)/4
        yield f"adm {kind}", Reading(parametrise, levels), partial(by_logarithm, 250 / factor)


FAMILIES = {name: (reading, level) for name, reading, level in families()}


@pytest.mark.parametrize("name", FAMILIES)
def test_times_rise_and_invert(name: str) -> None:
    reading, level_of = FAMILIES[name]
    width = reading.native_range[1] - reading.native_range[0]
    low, high = (end / width for end in reading.levels)
    levels = torch.logspace(math.log10(low), math.log10(high), 61, dtype=torch.float64)
    told = times_of(reading, levels)
    assert bool((told.diff() > 0).all())
    # diffusers' own tables are in float32, which tells at the ends of a table
    inside = slice(1, -1)
    back = level_of(told)
    assert torch.allclose(back[inside], levels[inside], rtol=2e-3 if name == "zero terminal" else 3e-4, atol=0)
    beyond = times_of(reading, torch.tensor([low / 100, low, high, high * 100], dtype=torch.float64))
    assert float(beyond[0]) == float(beyond[1]) and float(beyond[2]) == float(beyond[3])  # the ends are held


@pytest.mark.parametrize("kind", KINDS)
def test_times_of_irsde_rise_and_invert(kind: Literal["cosine", "linear", "constant"]) -> None:
    """sigma_t = lambda sqrt(exp(2 H_t) - 1), H_t the sum of the steps' lengths, which add up to -ln(eps)."""
    schedule = IRSDESchedule(50, 30 / 255, kind=kind)
    heard: list[Tensor] = []

    def listening(x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        heard.append(t)
        return 0 * x

    prior = IRSDEPrior(listening, schedule, torch.zeros(1, 3, 2, 2, dtype=torch.float64))

    def told(levels: Tensor) -> Tensor:
        heard.clear()
        prior.denoise(torch.zeros(len(levels), 3, 2, 2, dtype=torch.float64), levels)
        return torch.cat(heard)

    k = np.arange(1, 51)
    n = {"cosine": 52, "linear": 51, "constant": 1}[kind]
    angle = ((k + 1) / n + 0.008) / 1.008 * math.pi / 2
    speeds = {
        "cosine": 1 - (np.cos(angle) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2,
        "linear": np.linspace(0.1 / n, 20 / n, 51)[1:],
        "constant": np.ones(50),
    }[kind]
    lengths = np.cumsum(speeds) / speeds.sum() * -math.log(0.005)
    sigma = 30 / 255 * np.sqrt(np.expm1(2 * lengths))
    assert told(torch.from_numpy(sigma)).tolist() == pytest.approx(k.tolist(), abs=1e-8)
    ladder = torch.logspace(math.log10(sigma[0]), math.log10(sigma[-1]), 61, dtype=torch.float64)
    times = told(ladder)
    assert bool((times.diff() > 0).all())
    back = np.exp(np.interp(times.numpy(), k, np.log(sigma)))
    assert np.allclose(back, ladder.numpy(), rtol=1e-9, atol=0)
