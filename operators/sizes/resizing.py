"""Resizing to any size as Pillow, OpenCV, MATLAB or torch does it, as separable matrices.

`zsir.operators.sizes.rules` says how the libraries differ.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

import torch
from torch import Tensor

from zsir.errors import BadSpec, ShapeError
from zsir.names.registry import Option
from zsir.operators.separable import Separable
from zsir.operators.sizes import rules
from zsir.protocols import Shape

#: no side is longer than this: a mistyped scale should not ask for all memory
LONGEST = 2**16

NEEDS = "resize needs either size=WIDTHxHEIGHT, such as size=640x480, or scale=..., such as scale=0.4."
SIDES: dict[str, Callable[[float], int]] = {"down": math.floor, "up": math.ceil, "nearest": round}


@dataclass(frozen=True)
class Side:
    """One side of the picture: ``m`` pixels made of ``n``, ``step`` input pixels apart.

    ``antialias`` says whether a reduction averages, ``grows`` whether either side of the picture becomes longer.
    """

    n: int
    m: int
    step: float
    antialias: bool
    grows: bool


Maker = Callable[[Side], Tensor]


def _pillow(kernel: str) -> Maker:
    if kernel == "nearest":
        return lambda s: rules.picked(s.n, rules.walked(s.m, s.n / s.m))
    return lambda s: rules.cut_at_border(s.n, s.m, s.n / s.m, kernel)


def _matlab(kernel: str) -> Maker:
    return lambda s: rules.mirrored_at_border(s.n, s.m, s.step, kernel, s.antialias)


def _opencv_area(s: Side) -> Tensor:
    return rules.area_enlarged(s.n, s.m, s.step, 1 / s.step) if s.grows else rules.overlap(s.n, s.m, s.step)


def _opencv_nearest_exact(s: Side) -> Tensor:
    """The middle of every output pixel, in steps of 2^-16 input pixels as OpenCV 4 counts. OpenCV 5 takes the other
    neighbour where the middle lies between two pixels."""
    step = ((s.n << 16) + s.m // 2) // s.m
    return rules.picked(s.n, [(i * step + step // 2 - s.n % 2) / 2**16 for i in range(s.m)])


def _torch_smooth(kernel: str, plain: Callable[[Tensor], Tensor], support: int) -> Maker:
    def make(s: Side) -> Tensor:
        step = rules.torch_step(s.n, s.m, s.step) if s.antialias or kernel == "bilinear" else s.step
        if s.antialias:
            return rules.cut_at_border(s.n, s.m, step, kernel)
        return rules.repeated_at_border(s.n, s.m, step, plain, support)

    return make


def _torch_nearest(shift: float) -> Maker:
    """torch counts in float32, whatever the picture's dtype."""

    def make(s: Side) -> Tensor:
        places = (torch.arange(s.m, dtype=torch.float32) + shift) * torch.tensor(s.step, dtype=torch.float32)
        return rules.picked(s.n, places.tolist())

    return make


def _repeated(kernel: Callable[[Tensor], Tensor], support: int) -> Maker:
    return lambda s: rules.repeated_at_border(s.n, s.m, s.step, kernel, support)


#: rule -> kernel -> the matrix of one side
MAKERS: dict[str, dict[str, Maker]] = {
    "pillow": {name: _pillow(name) for name in (*rules.CUT, "nearest")},
    "opencv": {
        "area": _opencv_area,
        "linear": _repeated(rules.triangle, 1),
        "cubic": _repeated(rules.sharp_cubic, 2),
        "lanczos4": _repeated(rules.lanczos4, 4),
        "nearest": lambda s: rules.picked(s.n, [i * s.step for i in range(s.m)]),
        "nearest-exact": _opencv_nearest_exact,
    },
    "matlab": {name: _matlab(name) for name in rules.MIRRORED},
    "torch": {
        "bilinear": _torch_smooth("bilinear", rules.triangle, 1),
        "bicubic": _torch_smooth("bicubic", rules.sharp_cubic, 2),
        "area": lambda s: rules.averaged(s.n, s.m),
        "nearest": _torch_nearest(0.0),
        "nearest-exact": _torch_nearest(0.5),
    },
}
#: how the library rounds the sides where it is given a scale (Pillow: `ImageOps.scale`)
ROUNDED = {"pillow": "nearest", "opencv": "nearest", "matlab": "up", "torch": "down"}
#: rules in which antialiasing is a choice, with the kernels that have it; MATLAB leaves it out for ``nearest`` alone
CHOICES = {"matlab": tuple(rules.MIRRORED), "torch": ("bilinear", "bicubic")}


def resize(
    in_shape: Shape,
    size: Annotated[
        str | None, Option("width and height of the observation, such as 640x480; give this or scale", "pixels")
    ] = None,
    scale: Annotated[float | None, Option("both sides times this, below 1 to reduce, above 1 to enlarge")] = None,
    rule: Annotated[str, Option("whose resize it is", choices=tuple(MAKERS))] = "pillow",
    kernel: Annotated[
        str | None,
        Option(
            "bicubic by default (cubic for opencv); pillow: "
            + "; ".join(f"{rule} {' '.join(makers)}" for rule, makers in MAKERS.items()).removeprefix("pillow ")
        ),
    ] = None,
    antialias: Annotated[
        bool | None, Option("average in a reduction; for matlab (by default true) and torch (by default false)")
    ] = None,
    sides: Annotated[
        str | None,
        Option("rounding of scale times side; by default as the library rounds", choices=tuple(SIDES)),
    ] = None,
) -> Separable:
    """Resizing to any size by the rule of a library: reduction, enlargement, and each side by itself.

    forward ``A X = M_h X M_w^T``; adjoint ``A^T Y = M_h^T Y M_w``; pinv, prox and SVD from the SVDs of M_h and M_w.
    The rows of M hold the kernel at the places of the output pixels, normalised to sum 1.
    Source: Keys 1981 [keys]

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range, or does not belong to the rule.
        ShapeError: A side of the observation would have no pixel, or too many.
    """
    channels, h, w = in_shape
    name, averages = _chosen(rule, kernel, antialias)
    if size is not None and sides is not None:
        raise BadSpec(f"resize:size={size},sides={sides}: sides rounds scale times side; leave it out with a size.")
    out_w, out_h = _wanted_size(size, scale, (w, h), sides or ROUNDED[rule])
    grows = out_h > h or out_w > w if scale is None else scale > 1
    steps = [1 / (m / n) if scale is None else 1 / scale for n, m in ((h, out_h), (w, out_w))]
    if rule == "torch" and name == "nearest" and (out_h, out_w) == (h, w):
        steps = [1.0, 1.0]  # only where both sides stay
    makers = [Side(n, m, step, averages, grows) for n, m, step in zip((h, w), (out_h, out_w), steps, strict=True)]
    rows, columns = (MAKERS[rule][name](side) for side in makers)
    return Separable(channels, rows, columns, f"resize {w}x{h} to {out_w}x{out_h} {name} {rule}")


def _chosen(rule: str, kernel: str | None, antialias: bool | None) -> tuple[str, bool]:
    """The kernel's name, and whether a reduction averages where that is a choice."""
    if rule not in MAKERS:
        raise BadSpec(f"resize:rule={rule}: choose one of {', '.join(MAKERS)}.")
    name = kernel or ("cubic" if rule == "opencv" else "bicubic")
    if name not in MAKERS[rule]:
        raise BadSpec(f"resize:kernel={name}: the kernels of rule={rule} are {', '.join(MAKERS[rule])}.")
    if antialias is not None and name not in CHOICES.get(rule, ()):
        raise BadSpec(
            f"resize:antialias is a choice for rule=matlab and for the kernels bilinear and bicubic of rule=torch; "
            f"leave it out for kernel={name} of rule={rule}."
        )
    return name, (rule == "matlab" and name != "nearest") if antialias is None else antialias


def _wanted_size(size: str | None, scale: float | None, now: tuple[int, int], sides: str) -> tuple[int, int]:
    """(width, height) of the observation of a picture of ``now`` (width, height)."""
    if (size is None) == (scale is None):
        raise BadSpec(NEEDS)
    if size is not None:
        match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", size.strip())
        if match is None:
            raise BadSpec(f"resize:size={size} is not a width and a height in pixels; write for example size=640x480.")
        wanted = int(match[1]), int(match[2])
    else:
        factor = cast(float, scale)
        wanted = rounded(now[0], factor, sides), rounded(now[1], factor, sides)
    if not all(1 <= side <= LONGEST for side in wanted):
        given = f"scale={scale}" if size is None else f"size={size}"
        raise ShapeError(
            f"resize:{given} makes {wanted[0]}x{wanted[1]} pixels of {now[0]}x{now[1]}; each side needs 1 to {LONGEST}."
        )
    return wanted


def rounded(side: int, scale: float, sides: str) -> int:
    """``scale`` times a side, rounded; exact decimal scales do not suffer from their binary rounding."""
    if not 0 < scale <= LONGEST:
        raise BadSpec(f"resize:scale={scale:g} must be positive, such as 0.4 or 1.5.")
    if sides not in SIDES:
        raise BadSpec(f"resize:sides={sides}: choose one of {', '.join(SIDES)}.")
    return int(SIDES[sides](round(side * scale, 9)))


def picture_shape(out_shape: Shape, options: dict[str, Any]) -> Shape:
    """The picture that an observation of ``out_shape`` comes from: the side that ``scale`` brings to the observed one.

    Of several such sides the one nearest to side / scale is taken. Raises `BadSpec` where a size is given in place of a
    scale, and where no side fits.
    """
    channels, h, w = out_shape
    if options.get("size") is not None:
        raise BadSpec(
            f"resize:size={options['size']} does not say how large the picture was; state it with --size WIDTHxHEIGHT "
            "(in Python: in_shape), or give resize:scale=..."
        )
    scale, sides = options.get("scale"), options.get("sides") or ROUNDED[options.get("rule", "pillow")]
    if scale is None:
        raise BadSpec(NEEDS)
    return (channels, _side_before(h, scale, sides), _side_before(w, scale, sides))


def _side_before(m: int, scale: float, sides: str) -> int:
    rounded(m, scale, sides)  # which refuses a bad scale
    middle = m / scale
    reach = math.ceil(1 / scale) + 1
    near = range(max(1, math.floor(middle) - reach), math.ceil(middle) + reach + 1)
    fitting = [n for n in near if rounded(n, scale, sides) == m]
    if not fitting:
        raise BadSpec(
            f"resize:scale={scale:g},sides={sides} makes no side of {m} pixels of any picture; state the observation's "
            "true scale, or size and --size."
        )
    return min(fitting, key=lambda n: (abs(n - middle), n))
