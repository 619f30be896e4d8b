"""How well `zsir inspect` finds what was done to photographs: a table by kind of damage.

    python tests/benchmarks/inspect_truth.py [--every 2] [--start 1]

The pictures are the crops of eval34 (every second by default: the others were used to set the constants), damaged and
rounded to 8 bits. A row says of how many pictures the finding lies within a share of the truth.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zsir import inspect, operators, read
from zsir.inspection import Inspection

Bytes = NDArray[np.uint8]


def damaged(x: NDArray[np.float64], op: str, noise: float, seed: int) -> Bytes:
    """An operator, white noise, and rounding to 8 bits."""
    if op:
        import torch

        t = torch.from_numpy(x.transpose(2, 0, 1))[None]
        x = operators.make(op, in_shape=(3, t.shape[2], t.shape[3])).forward(t)[0].numpy().transpose(1, 2, 0)
    y = x + noise * np.random.default_rng(seed).standard_normal(x.shape)
    return np.round(255 * y.clip(0, 1)).astype(np.uint8)


def decoded(y: Bytes, quality: int) -> Bytes:
    """What is left after a JPEG file with halved colour."""
    out = io.BytesIO()
    Image.fromarray(y).save(out, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(out).convert("RGB"))


def enlarged(y: Bytes, factor: float, kernel: int) -> Bytes:
    """Reduced to half and enlarged by a factor."""
    small = Image.fromarray(y).resize((128, 128), Image.Resampling.BICUBIC)
    side = round(128 * factor)
    return np.asarray(small.resize((side, side), Image.Resampling(kernel)))


def made(
    x: NDArray[np.float64],
    seed: int,
    op: str = "",
    level: float = 0,
    quality: int | None = None,
    enlarge: float | None = None,
    kernel: int = 3,
) -> Bytes:
    """A damaged picture: an operator, noise in 1/255, then JPEG or enlargement."""
    y = damaged(x, op, level / 255, seed)
    if enlarge is not None:
        y = enlarged(y, enlarge, kernel)
    return y if quality is None else decoded(y, quality)


def row(
    name: str,
    pictures: Sequence[NDArray[np.float64]],
    damage: Callable[[NDArray[np.float64], int], Bytes],
    value: Callable[[Inspection], float],
    truth: float,
    share: float,
) -> None:
    """Print the median and the quartiles of a finding, and the share of pictures near the truth."""
    found = np.array([value(inspect(damage(x, k))) for k, x in enumerate(pictures)])
    near = np.mean(np.abs(found / truth - 1) <= share) if truth else np.mean(found == 0)
    low, middle, high = np.percentile(found, [25, 50, 75])
    print(f"| {name} | {truth:.4g} | {middle:.4g} | {low:.4g} to {high:.4g} | {100 * near:.0f} % |", flush=True)


def noise(i: Inspection) -> float:
    """The noise found, in 1/255."""
    return 255 * i.findings.noise.std if i.findings.noise else 0.0


def width(i: Inspection) -> float:
    """The width of the blur found, 0 for none."""
    return i.findings.blur.width if i.findings.blur else 0.0


def quality(i: Inspection) -> float:
    """The quality found, 0 for none."""
    return float(i.findings.jpeg.quality or 0) if i.findings.jpeg else 0.0


def factor(i: Inspection) -> float:
    """The factor of the enlargement found, 0 for none."""
    return i.findings.enlargement.factor if i.findings.enlargement else 0.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--start", type=int, default=1)
    chosen = parser.parse_args()
    names = sorted(str(p) for p in (files("zsir.experiments") / "data" / "eval34").iterdir() if p.name.endswith(".png"))
    kept = names[chosen.start :: chosen.every]
    x = [read(name).pixels[0].double().numpy().transpose(1, 2, 0) for name in kept]
    print(f"{len(x)} pictures\n\n| damage | truth | median | quartiles | near |\n|---|---|---|---|---|")

    def near(name: str, value: Callable[[Inspection], float], truth: float, share: float, **done: Any) -> None:
        row(name, x, lambda p, k: made(p, k, **done), value, truth, share)

    near("none: width", width, 0, 0)
    for level in (2, 5, 10):
        near(f"noise {level}/255", noise, level, 0.15, level=level)
    for w in (0.8, 1.2, 2, 3):
        for level in (0, 2, 5, 10):
            op = f"blur:sigma={w},boundary=reflect"
            near(f"Gaussian {w}, noise {level}/255: width", width, w, 0.2, op=op, level=level)
        near(f"Gaussian {w}, noise 5/255: noise", noise, 5, 0.15, op=op, level=5)
        near(f"Gaussian {w}, noise 5/255, JPEG 75: width", width, w, 0.2, op=op, level=5, quality=75)
    for length, angle in ((9, 30), (15, 100)):
        op = f"motion:length={length},angle={angle},boundary=reflect"
        near(f"motion {length}: length", width, length, 0.2, op=op, level=2)
    for q in (10, 30, 50, 75, 90, 95):
        near(f"JPEG {q} as PNG: quality", quality, q, 0, quality=q)
    for level in (5, 10, 15):
        near(f"noise {level}/255 beneath JPEG 80", noise, level, 0.2, level=level, quality=80)
    for f in (1.5, 2, 3, 4):
        for kernel, title in ((2, "bilinear"), (3, "bicubic"), (1, "Lanczos")):
            near(f"enlarged {f} times, {title}: factor", factor, f, 0.01, enlarge=f, kernel=kernel)


if __name__ == "__main__":
    main()
