"""ST-LPIPS: a distance of pictures that looks at network features and forgives shifts of a pixel or two.

The features are those of an AlexNet whose strides are replaced by blurred down-sampling; its weights and those of the
five linear heads (9.9 MB, BSD-2 licence) lie inside the package stlpips_pytorch, from where they are read as a file.
That package is not imported, so what it imports (torchvision) is not needed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from zsir.errors import BadInput, ShapeError
from zsir.metrics.fidelity import check_pair

PACKAGE = "stlpips_pytorch"
MEMBER = "weights/vST0.0/alex_shift_tolerant.pth"

#: of that file; a number measured with other weights is another metric
SHA256 = "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee"

#: the smallest sides that the reflected borders of all three reductions allow
SMALLEST = 21


def stlpips(a: Tensor, b: Tensor, path: str = "") -> list[float]:
    """ST-LPIPS (AlexNet) for each picture: 0 for equal pictures, lower is closer.

    a and b (batch, 1 or 3, height, width) in [0, 1]; grey is taken as R = G = B; computed in float32, one picture at a
    time. ``path``: the weights or the wheel that holds them; empty for the installed stlpips_pytorch. Raises
    `ShapeError` below 21 pixels or for other channels, `BadInput` where the weights are missing or others.
    Source: Ghildyal and Liu 2022, Shift-tolerant Perceptual Similarity Metric, ECCV.
    """
    check_pair(a, b)
    if a.shape[1] not in (1, 3) or min(a.shape[-2:]) < SMALLEST:
        raise ShapeError(
            f"stlpips needs grey or colour pictures of at least {SMALLEST}x{SMALLEST} pixels, got {a.shape[1]} "
            f"channels of {a.shape[-1]}x{a.shape[-2]}."
        )
    w = _weights(path, a.device)
    with torch.no_grad():
        return [_distance(w, a[k : k + 1], b[k : k + 1]) for k in range(len(a))]


def _distance(w: Mapping[str, Tensor], a: Tensor, b: Tensor) -> float:
    """Squared differences of unit features, weighted by channel, averaged over the picture, summed over layers."""
    total = 0.0
    for k, (f, g) in enumerate(zip(_features(w, a), _features(w, b), strict=True)):
        difference = (_unit(f) - _unit(g)).square()
        total += float(F.conv2d(difference, w[f"lin{k}.model.1.weight"]).double().mean())
    return total


def _features(w: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """The five rectified layers for one picture (1, channels, height, width) in [0, 1]."""

    def conv(t: Tensor, name: str, padding: int) -> Tensor:
        return F.conv2d(t, w[f"net.{name}.weight"], w[f"net.{name}.bias"], padding=padding)

    def halved(t: Tensor, name: str) -> Tensor:
        blur = w[f"net.{name}.filt"]
        return F.conv2d(F.pad(t, (2, 2, 2, 2), mode="reflect"), blur, stride=2, groups=blur.shape[0])

    x = x.float().expand(-1, 3, -1, -1)
    x = (2 * x - 1 - w["scaling_layer.shift"]) / w["scaling_layer.scale"]
    f1 = halved(conv(x, "slice1.0", 2), "slice1.1").relu()
    f2 = conv(halved(F.max_pool2d(f1, 3, 1), "slice2.4"), "slice2.5", 2).relu()
    f3 = conv(halved(F.max_pool2d(f2, 3, 1), "slice3.8"), "slice3.9", 1).relu()
    f4 = conv(f3, "slice4.11", 1).relu()
    f5 = conv(f4, "slice5.13", 1).relu()
    return [f1, f2, f3, f4, f5]


def _unit(f: Tensor) -> Tensor:
    """Every pixel's feature vector divided by its length."""
    return f / (f.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


@lru_cache(maxsize=2)
def _weights(path: str, device: torch.device) -> dict[str, Tensor]:
    """The published tensors by name; nothing but the published file, known by its SHA-256, is unpickled."""
    file = Path(path) if path else _installed()
    try:
        data = _from_wheel(file) if file.suffix == ".whl" else file.read_bytes()
    except OSError as error:
        raise BadInput(f"stlpips: {file} cannot be read ({error.strerror}); check stlpips:path=FILE.") from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise BadInput(
            f"stlpips: {file} is not the published {Path(MEMBER).name} of {PACKAGE} 0.0.2 (its SHA-256 differs); "
            f"take it from there."
        )
    tensors: dict[str, Tensor] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    return tensors


def _installed() -> Path:
    """The weights in the installed package, which is found but not imported."""
    found = find_spec(PACKAGE)
    for folder in (found.submodule_search_locations if found else None) or ():
        if (Path(folder) / MEMBER).is_file():
            return Path(folder) / MEMBER
    raise BadInput(
        "stlpips: its weights are not installed; pip install 'zsir[metrics]', or give stlpips:path=FILE, the "
        f"{Path(MEMBER).name} or the wheel of {PACKAGE} 0.0.2."
    )


def _from_wheel(file: Path) -> bytes:
    """The weights inside a wheel."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.read(f"{PACKAGE}/{MEMBER}")
    except (zipfile.BadZipFile, KeyError, EOFError):
        raise BadInput(f"stlpips: {file} does not hold {PACKAGE}/{MEMBER}; give the wheel of {PACKAGE}.") from None
