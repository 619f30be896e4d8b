"""Whether a photographer who states no noise level gets what the best level, found by hand, would give.

    python tests/benchmarks/cases.py [SET] [SIDE] [SAMPLER] [CASE ...]

Each case makes a real file (JPEG by Pillow, or PNG) of a crop of SIDE pixels (128 by default). The crop is cut from a
larger degraded photograph, so that the picture goes on beyond its border. `zsir.restore` solves the file without a
level, and with each of `LEVELS`.

- SET ``tune`` names the pictures that rules were calibrated on, ``report`` (the default) others.
- SAMPLER is a spec, or ``default`` for what the command takes by itself.
- CASE is the beginning of a case's name.

One JSON object for each picture goes to stderr.

The table has one row for each case, with means over the pictures in dB:

- ``input``: PSNR of the file, enlarged by bicubic interpolation where it is smaller
- ``default``: PSNR without a level, ``best``: the best of all levels, chosen for each picture with the truth in hand
- ``gap``: best minus default, and the largest gap of a picture
- ``gain``: default minus input, of the picture with the least
- ``level``: geometric means of the level that was taken and of the best one
- ``said``: results that were refused (`Restored.harm`), and those with the sentence that the stated noise is wrong
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage import data
from torch import Tensor

import zsir
from zsir import metrics, operators, pictures, priors
from zsir.protocols import Prior

EVAL = Path(__file__).parents[2] / "experiments" / "data" / "eval34"
#: numbers of sorted pictures in eval34, and names of photographs in scikit-image
SETS: dict[str, tuple[int | str, ...]] = {
    "tune": (1, 9, 17),
    "report": (4, 20, "coffee"),
}
LEVELS = (0.0015, 0.004, 0.008, 0.011, 0.0155, 0.022, 0.033, 0.05, 0.08)
#: how far pictures are degraded beyond the crop, a multiple of 4
BEYOND = 32


@dataclass(frozen=True)
class Case:
    """One kind of damage: the spec of the operator, noise on the [0, 1] scale, and the quality of JPEG, 0 for PNG.

    ``{here}`` in the spec is the folder of the kernels and masks.
    """

    name: str
    op: str
    noise: float = 0.0
    quality: int = 0


CASES = (
    Case("blur q75", "blur:sigma=1.6", 0, 75),
    Case("box q75", "uniform:size=5", 0, 75),
    Case("defocus q75", "kernel:path={here}/disc.npy", 0, 75),
    Case("motion q85", "motion:length=11,angle=30", 0, 85),
    Case("phone 0.03 q80", "identity", 0.03, 80),
    Case("phone 0.06 q80", "identity", 0.06, 80),
    Case("thumbnail q85", "sr4x", 0, 85),
    Case("thumbnail x2 q85", "sr2x", 0, 85),
    Case("scan", "mask-file:path={here}/mask.png", 2 / 255),
    Case("jpeg q60", "identity", 0, 60),
    Case("jpeg q75", "identity", 0, 75),
    Case("jpeg q92", "identity", 0, 92),
    Case("png blur", "blur:sigma=1.6"),
    Case("png defocus", "kernel:path={here}/disc.npy"),
    Case("noisy blur q90", "blur:sigma=1.6", 0.02, 90),
)


@dataclass(frozen=True)
class Row:
    """What came of one picture of a case with one sampler. ``levels`` has (level, ignore_jpeg, PSNR)."""

    case: str
    picture: int | str
    sampler: str
    plain: float
    default: float
    taken: float
    harm: str
    verdict: tuple[str, ...]
    misleading: bool
    levels: tuple[tuple[float, bool, float], ...]

    @property
    def best(self) -> tuple[float, float]:
        """PSNR and level of the best by hand."""
        return max((value, level) for level, _, value in self.levels)


def photograph(name: int | str) -> Tensor:
    """A whole photograph (1, 3, height, width)."""
    if isinstance(name, str):
        return pictures.as_picture(getattr(data, name)()).pixels
    return pictures.read(sorted(EVAL.glob("*.png"))[name]).pixels


def cropped(x: Tensor, side: int, beyond: int) -> Tensor:
    top, left = ((length - side) // 2 // 4 * 4 - beyond for length in x.shape[-2:])
    return x[..., top : top + side + 2 * beyond, left : left + side + 2 * beyond]


def disc(radius: float) -> NDArray[np.float64]:
    """The kernel of a lens out of focus, with soft edges."""
    reach = math.ceil(radius)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    weights: NDArray[np.float64] = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1)
    return weights / weights.sum()


def prepare(here: Path, side: int) -> None:
    """Write the kernel and the mask that the specs name."""
    np.save(here / "disc.npy", disc(2.5))
    mask = Image.new("L", (side, side), 255)
    draw, rng = ImageDraw.Draw(mask), np.random.default_rng(5)
    for _ in range(side // 16):
        x0, y0, x1, y1 = rng.integers(0, side, 4).tolist()
        draw.line((x0, y0, x1, y1), fill=0, width=int(rng.integers(1, 4)))
    mask.save(here / "mask.png")


def make(case: Case, whole: Tensor, side: int, here: Path, seed: int) -> tuple[Path, Tensor]:
    """The file of a case, and the truth (1, 3, side, side)."""
    op = case.op.format(here=here)
    masked, reduced = op.startswith("mask"), op.startswith("sr")
    beyond = 0 if masked or reduced else BEYOND
    x = cropped(whole, side, beyond)
    y = operators.make(op, in_shape=(3, x.shape[2], x.shape[3])).forward(x)
    if masked:  # scratches are white
        y = y + (1 - operators.make(op, in_shape=(3, side, side)).forward(torch.ones_like(x)))
    y = y + case.noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))
    y = y[..., beyond : y.shape[2] - beyond, beyond : y.shape[3] - beyond]
    picture = Image.fromarray((255 * y.clamp(0, 1)[0].permute(1, 2, 0)).round().byte().numpy())
    path = here / ("file.jpg" if case.quality else "file.png")
    picture.save(path, **(dict[str, Any](quality=case.quality) if case.quality else {}))
    return path, cropped(whole, side, 0)


def solved(path: Path, op: str, prior: Prior, sampler: str | None, **options: float | bool) -> zsir.Restored:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zsir.PictureWarning)
        return zsir.restore(path, op, prior=prior, sampler=sampler, seed=0, **options)  # type: ignore[arg-type]


def solve_all(
    case: Case, name: int | str, side: int, prior: Prior, spec: str = "default", by_hand: tuple[float, ...] = LEVELS
) -> Row:
    """Solve one picture of a case, without a level and with all levels."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        prepare(here, side)
        path, truth = make(case, photograph(name), side, here, seed=len(case.name))
        op = case.op.format(here=here)
        plain = metrics.psnr(pictures.enlarge(pictures.read(path).pixels, (side, side)), truth)
        ways = [False, True] if case.quality and op == "identity" else [bool(case.quality)]
        sampler = None if spec == "default" else spec
        found = solved(path, op, prior, sampler)
        tried, misleading = list[tuple[float, bool, float]](), False
        for ignore, level in ((ignore, level) for ignore in ways for level in by_hand):
            result = solved(path, op, prior, sampler, noise=level, ignore_jpeg=ignore)
            tried.append((level, ignore, metrics.psnr(result.x, truth)))
            if tried[-1] == max(tried, key=lambda one: one[2]):
                misleading = bool(result.doubt)
        return Row(
            *(case.name, name, spec, plain, metrics.psnr(found.x, truth), found.provenance["noise_std"]),
            *(found.harm, found.verdict, misleading, tuple(tried)),
        )


def line(case: str, sampler: str, found: list[Row]) -> str:
    """A line of the table."""
    mean: Callable[[list[float]], float] = lambda numbers: sum(numbers) / len(numbers)  # noqa: E731
    gaps, gains = [row.best[0] - row.default for row in found], [row.default - row.plain for row in found]
    levels = [
        math.exp(mean([math.log(max(1e-4, one)) for one in each]))
        for each in ([row.taken for row in found], [row.best[1] for row in found])
    ]
    return (
        f"{case:17} {sampler:9} {mean([row.plain for row in found]):6.2f} {mean([row.default for row in found]):7.2f} "
        f"{mean([row.best[0] for row in found]):6.2f} {mean(gaps):6.2f} {max(gaps):6.2f} {min(gains):6.2f} "
        f"{levels[0]:7.4f} {levels[1]:7.4f}  {sum(bool(row.harm) for row in found)}, "
        f"{sum(row.misleading for row in found)}"
    )


def main(chosen: str = "report", side: str = "128", sampler: str = "default", *names: str) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    prior = priors.load("photo")
    print(
        f"{'case':17} {'sampler':9} {'input':>6} default   best    gap  worst   gain   level    best  said", flush=True
    )
    for case in CASES:
        if names and not case.name.startswith(names):
            continue
        found = []
        for name in SETS[chosen]:
            found.append(solve_all(case, name, int(side), prior, sampler))
            print(json.dumps(asdict(found[-1])), file=sys.stderr, flush=True)
        print(line(case.name, sampler, found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
