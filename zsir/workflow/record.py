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
from zsir.blind import stand_in
from zsir.errors import BadSpec, UnknownName
from zsir.operators.catalogue import OPERATORS
from zsir.priors.catalogue import PRIORS
from zsir.samplers.catalogue import SAMPLERS
from zsir.workflow.degradation import AUTO
from zsir.workflow.partly import KERNEL_FILE
from zsir.workflow.result import Restored
from zsir.workflow.spread import about

#: the settings that are specs, and where their names are looked up
REGISTRIES = {"op": OPERATORS, "prior": PRIORS, "sampler": SAMPLERS}


#: residuals, in units of the noise: below the first a result fits its noise too, up to the second it fits the data
CLOSER, WITHIN = 0.5, 1.5
#: a relative residual without noise that is no misfit
EXACT_FIT = 0.01
#: a noise level that 8 bits cannot tell from rounding, and the root mean square that is missed at it without harm
FILE_LEVEL, FILE_MISS = 0.5 / 255, 1 / 255
ROUGHLY = "fits the observation roughly, not as closely as its noise"


def record_of(source: Path, target: Path, result: Restored) -> dict[str, Any]:
    """What the JSON record says of one result that was written to ``target``: with `digests`, enough to repeat it."""
    h, w = result.x.shape[-2:]
    entry: dict[str, Any] = {"input": str(source), "output": str(target), "size": [w, h], "op": result.settings["op"]}
    quality = result.quality()
    if quality is not None:
        plain = result.quality(pictures.enlarge(result.observation, (h, w))) or (math.nan, math.nan)
        entry["psnr"], entry["ssim"] = map(finite, quality)
        entry["observation_psnr"], entry["observation_ssim"] = map(finite, plain)
    # of a picture that stays as it is no noise is taken out, and in a JPEG file the noise is the rounding of its codes
    coded = CODED in result.provenance.get("operator", "")
    if result.settings["noise"] == "auto" and not coded and not _untouched(entry, result.stats.nfe):
        entry["noise_estimated"] = result.provenance["noise_std"]
    if result.found is not None:
        kernel, told = str(kernel_paths(target)[-1]), result.found.spec
        entry["op_found"] = told if result.found.kernel is None else told.replace(KERNEL_FILE, kernel)
    if result.misfit:
        entry["misfit"] = result.misfit
    if result.harm:
        entry["harm"] = result.harm
    if result.doubt:
        entry["doubt"] = result.doubt
    entry |= {"stats": asdict(result.stats), "provenance": result.provenance, "settings": result.settings}
    if result.spread is not None:
        entry["spread"] = about(result.spread)
    return entry


def _untouched(entry: Mapping[str, Any], calls: int) -> bool:
    """Whether ``--op auto`` left the picture as it is."""
    return entry.get("op") == AUTO and calls == 0


def kernel_paths(target: Path) -> tuple[Path, Path]:
    """Where the kernel is written that was found for the result ``target``: as a picture and as an array."""
    png, npy = (target.with_name(f"{target.stem}_kernel.{end}") for end in ("png", "npy"))
    return png, npy


def digests(source: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the input and of what the specs name; to be taken before anything is written."""
    return {str(path): files.digest(path) for path in [source, *paths_of(settings)] if path.exists()}


def paths_of(settings: Mapping[str, Any]) -> list[Path]:
    """The files and folders that the specs of some settings name: kernels, masks, weights."""
    named: list[str] = []
    for key, registry in REGISTRIES.items():
        with suppress(BadSpec, UnknownName):  # a part that was made by hand has no spec
            named += registry.parse(stand_in(settings[key]) if key == "op" else settings[key]).paths
    if settings.get("protect") is not None:
        named.append(settings["protect"])
    return [Path(path) for path in named]


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or NaN, which JSON does not have."""
    return value if math.isfinite(value) else None


def write_record(path: Path, command: str, results: Sequence[dict[str, Any]]) -> None:
    """Write the JSON record of a run; raises `OutputError`."""
    text = json.dumps({"command": command, "results": list(results)}, indent=2, allow_nan=False)
    files.write_bytes(path, text.encode() + b"\n")


def summary(entry: Mapping[str, Any]) -> str:
    """One line about a result, from its entry in the record: name, size, cost, how it fits the data, the noise level
    that was found and, where known, how it fits the truth."""
    width, height = entry["size"]
    stats = entry["stats"]
    parts = [entry["output"], f"{width}x{height}", f"NFE {stats['nfe']}", f"{stats['seconds']:.1f} s"]
    parts.append(f"residual {stats['residual'][0]:.3g} ({fit_in_words(entry)})")
    if "noise_estimated" in entry:
        parts.append(f"noise {entry['noise_estimated']:.2g} ({255 * entry['noise_estimated']:.1f}/255) by auto")
    if "psnr" in entry:
        parts.append(f"PSNR {math.inf if entry['psnr'] is None else entry['psnr']:.2f} dB")
        if entry["ssim"] is not None:
            parts.append(f"SSIM {entry['ssim']:.4f}")
    return "  ".join(parts)


#: in the record, the name of the operator of a JPEG file
CODED = "JpegOperator("


def fit_in_words(entry: Mapping[str, Any]) -> str:
    """What the residual of a result means, from its entry in the record."""
    if _untouched(entry, entry["stats"]["nfe"]):
        return "unchanged"
    if "misfit" in entry:
        return "contradicts the observation"
    residual, noise = entry["stats"]["residual"][0], entry["provenance"]["noise_std"]
    if noise == 0:
        return "fits the observation" if residual <= EXACT_FIT else f"misses {residual:.1%} of the observation"
    if noise <= FILE_LEVEL:  # the noise is no more than rounding: nothing finer can be fitted
        return "fits the observation as the file allows" if residual * noise <= FILE_MISS else ROUGHLY
    if CODED in entry["provenance"].get("operator", ""):  # most codes are 0, and fit a picture much closer than a step
        return "fits the codes of the file" if residual <= WITHIN else ROUGHLY
    if residual < CLOSER:
        return "fits closer than its noise: detail may be noise"
    return "fits the observation as the noise allows" if residual <= WITHIN else ROUGHLY
