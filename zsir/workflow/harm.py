"""Whether a result was made worse than its observation, told without the truth, and the likely cause in a sentence.

Four signs are looked for:

- a mask shows one colour and hides a picture: it means the opposite;
- the result contradicts its observation (`zsir.metrics.contradiction`);
- it lies outside [0, 1] where a picture cannot: noise that the inverse of the operator magnified does;
- what the operator hardly sees has more power than what it sees. The power spectra of pictures fall, so that the
  gradient of a picture has about equal power at all frequencies, or less at the high ones (Field 1987, Relations
  between the statistics of natural images and the response properties of cortical cells, JOSA A 4(12)). Checkerboards
  and bars break this law, in pictures of low contrast too.

tests/benchmarks/harm.py measures how often the signs are right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from zsir.capabilities import cut, known_numbers, makes_pictures, seen_pixels, separate
from zsir.errors import BadInput, SolveError
from zsir.metrics.blocks import has_blocks
from zsir.metrics.noise import ENOUGH_TO_DOUBT, estimate
from zsir.operators.catalogue import OPERATORS
from zsir.problem import Problem
from zsir.protocols import LinearOperator

#: what the operator damps below this share of its gain for a flat picture, as a power, is hardly seen
DAMPED = 0.1
#: an operator that hides less than this share of white noise magnifies nothing; the identity has 0.01
LEAST_HIDDEN = 0.02
#: gradients of less power are those of a flat picture
FLAT = (1 / 255) ** 2
#: an observation of fewer pixels a side is too small for statistics of pictures
LEAST_SIDE = 48
#: a number outside [0, 1] by more than this is no overshoot of an edge
FAR = 0.05
#: more than this share of numbers far outside is harm, where the power of what is hardly seen is above the second:
#: below it, overshoots stand beside edges, and nothing was magnified
MOST_OUTSIDE, MAGNIFIED = 0.015, 0.1
#: less of them is enough where that power is above the second, as in pictures of low contrast
SOME_OUTSIDE, MUCH_UNSEEN = 0.005, 1.0
#: and so is more than this power alone. Pictures have 0.005 to 0.7
MOST_UNSEEN = 2.0
#: a mask means the opposite where it shows one colour on at least the first share of its pixels, and hides pixels of
#: which at most the second share have one colour
ONE_COLOUR, MANY_COLOURS = 0.9, 0.3
#: bars come from the border where the outer eighth holds this many times the share far outside that the rest holds
BORDER = 3.0
#: the noise is to blame where it is estimated as more than this many times what was stated
MORE_NOISE = 1.5
#: a level to try where none can be estimated, because JPEG took the fine noise away
TRY = 0.02

Cause = Literal["noise", "coding", "border", "operator"]


@dataclass(frozen=True)
class Signs:
    """Numbers about one result.

    - ``outside``: share of the numbers that lie far outside [0, 1], and the same of the outer eighth alone (``edge``)
      and of the rest (``inside``)
    - ``unseen``: power, for one dimension, of what the operator hardly sees in the gradient of the picture, over that
      of what it sees. 0 where the operator magnifies nothing.
    """

    outside: float
    edge: float
    inside: float
    unseen: float

    @property
    def harmful(self) -> bool:
        """Whether one of them says that the result is worse than its observation."""
        limit = SOME_OUTSIDE if self.unseen > MUCH_UNSEEN else MOST_OUTSIDE
        return (self.outside > limit and self.unseen > MAGNIFIED) or self.unseen > MOST_UNSEEN


def signs_of(problem: Problem, x: Tensor) -> Signs:
    """The signs of a result x (1, *in_shape) that was not clipped."""
    shown = cut(problem.operator, x)
    far = ((shown - shown.clamp(0, 1)).abs() > FAR).double().mean(dim=(0, 1))
    height, width = far.shape
    rows, columns = height // 8, width // 8
    middle = far[rows : height - rows, columns : width - columns]
    rest = float(far.sum() - middle.sum()) / max(1, far.numel() - middle.numel())
    return Signs(float(far.mean()), rest, float(middle.mean()), unseen_power(problem.operator, x))


def unseen_power(operator: LinearOperator, x: Tensor) -> float:
    """Power of what the operator hardly sees over power of what it sees, in the gradient of x (1, *in_shape).

    Each is for one dimension. 0 where the operator magnifies nothing, or has no regularised inverse that converges.
    """
    if seen_pixels(operator) is not None:
        return 0.0
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    fields = torch.cat([noise, pad(x.diff(dim=-2), (0, 0, 0, 1)), pad(x.diff(dim=-1), (0, 1))])
    flat = torch.ones_like(x)
    gain = float(operator.forward(flat).square().sum() / flat.square().sum())
    if gain == 0:
        return 0.0
    try:
        seen = operator.pinv(operator.forward(fields), DAMPED * gain)
    except (SolveError, NotImplementedError):
        return 0.0
    hidden, shown = (cut(operator, part).double().square().flatten(1).mean(dim=1) for part in (fields - seen, seen))
    if float(hidden[0]) < LEAST_HIDDEN * float(shown[0]):
        return 0.0
    pictured = float(shown[1:].sum() / shown[0])
    return float(hidden[1:].sum() / hidden[0]) / max(pictured, FLAT)


def harm(problem: Problem, x: Tensor, misfit: str = "", op: str = "") -> str:
    """One sentence with the likely cause and what to change, if the result is worse than its observation, else "".

    Args:
        problem: The problem that was solved; its first observation counts.
        x: The solution, (batch, *in_shape), not clipped; its first picture counts.
        misfit: The sentence of `zsir.metrics.contradiction` about it, or an empty string.
        op: The spec of the operator, or an empty string.

    Returns:
        The sentence, or an empty string.
    """
    if swapped := polarity(problem):
        return swapped
    if min(_size(problem)) < LEAST_SIDE:
        return misfit
    found = signs_of(problem, x[:1])
    if not found.harmful:
        return misfit
    what = _what(found)
    cause, level = _cause(problem, found, op)
    stated = f"{problem.noise_std:.2g}"
    if cause == "border":
        return f"The result has {what}, most of all along its border: state the border, as in {_bordered(op)}."
    if cause == "coding":
        return (
            f"The result has {what}: the observation was coded as JPEG, whose errors are above the noise of {stated} "
            f"that was taken; try --noise {level:.2g}."
        )
    if cause == "noise":
        return (
            f"The result has {what}: the observation holds more noise than the {stated} that was taken; try --noise "
            f"{level:.2g}."
        )
    return (
        f"The result has {what}: the operator is not what happened to the picture (a kernel too wide, turned or "
        f"mirrored), or there is more noise than {stated}; check --op, or try --noise {level:.2g}."
    )


def polarity(problem: Problem) -> str:
    """A sentence if a mask seems to mean the opposite: what it shows has one colour, what it hides is a picture."""
    known = known_numbers(problem.operator)
    if known is None or seen_pixels(problem.operator) is None or not makes_pictures(problem.operator):
        return ""
    y = problem.y[0].cpu()
    shown = known.cpu().expand(y.shape).all(dim=0)
    inside, outside = _commonest(y[:, shown]), _commonest(y[:, ~shown])
    if inside < ONE_COLOUR or outside > MANY_COLOURS:
        return ""
    return (
        f"The pixels that the mask shows have one colour on {inside:.0%} of them, and those that it hides look like a "
        "picture: the mask is white on the damage; invert it (mask-file:...,invert=true)."
    )


def _commonest(pixels: Tensor) -> float:
    """Share of the commonest colour, in 8 bits, among pixels (channels, number). 0.5 where there are none."""
    if not pixels.numel():
        return 0.5
    counts = (255 * pixels).round().unique(dim=1, return_counts=True)[1]
    return float(counts.max()) / pixels.shape[1]


def _size(problem: Problem) -> tuple[int, int]:
    """Height and width of the observation, or of the picture where that is none."""
    shape = problem.operator.out_shape if makes_pictures(problem.operator) else problem.operator.in_shape
    return shape[-2], shape[-1]


def _what(found: Signs) -> str:
    if found.outside > MOST_OUTSIDE:
        return f"{found.outside:.0%} of its numbers far outside [0, 1]"
    return f"{found.unseen:.1f} times the power where the operator sees hardly anything that it has elsewhere"


def _cause(problem: Problem, found: Signs, op: str) -> tuple[Cause, float]:
    """The likely cause, and a noise level to try."""
    part, y = separate(problem.operator, problem.y[:1])[0]
    level = problem.noise_std
    if makes_pictures(part) and y.shape[1] in (1, 3):
        try:
            estimated = estimate(y, most=ENOUGH_TO_DOUBT).std
        except BadInput:
            estimated = 0.0
        if level < TRY and has_blocks(y):
            return "coding", TRY
        if estimated > MORE_NOISE * level:
            return "noise", estimated
    if found.edge > BORDER * found.inside and found.outside > MOST_OUTSIDE and _assumes_border(op):
        return "border", level
    return "operator", max(TRY, 3 * level)


def _assumes_border(op: str) -> bool:
    """Whether the first operator of a spec has the option ``boundary``, and another border than an unknown one."""
    name = op.partition("|")[0].strip().partition(":")[0]
    known = name in OPERATORS.names() and any(p.name == "boundary" for p in OPERATORS.describe(name).parameters)
    return known and "boundary=unknown" not in op


def _bordered(op: str) -> str:
    """A spec with the border that needs no assumption."""
    first, bar, rest = op.partition("|")
    name, _, options = first.strip().partition(":")
    kept = [option for option in options.split(",") if option and not option.startswith("boundary=")]
    text = f"{name}:{','.join([*kept, 'boundary=unknown'])}"
    return f"--op '{text} {bar}{rest}'" if bar else f"--op {text}"
