"""Replay recorded runs of published samplers through the public API.

    python tests/parity/replay.py FILE.npz [FILE.npz ...]

Prints ``name max_abs_error`` per file, the error in the recording's own [-1, 1] units, and exits 1 if one exceeds
1e-6. A recording holds the toy network, the operator, the observation, every random draw and the expected result of
the authors' code (README.md in this folder has the keys); all is replayed in float64.
"""

from __future__ import annotations

import json
import sys
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
from zsir.operators import Mask, Operator, Separable
from zsir.priors import NetworkPrior, consistency_estimate
from zsir.samplers import CM4IR

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


REPLAYS = {"cm4ir": replay_cm4ir}


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
