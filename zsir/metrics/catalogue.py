"""The names of all metrics, what each means, and `measure`, which computes them picture by picture."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from torch import Tensor

from zsir.errors import BadInput, BadSpec, ShapeError, UnknownName
from zsir.metrics import iqa
from zsir.metrics.absolute_error import severity_mean, severity_std
from zsir.metrics.fidelity import check_pair, psnr_per_picture, psnr_y, ssim_per_picture, ssim_y
from zsir.metrics.shifted import psnr_shifted
from zsir.metrics.stlpips import stlpips


@dataclass(frozen=True)
class Metric:
    """What is known of a metric.

    Attributes:
        compute: Function ``(x, truth)`` of two batches that gives one number for each picture.
        unit: Unit of the numbers, such as ``dB``, or an empty string.
        better: ``higher`` or ``lower``.
        convention: What tells apart the variants that papers call by the same name.
        source: The paper or code that defines the metric.
        needs: What to install first; empty for nothing.
        reference: Whether the metric needs the truth. A metric without reference ignores its second argument.
    """

    compute: Callable[[Tensor, Tensor], list[float]] = field(repr=False)
    unit: str
    better: Literal["higher", "lower"]
    convention: str
    source: str
    needs: str = ""
    reference: bool = True


_WANG = "Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Transactions on Image Processing 13(4)"
_GENDEG = "Rajagopalan, Nair, Paranjape and Patel 2025, GenDeg, CVPR"
_LUMA = "luma Y of BT.601 as MATLAB's rgb2ycbcr, in [16, 235]/255, not rounded"

METRICS: dict[str, Metric] = {
    "psnr": Metric(
        psnr_per_picture,
        "dB",
        "higher",
        "mean squared error over all pixels and channels of RGB, peak 1",
        "definition; equals scikit-image's peak_signal_noise_ratio",
    ),
    "ssim": Metric(
        ssim_per_picture,
        "",
        "higher",
        "Gaussian window 11x11 of std 1.5, windows wholly inside, no reduction before, mean over RGB channels",
        f"{_WANG}; equals scikit-image's structural_similarity with gaussian_weights",
    ),
    "psnr-y": Metric(psnr_y, "dB", "higher", f"psnr of {_LUMA}; peak 1", "ITU-R BT.601"),
    "ssim-y": Metric(ssim_y, "", "higher", f"ssim of {_LUMA}", f"{_WANG}; ITU-R BT.601"),
    "psnr-shifted": Metric(
        psnr_shifted,
        "dB",
        "higher",
        "psnr after the best shift of up to 6 pixels, to 1/8, without 8 pixels on every side",
        "Levin, Weiss, Durand and Freeman 2009, Understanding and evaluating blind deconvolution, CVPR",
    ),
    "stlpips": Metric(
        stlpips,
        "",
        "lower",
        "AlexNet with blurred down-sampling, weights vST0.0, input scaled to [-1, 1], no resizing",
        "Ghildyal and Liu 2022, Shift-tolerant Perceptual Similarity Metric, ECCV",
        needs="pip install 'zsir[metrics]', or stlpips:path=FILE",
    ),
    "severity-mean": Metric(
        severity_mean, "", "lower", "mean of the absolute error over all pixels and channels; mu of GenDeg", _GENDEG
    ),
    "severity-std": Metric(
        severity_std, "", "lower", "standard deviation (population) of the absolute error; sigma of GenDeg", _GENDEG
    ),
}


def find(name: str) -> Metric:
    """Find a metric by its name.

    Args:
        name: One of `METRICS`, ``stlpips:path=FILE``, or ``pyiqa:NAME``, which loads pyiqa's network.

    Returns:
        The metric.

    Raises:
        UnknownName: No metric has that name.
        BadSpec: What follows ``stlpips:`` is not ``path=FILE``.
        BadInput: pyiqa is missing or does not have the metric.

    >>> find("psnr-y").unit
    'dB'
    """
    if name in METRICS:
        return METRICS[name]
    head, _, rest = name.partition(":")
    if head == "pyiqa" and rest:
        better, reference = iqa.facts(rest)
        compute = partial(iqa.compare, rest)
        return Metric(compute, "", better, "as pyiqa computes it", "pyiqa", "pyiqa and its weights", reference)
    if head == "stlpips":
        key, _, path = rest.partition("=")
        if key != "path" or not path:
            raise BadSpec(f"'{name}' is not understood; write stlpips or stlpips:path=FILE.")
        return replace(METRICS[head], compute=partial(stlpips, path=path))
    close = difflib.get_close_matches(name, METRICS, n=2, cutoff=0.5)
    meant = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(METRICS)} and pyiqa:NAME."
    raise UnknownName(f"There is no metric '{name}'; {meant}")


def measure(names: Iterable[str], x: Tensor, truth: Tensor | None = None, *, crop: int = 0) -> dict[str, list[float]]:
    """Compute metrics for every picture of a batch.

    A picture has the same values alone and in any batch.

    Args:
        names: Names of metrics, see `find`.
        x: The pictures, (batch, channels, height, width) in [0, 1].
        truth: The true pictures, in the shape of ``x``. They may be left out where all metrics do without.
        crop: Pixels that are taken off every side of both first. Papers on reduction by s often take off s. By default
            0.

    Returns:
        Name -> numbers, in the order of the batch.

    Raises:
        BadInput: Values lie outside [0, 1], which metrics judge in different ways, or the truth is missing.
        BadSpec: ``names`` is one string, ``crop`` is too large, or a name does not parse.
        UnknownName: No metric has that name.
        ShapeError: The shapes differ, or are not those of pictures.

    >>> import torch
    >>> grey = torch.full((2, 3, 8, 8), 0.5)
    >>> measure(["psnr"], grey, grey - 0.25, crop=2)
    {'psnr': [12.041199826559248, 12.041199826559248]}
    """
    if isinstance(names, str):
        raise BadSpec(f"names='{names}' is one string; give a list of names, such as ['{names}'].")
    metrics = {name: find(name) for name in names}
    lacking = [name for name, metric in metrics.items() if metric.reference]
    if truth is None and lacking:
        raise BadInput(f"{', '.join(lacking)} compare with the true picture; give truth=....")
    x = _prepared("x", x, crop)
    # a metric without reference never looks at its second argument
    other = x if truth is None else _prepared("truth", truth, crop)
    check_pair(x, other)
    return {name: metric.compute(x, other) for name, metric in metrics.items()}


def _prepared(label: str, x: Tensor, crop: int) -> Tensor:
    """x without its border; raises unless it is a batch of pictures in [0, 1]."""
    if x.ndim != 4 or not x.numel():
        raise ShapeError(f"{label} has shape {tuple(x.shape)}; pictures are (batch, channels, height, width).")
    if not x.is_floating_point() or not bool(((x >= 0) & (x <= 1)).all()):
        raise BadInput(
            f"{label} ({x.dtype}) must hold numbers in [0, 1] and reaches {float(x.min()):.3g} to {float(x.max()):.3g};"
            " write x.clamp(0, 1), or x.float() / 255 for 8-bit values."
        )
    height, width = x.shape[-2:]
    if not 0 <= crop < (min(height, width) + 1) // 2:
        raise BadSpec(
            f"crop={crop} cannot be taken off every side of pictures of {width}x{height}; give 0 to "
            f"{(min(height, width) - 1) // 2}."
        )
    return x[..., crop : height - crop, crop : width - crop]
