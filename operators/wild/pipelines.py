"""The published pipelines of real-world degradations: what is drawn, in which order, with which probability.

Every draw follows from a generator and the picture's shape alone. The original programs draw from several global
generators, so the same seed does not give the pictures of the original.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import torch

from zsir.errors import BadSpec
from zsir.names.registry import Option
from zsir.operators.wild.dice import Dice, Mix, draw_kernel, draw_sinc
from zsir.operators.wild.history import Trace
from zsir.operators.wild.stages import (
    Display,
    Filter,
    Gaussian,
    Jpeg,
    Poisson,
    Resize,
    Ringing,
    Round,
    Sharpen,
    Stage,
)
from zsir.operators.wild.taps import Kernel
from zsir.protocols import Shape

METHODS = ("area", "cubic", "linear")

_WEIGHTS = {
    "iso": 0.35,
    "aniso": 0.20,
    "generalised-iso": 0.10,
    "generalised-aniso": 0.03,
    "plateau-iso": 0.10,
    "plateau-aniso": 0.03,
    "defocus": 0.10,
    "box": 0.03,
    "line": 0.03,
    "shake": 0.03,
}


def _mix(sizes: range, sinc: float, sigma: tuple[float, float]) -> Mix:
    return Mix(_WEIGHTS, sizes, sinc, sigma, (0.5, 2.0), (1.0, 1.5), True)


#: the three passes of wild-IR: probabilities of blur, of the display where there is no blur, of noise and of JPEG; the
#: range of qualities; kernels
_PASSES = (
    (("blur", "resize", "noise", "jpeg"), 0.8, 0.2, 0.4, 0.4, (60, 95), _mix(range(5, 20, 2), 0.1, (0.2, 2.2))),
    (("blur", "noise"), 0.4, 0.2, 0.2, 0.0, (0, 0), _mix(range(5, 10, 2), 0.1, (0.2, 1.5))),
    (("blur", "resize", "jpeg"), 0.8, 0.0, 0.0, 0.4, (80, 100), _mix(range(5, 20, 2), 0.8, (0.2, 1.0))),
)


def wild_ir(shape: Shape, generator: torch.Generator) -> Trace:
    """Draw what ``random_degrade`` of wild-IR does to a picture.

    Source: Luo, Gustafsson, Zhao, Sjölund and Schön 2024 [wildir]; code at github.com/Algolzw/daclip-uir

    Args:
        shape: (channels, height, width) of the clean picture.
        generator: Gives all random numbers; one for each picture makes the draw independent of the batch.

    Returns:
        The trace. The observation has the size of the picture.
    """
    dice, stages = Dice(generator), list[Stage]()
    _, h, w = shape
    resized = dice.chance(0.8)
    for number, (names, blur, display, noise, jpeg, qualities, mix) in enumerate(_PASSES):
        for name in dice.shuffled(names):
            if name == "blur":
                stages += _wild_blur(dice, blur, display, mix)
            elif name == "resize" and resized:
                factor = dice.uniform(0.5, 1.4) if number == 0 else 1.0
                size = max(1, int(h / factor)), max(1, int(w / factor))
                stages.append(Resize(*size, dice.pick(METHODS), "opencv"))
            elif name == "noise" and dice.chance(noise):
                stages += _wild_noise(dice)
            elif name == "jpeg" and dice.chance(jpeg):
                stages.append(Jpeg(int(dice.uniform(*qualities)), "pillow"))
    return Trace("wild-ir", shape, (*stages, Round()))


def _wild_blur(dice: Dice, blur: float, display: float, mix: Mix) -> list[Stage]:
    """A blur and sometimes ringing, or where there is no blur sometimes a display."""
    if not dice.chance(blur):
        if not dice.chance(display):
            return []
        return [Display(2 * dice.pick(range(10, 33)) + 1, dice.uniform(1, 4), dice.uniform(0.1, 0.5))]
    kernel, size = draw_kernel(dice, mix)
    found: list[Stage] = [Filter(kernel)]
    if kernel.family != "sinc" and size in (5, 7) and dice.chance(0.1):
        found.append(Ringing(kernel, dice.uniform(0.1, 0.5) if dice.chance(0.1) else 0.0))
    return found


def _wild_noise(dice: Dice) -> list[Stage]:
    """Gaussian noise, Poisson noise, both or none; and rounding."""
    found: list[Stage] = []
    if dice.chance(0.6):
        found.append(Gaussian(dice.uniform(1, 5) / 255, dice.chance(0.4), dice.seed()))
    if dice.chance(0.4):
        found.append(Poisson(dice.uniform(0.01, 0.5), dice.chance(0.4), dice.seed()))
    return [*found, Round()]


_SIX = {
    "iso": 0.45,
    "aniso": 0.25,
    "generalised-iso": 0.12,
    "generalised-aniso": 0.03,
    "plateau-iso": 0.12,
    "plateau-aniso": 0.03,
}
_SIDES = range(7, 22, 2)


def _esrgan_mix(widest: float) -> Mix:
    return Mix(_SIX, _SIDES, 0.1, (0.2, widest), (0.5, 4.0), (1.0, 2.0), False)


def esrgan(shape: Shape, generator: torch.Generator) -> Trace:
    """Draw what the second-order pipeline of Real-ESRGAN, for x4, does to a picture.

    The original draws the kinds of resizing and noise once for a batch; here each picture has its own. The first stage
    sharpens the clean picture, as the original sharpens its ground truth.
    Source: Wang, Xie, Dong and Shan 2021 [realesrgan]; code at github.com/xinntao/Real-ESRGAN

    Args:
        shape: (channels, height, width) of the clean picture.
        generator: Gives all random numbers; one for each picture makes the draw independent of the batch.

    Returns:
        The trace. The observation has a quarter of the picture's height and width.
    """
    dice = Dice(generator)
    _, h, w = shape
    target = max(1, h // 4), max(1, w // 4)
    stages: list[Stage] = [Sharpen(), Filter(draw_kernel(dice, _esrgan_mix(3.0))[0])]
    factor = _factor(dice, {"up": 0.2, "down": 0.7, "keep": 0.1}, 1.5, 0.15)
    if factor != 1:
        size = max(1, math.floor(h * factor)), max(1, math.floor(w * factor))
        stages.append(Resize(*size, dice.pick(METHODS), "torch", factor))
    stages.append(_esrgan_noise(dice, 30, 3.0))
    stages.append(Jpeg(dice.uniform(30, 95), "differentiable"))
    if dice.chance(0.8):
        stages.append(Filter(draw_kernel(dice, _esrgan_mix(1.5))[0]))
    factor = _factor(dice, {"up": 0.3, "down": 0.4, "keep": 0.3}, 1.2, 0.3)
    size = max(1, int(h / 4 * factor)), max(1, int(w / 4 * factor))
    stages.append(Resize(*size, dice.pick(METHODS), "torch"))
    stages.append(_esrgan_noise(dice, 25, 2.5))
    small = Resize(*target, dice.pick(METHODS), "torch")
    last = draw_sinc(dice, dice.pick(_SIDES), math.pi / 3) if dice.chance(0.8) else Kernel("impulse", 21)
    jpeg = Jpeg(dice.uniform(30, 95), "differentiable")
    stages += [small, Filter(last), jpeg] if dice.chance(0.5) else [jpeg, small, Filter(last)]
    return Trace("esrgan", shape, (*stages, Round()))


def _factor(dice: Dice, kinds: dict[str, float], most: float, least: float) -> float:
    kind = dice.weighted(kinds)
    return {"up": lambda: dice.uniform(1, most), "down": lambda: dice.uniform(least, 1), "keep": lambda: 1.0}[kind]()


def _esrgan_noise(dice: Dice, strongest: float, most: float) -> Stage:
    """Gaussian or Poisson noise."""
    if dice.chance(0.5):
        return Gaussian(dice.uniform(1, strongest) / 255, dice.chance(0.4), dice.seed())
    return Poisson(dice.uniform(0.05, most), dice.chance(0.4), dice.seed())


PIPELINES: dict[str, Callable[[Shape, torch.Generator], Trace]] = {"wild-ir": wild_ir, "esrgan": esrgan}
Pipeline = Annotated[str, Option("whose pipeline", choices=tuple(PIPELINES))]


def draw(shape: Shape, generator: torch.Generator, pipeline: str = "wild-ir") -> Trace:
    """Draw the stages of a published pipeline for one picture.

    Args:
        shape: (channels, height, width) of the clean picture, 1 or 3 channels.
        generator: Gives all random numbers.
        pipeline: ``wild-ir`` or ``esrgan``.

    Returns:
        The trace; `Trace.observe` makes the observation.

    Raises:
        BadSpec: There is no such pipeline, or no pipeline for so many channels.
    """
    if pipeline not in PIPELINES:
        raise BadSpec(f"wild:pipeline={pipeline}: choose one of {', '.join(PIPELINES)}.")
    if shape[0] not in (1, 3):
        raise BadSpec(f"wild: the pipelines take grey or colour pictures, got {shape[0]} channels.")
    return PIPELINES[pipeline](shape, generator)


def degrade(
    x: torch.Tensor, generators: list[torch.Generator], pipeline: str = "wild-ir"
) -> tuple[torch.Tensor, list[Trace]]:
    """Degrade a batch, every picture by its own draw.

    Args:
        x: Clean pictures, (batch, 1 or 3, height, width) in [0, 1].
        generators: One for each picture. The same generator and picture give the same result in any batch.
        pipeline: ``wild-ir`` or ``esrgan``.

    Returns:
        The observations, (batch, channels, height, width) of the pipeline's size, and their traces.

    Raises:
        BadSpec: There is no such pipeline, or the numbers of pictures and generators differ.
    """
    if len(generators) != len(x):
        raise BadSpec(f"There are {len(x)} pictures for {len(generators)} generators; give one for each.")
    shape = (x.shape[1], x.shape[2], x.shape[3])
    found = [draw(shape, one, pipeline).observe(x[k : k + 1]) for k, one in enumerate(generators)]
    return torch.cat([y for y, _ in found]), [trace for _, trace in found]
