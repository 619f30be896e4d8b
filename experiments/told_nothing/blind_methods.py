"""Deblurring by methods that must find the kernel, for ``[[method]] restorer``."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from zsir.errors import PictureWarning

if TYPE_CHECKING:
    from torch import Tensor

#: side of the kernel that is looked for, for all pictures
SIZE = 31
#: what restores with the kernel that was found: the prior and the sampler of the row that is told the kernel
PRIOR, SAMPLER = "photo", "hqs:nfe=4"


def found_kernel(y: Tensor) -> Tensor:
    """The picture by the kernel that ``kernel:auto`` finds, with all its cautions."""
    return _restored(y, f"kernel:auto,size={SIZE}")


def edge_kernel(y: Tensor) -> Tensor:
    """The picture by the kernel of few edges (Xu, Zheng and Jia 2013), without a prior in its search."""
    from zsir.blind import written
    from zsir.blind.estimate import taps_for
    from zsir.blind.starts import coarse_to_fine
    from zsir.metrics.noise import estimate_of
    from zsir.operators import Identity

    shape = (y.shape[1], y.shape[2], y.shape[3])
    kernel = coarse_to_fine(y.mean(1, keepdim=True), taps_for(SIZE), max(1 / 255, estimate_of(Identity(shape), y).std))
    with tempfile.TemporaryDirectory(prefix="zsir-") as folder:
        array = written(kernel, Path(folder) / "edges.png")[1]
        return _restored(y, f"kernel:path={array}")


def _restored(y: Tensor, op: str) -> Tensor:
    from zsir.workflow.restore import restore

    with warnings.catch_warnings():  # a run has no place for sentences about single pictures
        warnings.simplefilter("ignore", PictureWarning)
        return restore(y, op, prior=PRIOR, sampler=SAMPLER, device="cpu").x
