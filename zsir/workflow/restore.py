"""One picture degraded or restored, without files and without a terminal."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsir import files, metrics, operators, priors, samplers
from zsir.errors import BadSpec, ShapeError, UnknownName
from zsir.loop.solve import Event, Solution, solve
from zsir.metrics.noise import doubts, estimate_noise_of
from zsir.operators import Operator
from zsir.operators.catalogue import OPERATORS
from zsir.pictures import picture as images
from zsir.pictures.picture import Picture
from zsir.priors import Grey
from zsir.priors.wrappers.settings import Wrapping
from zsir.problem import Problem
from zsir.protocols import Prior, Sampler
from zsir.rng import ImageNoise


@dataclass(frozen=True)
class Method:
    """How to restore: the degradation's spec and noise level (None: estimated from each observation), and what undoes
    it on which device."""

    op: str
    noise_std: float | None
    prior: Prior
    sampler: Sampler
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Posed:
    """A problem on the device of its method, with the prior that fits its channels.

    ``observation`` (1, C, height, width) on the CPU is what the problem holds, ``truth`` the clean picture where that
    was degraded here, ``doubt`` a sentence where the noise stated does not look like that of the observation.
    """

    problem: Problem
    prior: Prior
    observation: Tensor = field(repr=False)
    truth: Tensor | None = field(repr=False)
    doubt: str = ""

    def through(self, prior: Prior) -> Posed:
        """The same problem for another prior."""
        return replace(self, prior=_fitting(prior, self.observation))


@dataclass(frozen=True)
class Restored:
    """A restored picture (1, C, height, width) in [0, 1], and what is known about it.

    ``observation`` is what it was restored from, ``truth`` the clean picture where that was simulated, ``misfit`` a
    sentence where the picture contradicts the noise that was given, ``doubt`` one where the observation itself does.
    """

    pixels: Tensor = field(repr=False)
    observation: Tensor = field(repr=False)
    truth: Tensor | None = field(repr=False)
    solution: Solution
    misfit: str = ""
    doubt: str = ""

    def quality(self, pixels: Tensor) -> tuple[float, float] | None:
        """PSNR in dB and SSIM (NaN below 11 pixels) of ``pixels`` against the truth, if that is known."""
        if self.truth is None:
            return None
        a, b = pixels.clamp(0, 1), self.truth.clamp(0, 1)
        small = min(a.shape[-2:]) < 2 * metrics.WINDOW_RADIUS + 1
        return metrics.psnr(a, b), math.nan if small else metrics.ssim(a, b)


def method(
    op: str,
    noise_std: float | None,
    prior: str,
    sampler: str | None,
    *,
    nfe: int | None,
    device: str,
    dtype: str,
    wrapping: Wrapping | None = None,
    several: bool = False,
) -> Method:
    """Everything that a wrong word on the command line can spoil, before a file is touched; ``wrapping`` is what
    is to be put around the prior. ``several`` samples are to be drawn: without a ``sampler`` one of the posterior is
    taken."""
    OPERATORS.parse(op)
    loaded = priors.wrap(priors.load(prior), wrapping or Wrapping())
    if several and sampler is None:
        sampler = samplers.default_for_samples(nfe, bool(getattr(loaded, "differentiable", True)))
    return Method(
        op,
        noise_std,
        loaded,
        samplers.make(sampler, nfe=nfe),
        pick_device(device),
        {"float32": torch.float32, "float64": torch.float64}[dtype],
    )


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one; raises `BadSpec` for a device that this machine or torch does not have."""
    cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BadSpec(f"--device {name}: write auto, cpu, cuda or cuda:0.") from None
    if device.type not in ("cpu", "cuda"):
        raise BadSpec(f"--device {name}: only cpu and cuda are supported.")
    count = torch.cuda.device_count() if cuda else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        seen = f"torch {torch.__version__} sees {count} of them here" if count else "torch sees none here"
        raise BadSpec(f"--device {name}: there is no such CUDA device ({seen}); use --device cpu.")
    return device


def observe(operator: Operator, x: Tensor, noise_std: float, seed: int) -> Tensor:
    """``A x + noise_std n`` for one picture (1, C, height, width); what a mask hides stays black."""
    y = operator.forward(x)
    if noise_std > 0:
        y = y + noise_std * ImageNoise(seed, [0], stream="observation").randn_like(y)
        if getattr(operator, "known", None) is not None:
            y = operator.forward(y)
    return y


def pose(
    picture: Picture, how: Method, *, seed: int, size: tuple[int, int] | None = None, simulate: bool = False
) -> Posed:
    """The problem that a picture is, or with ``simulate`` the one that it becomes when it is degraded first.

    A grey picture goes through a prior for three channels by way of `zsir.priors.Grey`. Warns of a `Posed.doubt`.
    """
    if simulate:
        operator = operators.make(how.op, in_shape=shape_of(picture.pixels))
        if how.noise_std is None:
            raise BadSpec("The noise of a simulated observation must be stated, as in --noise 5/255.")
        y = observe(operator, picture.pixels, how.noise_std, seed)
    else:
        y = picture.pixels
        operator = operator_for(picture, how.op, size)
    reminded = not simulate and _remind_of_noise(picture, how)
    noise = min(1.0, estimate_noise_of(operator, y)) if how.noise_std is None else how.noise_std
    problem = Problem(y.to(how.device, how.dtype), operator, noise)
    # what was simulated or estimated is as stated
    doubt = "" if simulate or how.noise_std is None else doubts(problem)[0]
    if doubt and not reminded:  # the file itself has said so
        warnings.warn(f"{picture.path}: {doubt}", images.PictureWarning, stacklevel=2)
    return Posed(problem, _fitting(how.prior, y), y, picture.pixels if simulate else None, doubt)


def _fitting(prior: Prior, y: Tensor) -> Prior:
    return Grey(prior) if y.shape[1] == 1 and prior.channels == 3 else prior


def restore(
    picture: Picture,
    how: Method,
    *,
    seed: int,
    size: tuple[int, int] | None = None,
    simulate: bool = False,
    callbacks: Sequence[Callable[[Event], None]] = (),
) -> Restored:
    """Restore a picture; with ``simulate`` it is clean, and degraded first. Warns of a `Restored.misfit`."""
    result = restore_posed(pose(picture, how, seed=seed, size=size, simulate=simulate), how, seed, callbacks)
    if result.misfit:
        warnings.warn(result.misfit, images.PictureWarning, stacklevel=2)
    return result


def restore_posed(posed: Posed, how: Method, seed: int, callbacks: Sequence[Callable[[Event], None]] = ()) -> Restored:
    """Solve a problem that `pose` made."""
    solution = solve(posed.problem, posed.prior, how.sampler, seed=seed, indices=[0], callbacks=callbacks)
    return result_of(posed, solution)


def result_of(posed: Posed, solution: Solution) -> Restored:
    """The first picture of a solution as a result."""
    x = solution.x[:1]
    misfit = metrics.contradiction(posed.problem, x)[0]
    return Restored(x.clamp(0, 1).cpu().float(), posed.observation, posed.truth, solution, misfit, posed.doubt)


def operator_for(picture: Picture, op: str, size: tuple[int, int] | None) -> Operator:
    """The operator whose observation is ``picture``: of pictures of ``size``, or of the size that `degrade` noted."""
    seen = shape_of(picture.pixels)
    if size is not None:
        operator = operators.make(op, in_shape=(seen[0], *size))
        if tuple(operator.out_shape) != seen:
            raise ShapeError(
                f"--size {size[1]}x{size[0]}: {op} makes {operator.out_shape[2]}x{operator.out_shape[1]} pixels of "
                f"that, but {picture.path} has {seen[2]}x{seen[1]}."
            )
        return operator
    noted = noted_size(picture, op)
    if noted is not None:
        operator = operators.make(op, in_shape=(seen[0], *noted))
        if tuple(operator.out_shape) == seen:  # else the file was cut or resized since
            return operator
    return operators.make(op, out_shape=seen)


def noted_size(picture: Picture, op: str) -> tuple[int, int] | None:
    """(height, width) that `zsir degrade` noted in the file, if it did so for the same operator."""
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", picture.text.get("zsir:size", ""))
    return (int(match[2]), int(match[1])) if match and _made_by(picture, op) else None


def _made_by(picture: Picture, op: str) -> bool:
    """Whether `zsir degrade` noted the operator ``op`` in the file."""
    try:
        a, b = OPERATORS.parse(op), OPERATORS.parse(picture.text.get("zsir:op", ""))
    except (BadSpec, UnknownName):
        return False
    return (a.name, a.options) == (b.name, b.options)


def _remind_of_noise(picture: Picture, how: Method) -> bool:
    """Warn when the file says that it is noisy and the command does not; whether it does."""
    noted = picture.text.get("zsir:noise", "0")
    found = how.noise_std == 0 and noted != "0" and _made_by(picture, how.op)
    if found:
        text = f"{picture.path} says that it holds noise; add --noise {noted}."
        warnings.warn(text, images.PictureWarning, stacklevel=2)
    return found


def shape_of(pixels: Tensor) -> tuple[int, int, int]:
    """(channels, height, width) of a picture (1, channels, height, width)."""
    _, c, h, w = pixels.shape
    return c, h, w


def resized_alpha(picture: Picture, size: tuple[int, int]) -> Tensor | None:
    """The picture's alpha channel at ``size`` (height, width)."""
    return None if picture.alpha is None else images.enlarge(picture.alpha, size).clamp(0, 1)


def save(picture: Picture, pixels: Tensor, target: Path) -> None:
    """Write a result with what its source brings along: bits per sample, transparency and colour profile."""
    h, w = pixels.shape[-2:]
    alpha = resized_alpha(picture, (h, w))
    images.write(target, pixels, bits=picture.bits, alpha=alpha, icc=picture.icc)


def sheet(result: Restored) -> Tensor:
    """Observation enlarged by bicubic, restoration, and the truth where it is known, with their PSNR."""
    h, w = result.pixels.shape[-2:]
    enlarged = images.enlarge(result.observation, (h, w))
    name = "observation" if enlarged is result.observation else "bicubic"
    cells = [(_title(result, name, enlarged), enlarged), (_title(result, "restored", result.pixels), result.pixels)]
    if result.truth is not None:
        cells.append(("ground truth", result.truth))
    return images.contact_sheet(cells)


def _title(result: Restored, name: str, pixels: Tensor) -> str:
    quality = result.quality(pixels)
    return name if quality is None else f"{name} {quality[0]:.2f} dB"


def record_of(source: Path, target: Path, result: Restored, how: Method) -> dict[str, Any]:
    """What the JSON record says of one result."""
    h, w = result.pixels.shape[-2:]
    entry: dict[str, Any] = {"input": str(source), "output": str(target), "size": [w, h], "op": how.op}
    quality = result.quality(result.pixels)
    if quality is not None:
        plain = result.quality(images.enlarge(result.observation, (h, w))) or (math.nan, math.nan)
        entry["psnr"], entry["ssim"] = map(finite, quality)
        entry["observation_psnr"], entry["observation_ssim"] = map(finite, plain)
    if how.noise_std is None:
        entry["noise_estimated"] = result.solution.provenance["noise_std"]
    if result.misfit:
        entry["misfit"] = result.misfit
    if result.doubt:
        entry["doubt"] = result.doubt
    return {**entry, "stats": asdict(result.solution.stats), "provenance": result.solution.provenance}


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or NaN, which JSON does not have."""
    return value if math.isfinite(value) else None


def write_record(path: Path, command: str, results: Sequence[dict[str, Any]]) -> None:
    """Write the JSON record of a run; raises `OutputError`."""
    text = json.dumps({"command": command, "results": list(results)}, indent=2, allow_nan=False)
    files.write_bytes(path, text.encode() + b"\n")


def summary(target: Path, result: Restored) -> str:
    """One line about a result: name, size, cost, how it fits the data and, where known, how it fits the truth."""
    h, w = result.pixels.shape[-2:]
    stats = result.solution.stats
    parts = [f"{target}", f"{w}x{h}", f"NFE {stats.nfe}", f"{stats.seconds:.1f} s", f"residual {stats.residual[0]:.3g}"]
    quality = result.quality(result.pixels)
    if quality is not None:
        parts.append(f"PSNR {quality[0]:.2f} dB")
        if not math.isnan(quality[1]):
            parts.append(f"SSIM {quality[1]:.4f}")
    return "  ".join(parts)
