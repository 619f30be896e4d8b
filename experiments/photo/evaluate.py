"""Measure the embedded prior on held-out pictures against classical answers.

    python -m zsir.experiments.photo.evaluate FOLDER [--sheets OUT]

Prints, for each task, mean PSNR (dB) and SSIM over the pictures of FOLDER: the observation enlarged by bicubic (or
as it is), the pseudo-inverse, the Wiener solution (Tikhonov with the exact 1/f Gaussian prior), CM4IR in 4 calls
and HQS in 8. Pictures clipped to [0, 1], no border left out, SSIM with Gaussian weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from zsir import Problem, operators, priors, samplers, solve
from zsir.errors import SolveError
from zsir.images import contact_sheet, read, write
from zsir.metrics import psnr, ssim
from zsir.rng import ImageNoise
from zsir.samplers.start import initial_estimate

TASKS = (
    ("sr4x", 0.0),
    ("sr4x", 0.02),
    ("sr2x", 0.0),
    ("blur:sigma=3", 5 / 255),
    ("mask:keep=0.3", 0.0),
    ("denoise", 25 / 255),
)


def observed(problem: Problem) -> Tensor:
    """What the user has: the observation, enlarged by Pillow's bicubic where it is smaller."""
    size = problem.operator.in_shape[1:]
    if tuple(problem.y.shape[2:]) == size:
        return problem.y
    from PIL import Image

    planes = [Image.fromarray(plane.numpy()) for plane in problem.y[0]]
    enlarged = [plane.resize((size[1], size[0]), Image.Resampling.BICUBIC) for plane in planes]
    import numpy as np

    return torch.from_numpy(np.stack([np.asarray(plane) for plane in enlarged]))[None]


def methods() -> dict[str, Callable[[Problem], Tensor]]:
    """Name -> how to restore."""
    photo, gaussian = priors.load("photo"), priors.load("gaussian")

    def by(spec: str) -> Callable[[Problem], Tensor]:
        return lambda problem: solve(problem, photo, samplers.make(spec), seed=0).x

    return {
        "observed": observed,
        "pinv": lambda problem: initial_estimate(problem, 0.0),
        "wiener": lambda problem: solve(problem, gaussian, samplers.make("hqs:nfe=20,lam=1"), seed=0).x,
        "cm4ir-4": by("cm4ir:nfe=4"),
        "hqs-8": by("hqs:nfe=8"),
    }


def degrade(x: Tensor, spec: str, noise_std: float, number: int) -> Problem:
    """The observation of picture ``number``, rounded to 8 bits as a user's file is."""
    op = operators.make(spec, in_shape=(x.shape[1], x.shape[2], x.shape[3]))
    y = op.forward(x)
    noise = noise_std * ImageNoise(0, [number], "observation").randn_like(y)
    known = getattr(op, "known", None)
    y = y + (noise if known is None else noise * known)
    return Problem((y.clamp(0, 1) * 255).round() / 255, op, noise_std)


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sheets", type=Path, help="write contact sheets of every task here")
    parser.add_argument("--limit", type=int, default=None, help="only the first pictures")
    args = parser.parse_args()
    pictures = [read(f).pixels for f in sorted(args.folder.glob("*.png"))[: args.limit]]
    solvers = methods()
    print("task".ljust(28) + "".join(name.rjust(15) for name in solvers))
    for spec, noise_std in TASKS:
        scores: dict[str, list[tuple[float, float]]] = {name: [] for name in solvers}
        for number, x in enumerate(pictures):
            problem = degrade(x, spec, noise_std, number)
            panels = []
            for name, restore in solvers.items():
                try:
                    restored = restore(problem).clamp(0, 1)
                except SolveError:
                    continue
                scores[name].append((psnr(restored, x), ssim(restored, x)))
                panels.append((name, restored))
            if args.sheets:
                args.sheets.mkdir(parents=True, exist_ok=True)
                stem = spec.replace(":", "_").replace("=", "")
                write(args.sheets / f"{stem}_{noise_std:.3f}_{number:02d}.png", contact_sheet([*panels, ("truth", x)]))
        cells = []
        for values in scores.values():
            mean = [sum(v[k] for v in values) / max(1, len(values)) for k in (0, 1)]
            cells.append(f"{mean[0]:.2f}/{mean[1]:.3f}".rjust(15))
        print(f"{spec} @ {noise_std:.3f}".ljust(28) + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
