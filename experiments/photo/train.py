"""Train the embedded prior ``photo`` on a folder of pictures.

    python -m zsir.experiments.photo.train PHOTOS RUN [--steps N] [--device cuda] [--val FOLDER]

Every batch is drawn from a generator seeded by ``(seed, step)`` and the checkpoint (written to a temporary file,
then renamed) holds all that the next step needs, so that an interrupted run goes on as if nothing had happened.
"""

from __future__ import annotations

import argparse
import math
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zsir.priors import edm
from zsir.priors.unet import UNet, UNetConfig

CONFIG = UNetConfig(widths=(48, 96, 192), blocks=2)


@dataclass(frozen=True)
class Recipe:
    """Training settings. Noise levels are native ([-1, 1]) standard deviations, drawn log-uniformly: a share of them
    from ``inner``, where restoration happens, the rest from ``sigma_min`` to ``sigma_max``."""

    steps: int = 12000
    batch: int = 16
    patch: int = 64
    lr: float = 1e-3
    warmup: int = 200
    ema: float = 0.999
    sigma_min: float = 0.004
    sigma_max: float = 2.5
    inner: tuple[float, float] = (0.02, 0.6)
    inner_share: float = 0.75
    seed: int = 0


def load_pictures(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures (h, w, 3) uint8 and their sampling weights: root of the area, textures at four tenths."""
    files = sorted(folder.glob("*.png"))
    pictures = [np.asarray(Image.open(f).convert("RGB")) for f in files]
    table = {row.split("\t")[0]: row for row in (folder / "photos.tsv").read_text().splitlines()}
    weights = [
        math.sqrt(p.shape[0] * p.shape[1]) * (0.4 if "ufoai" in table.get(f.name, "") else 1.0)
        for f, p in zip(files, pictures, strict=True)
    ]
    return pictures, np.asarray(weights) / sum(weights)


def crop(picture: np.ndarray, patch: int, rng: np.random.Generator) -> np.ndarray:
    """A random square, turned and mirrored; of two candidates the one with more texture, three times in four."""

    def candidate() -> np.ndarray:
        top, left = (int(rng.integers(0, n - patch + 1)) for n in picture.shape[:2])
        return picture[top : top + patch, left : left + patch]

    a, b = candidate(), candidate()
    chosen = max(a, b, key=lambda p: float(p.std(axis=(0, 1)).sum())) if rng.random() < 0.75 else a
    chosen = np.rot90(chosen, int(rng.integers(4)))
    return chosen[:, ::-1] if rng.random() < 0.5 else chosen


def batch_at(step: int, pictures: list[np.ndarray], weights: np.ndarray, r: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """(x0, noise, s) of training step ``step``: x0 in [-1, 1], one picture in ten made grey."""
    rng = np.random.default_rng([r.seed, step])
    crops = [crop(pictures[i], r.patch, rng) for i in rng.choice(len(pictures), r.batch, p=weights)]
    x0 = torch.from_numpy(np.stack(crops).astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1
    grey = torch.from_numpy(rng.random(r.batch) < 0.1).view(-1, 1, 1, 1)
    x0 = torch.where(grey, x0.mean(1, keepdim=True), x0)
    noise = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
    # one level per stratum: the batch always covers the whole range
    u = (np.arange(r.batch) + rng.random(r.batch)) / r.batch
    return x0, noise, torch.from_numpy(levels(u, r).astype(np.float32))


def levels(u: np.ndarray, r: Recipe) -> np.ndarray:
    """Noise levels of uniform numbers ``u`` in [0, 1): the first ``inner_share`` of them fall into ``inner``."""
    low, high = r.inner
    inner = low * (high / low) ** (u / max(r.inner_share, 1e-9))
    outer = r.sigma_min * (r.sigma_max / r.sigma_min) ** ((u - r.inner_share) / (1 - r.inner_share))
    return np.where(u < r.inner_share, inner, outer)


def learning_rate(step: int, r: Recipe) -> float:
    """Linear warm-up, then a cosine to zero."""
    return r.lr * min(1.0, (step + 1) / r.warmup) * 0.5 * (1 + math.cos(math.pi * step / r.steps))


@torch.inference_mode()
def validate(net: UNet, folder: Path, device: str) -> list[float]:
    """Colour denoising PSNR (dB) at noise 15, 25, 50 of 255 on the pictures of ``folder``."""
    generator = torch.Generator().manual_seed(0)
    totals = torch.zeros(3)
    files = sorted(folder.glob("*.png"))
    for file in files:
        x = torch.from_numpy(np.asarray(Image.open(file).convert("RGB")).astype(np.float32) / 127.5 - 1)
        x0 = x.permute(2, 0, 1)[None].to(device)
        for k, level in enumerate((15, 25, 50)):
            s = torch.tensor([level / 127.5], device=device)
            noisy = x0 + s.view(-1, 1, 1, 1) * torch.randn(x0.shape, generator=generator).to(device)
            mse = ((edm.edm_estimate(net, noisy, s, s).clamp(-1, 1) - x0) / 2).square().mean()
            totals[k] += -10 * torch.log10(mse).cpu()
    return (totals / len(files)).tolist()


def save(path: Path, payload: dict[str, object]) -> None:
    """Write a checkpoint whole or not at all."""
    temporary = path.with_suffix(".tmp")
    torch.save(payload, temporary)
    temporary.replace(path)


def train(photos: Path, run: Path, r: Recipe, val: Path | None, device: str) -> UNet:
    """Run or resume training in folder ``run``; returns the averaged (EMA) network."""
    run.mkdir(parents=True, exist_ok=True)
    pictures, weights = load_pictures(photos)
    torch.manual_seed(r.seed)
    net: UNet = UNet(CONFIG).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=r.lr, weight_decay=1e-4, betas=(0.9, 0.99))
    checkpoint, start = run / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        averaged.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
    began, running = time.time(), 0.0
    for step in range(start, r.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, r)
        x0, noise, s = (t.to(device) for t in batch_at(step, pictures, weights, r))
        value = edm.loss(net, x0.contiguous(memory_format=torch.channels_last), noise, s)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        keep = min(r.ema, (step + 1) / (step + 10))
        for a, p in zip(averaged.parameters(), net.parameters(), strict=True):
            a.data.lerp_(p.data, 1 - keep)
        running += 0.01 * (value.item() - running)
        if (step + 1) % 250 == 0 or step + 1 == r.steps:
            save(
                checkpoint,
                {
                    "net": net.state_dict(),
                    "ema": averaged.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step + 1,
                },
            )
            line = f"{step + 1}\t{running:.5f}\t{(time.time() - began) / (step + 1 - start):.3f}"
            if val and ((step + 1) % 1000 == 0 or step + 1 in (250, 500, r.steps)):
                line += "\t" + "\t".join(f"{p:.2f}" for p in validate(averaged, val, device))
            with (run / "curve.tsv").open("a") as out:
                out.write(line + "\n")
    return averaged


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--val", type=Path)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    train(args.photos, args.run, Recipe(steps=args.steps), args.val, args.device)


if __name__ == "__main__":
    main()
