"""How often `zsir.workflow.harm` notices a ruined result, and how often it refuses a good one.

    python tests/benchmarks/harm.py [PARITY] [EVERY]

Crops of 128x128 from the pictures of experiments/data/eval34 are degraded, rounded to 8 bits, and restored by CM4IR (4
calls) and HQS (8 calls) in turn. PARITY 0 (the default) takes the pictures 0, 6, 12, ... for EVERY 6, with which the
thresholds were chosen; PARITY 3 takes others. The table counts results by their gain over the observation.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zsir import Problem, metrics, operators, pictures, priors, samplers, solve
from zsir.workflow.harm import harm

SIDE, BEYOND = 128, 32
PICTURES = Path(__file__).parents[2] / "experiments" / "data" / "eval34"
SHAKE = "shake:size=15,seed=3,boundary=circular"
SLANTED = "motion:length=15,angle=30,boundary=circular"
LEVEL = "motion:length=15,angle=0"
ROUNDING = 0.0012
#: the operator, noise of 255, quality of JPEG or 0, and noise that is told: all as it was
RIGHT: list[tuple[str, int, int, float]] = [
    *(("identity", n, 0, n / 255) for n in (10, 25)),
    *((op, 0, 0, ROUNDING) for op in ("blur:sigma=1.2", "blur:sigma=3", "uniform:size=7", "sr2x", "sr4x", "sr8x")),
    *((op, 2, 0, 2 / 255) for op in ("blur:sigma=1.2", "motion:length=9,angle=0", "uniform:size=5", SHAKE)),
    *((op, 5, 0, 5 / 255) for op in ("blur:sigma=3", SLANTED, "sr4x", "mask:keep=0.3")),
    *(("blur:sigma=2", 10, 0, 10 / 255), ("mask:keep=0.3", 0, 0, ROUNDING)),
    *(("blur:sigma=1.2", 0, 75, 0.02), (LEVEL, 0, 80, 0.03)),
]
#: the same with too little noise told
TOO_LITTLE = [
    *(("blur:sigma=1.2", 0, 75, 0.0007), ("blur:sigma=1.2", 0, 75, 0.004), ("blur:sigma=3", 0, 60, 0.0015)),
    *((LEVEL, 0, 80, 0.001), (LEVEL, 2, 90, 0.004), ("sr4x", 0, 75, 0.001), ("sr2x", 10, 0, 0.001)),
    *(("blur:sigma=2", 5, 0, 0.001), ("blur:sigma=2", 5, 0, 0.006), (SHAKE, 5, 0, 0.002)),
]
#: what happened, what is told, noise of 255, noise that is told, and whether the picture goes on beyond the border
WRONG = [
    ("blur:sigma=2", "blur:sigma=2", 2, 2 / 255, True),
    (LEVEL, LEVEL, 2, 2 / 255, True),
    (LEVEL, LEVEL, 1, 0.003, True),
    ("blur:sigma=3", "blur:sigma=3,boundary=circular", 1, 0.003, True),
    ("blur:sigma=2", "blur:sigma=2,boundary=circular", 1, 2 / 255, True),
    (LEVEL, f"{LEVEL},boundary=circular", 1, 0.003, True),
    (SLANTED, SLANTED, 1, 0.01, True),
    ("blur:sigma=1.5", "blur:sigma=3", 1, 0.004, False),
    ("blur:sigma=1.5", "blur:sigma=3", 2, 2 / 255, False),
    ("motion:length=9,angle=0", "motion:length=18,angle=0", 1, 0.004, False),
    ("motion:length=9,angle=0", "motion:length=9,angle=90", 1, 0.01, False),
    ("identity", "blur:sigma=2", 1, 0.004, False),
    ("turned", SHAKE, 1, 0.004, False),
    ("turned", SHAKE, 2, 0.02, False),
]
BINS = ((-99.0, -3.0), (-3.0, -1.0), (-1.0, -0.3), (-0.3, 99.0))


def through(op: str, x: Tensor) -> Tensor:
    if op == "turned":  # the kernel of the shake turned by 180 degrees
        return through(SHAKE, x.flip(-1, -2)).flip(-1, -2)
    return operators.make(op, in_shape=(x.shape[1], x.shape[2], x.shape[3])).forward(x)


def rounded(y: Tensor, quality: int) -> Tensor:
    array = (255 * y.clamp(0, 1)[0].permute(1, 2, 0)).round().byte().numpy()
    if quality:
        file = io.BytesIO()
        Image.fromarray(array).save(file, "JPEG", quality=quality, subsampling=2)
        array = np.array(Image.open(file))
    return torch.from_numpy(array).permute(2, 0, 1)[None] / 255


def main(parity: int, every: int) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    prior = priors.load("photo")
    cases = [(op, op, n, q, told, False, True) for op, n, q, told in RIGHT]
    cases += [(op, op, n, q, told, False, False) for op, n, q, told in TOO_LITTLE]
    cases += [(true, op, n, 0, told, beyond, False) for true, op, n, told, beyond in WRONG]
    caught, all_of, refused, good = Counter[int](), Counter[int](), 0, 0
    for number, path in list(enumerate(sorted(PICTURES.glob("*.png"))))[parity::every]:
        whole = pictures.read(path).pixels
        top, left = ((side - SIDE) // 2 for side in whole.shape[-2:])
        x = whole[..., top : top + SIDE, left : left + SIDE]
        wide = whole[..., top - BEYOND : top + SIDE + BEYOND, left - BEYOND : left + SIDE + BEYOND]
        for k, (true, op, n, quality, told, beyond, right) in enumerate(cases):
            y = through(true, wide)[..., BEYOND:-BEYOND, BEYOND:-BEYOND] if beyond else through(true, x)
            y = y + n / 255 * torch.randn(y.shape, generator=torch.Generator().manual_seed(100 * number + k))
            operator = operators.make(op, in_shape=(3, SIDE, SIDE))
            problem = Problem(rounded(y, quality), operator, told)
            sampler = samplers.make("hqs:nfe=8") if (number // every + k) % 2 else samplers.make(nfe=4)
            result = solve(problem, prior, sampler, seed=0).x
            plain = pictures.enlarge(problem.y, (SIDE, SIDE))
            gain = metrics.psnr(result.clamp(0, 1), x) - metrics.psnr(plain, x)
            found = bool(harm(problem, result, metrics.contradiction(problem, result)[0], op))
            place = next(i for i, (low, high) in enumerate(BINS) if low <= gain < high)
            all_of[place] += 1
            caught[place] += found
            good += right
            refused += right and found
    print(f"all as it was: {refused} of {good} refused")
    for place, (low, high) in enumerate(BINS):
        print(f"gain {low:g} to {high:g} dB: {caught[place]} of {all_of[place]} refused")


if __name__ == "__main__":
    main(*(int(text) for text in [*sys.argv[1:], *("0", "6")[len(sys.argv) - 1 :]]))
