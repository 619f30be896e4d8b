"""The strength of a degradation that changes a picture by so much: bisection over the operator's natural parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from zsir import operators, pictures
from zsir.errors import BadSpec
from zsir.metrics import severity
from zsir.operators.catalogue import OPERATORS
from zsir.workflow.pose import observation_noise, observe

#: the mean error is met when it is within this share of what was asked for
TOLERANCE = 0.01
HALVINGS = 40


@dataclass(frozen=True)
class Scale:
    """The parameter that an operator's strength follows from.

    Attributes:
        option: Name of the operator's option; empty for the level of the noise.
        mild: Value of the weakest degradation.
        severe: Value of the strongest one.
        log: Whether equal ratios count as equal steps.
        step: Values lie this far apart; 0 for a real number.
    """

    option: str
    mild: float
    severe: float
    log: bool = False
    step: int = 0

    def at(self, share: float) -> float:
        """The value at a share, 0 (mild) to 1 (severe), of the range."""
        if self.log:
            value = self.mild * float((self.severe / self.mild) ** share)
        else:
            value = self.mild + share * (self.severe - self.mild)
        return value if not self.step else self.mild + self.step * round((value - self.mild) / self.step)


#: operator -> the scale of its strength; sizes end where the picture does
SCALES: dict[str, Callable[[int], Scale]] = {
    "identity": lambda side: Scale("", 1e-4, 1.0, log=True),
    "blur": lambda side: Scale("sigma", 0.05, max(1.0, side / 4), log=True),
    "uniform": lambda side: Scale("size", 1, max(3, side), step=1),
    "motion": lambda side: Scale("length", 1.0, max(2.0, float(side)), log=True),
    "shake": lambda side: Scale("size", 3, max(5, side | 1), step=2),
    "mask": lambda side: Scale("keep", 1.0, 1e-3),
    "box": lambda side: Scale("size", 0.01, 0.99),
    "downsample": lambda side: Scale("factor", 1, max(2, side // 2), step=1),
    "jpeg": lambda side: Scale("q", 100, 1, step=1),
}


@dataclass(frozen=True)
class Calibrated:
    """A strength and what it does.

    Attributes:
        spec: The operator with its strength.
        noise_std: Standard deviation of the noise, on the [0, 1] scale.
        mu: Mean absolute error of the degraded picture.
        sigma: Standard deviation of the absolute error.
    """

    spec: str
    noise_std: float
    mu: float
    sigma: float


def calibrate(spec: str, x: Tensor, target: float, *, noise_std: float = 0.0, seed: int = 0) -> Calibrated:
    """Choose an operator's strength so that the degraded picture has a mean absolute error.

    The error is measured on the observation as a viewer sees it: clipped to [0, 1], enlarged to the picture's size
    (bicubic) where the operator reduces it. All strengths use the same random numbers, which keeps the error monotone.
    Parameters that are whole numbers take the nearer one.

    Args:
        spec: The operator without its strength, such as ``blur`` or ``mask:seed=2``.
        x: The clean picture, (1, channels, height, width) in [0, 1].
        target: The mean absolute error, above 0 and below 1.
        noise_std: Standard deviation of noise that is added to the observation, on the [0, 1] scale. By default 0.
        seed: Seed of the noise. By default 0.

    Returns:
        The strength, and the severity that it reaches.

    Raises:
        BadSpec: The operator has no strength, or has it in the spec already; or no strength reaches the target.
    """
    check(spec, target, noise_std)
    parsed = OPERATORS.parse(spec)
    scale = SCALES[parsed.name](min(x.shape[-2:]))

    def done(share: float) -> Calibrated:
        value = scale.at(share)
        shown = int(value) if scale.step else value
        options = {**parsed.options, **({scale.option: shown} if scale.option else {})}
        full = replace(parsed, options=options).spec
        std = noise_std if scale.option else value
        ((mu, sigma),) = severity(_seen(full, x, std, seed), x.clamp(0, 1))
        return Calibrated(full, std, mu, sigma)

    return _bisect(done, target, spec, scale)


def check(spec: str, target: float, noise_std: float) -> None:
    """Raise `BadSpec` where `calibrate` would for any picture."""
    parsed = OPERATORS.parse(spec)
    if not 0 < target < 1:
        raise BadSpec(f"--severity {target:g} must lie between 0 and 1: it is a mean error on the [0, 1] scale.")
    if parsed.name not in SCALES:
        known = ", ".join(name for name in SCALES if name in OPERATORS.names())
        raise BadSpec(
            f"--severity: {parsed.name} has no single strength to choose; take one of {known}, or leave it out."
        )
    option = SCALES[parsed.name](1).option
    if option in parsed.options:
        raise BadSpec(f"--severity chooses {parsed.name}:{option}; leave it out of {spec}, or leave --severity out.")
    if not option and noise_std:
        raise BadSpec(f"--severity chooses the noise of {parsed.name}; leave --noise out, or leave --severity out.")


def _bisect(done: Callable[[float], Calibrated], target: float, spec: str, scale: Scale) -> Calibrated:
    """The strength whose error is within `TOLERANCE` of the target, or of a whole parameter the nearer one."""
    low, high = 0.0, 1.0
    mild, severe = done(low), done(high)
    near = min(mild, severe, key=lambda found: abs(found.mu - target))
    if abs(near.mu - target) <= TOLERANCE * target:
        return near
    if not mild.mu < target < severe.mu:
        raise BadSpec(
            f"--severity {target:g} cannot be reached by {spec} on this picture: its mean error runs from "
            f"{mild.mu:.3g} ({_shown(mild)}) to {severe.mu:.3g} ({_shown(severe)}); choose a number in between."
        )
    for _ in range(HALVINGS):
        if scale.step and scale.at(low) == scale.at(high):
            break
        middle = (low + high) / 2
        found = done(middle)
        if abs(found.mu - target) < abs(near.mu - target):
            near = found
        if abs(near.mu - target) <= TOLERANCE * target:
            break
        low, high = (middle, high) if found.mu < target else (low, middle)
    return near


def _shown(found: Calibrated) -> str:
    return found.spec + (f" with noise {found.noise_std:.3g}" if found.noise_std else "")


def _seen(spec: str, x: Tensor, noise_std: float, seed: int) -> Tensor:
    """The degraded picture as a viewer sees it, in the size of the clean one."""
    operator = operators.make(spec, in_shape=(x.shape[1], x.shape[2], x.shape[3]))
    y = observe(operator, x, noise_std, observation_noise(seed)).seen
    return pictures.enlarge(y, (x.shape[-2], x.shape[-1])).to(x).clamp(0, 1)
