"""The files that a spec names in its operators, priors, samplers and metrics: kernels, masks, weights. What they hold
decides results as the spec's own text does, so their digests are part of a run's identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from zsir.errors import BadInput, BadSpec
from zsir.experiments.grid import Cell
from zsir.files import digest
from zsir.names.registry import suggest
from zsir.operators.catalogue import OPERATORS
from zsir.priors.catalogue import PRIORS
from zsir.samplers.catalogue import SAMPLERS


def named(cells: Iterable[Cell], metrics: Iterable[str]) -> dict[str, str]:
    """Path as the spec writes it -> the part that names it, such as ``operator kernel:path=k.png``."""
    found: dict[str, str] = {}
    specs: dict[tuple[str, str], None] = {}
    for cell in cells:
        parts = {"operator": cell.op, "prior": cell.prior, "sampler": cell.sampler}
        specs.update({(kind, spec): None for kind, spec in parts.items() if spec})
    registries = {"operator": OPERATORS, "prior": PRIORS, "sampler": SAMPLERS}
    for kind, spec in specs:
        for path in registries[kind].parse(spec).paths:
            found.setdefault(path, f"{kind} {spec}")
    for metric in metrics:
        _, sign, path = metric.partition(":path=")
        if sign and path:
            found.setdefault(path, f"metric {metric}")
    return found


def digests(paths: Mapping[str, str], expected: Mapping[str, str]) -> dict[str, str]:
    """Path -> SHA-256 of those of `named` that are there; of a folder that of the names and contents in it.

    Raises `BadInput` for what cannot be read, `BadSpec` where one is not as ``expected`` or nothing names it.
    """
    for path in expected:
        if path not in paths:
            raise BadSpec(f"[digests] {path}: nothing in the spec names this file{suggest(path, paths)}")
    found = {path: digest(Path(path).expanduser()) for path in paths if Path(path).expanduser().exists()}
    for path, total in found.items():
        if expected.get(path, total).lower() != total:
            raise BadSpec(
                f"[digests] {path}: the file is not the one that the spec was written for (its digest is {total}); "
                "bring that one, or take the line out."
            )
    return found


def check_present(cells: Iterable[Cell], metrics: Iterable[str]) -> None:
    """Raise `BadInput` for the first file of the spec that is not there."""
    for path, owner in named(cells, metrics).items():
        if not Path(path).expanduser().exists():
            raise BadInput(f"{owner}: there is no file {path}; paths in a spec are seen from the working folder.")
