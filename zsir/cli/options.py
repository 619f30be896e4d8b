"""The options that several commands share, and the functions that parse their values. Imports no torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from zsir.errors import BadSpec
from zsir.names.registry import noise_level
from zsir.priors.wrappers.settings import PRECISIONS

if TYPE_CHECKING:
    from zsir.tuning import Preset

Settings = TypeVar("Settings")

MOST_SEEDS = 1000
#: where the value of an option comes from when the user gave it
GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def noise_std(context: click.Context, option: click.Parameter, value: str) -> float:
    """A standard deviation on the [0, 1] scale, ``0.02`` or ``5/255``; raises `BadSpec`."""
    std = noise_level(value)
    if std is None:
        raise BadSpec("--noise auto is for real observations; state the level here, as in --noise 5/255.")
    return std


def noise_std_or_auto(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """As `noise_std`; None for ``auto``, which is the default."""
    return noise_level(value)


def check_simulation(simulate: bool, size: tuple[int, int] | None, noise: float | None) -> None:
    """Raise a usage error for an option that only makes sense for a real observation, given with ``--simulate``."""
    if simulate and size is not None:
        raise click.UsageError("--size is for real observations; with --simulate the clean picture has a size.")
    if simulate and noise is None and click.get_current_context().get_parameter_source("noise") in GIVEN:
        raise click.UsageError("--noise auto is for real observations; with --simulate state the noise to add.")


def seed_numbers(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """Seeds in the order given, each once: ``0``, ``0-3``, ``0,2,7``; raises `BadSpec`."""
    found: list[int] = []
    for part in value.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", part)
        if not match:
            raise BadSpec(f"--seed {value}: write whole numbers as in 0, 0-3 or 0,2,7.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= MOST_SEEDS:
            raise BadSpec(f"--seed {value}: a range goes upwards and has at most {MOST_SEEDS} seeds, as in 0-3.")
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def one_seed(context: click.Context, option: click.Parameter, value: str) -> int:
    """A single seed; raises `BadSpec`."""
    if not re.fullmatch(r"\d{1,18}", value):
        raise BadSpec(f"--seed {value}: write one whole number, as in 0.")
    return int(value)


def picture_size(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Width and height in pixels, ``640x480``, as (height, width); raises `BadSpec`."""
    if value is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})[xX]([1-9]\d{0,5})", value.strip())
    if not match:
        raise BadSpec(f"--size {value}: write width x height in pixels, as in 640x480.")
    return int(match[2]), int(match[1])


def into(settings: Callable[..., Settings]) -> Callable[[Callable[[Settings], None]], Callable[..., None]]:
    """Hand a command its options as one object: ``settings(option=value, ...)``."""

    def decorate(command: Callable[[Settings], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def _command(**values: Any) -> None:
            command(settings(**values))

        return _command

    return decorate


def from_preset(context: click.Context, option: click.Parameter, value: Path | None) -> Preset | None:
    """Read a preset of ``zsir tune``, and make its values the defaults of the other options."""
    if value is None:
        return None
    from zsir.tuning import Preset

    preset = Preset.read(value)
    noise = "auto" if preset.noise is None else repr(preset.noise)
    context.default_map = {"op": preset.op, "noise": noise, "prior": preset.prior, "sampler": preset.sampler}
    context.default_map |= {"tile": preset.tile, "precision": preset.precision, "dtype": preset.dtype}
    return preset


_paths = click.Path(path_type=Path, readable=False)
inputs = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=_paths)
inputs_or_none = click.argument("inputs", metavar="INPUT...", nargs=-1, type=_paths)
preset = click.option(
    "--preset",
    type=click.Path(path_type=Path),
    callback=from_preset,
    is_eager=True,
    metavar="FILE",
    help="A preset that zsir tune wrote. It sets --op, --noise, --prior, --sampler, --tile, --precision and --dtype; "
    "an option that you give wins.",
)
_OP_HELP = "How the picture was degraded, such as sr4x or blur:sigma=3."
op = click.option("--op", required=True, metavar="SPEC", help=_OP_HELP)
op_or_auto = click.option(
    "--op",
    default="auto",
    metavar="SPEC",
    show_default=True,
    help=_OP_HELP + " With auto, zsir inspects the picture and says what it believes; one that needs nothing stays.",
)
noise = click.option(
    "--noise",
    default="0",
    callback=noise_std,
    show_default=True,
    metavar="STD",
    help="Standard deviation of the noise on the [0, 1] scale: 0.02 or 5/255.",
)
noise_or_auto = click.option(
    "--noise",
    callback=noise_std_or_auto,
    metavar="STD",
    help="Standard deviation of the noise on the [0, 1] scale: 0.02 or 5/255. With auto, the default, it is what zsir "
    "degrade noted in the file, else an estimate, and at least the error of rounding.  [default: auto; 0 with "
    "--simulate]",
)
seeds = click.option(
    "--seed",
    "seeds",
    default="0",
    callback=seed_numbers,
    show_default=True,
    metavar="SEEDS",
    help="Seed of the random numbers. Several seeds, as in 0-3 or 0,2,7, give one result each.",
)
size = click.option(
    "--size",
    callback=picture_size,
    metavar="WxH",
    help="Width and height of the restored picture. Needed only if they are not multiples of the reduction factor.",
)
ignore_jpeg = click.option(
    "--ignore-jpeg",
    is_flag=True,
    help="Take the pixels of a JPEG file as they are. By default zsir works with the codes and tables in the file.",
)
tile = click.option(
    "--tile",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run the network on overlapping windows of NxN pixels (a multiple of 8). This takes less memory, for pictures "
    "of any size.",
)
precision = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=PRECISIONS[0],
    show_default=True,
    help="Arithmetic inside the network. Half precision (bf16, fp16) is faster on most GPUs.",
)
ensemble = click.option(
    "--ensemble", is_flag=True, help="Average the network over 8 flips and turns. Slightly better, at 8 times the work."
)
compiled = click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Compile the network first. This pays off for many pictures of one size.",
)
prior = click.option(
    "--prior",
    default="photo",
    show_default=True,
    metavar="SPEC",
    help="The prior, which knows what pictures look like.",
)
sampler = click.option(
    "--sampler",
    metavar="SPEC",
    help="The algorithm.  [default: hqs:nfe=8 for --op auto without --nfe; else cm4ir for up to 8 network calls and "
    "hqs for more; mmps for several samples]",
)
nfe = click.option(
    "--nfe",
    type=click.IntRange(min=1),
    metavar="N",
    help="Calls of the prior's network.  [default: the sampler's, 4 for cm4ir; 8 for --op auto]",
)
strength = click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Share of the result, 0 to 1. The rest is the observation, enlarged by bicubic interpolation if smaller.",
)
grain = click.option(
    "--grain",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="G",
    help="Share of the observation's own grain that is added, 0 to 1. Only where both have one size.",
)
protect = click.option(
    "--protect",
    type=click.Path(path_type=Path, readable=False),
    metavar="MASK",
    help="A picture of the result's size. Where it is white the observation stays; grey mixes both.",
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
dtype = click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
overwrite = click.option("--overwrite", is_flag=True, help="Replace existing files.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Print only errors and notes.")
