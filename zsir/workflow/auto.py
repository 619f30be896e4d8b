"""``--op auto``: what a picture has been through, decided from the picture itself, and what is to be done about it.

The picture is inspected (`zsir.inspection`). Where its spectrum cannot tell two kinds of blur, because JPEG hides what
would, each is tried on a detailed window: one pixel in twenty is hidden, the window is solved without them, and the
blur that predicts the hidden pixels best is taken. In every data step the hidden pixels are filled with what the blur
makes of the last estimate, a step of expectation and maximisation; so the blur keeps its closed form. Only blurs are
compared in this way: a blurred picture predicts its own pixels well, whatever made it so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from zsir import operators, samplers
from zsir.capabilities import Margins, margins_of
from zsir.errors import ZsirError
from zsir.inspection import Hypothesis, Inspection, inspect
from zsir.inspection.conclusions import VISIBLE
from zsir.loop.solver import solve
from zsir.operators import Operator
from zsir.operators.catalogue import OPERATORS
from zsir.pictures import Picture
from zsir.problem import Problem
from zsir.protocols import Numbers, Prior, Shape
from zsir.rng import generator
from zsir.samplers.initial import median_fill
from zsir.workflow.coding import JPEG, as_white, coding_of
from zsir.workflow.degradation import without_coding
from zsir.workflow.method import Method
from zsir.workflow.pose import fitting

#: side of the window on which hypotheses are tried, in pixels, and the calls of a trial
WINDOW, CALLS = 128, 4
#: share of the pixels that is hidden in a trial
HIDDEN = 0.05
#: a hypothesis takes the place of a likelier one if it predicts hidden pixels better by more than this. Behind JPEG of
#: quality 80 to 85 the error of a true disc is 0.73 to 0.96 of that of the Gaussian, and of a wrong one 0.98 to 1.06.
#: Near widths are not compared in this way: without noise the smaller of two predicts better, by up to 0.1
BETTER = 0.03
#: least noise of a picture whose blur is only believed, and of a trial
LEAST_NOISE = 2 / 255
#: operators that are tried on a window
BLURS = ("blur", "disc", "motion", "sinc")


FILLED = "They are filled in (--op scratches)."
HARM = "Every restoration that was tried would make the picture worse; it stays as it is."


@dataclass(frozen=True)
class Decision:
    """What is done with a picture.

    Attributes:
        op: The spec of what it has been through; empty where it needs nothing.
        noise: Standard deviation of the noise before JPEG, on the [0, 1] scale; None to estimate it as usual.
        size: (height, width) of the restored picture where the spec alone does not say it, else None.
        sentences: What is believed, and what is done.
        easier: What to do instead if the result makes the picture worse.
    """

    op: str
    noise: float | None
    sentences: tuple[str, ...]
    size: tuple[int, int] | None = None
    easier: tuple[Decision, ...] = ()

    def with_noise(self, std: float) -> Decision:
        """The same with more noise, because the first result did not fit."""
        said = f"The first result did not fit the picture; a second one takes its noise as {std:.4f}."
        return replace(self, noise=std, sentences=(*self.sentences, said))

    def applied(self, method: Method) -> Method:
        """The method with what was decided in place of ``auto``."""
        return replace(method, op=self.op, noise_std=self.noise)


def decide(picture: Picture, method: Method) -> Decision:
    """Inspect a picture, and choose what to do.

    Args:
        picture: The picture.
        method: The prior and the stated noise, if any; its ``op`` is not looked at.

    Returns:
        The decision.
    """
    seen = inspect(picture)
    believed = " ".join(_belief(seen))
    if seen.needs_nothing:
        if not method.noise_std:
            return Decision("", None, (believed,))
        return _done(picture, method, Hypothesis("identity", seen.noise, 1.0), believed)
    if seen.findings.scratches:
        return Decision("scratches", method.noise_std, (believed, FILLED))
    chosen = _chosen(picture, method, seen)
    last = seen.hypotheses[-1]
    # noise alone that cannot be seen is no reason to touch a picture
    worth = last.spec != chosen.spec and (last.spec != "identity" or last.noise >= VISIBLE)
    easier = (_done(picture, method, last, believed),) if worth else ()
    return replace(_done(picture, method, chosen, believed), easier=easier)


def _done(picture: Picture, method: Method, chosen: Hypothesis, believed: str) -> Decision:
    """The decision for a hypothesis."""
    spec, noise = chosen.spec, _stated(picture, chosen)
    file = coding_of(picture).file if method.ignore_jpeg else None
    if file is not None:
        kept = [stage for stage in spec.split(" | ") if stage.partition(":")[0] != "jpeg"]
        spec = " | ".join(kept) or "identity"
        noise = math.hypot(chosen.noise, as_white(file))
    if method.noise_std is not None:
        noise = method.noise_std
    told = "" if noise is None else f", noise {noise:.4f}"
    size = picture.shape[1:] if spec.startswith("resize:") else None
    return Decision(spec, noise, (believed, f'Restored as --op "{spec}"{told}.'), size)


def _belief(seen: Inspection) -> Sequence[str]:
    return [sentence for sentence in seen.sentences if "cannot be" not in sentence] or list(seen.sentences)


def _stated(picture: Picture, chosen: Hypothesis) -> float | None:
    """The level of a hypothesis; None for JPEG where nothing else is undone: its codes tell more than its pixels.

    What is to be sharpened has at least `LEAST_NOISE`: noise and JPEG that came before the blur do not show, but would
    be sharpened with the rest.
    """
    coded = picture.format in JPEG or chosen.spec.rpartition("|")[2].strip().startswith("jpeg")
    if coded and not _is_blur(chosen):
        return None
    return max(chosen.noise, LEAST_NOISE if chosen.spec != "identity" else 0.0)


def _chosen(picture: Picture, method: Method, seen: Inspection) -> Hypothesis:
    """The likeliest hypothesis, or of several blurs the one that predicts hidden pixels best."""
    likely, *others = seen.hypotheses
    trials = [one for one in (likely, *others) if _is_blur(one)]
    if len(trials) < 2 or not _is_blur(likely):
        return likely
    window = _window(picture.pixels)
    white = _coded_level(picture)
    scores = {}
    for one in trials:
        try:
            scores[one] = _prediction(window, one, math.hypot(one.noise, white), method)
        except ZsirError:  # a trial that cannot be solved is no recommendation
            scores[one] = math.inf
    best = min(trials, key=lambda one: scores[one])
    return best if scores[best] < (1 - BETTER) * scores[likely] else likely


def _is_blur(one: Hypothesis) -> bool:
    first, *others = (stage.partition(":")[0].strip() for stage in one.spec.split("|"))
    return first in BLURS and set(others) <= {"jpeg", "sinc"}


def _coded_level(picture: Picture) -> float:
    file = coding_of(picture).file
    return 0.0 if file is None else as_white(file)


def _window(x: Tensor) -> Tensor:
    """The window of x (1, C, height, width) with the strongest gradients, of `WINDOW` pixels a side or less."""
    side = (min(WINDOW, x.shape[-2]), min(WINDOW, x.shape[-1]))
    grey = x.mean(dim=1, keepdim=True)
    energy = torch.zeros_like(grey)
    energy[..., :-1, :] += grey.diff(dim=-2).square()
    energy[..., :-1] += grey.diff(dim=-1).square()
    step = (max(1, side[0] // 4), max(1, side[1] // 4))
    mean = torch.nn.functional.avg_pool2d(energy, side, step)[0, 0]
    place = int(mean.argmax())
    top, left = place // mean.shape[1] * step[0], place % mean.shape[1] * step[1]
    return x[..., top : top + side[0], left : left + side[1]].contiguous()


@dataclass(frozen=True, eq=False)
class _Hidden(Operator):
    """An operator of whose observation some pixels are hidden, for trials.

    forward ``M A x``; adjoint ``A^T M y``; prox: that of A for y with the hidden pixels of A z, one step towards the
    exact one.

    Attributes:
        inner: The operator A.
        shown: Which pixels are seen, (height, width).
    """

    inner: Operator
    shown: Tensor = field(repr=False)

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """That of A."""
        return self.inner.in_shape

    @property
    def out_shape(self) -> Numbers:
        """That of A."""
        return self.inner.out_shape

    @property
    def margins(self) -> Margins:
        """Those of A."""
        return margins_of(self.inner)

    def forward(self, x: Tensor) -> Tensor:
        """M A x."""
        return self.inner.forward(x) * self.shown.to(x.device)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T M y."""
        return self.inner.adjoint(y * self.shown.to(y.device))

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """That of A, for y with the hidden pixels that z has."""
        return self.inner.prox(z, torch.where(self.shown.to(y.device), y, self.inner.forward(z)), rho)


def _prediction(y: Tensor, one: Hypothesis, noise: float, method: Method) -> float:
    """Mean squared error of the hidden pixels of y, predicted from the others under a hypothesis."""
    shape = (y.shape[1], y.shape[2], y.shape[3])
    operator = operators.make(without_coding(OPERATORS.parse(one.spec)), out_shape=shape)
    hidden = torch.rand(shape[1:], generator=generator(0, 0, "hidden")) < HIDDEN
    # begun at the picture itself, with the hidden pixels filled: a good beginning makes the inverse quick
    begun, seen = (values.to(method.device, torch.float32) for values in (median_fill(y, ~hidden), y * ~hidden))
    problem = Problem(seen, _Hidden(operator, ~hidden), max(noise, LEAST_NOISE), begun)
    prior: Prior = fitting(method.prior, operator)
    x = solve(problem, prior, samplers.make("hqs", nfe=CALLS)).x
    error = (operator.forward(x) - y.to(x))[..., hidden.to(x.device)]
    return float(error.square().mean())
