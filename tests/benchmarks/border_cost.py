"""What a wrong border costs: PSNR of the whole picture, of its outer 40 pixels and of the rest, by the border assumed.

    python tests/benchmarks/border_cost.py [--pictures FOLDER] [--count 4] [--size 224] [--noise 0.005] [--prior photo]

The observation is made as by a camera: the blurred picture is cut out of a larger one, so that what lies beyond its
border is in it. Each border is then assumed in turn, and HQS restores with 8 calls. operators/README.md has the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from zsir import Problem, operators, pictures, priors, samplers, solve
from zsir.capabilities import cut
from zsir.protocols import Prior

KERNELS = ("motion:length=21,angle=30", "blur:sigma=3")
BORDERS = ("circular", "reflect", "zero", "unknown")
OUTER = 40


def psnr(a: Tensor, b: Tensor, where: Tensor) -> float:
    """PSNR in dB of the pixels that are named."""
    return -10 * float((a.clamp(0, 1) - b)[..., where].square().mean().log10())


def regions(height: int, width: int) -> dict[str, Tensor]:
    """The whole picture, its outer pixels and the others."""
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[OUTER:-OUTER, OUTER:-OUTER] = True
    return {"whole": torch.ones_like(inside), "outer": ~inside, "inside": inside}


def measured(spec: str, clean: Tensor, size: int, noise: float, prior: Prior) -> dict[str, list[float]]:
    """Border -> PSNR of each region, of one picture; the observation itself is among the borders as ``input``."""
    camera = operators.make(f"{spec},boundary=unknown", out_shape=(clean.shape[1], size, size))
    _, h, w = camera.in_shape
    top, left = (clean.shape[2] - h) // 2, (clean.shape[3] - w) // 2
    x = clean[..., top : top + h, left : left + w]
    y = camera.forward(x)
    y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    truth = cut(camera, x)
    results = {"input": y}
    for border in BORDERS:
        operator = operators.make(f"{spec},boundary={border}", out_shape=(clean.shape[1], size, size))
        results[border] = cut(operator, solve(Problem(y, operator, noise), prior, samplers.make("hqs:nfe=8")).x)
    return {name: [psnr(result, truth, r) for r in regions(size, size).values()] for name, result in results.items()}


def main() -> None:
    """Print the means over the pictures, one row per kernel and border."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pictures", type=Path, default=Path("experiments/data/eval34"))
    options.add_argument("--count", type=int, default=4)
    options.add_argument("--size", type=int, default=224)
    options.add_argument("--noise", type=float, default=0.005)
    options.add_argument("--prior", default="photo")
    given = options.parse_args()
    prior = priors.load(given.prior)
    files = [p for p in sorted(given.pictures.iterdir()) if p.suffix.lower() in pictures.READABLE]
    read = [pictures.read(path).pixels for path in files]
    large = [x for x in read if min(x.shape[-2:]) >= given.size + OUTER // 2 + 4]
    chosen = large[:: max(1, len(large) // given.count)][: given.count]
    print(f"{len(chosen)} pictures of {given.size}x{given.size}, noise {given.noise:g}, prior {given.prior}, hqs:nfe=8")
    for spec in KERNELS:
        rows = [measured(spec, x, given.size, given.noise, prior) for x in chosen]
        for name in rows[0]:
            values = torch.tensor([row[name] for row in rows]).mean(0)
            text = " | ".join(f"{v:6.2f}" for v in values.tolist())
            print(f"| {spec} | {name:8} | {text} |", flush=True)


if __name__ == "__main__":
    main()
