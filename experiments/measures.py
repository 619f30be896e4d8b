"""The metrics that an experiment can ask for: those of `zsir.metrics`, which is imported when one is looked at.

Besides the metrics of pictures there are three that need the operator, `AGAINST_DATA`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from zsir.errors import BadSpec, UnknownName, ZsirError, failure

if TYPE_CHECKING:
    from torch import Tensor

    from zsir.protocols import LinearOperator

#: ``residual`` as `zsir.loop` has it, and the two parts of the mean squared error of `zsir.metrics.energies`
AGAINST_DATA = ("residual", "determined", "free")
#: side of the grey picture that a metric is tried on
TRIAL = 32


def check(names: Sequence[str]) -> None:
    """Raise `BadSpec` for a name that no metric can have; whether it can be computed here, `lacking` says."""
    from zsir.metrics import find

    for name in names:
        if name in AGAINST_DATA or (name.startswith("pyiqa:") and name != "pyiqa:"):
            continue  # pyiqa's networks are loaded to be found: not for reading a spec
        try:
            find(name)
        except (UnknownName, BadSpec) as error:
            raise BadSpec(f"[run] metrics: {error} A run also knows {', '.join(AGAINST_DATA)}.") from None
    if len(set(names)) < len(names):
        raise BadSpec("[run] metrics names one metric twice; take one of them out.")


def lacking(names: Sequence[str], download: bool) -> list[ZsirError]:
    """Why metrics cannot be computed on this machine; those of pyiqa are set up only with ``download``."""
    import torch

    from zsir.metrics import find

    found: list[ZsirError] = []
    grey = torch.full((1, 3, TRIAL, TRIAL), 0.5)
    for name in names:
        if name in AGAINST_DATA:
            continue
        try:
            if not name.startswith("pyiqa:"):
                find(name).compute(grey, grey)
            elif download or not _installed("pyiqa"):
                find(name)
        except ZsirError as error:
            found.append(error)
    return found


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def measured(names: Sequence[str], x: Tensor, truth: Tensor, crop: int) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics of one estimate (1, c, h, w) in [0, 1], ``crop`` pixels taken off every side first; and for those that
    cannot be computed for this picture, because it is too small say, the sentence that says why. Not those of
    `AGAINST_DATA`."""
    from zsir.metrics import measure

    found: dict[str, float] = {}
    unmeasured: dict[str, str] = {}
    for name in (name for name in names if name not in AGAINST_DATA):
        try:
            (found[name],) = measure([name], x, truth, crop=crop)[name]
        except Exception as error:
            unmeasured[name] = str(failure(error, "leave this metric out"))
    return found, unmeasured


def against_data(
    names: Sequence[str], error: Tensor, operator: LinearOperator, residual: float
) -> tuple[dict[str, float], dict[str, str]]:
    """Those of `AGAINST_DATA` that are asked for, and for those that cannot be computed the sentence that says why;
    ``error`` (1, *in_shape) is the whole estimate minus the truth."""
    from zsir.metrics import energies

    found, unmeasured = {"residual": residual}, dict[str, str]()
    parts = [name for name in ("determined", "free") if name in names]
    if parts:
        try:
            both = energies(operator, error)
            found |= {"determined": both.determined[0], "free": both.free[0]}
        except Exception as fault:
            unmeasured = dict.fromkeys(parts, str(failure(fault, "leave this metric out")))
    return {name: value for name, value in found.items() if name in names}, unmeasured


def better(name: str) -> Literal["higher", "lower"] | None:
    """Which values of a metric are better, None for a residual, which noise keeps from 0; sets up pyiqa's networks."""
    from zsir.metrics import find

    if name in AGAINST_DATA:
        return None if name == "residual" else "lower"
    return find(name).better


def digits(name: str) -> int:
    """Digits behind the point in tables: 2 for decibels, 6 for mean squares, 4 for residuals, 3 for all else."""
    from zsir.metrics import METRICS

    if name in AGAINST_DATA:
        return 4 if name == "residual" else 6
    return 2 if name in METRICS and METRICS[name].unit == "dB" else 3
