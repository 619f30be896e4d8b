"""ADM (guided-diffusion) networks and consistency models from their authors' ``.pt`` files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from zsir.errors import BadSpec
from zsir.priors.adm_config import ADMSettings, read_config, settle
from zsir.priors.adm_convert import build, convert_tensors
from zsir.priors.adm_files import SIGMA_MAX, WEIGHTS, read_notes
from zsir.priors.adm_shape import ADMShape, infer
from zsir.priors.checkpoint import fingerprint, load_into, read_tensors, understood
from zsir.priors.consistency import SIGMA_MIN, consistency_estimate
from zsir.priors.edm import edm_estimate
from zsir.priors.labels import chosen_class
from zsir.priors.network import NetworkPrior, Parametrisation
from zsir.priors.unet import pad_to_multiple
from zsir.priors.vp import VPEstimate
from zsir.registry import Option


class ADMNet(nn.Module):
    """``net(x, t)`` around a `UNet2DModel`: any size (padded by reflection), fixed class, no variance channels."""

    def __init__(self, net: nn.Module, shape: ADMShape, label: int | None, time_factor: float = 1.0) -> None:
        super().__init__()
        self.net, self.shape, self.label, self.time_factor = net, shape, label, time_factor

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, channels, height, width) in native units, t (batch,) the time input; output in the shape of x."""
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, 1 << (len(self.shape.widths) - 1))
        labels = None if self.label is None else torch.full((x.shape[0],), self.label, device=x.device)
        raw: Tensor = self.net(padded, t * self.time_factor, labels, return_dict=False)[0]
        return raw[:, : x.shape[1], :height, :width]


def adm(
    path: Annotated[str, Option("the authors' .pt file, or what 'zsir convert' made of it (a file or folder)")],
    config: Annotated[str, Option("JSON file with the published options; needed where shapes do not tell")] = "",
    label: Annotated[int, Option("class that a class-conditional network is asked for; -1 stands for class 0")] = -1,
    clip: Annotated[bool, Option("limit clean estimates to [0, 1], as published")] = True,
) -> NetworkPrior:
    """U-Net of guided-diffusion (noise predictor, learned variance ignored) or consistency model.

    x0 = x - s eps(x/sqrt(1 + s^2), t(s)) for a diffusion model, f(x, s) of `zsir.priors.consistency` for a
    consistency model, in [-1, 1] units inside. Which of the two it is, its attention layout and its head width follow
    from the file for published checkpoints, else from the config; priors/README.md lists its fields. Needs the extra
    ``hub``: pip install 'zsir[hub]'.
    Source: Dhariwal and Nichol 2021 [adm]; Song et al. 2023 [consistency]
    """
    net, shape, settings = load_adm(path, config)
    asked = chosen_class("adm", label, shape.classes)
    parametrise, (low, high), factor = _reading(settings)
    wrapped = ADMNet(net, shape, asked, factor).eval()
    kind = "consistency" if settings.kind == "consistency" else "denoiser"
    return NetworkPrior(
        wrapped,
        parametrise,
        "adm",
        shape.in_channels,
        # levels of pictures in [-1, 1] are twice ours
        (low / 2, high / 2),
        kind,  # type: ignore[arg-type]  # a conditional expression of literals is a str to mypy
        clip,
        fingerprint(Path(path) / WEIGHTS if Path(path).is_dir() else path),
    )


def load_adm(path: str | Path, config: str | Path = "") -> tuple[nn.Module, ADMShape, ADMSettings]:
    """A checkpoint, converted or not, as `UNet2DModel` on the CPU in float32, with its shape and settings.

    Raises `BadInput` for a file or config that cannot be used and `Incompatible` where diffusers is missing.
    """
    file = Path(path)
    file = file / WEIGHTS if (file / WEIGHTS).is_file() else file
    converted = read_notes(file)
    tensors = read_tensors(file)
    if converted:
        if config:
            raise BadSpec(f"{path} was converted already and says all that a config would; leave the config out.")
        shape, settings = converted
    else:
        with understood(path):
            shape = infer(tensors, path)
        settings = settle(shape, read_config(config) if config else {}, path)
        with understood(path):
            tensors = convert_tensors(tensors, shape, settings, str(path))
    with understood(path):
        net = build(shape, settings)
        load_into(net, tensors, path)
    return net, shape, settings


def _reading(settings: ADMSettings) -> tuple[Parametrisation, tuple[float, float], float]:
    """Parametrisation, levels in native units and the factor of the network's time input."""
    if settings.kind == "consistency":
        return consistency_estimate, (SIGMA_MIN, SIGMA_MAX), 1.0
    if settings.kind == "edm":
        # told 250 ln(sigma), a thousand times what EDM's own networks are told
        return edm_estimate, (SIGMA_MIN, SIGMA_MAX), 1000.0
    table = settings.table
    ends = float(table.levels[0]), float(table.levels[-1])
    return VPEstimate("x0" if settings.predict_xstart else "eps", table), ends, settings.time_factor
