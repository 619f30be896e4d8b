"""Replay recorded runs of published samplers through the public API.

    python tests/parity/replay.py FILE.npz [FILE.npz ...]

Prints ``name max_abs_error`` per file, the error in the recording's own [-1, 1] units, and exits 1 if one exceeds
1e-6. A recording holds the toy network, the operator, the observation, every random draw and the expected result of
the authors' code (README.md in this folder has the keys); all is replayed in float64.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout works too

from zsir import Problem, solve
from zsir.errors import ZsirError
from zsir.operators import Identity, Mask, Operator, Separable
from zsir.priors import IRSDEPrior, NetworkPrior, VPEstimate, consistency_estimate
from zsir.samplers import CM4IR
from zsir.samplers.diffusion.ddnm import DDNM, walk
from zsir.samplers.diffusion.ddpg import DDPG
from zsir.samplers.diffusion.ddrm import DDRM
from zsir.samplers.diffusion.diffpir import DiffPIR
from zsir.samplers.diffusion.irsde import IRSDE
from zsir.samplers.plug_and_play.rdmd import RDMD
from zsir.timetables import IRSDESchedule, ddpm_alphas_bar

LIMIT = 1e-6


class ToyNet(nn.Module):
    """tanh(conv(x, W, b) + 0.1 cos(t / 100)), the network of every recording."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, 3, h, w), t (batch,)."""
        h = nn.functional.conv2d(x, self.weight, self.bias, padding=1)
        return torch.tanh(h + 0.1 * torch.cos(t / 100).view(-1, 1, 1, 1))


@dataclass
class Recorded:
    """Noise source that plays the recorded draws in order."""

    draws: Tensor
    used: int = 0

    def randn_like(self, x: Tensor) -> Tensor:
        """The next draw, which must have the shape of x."""
        draw = self.draws[self.used].to(x)
        assert draw.shape == x.shape
        self.used += 1
        return draw


def tensors(recording: Any) -> dict[str, Tensor]:
    """All arrays of a recording but its meta string, in float64."""
    return {k: torch.from_numpy(np.asarray(recording[k], np.float64)) for k in recording.files if k != "meta"}


def operator_of(data: dict[str, Tensor], kind: str) -> Operator:
    """The recording's operator."""
    _, channels, h, w = data["x_true"].shape
    if kind == "separable":
        return Separable(channels, data["M"], data["M"])
    if kind == "mask":
        return Mask((channels, h, w), data["mask"] == 1)
    raise ValueError(f"no replay for operator '{kind}'")


def observation_of(data: dict[str, Tensor], operator: Operator) -> Tensor:
    """y on the [0, 1] scale: (y + A 1)/2, as x there is (x + 1)/2."""
    y = data.get("y_image", data["y"])
    return (y + operator.forward(torch.ones(y.shape[0], *operator.in_shape, dtype=y.dtype))) / 2


def replay_cm4ir(data: dict[str, Tensor], meta: dict[str, Any]) -> float:
    """Largest absolute difference from the recorded result, on the [-1, 1] scale."""
    operator = operator_of(data, meta["op"])
    net = ToyNet(data["W"], data["b"])
    prior = NetworkPrior(
        net, consistency_estimate, "toy", data["W"].shape[1], (0.001, 40.0), kind="consistency", clip=True
    )
    sampler = CM4IR(
        nfe=meta["T"],
        start=meta["iN"],
        gamma=meta["gamma"],
        eta=meta["eta"],
        zeta=4 * meta["zeta"],  # their ridge is zeta (2 noise_std)^2
        deltas=tuple([*meta["deltas"], *[0.0] * meta["T"]][: meta["T"]]),
        delta_type=meta["deltas_injection_type"],
    )
    problem = Problem(observation_of(data, operator), operator, meta["sigma_y_pm1"] / 2)
    solution = solve(problem, prior, sampler, noise=Recorded(data["noise"]))
    return float((2 * solution.x - 1 - data["expected"]).abs().max())


def vp_prior(data: dict[str, Tensor], *, clip: bool = False) -> NetworkPrior:
    """The toy network as the noise predictor of DDPM's table."""
    net = ToyNet(data["W"], data["b"])
    return NetworkPrior(net, VPEstimate("eps"), "toy", data["W"].shape[1], (0.0, 80.0), clip=clip)


def vp_levels(times: Sequence[int]) -> tuple[float, ...]:
    """Noise levels on the [0, 1] scale of DDPM's times, falling."""
    a = ddpm_alphas_bar()[sorted(times, reverse=True)]
    return tuple((np.sqrt((1 - a) / a) / 2).tolist())


def uniform_times(count: int) -> list[int]:
    """0, k, 2k, ... with k = 1000 // count, as many as asked for."""
    return [k * (1000 // count) for k in range(count)]


def recorded_problem(data: dict[str, Tensor], meta: dict[str, Any], noise_std: float, init: str = "") -> Problem:
    """The observation, to be started from the recorded picture ``init`` or from mid-grey."""
    operator = operator_of(data, meta["op"])
    shape = data["x_true"].shape
    start = (data[init] + 1) / 2 if init else torch.full(shape, 0.5, dtype=torch.float64)
    return Problem(observation_of(data, operator), operator, noise_std, x_init=start)


def from_pure_noise(data: dict[str, Tensor], first: float) -> Recorded:
    """The draws of a run that begins at the VP state x_T: x_T/sqrt(abar) = 2 sigma n."""
    n = data["x_T"] * (1 + 4 * first**2) ** 0.5 / (2 * first)
    return Recorded(torch.cat([n[None], data["noise"]]))


def distance(x: Tensor, expected: Tensor) -> float:
    """Largest absolute difference on the [-1, 1] scale."""
    return float((2 * x - 1 - expected).abs().max())


def replay_ddnm(data: dict[str, Tensor], meta: dict[str, Any]) -> float:
    """DDNM, with or without time travel."""
    sigmas = vp_levels(uniform_times(meta["T"]))
    travel, repeat = meta["travel_length"], meta["travel_repeat"]
    nfe = len(walk(meta["T"], travel, repeat))
    sampler = DDNM(nfe, meta["eta"], travel, repeat, sigmas)
    solution = solve(recorded_problem(data, meta, 0.0), vp_prior(data), sampler, noise=from_pure_noise(data, sigmas[0]))
    return distance(solution.x, data["expected"])


def replay_ddrm(data: dict[str, Tensor], meta: dict[str, Any]) -> float:
    """DDRM; the released code has three etas, of which two agree in every published setting."""
    if meta["eta_less_noisy"] != meta["eta_null"]:
        raise ValueError("eta_less_noisy and eta_null differ: zsir's DDRM has one eta for both")
    sigmas = vp_levels(meta["timesteps"])
    sampler = DDRM(len(sigmas), meta["eta_less_noisy"], meta["eta_noisier"], "released", sigmas)
    problem = recorded_problem(data, meta, meta["sigma_y_pm1"] / 2)
    draws = Recorded(torch.cat([data["noise_T"][None], data["noise"]]))
    return distance(solve(problem, vp_prior(data), sampler, noise=draws).x, data["expected"])


def replay_ddpg(data: dict[str, Tensor], meta: dict[str, Any]) -> float:
    """DDPG and IDPG."""
    sigmas = vp_levels(uniform_times(meta["T"]))
    sampler = DDPG(
        meta["T"],
        meta["gamma"],
        meta["zeta"],
        meta["eta_tilde"],
        meta["step_size_mode"],
        bool(meta.get("inject_noise", 1)),
        sigmas,
    )
    problem = recorded_problem(data, meta, meta["sigma_y_pm1"] / 2)
    solution = solve(problem, vp_prior(data), sampler, noise=from_pure_noise(data, sigmas[0]))
    return distance(solution.x, data["expected"])


def replay_diffpir(data: dict[str, Tensor], meta: dict[str, Any]) -> float:
    """DiffPIR."""
    sigmas = vp_levels(data["timesteps"].int().tolist())
    sampler = DiffPIR(meta["T"], meta["lam_unit_consistent"], meta["zeta"], sigmas)
    problem = recorded_problem(data, meta, meta["sigma_y_01"], "init")
    first = (data["x_T"] * (1 + 4 * sigmas[0] ** 2) ** 0.5 - data["init"]) / (2 * sigmas[0])
    draws = Recorded(torch.cat([first[None], data["noise"]]))
    return distance(solve(problem, vp_prior(data, clip=True), sampler, noise=draws).x, data["expected"])


def replay_rdmd(data: dict[str, Tensor], meta: dict[str, Any]) -> float:
    """RDMD as released."""
    sigmas, tau = vp_levels(data["timesteps"].int().tolist()), meta["tau"]
    branches = (tau < 1) + (tau > 0 or meta["output"] == "x0")
    sampler = RDMD(
        nfe=meta["T"] * branches,
        tau=tau,
        lam=meta["lam"],
        zeta=meta["zeta"],
        recipe="paper",
        output=meta["output"],
        last=max(meta["ladder_floor"] / 255, meta["sigma_y_01"]),
        sigmas=sigmas,
    )
    problem = recorded_problem(data, meta, meta["sigma_y_01"], "z_init")
    first = (data["x_T"] * (1 + 4 * sigmas[0] ** 2) ** 0.5 - data["z_init"]) / (2 * sigmas[0])
    draws = Recorded(torch.cat([first[None], data["noise"]]))
    expected = data["expected_z"] if meta["output"] == "z" else data["expected_x0"]
    return distance(solve(problem, vp_prior(data, clip=True), sampler, noise=draws).x, expected)


class Residual(nn.Module):
    """The toy network as IR-SDE calls it, net(x_t - mu, t)."""

    def __init__(self, toy: ToyNet) -> None:
        super().__init__()
        self.toy = toy

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """x_t and mu (batch, 3, h, w), t (batch,)."""
        noise: Tensor = self.toy(x - mu, t)
        return noise


def replay_irsde(data: dict[str, Tensor], meta: dict[str, Any]) -> float:
    """IR-SDE's three kinds of step; ``sample_T`` rebuilds the schedule with fewer times, as a later release does."""
    count, scale = (meta["T"], 1.0) if meta.get("sample_T", -1) < 0 else (meta["sample_T"], meta["sample_scale"])
    plan = IRSDESchedule(count, meta["max_sigma"], meta["eps"], meta["schedule"])
    toy, mu = ToyNet(data["W"], data["b"]), data["mu"]
    prior = IRSDEPrior(Residual(toy), plan, mu=mu, debias=False, channels=mu.shape[1], time_scale=scale)
    sampler = IRSDE(count, meta["mode"], count, meta["max_sigma"], meta["eps"], meta["schedule"])
    problem = Problem(mu, Identity((mu.shape[1], mu.shape[2], mu.shape[3])), 0.0, x_init=mu)
    solution = solve(problem, prior, sampler, noise=Recorded(data["noise"]))
    return float((solution.x - data["expected"]).abs().max())


REPLAYS = {
    "cm4ir": replay_cm4ir,
    "ddnm": replay_ddnm,
    "ddrm": replay_ddrm,
    "ddpg": replay_ddpg,
    "diffpir": replay_diffpir,
    "rdmd": replay_rdmd,
    "irsde": replay_irsde,
}


def replay(path: Path) -> float:
    """Replay one file; raises ValueError for a method that is not in this version."""
    with np.load(path) as recording:
        meta = json.loads(str(recording["meta"]))
        data = tensors(recording)
    if meta["method"] not in REPLAYS:
        raise ValueError(f"no replay for method '{meta['method']}'; this version has {', '.join(REPLAYS)}")
    return REPLAYS[meta["method"]](data, meta)


def main(paths: list[str]) -> int:
    """Replay all files; the exit code."""
    worst = 0.0
    for path in paths:
        try:
            error = replay(Path(path))
        except (ZsirError, ValueError, OSError, KeyError, IndexError, AssertionError, BadZipFile) as problem:
            sys.stdout.write(f"{Path(path).stem} not replayed: {problem}\n")
            worst = float("inf")
            continue
        sys.stdout.write(f"{Path(path).stem} {error:.3e}\n")
        worst = max(worst, error if error == error else float("inf"))
    return int(worst > LIMIT)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python tests/parity/replay.py FILE.npz [FILE.npz ...]")
    sys.exit(main(sys.argv[1:]))
