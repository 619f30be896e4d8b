"""What most samplers share: one network call a step, a start on a ladder of noise levels, and types of options.

A method that inherits from `BaseSampler` writes its formula, its options and its `step`, and `init` only where it
begins in another way. A method that calls the network more than once a step writes `steps` as well, and needs no base.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior, State
from zsir.samplers.chain import Spacing, begin

#: types of options that several methods have
Calls = Annotated[int, Option("network calls")]
CallsWithGradient = Annotated[int, Option("network calls, each with a backward pass")]
Levels = Annotated[tuple[float, ...] | None, Option("noise levels; chosen by rule if not given", "[0, 1]")]
FreshNoise = Annotated[float, Option("share of fresh noise", "0..1", tune=Range(0, 1))]


class BaseSampler:
    """A sampler with one network call a step.

    A subclass is a frozen dataclass with the field ``nfe``, and without an `init` of its own also ``sigmas``.
    """

    #: how `init` spreads the levels where ``sigmas`` are not given
    spacing: ClassVar[Spacing] = "uniform"

    nfe: int
    sigmas: tuple[float, ...] | None

    @property
    def steps(self) -> int:
        """One network call a step."""
        return self.nfe

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> State:
        """x = x_init + sigma_1 n."""
        return begin(problem, prior, rng, self.nfe, self.sigmas, self.spacing)
