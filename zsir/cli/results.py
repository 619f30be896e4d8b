"""Write a restored picture into its planned files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from zsir import files, pictures
from zsir.blind import written
from zsir.cli.outputs import ResultFiles, check_free
from zsir.workflow.record import record_of
from zsir.workflow.result import Restored
from zsir.workflow.spread import WHITE, Spread


def write_result(
    result: Restored, planned: ResultFiles, read: Mapping[str, str] | None = None, *, overwrite: bool = True
) -> dict[str, Any]:
    """Write picture, contact sheet and maps; returns the entry of the record.

    ``read`` are the digests of the files that the result was made from; with them the entry can be repeated. Raises
    `OutputError`, also for a file that has appeared since the plan, unless ``overwrite``.
    """
    check_free(planned.files, overwrite)
    result.save(planned.target)
    if result.spread is not None and planned.maps:
        _write_maps(result.spread, planned)
    if planned.kernel:
        _write_kernel(result, planned)
    if planned.sheet is not None:
        pictures.write(planned.sheet, result.sheet())
    entry = record_of(result.source.path, planned.target, result)
    return entry if read is None else entry | {"files": dict(read), "output_sha256": files.digest(planned.target)}


def refused(result: Restored, planned: ResultFiles) -> dict[str, Any]:
    """The entry of the record for a result that is not written because it is worse than its observation."""
    return record_of(result.source.path, planned.target, result) | {"refused": True}


def _write_kernel(result: Restored, planned: ResultFiles) -> None:
    """The kernel that was found. Where none was, the files of another run would be taken for it, and are deleted."""
    kernel = None if result.found is None else result.found.kernel
    if kernel is not None:
        written(kernel, planned.target)
    else:
        for path in planned.kernel:
            files.remove(path)


def _write_maps(spread: Spread, planned: ResultFiles) -> None:
    """Standard deviations as 16-bit pictures in which 0.25 is white, and that of all as float32 (C, height, width)
    without a scale; the quantiles as pictures. A map of the unseen part that is left from another run is deleted where
    this one has none."""
    std, std_null, low, high, numbers = planned.maps
    pictures.write(std, spread.std / WHITE, bits=16)
    if spread.std_null is not None:
        pictures.write(std_null, spread.std_null / WHITE, bits=16)
    else:
        files.remove(std_null)
    for path, quantile in zip((low, high), spread.quantiles, strict=True):
        pictures.write(path, quantile)
    buffer = io.BytesIO()
    np.save(buffer, spread.std[0].numpy())
    files.write_bytes(numbers, buffer.getvalue())
