"""Partly known operators: kernels, lengths, angles and widths of blurs, found in the observation itself.

`resolve_auto` replaces ``auto`` in a spec; `estimate_kernel`, `motion_of` and `width_of` do the work.
"""

from zsir.blind.estimate import KernelEstimate, estimate_kernel
from zsir.blind.likelihood import Parameters, motion_of, width_of
from zsir.blind.resolve import Resolved, finds_kernel, has_auto, resolve_auto, stand_in, written

__all__ = [
    "KernelEstimate",
    "Parameters",
    "Resolved",
    "estimate_kernel",
    "finds_kernel",
    "has_auto",
    "motion_of",
    "resolve_auto",
    "stand_in",
    "width_of",
    "written",
]
