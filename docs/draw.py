"""Make the pictures of the documentation again: ``make docs-pictures``.

All are made with zsir itself from the demo photograph. They are committed with ``pictures/facts.json``, which holds
the settings and the numbers under them, so that building the site needs no computation. A page whose name has no
picture says why: its weights are not in the package and not in an extra.
"""

from __future__ import annotations

import json
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ours import OPERATORS, PRIORS, SAMPLERS, PictureNoise, enlarge, observe_as_files
from PIL import Image, ImageDraw
from torch import Tensor

from zsir import Problem, operators, priors, read, samplers, solve
from zsir.metrics import psnr

PICTURES = Path(__file__).parent / "pictures"
QUALITY = 88

#: for operators whose defaults need a file or show little
OPERATOR_SPECS = {
    "mask": "mask:keep=0.3",
    "mask-file": "mask-file:path={mask}",
    "kernel": "kernel:path={kernel}",
    "blur": "blur:sigma=3",
    "sinc": "sinc:cutoff=0.8,size=21",
    "motion": "motion:length=15,angle=30",
    "downsample": "downsample:factor=4",
    "resize": "resize:scale=0.4,rule=opencv,kernel=area",
    "channels": "channels:rows=0.4+0.4+0.2;0.2+0.6+0.2;0+0.3+0.7",
    "crop": "crop:left=40,top=40,right=40,bottom=40",
    "jpeg": "jpeg:q=15",
    "noise": "noise:std=0.1",
    "wild": "wild:seed=1",
}
NOISES = {"identity": 0.1}
#: they need an observation, or the file of one picture's trace
NO_OPERATOR_PICTURE = {"scratches", "trace"}

#: few calls each, so that the whole script takes two minutes on one core: those of experiments/specs/solvers.toml, and
#: what the weaker noise here asks for: longer steps (dps), the published ones for noise 0.01 (ddpg), more levels (tds)
SAMPLER_SPECS = {
    "cm4ir-published": "cm4ir-published:task=imagenet64-sr2x-0.025",
    "pgd": "pgd:nfe=30",
    "red": "red:nfe=40",
    "rdmd": "rdmd:nfe=40",
    "irsde": "irsde:nfe=20",
    "ddnm": "ddnm:nfe=20",
    "ddnm+": "ddnm+:nfe=20",
    "ddpg": "ddpg:nfe=20,gamma=300,mode=0",
    "diffpir": "diffpir:nfe=20",
    "dps": "dps:nfe=40,scale=10",
    "pigdm": "pigdm:nfe=20",
    "mmps": "mmps:nfe=10,inner=3,kernel=mean",
    "red-diff": "red-diff:nfe=50,lr=0.05,lam=1",
    "daps": "daps:nfe=40,inner=2,ratio=0.3",
    "gibbs": "gibbs:nfe=30,inner=2,first=0.2",
    "tds": "tds:nfe=400,particles=4",
}
NO_PICTURE = {"latino"}  # it needs the prior latent, whose weights are not in the package
SAMPLER_TASK, SAMPLER_NOISE = "sr2x", 0.02

#: priors that need no file of the reader's
SHOWN_PRIORS = ("photo", "cm-photo", "ffdnet", "wavelet", "tv", "nlm", "gaussian", "mixture")
PRIOR_NOISE = 25 / 255


def main() -> None:
    """Draw everything and write the numbers."""
    photo = read(Path(str(files("zsir") / "assets" / "demo.png"))).pixels
    crop = photo[..., 8:136, 96:224]
    facts = {
        "start": draw_start(photo),
        "operators": draw_operators(photo),
        "priors": draw_priors(crop),
        "samplers": draw_samplers(crop),
    }
    text = json.dumps(facts, indent=1, sort_keys=True)
    (PICTURES / "facts.json").write_text(text + "\n", encoding="utf-8")


def draw_start(photo: Tensor) -> dict[str, Any]:
    """Before and after, for the first page."""
    tasks = {
        "enlarge": ("sr4x", 0.0, "cm-photo", "cm4ir:nfe=4"),
        "deblur": ("blur:sigma=3", 5 / 255, "photo", "cm4ir:nfe=4"),
        "fill": ("mask:keep=0.3", 0.0, "photo", "hqs:nfe=8"),
    }
    facts = {}
    for name, (op, noise, prior, sampler) in tasks.items():
        problem = observe(op, photo, noise)
        after = solve(problem, priors.load(prior), samplers.make(sampler), seed=0).x
        save(f"start-{name}-before", seen(problem, photo))
        save(f"start-{name}-after", after)
        facts[name] = {"op": op, "noise": noise, "prior": prior, "sampler": sampler, **values(problem, photo, after)}
    return facts


def draw_operators(photo: Tensor) -> dict[str, Any]:
    """The photograph and what the operator makes of it."""
    facts = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {"mask": f"{folder}/mask.png", "kernel": f"{folder}/kernel.npy"}
        ring_mask().save(paths["mask"])
        np.save(paths["kernel"], disk(5))
        for name in OPERATORS.builtin:
            if name in NO_OPERATOR_PICTURE:
                continue
            spec = OPERATOR_SPECS.get(name, name)
            noise = NOISES.get(name, 0.0)
            op = operators.make(spec.format(**paths), in_shape=(3, photo.shape[-2], photo.shape[-1]))
            observed = observe_as_files(op, photo, noise, PictureNoise(0, [0]))
            after = in_size_of(photo, observed.seen, blocks=True).expand_as(photo)
            save(f"operator-{name}", strip(photo, after))
            shown = spec.format(mask="mask.png", kernel="kernel.npy")
            facts[name] = {"spec": shown, "noise": noise, "shape": list(observed.seen.shape[1:])}
    return facts


def draw_priors(crop: Tensor) -> dict[str, Any]:
    """A noisy crop, what the prior makes of it, and the truth."""
    facts = {}
    noisy = crop + PRIOR_NOISE * PictureNoise(0, [0]).randn_like(crop)
    for name in SHOWN_PRIORS:
        prior = priors.load(name)
        with torch.no_grad():
            clean = prior.denoise(noisy, torch.tensor([PRIOR_NOISE]))
        save(f"prior-{name}", strip(noisy, clean, crop, times=2))
        low, high = prior.sigma_range
        facts[name] = {
            "kind": prior.kind,
            "channels": prior.channels,
            "sigma_range": [low, high if high < 1e6 else None],
            "before": round(psnr(noisy.clamp(0, 1), crop), 2),
            "after": round(psnr(clean.clamp(0, 1), crop), 2),
        }
    assert set(facts) <= set(PRIORS.builtin)
    return facts


def draw_samplers(crop: Tensor) -> dict[str, Any]:
    """An observation, what the sampler makes of it with the prior photo, and the truth."""
    facts = {}
    problem = observe(SAMPLER_TASK, crop, SAMPLER_NOISE)
    for name in SAMPLERS.builtin:
        if name in NO_PICTURE:
            continue
        spec = SAMPLER_SPECS.get(name, name)
        sampler = samplers.make(spec)
        after = solve(problem, priors.load("photo"), sampler, seed=0).x
        save(f"sampler-{name}", strip(seen(problem, crop, blocks=True), after, crop, times=2))
        facts[name] = {"spec": spec, "nfe": sampler.nfe, **values(problem, crop, after)}
    return facts


def observe(spec: str, photo: Tensor, noise: float) -> Problem:
    """The observation of a photograph; pixels that a mask hides stay black."""
    _, channels, height, width = photo.shape
    op = operators.make(spec, in_shape=(channels, height, width))
    y = op.forward(photo)
    if noise:
        y = y + noise * PictureNoise(0, [0]).randn_like(y)
    return Problem(y, op, noise)


def seen(problem: Problem, photo: Tensor, blocks: bool = False) -> Tensor:
    """The observation in the size of the photograph, by bicubic interpolation or as blocks."""
    return in_size_of(photo, problem.y, blocks)


def in_size_of(photo: Tensor, y: Tensor, blocks: bool = False) -> Tensor:
    """A picture in the size of the photograph, by bicubic interpolation or as blocks."""
    if y.shape[-2:] == photo.shape[-2:]:
        return y
    if blocks:
        return torch.nn.functional.interpolate(y, size=photo.shape[-2:], mode="nearest")
    return enlarge(y, (photo.shape[-2], photo.shape[-1]))


def values(problem: Problem, truth: Tensor, after: Tensor) -> dict[str, float]:
    """PSNR in dB of the enlarged observation and of the result."""
    before = seen(problem, truth).clamp(0, 1)
    return {"before": round(psnr(before, truth), 2), "after": round(psnr(after.clamp(0, 1), truth), 2)}


def strip(*pictures: Tensor, times: int = 1, gap: int = 4) -> Tensor:
    """Pictures of one size in a row, every pixel repeated, with a white gap between them."""
    big = [p.repeat_interleave(times, -1).repeat_interleave(times, -2).clamp(0, 1) for p in pictures]
    white = torch.ones_like(big[0][..., :gap])
    return torch.cat([part for p in big for part in (p, white)][:-1], -1)


def save(name: str, pixels: Tensor) -> None:
    """Write a picture as WebP."""
    array = (pixels[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(array).save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)


def ring_mask() -> Image.Image:
    """A hand-drawn mask as an example: white is observed, black strokes are missing."""
    picture = Image.new("L", (256, 256), 255)
    draw = ImageDraw.Draw(picture)
    for y in range(20, 256, 48):
        draw.line([(0, y), (85, y + 20), (170, y - 12), (256, y + 8)], fill=0, width=7)
    return picture


def disk(radius: int) -> np.ndarray[Any, Any]:
    """The kernel of a lens out of focus."""
    i = np.arange(-radius, radius + 1)
    kernel: np.ndarray[Any, Any] = (i[:, None] ** 2 + i[None, :] ** 2 <= radius**2).astype(float)
    kernel /= kernel.sum()
    return kernel


if __name__ == "__main__":
    main()
