"""The stages that the degradation pipelines are made of. Each has exact parameters, seeds of its noise included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.operators.base import Operator
from zsir.operators.separable import Separable
from zsir.operators.wild import encoders, interpolation
from zsir.operators.wild.bordered import behind_display, correlation, ringing
from zsir.operators.wild.taps import Kernel
from zsir.protocols import Shape
from zsir.rng import check_seed

#: standard deviation of the error of rounding to 8 bits
ROUNDING = 1 / 255 / 12**0.5
#: Y of BT.601, full range
LUMA = (0.299, 0.587, 0.114)
#: how much wider the display's kernel is for red, green and blue light
WAVELENGTHS = (1.15, 1.0, 0.85)
#: root mean square error of JPEG at quality 99 and how it grows with 100 - quality; median of 12 crops of eval34
JPEG_ERROR, JPEG_GROWTH = 0.0056, 0.46
#: mean and photons at white of a typical picture, for the noise of a Poisson stage
TYPICAL_MEAN, TYPICAL_PEAK = 0.45, 256


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline.

    A stage is linear, and then has an `operator`; or it is not, counts as the identity in the composed operator and
    has the ``level`` of the noise that it adds. The levels of JPEG and Poisson stages depend on the picture. They are
    those of a typical picture until `seen` was asked.
    """

    kind: ClassVar[str] = ""

    def operator(self, shape: Shape) -> Operator | None:
        """The linear map of the stage.

        Args:
            shape: (channels, height, width) of the picture that comes in.

        Returns:
            The operator; None for a stage that is not linear.
        """
        return None

    def apply(self, x: Tensor) -> Tensor:
        """What comes out for pictures x (batch, channels, height, width), float64."""
        shape = (x.shape[1], x.shape[2], x.shape[3])
        operator = self.operator(shape)
        assert operator is not None, f"{self.kind} must define apply or operator"
        return operator.forward(x)

    @property
    def level(self) -> float:
        """Standard deviation of the noise that the stage adds, on the [0, 1] scale."""
        return 0.0

    def seen(self, x: Tensor) -> Stage:
        """The stage, with what only the picture x (1, channels, height, width) that comes in decides."""
        return self

    def as_json(self) -> dict[str, Any]:
        """The stage as a dictionary of texts, numbers and dictionaries."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        shown = {key: value.as_json() if isinstance(value, Kernel) else value for key, value in held.items()}
        return {"stage": self.kind, **{key: value for key, value in shown.items() if value is not None}}


@dataclass(frozen=True)
class Filter(Stage):
    """Correlation with a kernel, the border mirrored without repeating the edge (OpenCV's ``filter2D``)."""

    kind: ClassVar[str] = "filter"
    kernel: Kernel

    def operator(self, shape: Shape) -> Operator:
        """The correlation."""
        return correlation(shape, self.kernel.taps, f"{self.kernel.family} {self.kernel.size}")


@dataclass(frozen=True)
class Ringing(Stage):
    """Wiener deconvolution of a picture that was blurred with the kernel; ``share`` of the blurred one stays."""

    kind: ClassVar[str] = "ringing"
    kernel: Kernel
    share: float = 0.0

    def operator(self, shape: Shape) -> Operator:
        """The deconvolution."""
        return ringing(shape, self.kernel.taps, self.share)


@dataclass(frozen=True)
class Display(Stage):
    """Periodic blur as of a camera below a display, ``share`` of it in the result, wider for red than for blue."""

    kind: ClassVar[str] = "display"
    size: int
    spread: float
    share: float

    def operator(self, shape: Shape) -> Operator:
        """The blur, one kernel for each channel."""
        widths = WAVELENGTHS if shape[0] == 3 else (1.0,) * shape[0]
        kernels = [Kernel("star", self.size, {"spread": self.spread * width}).taps for width in widths]
        return behind_display(shape, kernels, self.share)


@dataclass(frozen=True)
class Resize(Stage):
    """Interpolation to ``height`` by ``width`` pixels; ``scale`` as in `interpolation.matrix`."""

    kind: ClassVar[str] = "resize"
    height: int
    width: int
    method: str
    rule: str
    scale: float | None = None

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or max(self.height, self.width) > 1 << 16:
            raise BadSpec(f"A stage cannot resize to {self.width}x{self.height} pixels.")
        if self.method not in interpolation.METHODS or self.rule not in interpolation.RULES:
            raise BadSpec(f"A stage cannot resize by {self.method} of {self.rule}.")

    def operator(self, shape: Shape) -> Operator:
        """The two matrices."""
        c, h, w = shape
        make = interpolation.matrix
        rows = make(h, self.height, self.method, self.rule, self.scale)
        columns = make(w, self.width, self.method, self.rule, self.scale)
        return Separable(c, rows, columns, f"{self.method} {w}x{h} to {self.width}x{self.height}")


@dataclass(frozen=True)
class Gaussian(Stage):
    """White Gaussian noise of standard deviation ``sigma``, the same in all channels if ``grey``; then clipped."""

    kind: ClassVar[str] = "gaussian"
    sigma: float
    grey: bool
    seed: int

    def __post_init__(self) -> None:
        check_seed(self.seed, f"The stage {self.kind} cannot draw: seed")

    def apply(self, x: Tensor) -> Tensor:
        """x + sigma n, clipped to [0, 1]."""
        shape = (1 if self.grey else x.shape[1], *x.shape[2:])
        noise = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(self.seed))
        return (x + self.sigma * noise.to(x)).clamp(0, 1)

    @property
    def level(self) -> float:
        """sigma."""
        return self.sigma


@dataclass(frozen=True)
class Poisson(Stage):
    """Shot noise times ``scale``, of a picture of ``peak`` photons at white; then clipped.

    The peak is the number of different 8-bit values of the picture, rounded up to a power of 2. ``std`` is the root
    mean square of the noise over the picture. Both follow from the picture.
    """

    kind: ClassVar[str] = "poisson"
    scale: float
    grey: bool
    seed: int
    peak: int | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed, f"The stage {self.kind} cannot draw: seed")

    def apply(self, x: Tensor) -> Tensor:
        """x + scale (Poisson(peak q) / peak - q), clipped to [0, 1]; q is x, or its luma, rounded to 8 bits."""
        q = self._rounded(x)
        found = []
        for picture in q:  # each from its own beginning: a picture's noise must not depend on the batch
            peak = _peak(picture) if self.peak is None else self.peak
            drawn = torch.poisson(peak * picture, generator=torch.Generator().manual_seed(self.seed))
            found.append(drawn / peak - picture)
        return (x + self.scale * torch.stack(found)).clamp(0, 1)

    def _rounded(self, x: Tensor) -> Tensor:
        if self.grey and x.shape[1] == 3:
            x = (x * torch.tensor(LUMA, dtype=x.dtype).view(3, 1, 1)).sum(dim=1, keepdim=True)
        return rounded(x)

    def seen(self, x: Tensor) -> Stage:
        """The stage with peak and std of the picture."""
        (q,) = self._rounded(x)
        peak = _peak(q)
        return replace(self, peak=peak, std=self.scale * float((q.mean() / peak).sqrt()))

    @property
    def level(self) -> float:
        """std, or that of a typical picture."""
        return self.scale * (TYPICAL_MEAN / TYPICAL_PEAK) ** 0.5 if self.std is None else self.std


def _peak(q: Tensor) -> int:
    """The number of different values, rounded up to a power of 2."""
    return 1 << (int(torch.unique(q).numel()) - 1).bit_length()


@dataclass(frozen=True)
class Round(Stage):
    """Clip to [0, 1] and round to 8 bits."""

    kind: ClassVar[str] = "round"

    def apply(self, x: Tensor) -> Tensor:
        """round(255 x) / 255, clipped."""
        return rounded(x)

    @property
    def level(self) -> float:
        """1 / (255 sqrt(12))."""
        return ROUNDING


def rounded(x: Tensor) -> Tensor:
    """x in 256 steps of [0, 1]."""
    return (255 * x).round().clamp(0, 255) / 255


@dataclass(frozen=True)
class Jpeg(Stage):
    """JPEG of a quality, by Pillow or by Real-ESRGAN's stand-in; ``std`` is the root mean square of its error."""

    kind: ClassVar[str] = "jpeg"
    quality: float
    encoder: Literal["pillow", "differentiable"]
    std: float | None = None

    def __post_init__(self) -> None:
        if self.encoder not in ("pillow", "differentiable") or not 1 <= self.quality < 100:
            raise BadSpec(f"A stage cannot encode by {self.encoder} with quality {self.quality}; it takes 1 to 99.")

    def apply(self, x: Tensor) -> Tensor:
        """The decoded picture."""
        if self.encoder == "pillow":
            return encoders.pillow(x, int(self.quality))
        return encoders.differentiable(x, self.quality)

    def seen(self, x: Tensor) -> Stage:
        """The stage with the error that it makes in the picture."""
        return replace(self, std=float((self.apply(x) - x.clamp(0, 1)).square().mean().sqrt()))

    @property
    def level(self) -> float:
        """std, or that of a typical picture."""
        return JPEG_ERROR * (100 - self.quality) ** JPEG_GROWTH if self.std is None else self.std


@dataclass(frozen=True)
class Sharpen(Stage):
    """Real-ESRGAN's sharpening of the clean picture, where it differs from its blurred self by more than 10/255."""

    kind: ClassVar[str] = "sharpen"
    size: int = 51
    weight: float = 0.5
    threshold: float = 10 / 255

    def apply(self, x: Tensor) -> Tensor:
        """M clip(x + weight r) + (1 - M) x, with r = x - B x and M the blurred map of |r| > threshold."""
        sigma = 0.3 * ((self.size - 1) / 2 - 1) + 0.8
        kernel = Kernel("gaussian", self.size, {"sx": sigma, "sy": sigma, "angle": 0.0})
        blur = correlation((x.shape[1], x.shape[2], x.shape[3]), kernel.taps)
        rest = x - blur.forward(x)
        mask = blur.forward((rest.abs() > self.threshold).to(x))
        return mask * (x + self.weight * rest).clamp(0, 1) + (1 - mask) * x


STAGES: dict[str, type[Stage]] = {
    stage.kind: stage for stage in (Filter, Ringing, Display, Resize, Gaussian, Poisson, Round, Jpeg, Sharpen)
}
_KINDS: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "bool": bool, "Kernel": Kernel.from_json}


def from_json(held: Mapping[str, Any]) -> Stage:
    """The stage of a dictionary that `Stage.as_json` made.

    Args:
        held: The dictionary.

    Returns:
        The stage.

    Raises:
        BadSpec: The dictionary is no stage.
    """
    if not isinstance(held, Mapping) or held.get("stage") not in STAGES:
        named = held.get("stage") if isinstance(held, Mapping) else held
        raise BadSpec(f"There is no stage {named!r}; known are {', '.join(STAGES)}.")
    stage = STAGES[held["stage"]]
    kinds = {f.name: str(f.type).partition(" | ")[0] for f in fields(stage)}
    rest = {key: value for key, value in held.items() if key != "stage"}
    unknown = set(rest) - set(kinds)
    if unknown:
        raise BadSpec(f"The stage {stage.kind} has no '{unknown.pop()}'; it takes {', '.join(kinds) or 'nothing'}.")
    try:
        return stage(**{key: _KINDS.get(kinds[key], str)(value) for key, value in rest.items()})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadSpec(f"The stage {dict(held)} does not hold what it needs: {error}.") from None


def linear_part(stages: tuple[Stage, ...], shape: Shape) -> list[tuple[Stage, Operator | None, Shape]]:
    """Each stage with its operator and the shape that comes out of it, for pictures of ``shape``."""
    found: list[tuple[Stage, Operator | None, Shape]] = []
    for stage in stages:
        operator = stage.operator(shape)
        if operator is not None:
            shape = cast(Shape, operator.out_shape)
        found.append((stage, operator, shape))
    return found
