"""The record of a result: one line for people, JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zsir import files, pictures
from zsir.errors import BadSpec, UnknownName
from zsir.operators.catalogue import OPERATORS
from zsir.priors.catalogue import PRIORS
from zsir.samplers.catalogue import SAMPLERS
from zsir.workflow.result import Restored
from zsir.workflow.spread import about

#: the settings that are specs, and where their names are looked up
REGISTRIES = {"op": OPERATORS, "prior": PRIORS, "sampler": SAMPLERS}


def record_of(source: Path, target: Path, result: Restored) -> dict[str, Any]:
    """What the JSON record says of one result that was written to ``target``: with `digests`, enough to repeat it."""
    h, w = result.x.shape[-2:]
    entry: dict[str, Any] = {"input": str(source), "output": str(target), "size": [w, h], "op": result.settings["op"]}
    quality = result.quality()
    if quality is not None:
        plain = result.quality(pictures.enlarge(result.observation, (h, w))) or (math.nan, math.nan)
        entry["psnr"], entry["ssim"] = map(finite, quality)
        entry["observation_psnr"], entry["observation_ssim"] = map(finite, plain)
    if result.settings["noise"] == "auto":
        entry["noise_estimated"] = result.provenance["noise_std"]
    if result.misfit:
        entry["misfit"] = result.misfit
    if result.doubt:
        entry["doubt"] = result.doubt
    entry |= {"stats": asdict(result.stats), "provenance": result.provenance, "settings": result.settings}
    if result.spread is not None:
        entry["spread"] = about(result.spread)
    return entry


def digests(source: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the input and of what the specs name; to be taken before anything is written."""
    return {str(path): files.digest(path) for path in [source, *paths_of(settings)] if path.exists()}


def paths_of(settings: Mapping[str, Any]) -> list[Path]:
    """The files and folders that the specs of some settings name: kernels, masks, weights."""
    named: list[str] = []
    for key, registry in REGISTRIES.items():
        with suppress(BadSpec, UnknownName):  # a part that was made by hand has no spec
            named += registry.parse(settings[key]).paths
    return [Path(path) for path in named]


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or NaN, which JSON does not have."""
    return value if math.isfinite(value) else None


def write_record(path: Path, command: str, results: Sequence[dict[str, Any]]) -> None:
    """Write the JSON record of a run; raises `OutputError`."""
    text = json.dumps({"command": command, "results": list(results)}, indent=2, allow_nan=False)
    files.write_bytes(path, text.encode() + b"\n")


def summary(entry: Mapping[str, Any]) -> str:
    """One line about a result, from its entry in the record: name, size, cost, how it fits the data and, where known,
    how it fits the truth."""
    width, height = entry["size"]
    stats = entry["stats"]
    parts = [entry["output"], f"{width}x{height}", f"NFE {stats['nfe']}", f"{stats['seconds']:.1f} s"]
    parts.append(f"residual {stats['residual'][0]:.3g}")
    if "psnr" in entry:
        parts.append(f"PSNR {math.inf if entry['psnr'] is None else entry['psnr']:.2f} dB")
        if entry["ssim"] is not None:
            parts.append(f"SSIM {entry['ssim']:.4f}")
    return "  ".join(parts)
