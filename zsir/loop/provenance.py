"""The parts and settings of a solve, for its record."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import torch

from zsir.names.parsed import spec_of
from zsir.problem import Problem
from zsir.protocols import Prior, Sampler
from zsir.version import __version__


def provenance(problem: Problem, prior: Prior, sampler: Sampler, seed: int, indices: Sequence[int]) -> dict[str, Any]:
    """The parts and settings of a solve as JSON-able values.

    They suffice to repeat the solve if the parts were made from specs. An operator or prior made by hand appears as its
    repr, which lacks the numbers of a mask or kernel.
    """
    return {
        "operator": spec_of(problem.operator) or repr(problem.operator),
        "in_shape": list(problem.operator.in_shape),
        "noise_std": problem.noise_std,
        "prior": spec_of(prior) or repr(prior),
        "weights_sha256": prior.fingerprint,
        "sampler": spec_of(sampler) or repr(sampler),
        "seed": seed,
        "indices": list(indices),
        "dtype": str(problem.y.dtype).removeprefix("torch."),
        "device": str(problem.y.device),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions on which the last digits of a result depend."""
    return {"zsir": __version__, "torch": torch.__version__, "python": platform.python_version()}
