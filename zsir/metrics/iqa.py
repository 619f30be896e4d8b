"""The metrics of the package pyiqa (LPIPS, DISTS, NIQE, MUSIQ, ...), where the user has installed it.

It is never a dependency: its licence allows noncommercial use only, it brings 1.5 GB of packages, and the torchvision
among them must match the build of torch. zsir/metrics/README.md says how to install it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor

from zsir.errors import BadInput, ShapeError, UnknownName

HOW = "see zsir/metrics/README.md, 'pyiqa'"


def compare(name: str, x: Tensor, truth: Tensor) -> list[float]:
    """Values of pyiqa's metric ``name`` for each picture; one that needs no reference looks at x alone.

    x and truth (batch, channels, height, width) in [0, 1], given to pyiqa in float32, one picture at a time, on the
    device of x. Raises `BadInput` where pyiqa, its weights or a number per picture cannot be had.
    """
    metric = _metric(name, x.device)
    values = list[float]()
    with torch.no_grad():  # also puts back the gradient mode, which pyiqa switches
        for a, b in zip(x.float().split(1), truth.float().split(1), strict=True):
            value = torch.as_tensor(_called(name, metric, (a, b) if metric.metric_mode == "FR" else (a,)))
            if value.numel() != 1:
                raise BadInput(
                    f"pyiqa:{name} gives {value.numel()} numbers for a picture; take a metric that gives one."
                )
            values.append(float(value))
    return values


def facts(name: str) -> tuple[Literal["higher", "lower"], bool]:
    """Which values are better, and whether the metric needs a truth, as pyiqa says."""
    metric = _metric(name, torch.device("cpu"))
    return "lower" if metric.lower_better else "higher", metric.metric_mode == "FR"


@lru_cache(maxsize=8)
def _metric(name: str, device: torch.device) -> Any:
    """pyiqa's object for ``name``."""
    pyiqa = _package(name)
    known = list(pyiqa.list_models())
    if name not in known:
        close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
        meant = f"; did you mean {' or '.join(f'pyiqa:{c}' for c in close)}?" if close else "; see pyiqa.list_models()."
        raise UnknownName(f"pyiqa has no metric '{name}'{meant}")
    if "fid" in name or name == "inception_score":
        raise BadInput(f"pyiqa:{name} compares sets of pictures, not one with another; call pyiqa itself for it.")
    try:
        return pyiqa.create_metric(name, device=device, as_loss=False)
    except Exception as error:  # urllib's, a hub's or torch's own, by the metric
        raise BadInput(
            f"pyiqa:{name} cannot be set up ({_first_line(error)}); mostly its weights could not be downloaded: "
            "run it once where there is a network, or put the file into $TORCH_HOME/hub/pyiqa."
        ) from None


def _package(name: str) -> Any:
    try:
        return import_module("pyiqa")
    except ModuleNotFoundError as error:
        if error.name == "pyiqa":
            raise BadInput(
                f"pyiqa:{name} needs the package pyiqa (noncommercial licence, 1.5 GB), which is not installed; {HOW}."
            ) from None
        raise BadInput(f"pyiqa is installed but cannot be imported ({_first_line(error)}); {HOW}.") from None
    except (ImportError, RuntimeError, OSError) as error:  # a torchvision of another torch ends in a RuntimeError
        raise BadInput(
            f"pyiqa is installed but cannot be imported ({_first_line(error)}): its torchvision must match torch "
            f"{torch.__version__}; {HOW}."
        ) from None


def _called(name: str, metric: Callable[..., object], pictures: tuple[Tensor, ...]) -> object:
    try:
        return metric(*pictures)
    except Exception as error:  # each network has limits of its own on size and channels
        shape = "x".join(map(str, pictures[0].shape[1:]))
        raise ShapeError(f"pyiqa:{name} fails on a picture of {shape}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
