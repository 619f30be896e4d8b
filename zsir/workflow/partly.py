"""Operators whose spec says ``auto``: what is left open is found in the observation, before the operator is made."""

from __future__ import annotations

import math
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from zsir.blind import has_auto, resolve_auto
from zsir.errors import BadSpec, PictureWarning
from zsir.names.parsed import SPEC
from zsir.operators import Identity
from zsir.operators.jpeg.coded import JpegFile
from zsir.pictures import Picture
from zsir.priors.wrappers.grey import Grey
from zsir.protocols import LinearOperator
from zsir.workflow.coding import as_white
from zsir.workflow.degradation import any_noted_noise, operator_of
from zsir.workflow.method import Method
from zsir.workflow.noise_levels import Level, level_beneath, level_of

#: stands in a spec for the file of a kernel that has not been written
KERNEL_FILE = "KERNEL.npy"
SIMULATED = "is found in real pictures; for a simulated observation state its numbers, as in motion:length=15,angle=30."


@dataclass(frozen=True)
class Found:
    """What was found in an observation in place of ``auto``.

    Attributes:
        spec: The spec of the operator, without ``auto``. ``KERNEL.npy`` stands for the file of a kernel.
        remark: A sentence that says what was found, and how well.
        kernel: The kernel, (n, n) float64, not negative, sum 1; None if numbers were looked for.
    """

    spec: str
    remark: str
    kernel: Tensor | None = field(default=None, repr=False)


def is_partly_known(op: str | LinearOperator) -> bool:
    """Whether something of the operator is to be found in the observation."""
    return isinstance(op, str) and has_auto(op)


def operator_found(
    picture: Picture, method: Method, size: tuple[int, int] | None, file: JpegFile | None
) -> tuple[LinearOperator, Found]:
    """The operator whose observation is ``picture``, and what was found for it.

    The noise of the search is that which is stated, noted in the file or estimated; in a JPEG file its error comes on
    top. Raises `BadSpec` or `BadInput` where nothing can be found.
    """
    assert isinstance(method.op, str)
    y = picture.pixels
    plain = Identity(picture.shape)
    noted = any_noted_noise(picture)
    if method.noise_std is not None:
        level = Level(method.noise_std, "stated")
    else:
        level = level_of(picture, plain, y, noted) if file is None else level_beneath(picture, file, noted)
    std = level.std if file is None else math.hypot(level.std, as_white(file))
    prior = Grey(method.prior) if y.shape[1] == 1 and method.prior.channels == 3 else method.prior
    with tempfile.TemporaryDirectory(prefix="zsir-") as folder:
        resolved = resolve_auto(method.op, y, std, prior=prior, beside=Path(folder) / "found.png")
        with warnings.catch_warnings():  # what there is to say of a kernel from a file is of no use here
            warnings.simplefilter("ignore", PictureWarning)
            operator = operator_of(picture, resolved.spec, size)
        kernel = None if resolved.found is None or not resolved.files else resolved.found.kernel
        spec = resolved.spec if kernel is None else resolved.spec.replace(str(resolved.files[-1]), KERNEL_FILE)
    if kernel is not None:  # the file is gone: the spec that was asked for makes the operator again
        object.__setattr__(operator, SPEC, method.op)
    return operator, Found(spec, resolved.remark, kernel)


def refuse_simulation(op: str) -> None:
    """Raise `BadSpec` for a spec with ``auto``, where the observation is to be made by it."""
    if has_auto(op):
        raise BadSpec(f"--op '{op}': auto {SIMULATED}")
