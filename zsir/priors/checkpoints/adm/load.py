"""ADM (guided-diffusion) networks and consistency models from their authors' ``.pt`` files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from torch import nn

from zsir.errors import BadSpec
from zsir.names.registry import Option
from zsir.priors.checkpoints.adm.config import KINDS, ADMSettings, read_config, settle
from zsir.priors.checkpoints.adm.saved import SIGMA_MAX, read_notes, weights_file
from zsir.priors.checkpoints.adm.shape import ADMShape, infer
from zsir.priors.checkpoints.adm.to_diffusers import build, convert_tensors
from zsir.priors.checkpoints.diffusers_nets import UNetAdapter
from zsir.priors.checkpoints.labels import chosen_class
from zsir.priors.checkpoints.tensors import fingerprint, load_into, read_tensors, understood
from zsir.priors.network import NetworkPrior, Parametrisation
from zsir.priors.parametrisations import CONSISTENCY_SIGMA_MIN, VPEstimate, consistency_estimate, edm_estimate


def adm(
    path: Annotated[str, Option("the authors' .pt file, or what 'zsir convert' made of it (a file or folder)")],
    config: Annotated[str, Option("JSON file with the published options; needed where shapes do not tell")] = "",
    label: Annotated[int, Option("class that a class-conditional network is asked for; -1 stands for class 0")] = -1,
    clip: Annotated[bool, Option("limit clean estimates to [0, 1], as published")] = True,
    kind: Annotated[str, Option("what it was trained as; empty: as the file or config tells", choices=KINDS)] = "",
) -> NetworkPrior:
    """U-Net of guided-diffusion (noise predictor, learned variance ignored) or consistency model.

    x0 = x - s eps(x/sqrt(1 + s^2), t(s)) for a diffusion model, c_skip x + c_out F for a consistency model
    (`zsir.priors.parametrisations`), in [-1, 1] units inside. Which of the two it is, its attention layout and its
    head width follow from the file for published checkpoints, else from the config; priors/README.md lists its fields.
    The teachers of the consistency models (edm_*.pt) have the files of these: kind=edm. Needs the extra ``hub``.
    Source: Dhariwal and Nichol 2021 [adm]; Song et al. 2023 [consistency]
    """
    net, shape, settings = load_adm(path, config, kind)
    asked = chosen_class("adm", label, shape.classes)
    parametrise, (low, high), factor = _reading(settings)
    wrapped = UNetAdapter(net, 1 << (len(shape.widths) - 1), asked, time_factor=factor).eval()
    return NetworkPrior(
        wrapped,
        parametrise,
        "adm",
        shape.in_channels,
        # levels of pictures in [-1, 1] are twice ours
        (low / 2, high / 2),
        "consistency" if settings.kind == "consistency" else "denoiser",
        clip,
        fingerprint(weights_file(Path(path))),
    )


def load_adm(path: str | Path, config: str | Path = "", kind: str = "") -> tuple[nn.Module, ADMShape, ADMSettings]:
    """A checkpoint, converted or not, as `UNet2DModel` on the CPU in float32, with its shape and settings.

    ``kind`` overrules what the config says and the file looks like.

    Raises `BadInput` for a file or config that cannot be used and `Incompatible` where diffusers is missing.
    """
    file = weights_file(Path(path))
    converted = read_notes(file)
    tensors, sources = read_tensors(file), dict[str, str]()
    if converted:
        if config or kind:
            what = "config" if config else "kind"
            raise BadSpec(f"{path} was converted already and says all that a {what} would; leave the {what} out.")
        shape, settings = converted
    else:
        with understood(path):
            shape = infer(tensors, path)
        fields = read_config(config) if config else {}
        settings = settle(shape, {**fields, "kind": kind} if kind else fields, path)
        with understood(path):
            tensors, sources = convert_tensors(tensors, shape, settings, str(path))
    with understood(path):
        net = build(shape, settings)
        load_into(net, tensors, path, sources)
    return net, shape, settings


def _reading(settings: ADMSettings) -> tuple[Parametrisation, tuple[float, float], float]:
    """Parametrisation, levels in native units and the factor of the network's time input."""
    if settings.kind == "consistency":
        return consistency_estimate, (CONSISTENCY_SIGMA_MIN, SIGMA_MAX), 1.0
    if settings.kind == "edm":
        # told 250 ln(sigma), a thousand times what EDM's own networks are told
        return edm_estimate, (CONSISTENCY_SIGMA_MIN, SIGMA_MAX), 1000.0
    table = settings.table
    ends = float(table.levels[0]), float(table.levels[-1])
    return VPEstimate("x0" if settings.predict_xstart else "eps", table), ends, settings.time_factor
