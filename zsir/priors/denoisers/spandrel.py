"""Denoisers that the package spandrel can load: DRUNet, DnCNN, FDnCNN, SCUNet and others of its kinds.

The network itself is used, not spandrel's own call, which limits values to [0, 1], stops gradients and tells every
picture the same noise level. The package brings torchvision with it, which zsir never needs: it is no extra of zsir.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from zsir.errors import BadInput, BadSpec
from zsir.names.registry import Option
from zsir.priors.checkpoints.tensors import fingerprint, read_tensors
from zsir.priors.denoisers.inputs import with_level
from zsir.priors.network import NetworkPrior


@dataclass(frozen=True)
class SpandrelEstimate:
    """A parametrisation for `NetworkPrior`: pictures in [0, 1], extended to sides that are a multiple of ``multiple``
    and at least ``minimum``, with the level as one channel more if ``leveled``."""

    skip: ClassVar[bool] = False
    multiple: int = 1
    minimum: int = 1
    leveled: bool = False

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """Clean estimate of x (batch, c, h, w) at level s (batch,), in [-1, 1] units."""
        height, width = x.shape[-2:]
        bottom, right = (-(-max(n, self.minimum) // self.multiple) * self.multiple - n for n in (height, width))
        picture = F.pad((x + 1) / 2, (0, right, 0, bottom), mode="replicate")
        raw: Tensor = net(with_level(picture, told / 2) if self.leveled else picture)
        return 2 * raw[..., :height, :width] - 1


def spandrel(
    path: Annotated[str, Option("a checkpoint of a denoiser")],
    low: Annotated[float, Option("smallest noise level it is made for", "[0, 1]")] = 0.0,
    high: Annotated[float, Option("largest noise level it is made for", "[0, 1]")] = 50 / 255,
) -> NetworkPrior:
    """A denoiser loaded by the package spandrel: DRUNet, DnCNN, FDnCNN, SCUNet.

    D(x, s) = net(x, s) for DRUNet and FDnCNN; net(x) for the others, which judge the noise by themselves and work only
    near the levels they were trained for. Needs: pip install spandrel.
    """
    if not 0 <= low < high:
        raise BadSpec(f"spandrel:low={low:g},high={high:g}: noise levels on the [0, 1] scale, low below high.")
    if not Path(path).is_file():
        raise BadInput(f"spandrel: there is no file {path}; check spandrel:path=...")
    try:
        package = import_module("spandrel")
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch ends in a RuntimeError
        raise BadInput(f"spandrel:path={path} needs the package spandrel ({error}); pip install spandrel.") from None
    tensors = read_tensors(path)  # spandrel's own reading would run TorchScript
    try:
        descriptor = package.ModelLoader(device="cpu").load_from_state_dict(tensors)
    except Exception as error:  # each kind of network fails in its own way on a file that does not fit
        raise BadInput(f"spandrel cannot load {path}: {error}") from None
    kind = str(descriptor.architecture.id)
    if descriptor.scale != 1 or descriptor.input_channels != descriptor.output_channels:
        raise BadInput(f"{path} holds {kind}, which changes the size or channels of a picture; it is not a denoiser.")
    net: nn.Module = descriptor.model.eval().requires_grad_(False)
    estimate = _estimate(net, kind, descriptor.size_requirements)
    return NetworkPrior(net, estimate, kind, descriptor.input_channels, (low, high), fingerprint=fingerprint(path))


def _estimate(net: nn.Module, kind: str, sizes: Any) -> SpandrelEstimate:
    leveled = kind == "DRUNet" or getattr(net, "mode", "") == "FDnCNN"
    return SpandrelEstimate(max(1, sizes.multiple_of), max(1, sizes.minimum), leveled)
