"""How good a picture is: against the truth, by itself, and against the observation. README.md has the table.

`psnr` and `ssim` give the mean of a batch; `measure` gives any metric of `METRICS`, and pyiqa's, for each picture;
`residual`, `split` and `energies` compare a picture with what its observation could say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zsir.lazy import on_first_use

if TYPE_CHECKING:
    from zsir.metrics.absolute_error import severity
    from zsir.metrics.catalogue import METRICS, Metric, find, measure
    from zsir.metrics.data_fit import Energies, contradiction, energies, split
    from zsir.metrics.fidelity import WINDOW_RADIUS, WINDOW_STD, psnr, ssim
    from zsir.problem import Residual, residual

__all__ = [
    "METRICS",
    "WINDOW_RADIUS",
    "WINDOW_STD",
    "Energies",
    "Metric",
    "Residual",
    "contradiction",
    "energies",
    "find",
    "measure",
    "psnr",
    "residual",
    "severity",
    "split",
    "ssim",
]

__getattr__ = on_first_use(__name__, __file__)
