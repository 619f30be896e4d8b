"""From a picture and a method to the problem to solve."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from zsir import operators
from zsir.capabilities import known_numbers
from zsir.errors import BadSpec, PictureWarning, ShapeError, UnknownName
from zsir.metrics.noise import doubts, estimate_of
from zsir.operators.catalogue import OPERATORS
from zsir.pictures import Picture
from zsir.priors.wrappers.grey import Grey
from zsir.problem import Problem
from zsir.protocols import LinearOperator, NoiseSource, Prior, Shape
from zsir.rng import PictureNoise
from zsir.workflow.method import Method


@dataclass(frozen=True)
class Posed:
    """A problem on the device of its method, with the prior that fits its channels.

    - ``observation``: the observation (batch, C, height, width) on the CPU
    - ``truth``: the clean picture, if the observation was simulated
    - ``doubt``: a sentence, if the stated noise does not look like the noise of the observation; else empty
    - ``remarks``: all that is to be said of the observation
    """

    problem: Problem
    prior: Prior
    observation: Tensor = field(repr=False)
    truth: Tensor | None = field(default=None, repr=False)
    doubt: str = ""
    remarks: tuple[str, ...] = ()

    def through(self, prior: Prior) -> Posed:
        """The same problem for another prior."""
        return replace(self, prior=fitting(prior, self.problem.operator))


def observe(operator: LinearOperator, x: Tensor, noise_std: float, rng: NoiseSource) -> Tensor:
    """``A x + noise_std n`` for pictures x (batch, *in_shape). Numbers that the operator hides stay 0."""
    y = operator.forward(x)
    if noise_std <= 0:
        return y
    noise, known = rng.randn_like(y), known_numbers(operator)
    return y + noise_std * (noise if known is None else noise * known.to(noise))


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
    x = picture.pixels
    if size is not None and (simulate or not isinstance(method.op, str)):
        raise BadSpec("--size is for real observations and operators by name; here it is known already.")
    if simulate:
        if method.noise_std is None:
            raise BadSpec("The noise of a simulated observation must be stated, as in --noise 5/255.")
        operator = operator_for(x.shape, method.op)
        y = observe(operator, x, method.noise_std, observation_noise(seed))
    else:
        y, operator = x, operator_of(picture, method.op, size)
    if method.noise_std is None:
        estimated = estimate_of(operator, y)
        noise, remarks = min(1.0, estimated.std), [estimated.note]
    else:
        noise, remarks = method.noise_std, ["" if simulate else _reminder(picture, method)]
    problem = Problem(y.to(method.device, method.dtype), operator, noise)
    # a simulated or estimated level needs no check
    doubt = "" if simulate or method.noise_std is None else doubts(problem)[0]
    if not any(remarks):  # where the file itself says so, one sentence is enough
        remarks.append(doubt)
    said = tuple(filter(None, remarks))
    return Posed(problem, fitting(method.prior, operator), y, x if simulate else None, doubt, said)


def warn_of(picture: Picture, sentences: Sequence[str], stacklevel: int = 2) -> None:
    """Pass sentences about a picture on as `PictureWarning`, each with the file's name unless it has it."""
    for sentence in sentences:
        named = not picture.from_file or str(picture.path) in sentence
        text = sentence if named else f"{picture.path}: {sentence}"
        warnings.warn(text, PictureWarning, stacklevel=stacklevel + 1)


def operator_for(shape: tuple[int, ...], op: str | LinearOperator) -> LinearOperator:
    """The operator for pictures of a shape (batch, C, height, width)."""
    in_shape: Shape = (shape[1], shape[2], shape[3])
    if isinstance(op, str):
        return operators.make(op, in_shape=in_shape)
    if tuple(op.in_shape) != in_shape:
        raise ShapeError(f"{op!r} is for pictures of shape {tuple(op.in_shape)}, this one has {in_shape}.")
    return op


def operator_of(picture: Picture, op: str | LinearOperator, size: tuple[int, int] | None) -> LinearOperator:
    """The operator whose observation is ``picture``. Its own pictures have the given ``size`` (height, width), or else
    the size that `zsir degrade` noted in the file."""
    seen = picture.shape
    if not isinstance(op, str):
        if tuple(op.out_shape) != seen:
            raise ShapeError(f"{op!r} makes observations of shape {tuple(op.out_shape)}, this one has {seen}.")
        return op
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


def _reminder(picture: Picture, method: Method) -> str:
    """A sentence where the file says that it is noisy and the method does not."""
    noted = picture.text.get("zsir:noise", "0")
    if method.noise_std != 0 or noted == "0" or not isinstance(method.op, str) or not _made_by(picture, method.op):
        return ""
    return f"{picture.path} says that it holds noise; add --noise {noted}."
