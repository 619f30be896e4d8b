"""From a picture and a method to the problem to solve."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from zsir.capabilities import cut, known_numbers, makes_pictures
from zsir.errors import BadSpec, PictureWarning
from zsir.metrics.noise import doubts
from zsir.operators import Identity, SoftMask
from zsir.operators.jpeg.coded import JpegFile
from zsir.pictures import Picture
from zsir.priors.wrappers.grey import Grey
from zsir.problem import Problem
from zsir.processes import noisy, own_noise, process_of, recorded, takes_noise
from zsir.protocols import LinearOperator, NoiseSource, Prior
from zsir.rng import PictureNoise
from zsir.workflow.coding import JPEG, Coding, as_white, coding_of, contrasted, measured, operator_of_file, recovered
from zsir.workflow.degradation import any_noted_noise, coding_stage, noted_noise, operator_for, operator_of
from zsir.workflow.method import Method
from zsir.workflow.noise_levels import NO_NOISE, Level, level_beneath, level_of
from zsir.workflow.partly import Found, is_partly_known, operator_found, refuse_simulation


@dataclass(frozen=True)
class Posed:
    """A problem on the device of its method, with the prior that fits its channels.

    - ``observation``: the observation as a picture (1, C, height, width) on the CPU
    - ``truth``: the clean picture, if the observation was simulated
    - ``doubt``: a sentence, if the stated noise does not look like the noise of the observation; else empty
    - ``remarks``: all that is to be said of the observation
    - ``level``: the noise of the observation, and where it is known from
    - ``found``: what was found in place of ``auto`` in the operator's spec
    - ``op``: the spec of the operator, or an empty string for one that was made by hand
    """

    problem: Problem
    prior: Prior
    observation: Tensor = field(repr=False)
    truth: Tensor | None = field(default=None, repr=False)
    doubt: str = ""
    remarks: tuple[str, ...] = ()
    level: Level = NO_NOISE
    found: Found | None = None
    op: str = ""

    def through(self, prior: Prior) -> Posed:
        """The same problem for another prior."""
        return replace(self, prior=fitting(prior, self.problem.operator))

    def shown(self, x: Tensor) -> Tensor:
        """The picture inside a solution x (batch, *in_shape): without what lies beyond its border."""
        return cut(self.problem.operator, x)


@dataclass(frozen=True)
class Observed:
    """What was observed of pictures: the numbers y (batch, *out_shape), the picture that a viewer sees of them, and the
    operator that y belongs to with the noise level of y."""

    y: Tensor
    seen: Tensor
    operator: LinearOperator
    noise_std: float

    @property
    def start(self) -> Tensor | None:
        """Where samplers begin: the picture that a viewer sees, where y is none itself, as with a JPEG file."""
        fits = not makes_pictures(self.operator) and self.seen.shape[1:] == self.operator.in_shape
        return self.seen if fits else None


def observe(operator: LinearOperator, x: Tensor, noise_std: float, rng: NoiseSource) -> Observed:
    """``A x + noise_std n`` for pictures x (batch, *in_shape). Numbers that the operator hides stay 0.

    Where the operator stands for a process, such as the coding of a JPEG file, the noise comes before it.
    """
    if process_of(operator) is not None:
        if noise_std > 0 and not takes_noise(operator):
            raise BadSpec(f"{operator!r} adds its own noise; leave --noise out, or put noise:std=... before it.")
        made, level = noisy(operator, noise_std) if noise_std > 0 else (operator, own_noise(operator))
        return Observed(*recorded(made, x, rng), made, level)
    y = operator.forward(x)
    if noise_std > 0:
        noise, known = rng.randn_like(y), known_numbers(operator)
        y = y + noise_std * (noise if known is None else noise * known.to(noise))
    return Observed(y, y, operator, noise_std)


def observation_noise(seed: int, *numbers: int) -> PictureNoise:
    """The source of the noise of simulated observations, for the pictures with the given numbers under ``seed``."""
    return PictureNoise(seed, numbers or (0,), stream="observation")


def fitting(prior: Prior, operator: LinearOperator) -> Prior:
    """The prior for the operator's pictures. For grey pictures, `Grey` goes around a prior for three channels."""
    return Grey(prior) if operator.in_shape[0] == 1 and prior.channels == 3 else prior


def pose(
    picture: Picture, method: Method, *, seed: int = 0, size: tuple[int, int] | None = None, simulate: bool = False
) -> Posed:
    """The problem whose observation is the picture, or with ``simulate`` the degraded picture.

    What is to be said of it stands in `Posed.remarks`. Raises `BadSpec`, `BadInput` or `ShapeError`.
    """
    if size is not None and (simulate or not isinstance(method.op, str)):
        raise BadSpec("--size is for real observations and operators by name; here it is known already.")
    return _simulated(picture, method, seed) if simulate else _real(picture, method, size)


def _simulated(picture: Picture, method: Method, seed: int) -> Posed:
    """The picture is clean. Without a stated level nothing is added to it."""
    if isinstance(method.op, str):
        refuse_simulation(method.op)
    x = picture.pixels
    operator = operator_for(x.shape, method.op)
    made = observe(operator, x, method.noise_std or 0.0, observation_noise(seed))
    start = None if made.start is None else made.start.to(method.device, method.dtype)
    problem = Problem(made.y.to(method.device, method.dtype), made.operator, made.noise_std, start)
    level = Level(made.noise_std, "stated")
    return Posed(problem, fitting(method.prior, operator), made.seen, cut(operator, x), level=level)


def _real(picture: Picture, method: Method, size: tuple[int, int] | None) -> Posed:
    """The picture is the observation."""
    coding = _coding(picture, method)
    noted, stated = noted_noise(picture, method.op), method.noise_std
    found: Found | None = None
    if is_partly_known(method.op):
        operator, found = operator_found(picture, method, size, coding.file)
        noted = any_noted_noise(picture)
    else:
        operator = operator_of(picture, method.op, size)
    if isinstance(operator, SoftMask):
        picture = replace(picture, pixels=operator.uncovered(picture.pixels))
    if stated is not None:
        level = Level(stated, "stated")
    elif coding.file is None:
        level = level_of(picture, operator, picture.pixels, noted)
    else:
        level = level_beneath(picture, coding.file, noted)
    if coding.file is not None:
        problem = _coded(picture, coding.file, operator, level.std, method)
    else:
        operator, std = noisy(operator, level.std)
        problem = Problem(picture.pixels.to(method.device, method.dtype), operator, std)
    doubt = "" if stated is None or coding.file is not None else doubts(problem)[0]
    # where the file itself says so, one sentence is enough
    remark = _reminder(picture, noted) if noted and stated == 0 else level.remark or doubt
    said = tuple(filter(None, [coding.remark, found.remark if found else "", remark]))
    prior, op = fitting(method.prior, problem.operator), method.op if isinstance(method.op, str) else ""
    return Posed(problem, prior, picture.pixels, None, doubt, said, level, found, op)


def _coding(picture: Picture, method: Method) -> Coding:
    """The codes of a JPEG file, or of a picture that was one, as the spec says; a stage that has no effect is named."""
    if not isinstance(method.op, str):
        return Coding(None)
    stage = coding_stage(method.op)
    if method.ignore_jpeg:
        return Coding(None, "" if stage is None else "The stage jpeg of --op has no effect with --ignore-jpeg.")
    if picture.format in JPEG:
        return coding_of(picture) if stage is None or not stage.options else contrasted(picture, stage)
    if stage is None:
        return Coding(None)
    if stage.options:
        return recovered(picture, stage)
    return Coding(None, f"{picture.path} is no JPEG file, so jpeg has no effect; state its quality, as in jpeg:q=75.")


def _coded(picture: Picture, file: JpegFile, operator: LinearOperator, std: float, method: Method) -> Problem:
    """The problem of a JPEG file: its codes are what is observed.

    Behind other stages the error of the file is taken as white noise, because there is no closed form for both.
    """
    if not isinstance(operator, Identity):
        level = math.hypot(as_white(file, method.sampler), std)
        return Problem(picture.pixels.to(method.device, method.dtype), operator, level)
    coded = operator_of_file(file, std)
    place = (method.device, method.dtype)
    return Problem(measured(coded, file).to(*place), coded, coded.own_noise, picture.pixels.to(*place))


def warn_of(picture: Picture, sentences: Sequence[str], stacklevel: int = 2) -> None:
    """Pass sentences about a picture on as `PictureWarning`, each with the file's name unless it has it."""
    for sentence in sentences:
        named = not picture.from_file or str(picture.path) in sentence
        text = sentence if named else f"{picture.path}: {sentence}"
        warnings.warn(text, PictureWarning, stacklevel=stacklevel + 1)


def _reminder(picture: Picture, noted: float) -> str:
    """A sentence where the file says that it is noisy and the user does not."""
    return f"{picture.path} says that it holds noise of {noted:.3g} (standard deviation); leave out --noise 0."
