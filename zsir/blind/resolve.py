"""Specs with ``auto`` in them: the numbers, or the kernel, are found in the observation and written in their place."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from zsir import files
from zsir.blind.estimate import KernelEstimate, estimate_kernel
from zsir.blind.likelihood import motion_of, width_of
from zsir.errors import BadInput, BadSpec
from zsir.names.registry import number
from zsir.protocols import Prior

#: side of the kernel that is looked for, if the spec does not say
SIZE = 31
#: what may follow the stage that is found: other stages change the scale that its numbers are in
AFTER = ("jpeg", "noise")
#: widths are looked for up to 7 pixels; one at the end of the search is larger
LARGEST_WIDTH = 6.9
#: a blur must be this much more likely (logarithm) than none
LEAST_GAIN = 20.0
NOWHERE = "kernel:auto needs a place for the kernel that it finds; give -o RESULT.png, and it is written beside it."

INSTEAD = (
    "So no blur is undone, and only the noise is taken out. Give another size, the kernel in a file, or "
    "--op motion:length=auto,angle=auto if it is a straight motion."
)


@dataclass(frozen=True)
class Resolved:
    """A spec without ``auto``.

    Attributes:
        spec: The spec, ready for `zsir.operators.make`.
        remark: A sentence that says what was found; empty if nothing was to be found.
        files: Files that were written: the kernel as a picture and as an array.
        found: The kernel, where one was looked for.
    """

    spec: str
    remark: str = ""
    files: tuple[Path, ...] = ()
    found: KernelEstimate | None = field(default=None, repr=False)


def has_auto(spec: str) -> bool:
    """Whether `resolve_auto` has anything to do.

    Args:
        spec: An operator's spec or chain.

    Returns:
        True for ``kernel:auto``, and for ``blur`` or ``motion`` with an option that is ``auto``.
    """
    return any(_is_auto(stage) for stage in spec.split("|"))


def finds_kernel(spec: str) -> bool:
    """Whether a kernel is to be found.

    Args:
        spec: An operator's spec or chain.

    Returns:
        True for ``kernel:auto``, alone or in a chain.
    """
    return any(_is_auto(stage) and _taken_apart(stage)[0] == "kernel" for stage in spec.split("|"))


def stand_in(spec: str) -> str:
    """A spec with numbers in place of ``auto``, so that everything else in it can be checked.

    Args:
        spec: An operator's spec or chain, with or without ``auto``.

    Returns:
        The spec with numbers that mean nothing; the path of a kernel is empty.

    Raises:
        BadSpec: Two stages have ``auto``, or another stage than ``jpeg`` and ``noise`` follows the one that has.
    """
    stages = [stage.strip() for stage in spec.split("|")]
    place = _asked(spec, stages)
    if place is None:
        return spec
    name, options = _taken_apart(stages[place])
    if name == "kernel":
        options = {"path": "", **{key: value for key, value in options.items() if key not in ("auto", "path", "size")}}
    else:
        options = {key: "1" if value == "auto" else value for key, value in options.items()}
    stages[place] = _together(name, options)
    return " | ".join(stages)


def _asked(spec: str, stages: Sequence[str]) -> int | None:
    """The place of the stage that is to be found; raises `BadSpec` where it cannot be."""
    asked = [k for k, stage in enumerate(stages) if _is_auto(stage)]
    if not asked:
        return None
    if len(asked) > 1:
        raise BadSpec(f"{spec}: only one stage of a chain can be auto; state the numbers of the others.")
    for stage in stages[asked[0] + 1 :]:
        if _taken_apart(stage)[0] not in AFTER:
            raise BadSpec(
                f"{spec}: a stage that is auto must be the last one before jpeg, but '{stage}' follows it; state its "
                "numbers."
            )
    return asked[0]


def resolve_auto(
    spec: str, y: Tensor, noise_std: float, *, prior: Prior | None = None, beside: str | Path | None = None
) -> Resolved:
    """Replace ``auto`` in a spec by what the observation says.

    - ``blur:sigma=auto``: the width of a Gaussian, by the likelihood of the spectrum
    - ``motion:length=auto,angle=auto``: length and angle, or one of them, in the same way
    - ``kernel:auto,size=21``: any kernel of up to 21 pixels; it is written beside the result, as ``NAME_kernel.png``
      (16 bits, the largest tap white) and ``NAME_kernel.npy``. A kernel that is no clear find is not used: the stage
      is then ``identity``

    Args:
        spec: The spec, or a chain in which one stage has ``auto``. Other options stay as they are.
        y: The observation as a picture, (1, channels, height, width) in [0, 1].
        noise_std: Standard deviation of its noise.
        prior: The denoiser that ``kernel:auto`` works with, for the channels of ``y``.
        beside: Path of the result. Needed for ``kernel:auto``.

    Returns:
        The spec with numbers or with the path of the kernel, and a sentence about it.

    Raises:
        BadSpec: Two stages have ``auto``, ``kernel:auto`` has no prior or no place to write to, or an option is wrong.
        BadInput: Nothing can be found: the picture is too small or flat, or shows no such blur.
        OutputError: The kernel cannot be written.
    """
    stages = [stage.strip() for stage in spec.split("|")]
    place = _asked(spec, stages)
    if place is None:
        return Resolved(spec)
    name, options = _taken_apart(stages[place])
    is_kernel = name == "kernel"
    found = _kernel(options, y, noise_std, prior, beside) if is_kernel else _numbers(name, options, y, noise_std)
    stages[place] = found.spec
    return Resolved(" | ".join(stages), found.remark, found.files, found.found)


def _taken_apart(stage: str) -> tuple[str, dict[str, str]]:
    """Name and options; ``auto`` without a key is an option of that name."""
    name, _, rest = stage.strip().partition(":")
    items = [item.partition("=") for item in rest.split(",") if item.strip()]
    return name.strip(), {key.strip(): value.strip() for key, _, value in items}


def _is_auto(stage: str) -> bool:
    name, options = _taken_apart(stage)
    asked = {key for key, value in options.items() if value == "auto" or key == "auto"}
    allowed = {"kernel": {"auto", "path"}, "blur": {"sigma"}, "motion": {"length", "angle"}}
    return bool(asked & allowed.get(name, set()))


def _together(name: str, options: dict[str, str]) -> str:
    return f"{name}:" + ",".join(f"{key}={value}" for key, value in options.items())


def _numbers(name: str, options: dict[str, str], y: Tensor, noise_std: float) -> Resolved:
    """``blur`` and ``motion``."""
    keys: tuple[str, ...]
    units: tuple[str, ...]
    if name == "blur":
        power = number(options.get("power", "2"))
        found, keys, units = width_of(y, noise_std, power), ("sigma",), ("pixels",)
    else:
        stated = {key: number(options[key]) for key in ("length", "angle") if options.get(key, "auto") != "auto"}
        found, keys, units = motion_of(y, noise_std, **stated), ("length", "angle"), ("pixels", "degrees")
    if name == "blur" and found.values[0] > LARGEST_WIDTH:
        raise BadInput(
            f"blur: the picture is blurred by more than {LARGEST_WIDTH} pixels, too much to be estimated; state sigma."
        )
    if found.gain < LEAST_GAIN:
        raise BadInput(
            f"{name}: the picture shows no such blur ({found.gain:.0f} more likely than none, in the logarithm, and "
            f"{LEAST_GAIN:.0f} are needed); state {' and '.join(keys)}, or leave the picture as it is."
        )
    digits = [f"{value:.3g}" for value in found.values]
    spec = _together(name, {**options, **dict(zip(keys, digits, strict=True))})
    return Resolved(spec, f"Found {_in_words(keys, digits, found.errors, units)} in the spectrum of the picture.")


def _in_words(keys: Sequence[str], digits: Sequence[str], errors: Sequence[float], units: Sequence[str]) -> str:
    parts = []
    for key, text, error, unit in zip(keys, digits, errors, units, strict=True):
        margin = f" ± {error:.2g}" if 0 < error < math.inf else ""
        parts.append(f"{key} {text}{margin} {unit}")
    return " and ".join(parts)


def _kernel(
    options: dict[str, str], y: Tensor, noise_std: float, prior: Prior | None, beside: str | Path | None
) -> Resolved:
    """``kernel:auto``: estimated, written, named."""
    if prior is None:
        raise BadSpec("kernel:auto needs a denoiser to find the kernel with; give --prior photo.")
    if beside is None:
        raise BadSpec(NOWHERE)
    size = number(options.get("size", str(SIZE)))
    if size != int(size):
        raise BadSpec(f"kernel:size={size:g} must be an odd number of pixels, such as 31.")
    found = estimate_kernel(y, int(size), noise_std, prior)
    if doubt := found.doubt:
        return Resolved("identity", f"kernel:auto: {doubt} {INSTEAD}", (), found)
    picture, array = written(found.kernel, beside)
    kept = {key: value for key, value in options.items() if key not in ("auto", "size", "path")}
    remark = "The kernel of the blur was found in the picture."
    return Resolved(_together("kernel", {"path": str(array), **kept}), remark, (picture, array), found)


def written(kernel: Tensor, beside: str | Path) -> tuple[Path, Path]:
    """Write a kernel beside a result.

    Args:
        kernel: The kernel, (n, n), not negative.
        beside: Path of the result.

    Returns:
        The paths of the picture, in which the largest tap is white, and of the array.

    Raises:
        OutputError: A file cannot be written.
    """
    from zsir.pictures import write

    result = Path(beside)
    picture, array = (result.with_name(f"{result.stem}_kernel.{end}") for end in ("png", "npy"))
    taps = kernel.double()
    write(picture, (taps / taps.max())[None, None], bits=16)
    content = io.BytesIO()
    np.save(content, taps.numpy())
    files.write_bytes(array, content.getvalue())
    return picture, array
