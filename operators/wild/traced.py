"""The random pipelines and recorded traces as operators by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import torch
from torch import Tensor

from zsir.capabilities import decompose, known_numbers, offers, seen_pixels, twin_of
from zsir.errors import BadSpec, ShapeError
from zsir.names.registry import Option
from zsir.operators.base import Operator
from zsir.operators.blurs.cosine import dct2, idct2, twiddle
from zsir.operators.plans import SVD, Plans
from zsir.operators.wild.history import Trace, read_trace
from zsir.operators.wild.pipelines import Pipeline, draw
from zsir.protocols import LinearOperator, NoiseSource, Numbers, Shape
from zsir.rng import generator

#: random pictures that the spectrum of a composed operator is estimated from, and its least value by its largest
PROBES, FLOOR = 8, 1e-5


@dataclass(frozen=True, eq=False)
class Traced(Operator):
    """The composed operator of a trace, which knows the real process: noise, rounding and JPEG included.

    Attributes:
        trace: The trace.
        label: Name in messages.
    """

    trace: Trace = field(repr=False)
    label: str = "trace"

    @cached_property
    def linear(self) -> Operator:
        """The composed operator A of the linear stages."""
        return self.trace.linear()

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the clean picture."""
        return self.trace.in_shape

    @property
    def out_shape(self) -> Numbers:
        """Shape of the observation."""
        return self.trace.out_shape

    @property
    def measurements(self) -> int:
        """The measurements of A."""
        return self.linear.measurements

    @property
    def known(self) -> Tensor | None:
        """The known numbers of A."""
        return known_numbers(self.linear)

    @property
    def seen(self) -> Tensor | None:
        """The pixels that A shows, where nothing filters them."""
        return seen_pixels(self.linear)

    @property
    def twin(self) -> Operator | None:
        """The twin of A."""
        found: LinearOperator | None = twin_of(self.linear)
        return found if isinstance(found, Operator) else None

    @cached_property
    def own_noise(self) -> float:
        """The noise that the trace leaves in the observation."""
        return self.trace.noise()

    @property
    def svd(self) -> Callable[[Tensor], SVD] | None:
        """The decomposition of A, where it has one."""
        return (lambda like: decompose(self.linear, like)) if offers(self.linear, "svd") else None

    def record(self, x: Tensor, rng: NoiseSource) -> tuple[Tensor, Tensor]:
        """What the pipeline makes of pictures, to the last bit; its noise is in the trace.

        Args:
            x: Pictures, (batch, *in_shape), in [0, 1].
            rng: Not needed.

        Returns:
            The observations y, (batch, *out_shape), and the same again.
        """
        y = self.trace.apply(x)
        return y, y

    def forward(self, x: Tensor) -> Tensor:
        """A x."""
        return self.linear.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        return self.linear.adjoint(y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T (A A^T + ridge I)^+ y, in closed form where A has one."""
        return self.linear.pinv(y, ridge) if offers(self.linear, "svd") else super().pinv(y, ridge)

    @cached_property
    def _spectrum(self) -> Plans:
        """The diagonal of ``C A A^T C^T``, C the cosine transform, from random signs; smoothed over neighbours."""
        _, h, w = self.trace.out_shape
        th, tw = twiddle(h)[:, None], twiddle(w)
        source = generator(0, 0, "spectrum")
        signs = 2.0 * torch.randint(2, (PROBES, *self.trace.out_shape), generator=source).double() - 1
        seen = self.forward(self.adjoint(idct2(signs, th, tw)))
        products = (dct2(seen, th, tw) * signs).mean(dim=(0, 1))[None, None]
        reach = min(2, h - 1, w - 1)
        padded = torch.nn.functional.pad(products, (reach,) * 4, mode="reflect")
        smooth = torch.nn.functional.avg_pool2d(padded, 2 * reach + 1, stride=1)[0, 0]
        return Plans({"power": smooth.clamp_min(FLOOR * float(smooth.max())), "th": th, "tw": tw})

    def preconditioner(self, ridge: float | Tensor) -> Callable[[Tensor], Tensor]:
        """1 / (power + ridge) in the cosine basis, which the mirrored borders of the stages nearly diagonalise."""

        def apply(r: Tensor) -> Tensor:
            p = self._spectrum.like(r)
            return idct2(dct2(r, p["th"], p["tw"]) / (p["power"] + ridge), p["th"], p["tw"])

        return apply


def wild(
    in_shape: Shape,
    pipeline: Pipeline = "wild-ir",
    seed: Annotated[int | None, Option("which draw; zsir degrade takes it from --seed")] = None,
    number: Annotated[int, Option("which picture of the seed; zsir degrade counts its pictures from 0")] = 0,
) -> Traced:
    """A published pipeline of real-world degradations, drawn at random: blurs, resizing, noise and JPEG.

    forward ``A x = A_K ... A_1 x`` and adjoint ``A_1^T ... A_K^T y`` of the linear stages of one draw; pinv and prox by
    conjugate gradients where no closed form exists. ``zsir degrade --op wild --seed 3 --trace t.json`` draws the
    stages, applies all of them and writes them down. ``wild-ir`` keeps the size of the picture. ``esrgan``, the
    second-order pipeline of Real-ESRGAN, gives a quarter of its sides. Kernels and probabilities are those of the
    published code, but the stored hand-shake and under-display kernels are replaced by drawn ones.
    Source: Luo, Gustafsson, Zhao, Sjölund and Schön 2024 [wildir]; Wang, Xie, Dong and Shan 2021 [realesrgan]

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator of the draw.

    Raises:
        BadSpec: There is no seed, or an option lies outside its range.
    """
    if seed is None:
        raise BadSpec(
            "wild is a random pipeline: what it did to a picture stands in the picture's trace. Give the trace that "
            "'zsir degrade --op wild --trace t.json' wrote, as --op trace:path=t.json, or the draw itself, as in "
            "--op wild:seed=3."
        )
    if seed < 0 or number < 0:
        raise BadSpec(f"wild:seed={seed},number={number}: both are whole numbers that are not negative.")
    return Traced(draw(in_shape, generator(seed, number, "wild"), pipeline), f"wild {pipeline} seed {seed}")


def wild_picture_shape(out_shape: Shape, options: dict[str, Any]) -> Shape:
    """The picture that an observation of ``out_shape`` is taken to come from."""
    c, h, w = out_shape
    return (c, 4 * h, 4 * w) if options.get("pipeline") == "esrgan" else out_shape


def traced(in_shape: Shape, path: Annotated[str, Option("trace that zsir degrade --trace wrote")]) -> Traced:
    """What one picture went through, from the file that ``zsir degrade --trace`` wrote.

    forward ``A x = A_K ... A_1 x``; adjoint ``A_1^T ... A_K^T y`` of the linear stages; pinv and prox by conjugate
    gradients where no closed form exists. ``zsir degrade --op trace:path=t.json`` replays all stages, noise and JPEG
    included, to the last bit.

    Args:
        in_shape: (channels, height, width) of the picture, as the trace has it.

    Returns:
        The operator.

    Raises:
        BadInput: The file cannot be read, or holds no trace.
        ShapeError: The trace is of a picture of another size.
    """
    trace = read_trace(path)
    if tuple(trace.in_shape) != tuple(in_shape):
        (c, h, w), (channels, height, width) = trace.in_shape, in_shape
        raise ShapeError(
            f"trace:path={path}: the trace is of a picture of {w}x{h} pixels and {c} channel(s), this one has "
            f"{width}x{height} and {channels}; a trace holds for its own picture."
        )
    return Traced(trace, f"trace {path}")


def traced_picture_shape(out_shape: Shape, options: dict[str, Any]) -> Shape:
    """The shape of the trace's own picture; raises `ShapeError` for an observation of another shape."""
    if "path" not in options:
        return out_shape  # what is missing is said where the operator is built
    trace = read_trace(options["path"])
    if tuple(trace.out_shape) != tuple(out_shape):
        (_, h, w), (_, height, width) = trace.out_shape, out_shape
        raise ShapeError(
            f"trace:path={options['path']}: the trace made an observation of {w}x{h} pixels, this one has "
            f"{width}x{height}; a trace holds for its own picture."
        )
    return trace.in_shape
