"""What a diffusers scheduler's configuration says of the network beside it: what it predicts, how it is told its level.

    DDPM, DDIM, PNDM, ... (a table of betas)     `VPEstimate` of eps, v or x0
    ScoreSdeVeScheduler (NCSN++)                 `score_estimate`, pictures in [0, 1], told sigma
    EDMEulerScheduler, EDMDPMSolver...           `EDMEstimate` of F or v, told ln(sigma)/4
    CMStochasticIterativeScheduler               `ConsistencyEstimate`, told 250 ln(sigma)
    FlowMatchEulerDiscreteScheduler, ...         `FlowEstimate`, told N t

Only the configuration is read, never the scheduler's code: the solver is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from zsir.errors import BadInput, BadSpec
from zsir.priors.network import Parametrisation
from zsir.priors.parametrisations import ConsistencyEstimate, EDMEstimate, FlowEstimate, VPEstimate, score_estimate
from zsir.timetables import TimeTable, alphas_bar, checked_bar, flow_level, zero_terminal

#: schedulers with a table of betas -> (beta_schedule, beta_start, beta_end) where their file leaves them out
VP_DEFAULTS: dict[str, tuple[str, float, float]] = {
    **{
        f"{name}Scheduler": ("linear", 1e-4, 0.02)
        for name in (
            *("DDPM", "DDPMParallel", "DDIM", "DDIMParallel", "DDIMInverse", "PNDM", "DEISMultistep", "UniPCMultistep"),
            *("DPMSolverMultistep", "DPMSolverSinglestep", "EulerDiscrete", "EulerAncestralDiscrete", "LMSDiscrete"),
        )
    },
    **{f"{name}Scheduler": ("linear", 0.00085, 0.012) for name in ("HeunDiscrete", "KDPM2Discrete", "DPMSolverSDE")},
    **{f"{name}Scheduler": ("scaled_linear", 0.00085, 0.012) for name in ("LCM", "TCD")},
}
EDM = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
CONSISTENCY, SCORE = "CMStochasticIterativeScheduler", "ScoreSdeVeScheduler"


@dataclass(frozen=True)
class Reading:
    """All that `NetworkPrior` needs besides the network; ``levels`` are the smallest and largest in native units."""

    parametrise: Parametrisation = field(repr=False)
    levels: tuple[float, float]
    kind: Literal["denoiser", "consistency"] = "denoiser"
    clip: bool = False
    native_range: tuple[float, float] = (-1.0, 1.0)


@dataclass(frozen=True)
class Config:
    """The fields of a configuration file, read with their types; ``where`` names the file in errors."""

    fields: Mapping[str, Any] = field(repr=False)
    where: str

    def number(self, name: str, default: float) -> float:
        """A positive number; raises `BadInput`."""
        value = self.fields.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise BadInput(f"{self.where}: '{name}' is {value!r}; a positive number is needed.")
        return float(value)

    def steps(self, least: int = 2, most: int = 100_000) -> int:
        """The number of times that the network was trained with; raises `BadInput`."""
        value = self.number("num_train_timesteps", 1000)
        if not least <= value <= most:
            raise BadInput(f"{self.where}: 'num_train_timesteps' is {value:g}; it must lie in {least} ... {most}.")
        return int(value)

    def text(self, name: str, default: str, choices: Mapping[str, Any]) -> Any:
        """The value of ``choices`` for one of its names; raises `BadInput`."""
        value = self.fields.get(name) or default
        if not isinstance(value, str) or value not in choices:
            raise BadInput(f"{self.where}: '{name}' is {value!r}; zsir knows {', '.join(choices)}.")
        return choices[value]


def read_scheduler(fields: Mapping[str, Any], where: str) -> Reading:
    """How to read a network by its scheduler's configuration; ``where`` names the file in errors.

    Raises `BadInput` for a scheduler that is not known or a field that cannot be.
    """
    config, name = Config(fields, where), str(fields.get("_class_name", ""))
    if name in FLOW or fields.get("prediction_type") == "flow_prediction":
        return _flow(config)
    if name in VP_DEFAULTS:
        return _variance_preserving(config, *VP_DEFAULTS[name])
    if name == CONSISTENCY:
        low, high = config.number("sigma_min", 0.002), config.number("sigma_max", 80.0)
        estimate = ConsistencyEstimate(config.number("sigma_data", 0.5), low)
        return Reading(estimate, _rising(low, high, where), "consistency", clip=True)
    if name == SCORE:
        ends = config.number("sigma_min", 0.01), config.number("sigma_max", 1348.0)
        return Reading(score_estimate, _rising(*ends, where), native_range=(0.0, 1.0))
    if name in EDM:
        predicts = config.text("prediction_type", "epsilon", {"epsilon": "F", "v_prediction": "v"})
        ends = config.number("sigma_min", 0.002), config.number("sigma_max", 80.0)
        return Reading(EDMEstimate(config.number("sigma_data", 0.5), predicts), _rising(*ends, where))
    known = ", ".join([*VP_DEFAULTS, *EDM, CONSISTENCY, SCORE, *FLOW])
    raise BadInput(f"{where}: the scheduler '{name}' is not known to zsir; known are {known}.")


def _rising(low: float, high: float, where: str) -> tuple[float, float]:
    if low >= high:
        raise BadInput(f"{where}: sigma_min = {low:g} is not below sigma_max = {high:g}.")
    return low, high


def _flow(config: Config) -> Reading:
    """Times 1/N ... (N - 1)/N: at t = 1 there is noise only, a level that no state has."""
    steps = config.steps(least=3)
    low, high = (float(flow_level(t)) for t in np.array([1, steps - 1]) / steps)
    return Reading(FlowEstimate(float(steps)), (low, high))


def _variance_preserving(config: Config, schedule: str, start: float, end: float) -> Reading:
    fields, where = config.fields, config.where
    if fields.get("timestep_type", "discrete") != "discrete":
        raise BadInput(f"{where}: its network is told continuous times ('timestep_type'), which zsir does not know.")
    predicts = config.text("prediction_type", "epsilon", {"epsilon": "eps", "v_prediction": "v", "sample": "x0"})
    trained = fields.get("trained_betas")
    if trained is not None:
        try:
            bar = np.cumprod(1 - np.asarray(trained, np.float64))
        except (TypeError, ValueError):
            raise BadInput(f"{where}: 'trained_betas' is not a list of numbers.") from None
    else:
        name = str(fields.get("beta_schedule") or schedule)
        first, last = config.number("beta_start", start), config.number("beta_end", end)
        try:
            bar = alphas_bar(name, config.steps(), first, last)
        except BadSpec as error:
            raise BadInput(f"{where}: {error}") from None
    if fields.get("rescale_betas_zero_snr"):
        bar = zero_terminal(bar)
    try:
        table = TimeTable.vp(checked_bar(bar))
    except BadSpec as error:
        raise BadInput(f"{where}: {error}") from None
    # only these two limit their estimates where their file does not say
    limits = str(fields.get("_class_name", "")).startswith(("DDPM", "DDIM"))
    clip = bool(fields.get("clip_sample", limits)) and fields.get("clip_sample_range", 1.0) == 1.0
    return Reading(VPEstimate(predicts, table), (float(table.levels[0]), float(table.levels[-1])), clip=clip)
