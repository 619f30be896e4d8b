"""Networks that `zsir train` and `zsir distill` made, among them those whose weights lie inside the package.

How the embedded ones were made, on what, and what they cannot do: ``weights/photo.md`` and ``weights/cm-photo.md``.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from zsir.errors import BadInput
from zsir.names.registry import Option
from zsir.priors.checkpoints.tensors import fingerprint, load_into, metadata, read_tensors
from zsir.priors.network import NetworkPrior
from zsir.priors.parametrisations import ConsistencyEstimate, edm_estimate

#: entry of a safetensors file that says what network it holds
NOTES = "zsir-prior"


def consistency_of(sigma_min: float) -> ConsistencyEstimate:
    """The consistency preconditioning of distilled networks; ``sigma_min`` in [0, 1] units."""
    return ConsistencyEstimate(sigma_min=2 * sigma_min, told=0.25)


def trained(path: Annotated[str, Option("prior.safetensors in the folder of a run")]) -> NetworkPrior:
    """A network made by `zsir train` or `zsir distill`, for pictures of any size.

    A denoiser is D(x, s) = c_skip x + c_out F(c_in x, ln(s)/4), the posterior mean of the clean picture; a distilled
    one has the coefficients of consistency models.
    Source: Karras et al. 2022 [edm]; Song et al. 2023 [consistency]

    Returns:
        The prior, on the CPU.

    Raises:
        BadInput: There is no such file, or ``zsir train`` and ``zsir distill`` did not write it.
    """
    return _load(Path(path), "trained")


def photo() -> NetworkPrior:
    """Noise-conditional denoiser (EDM-preconditioned U-Net without normalisation) for photographs of any size.

    D(x, s) = c_skip x + c_out F(c_in x, ln(s)/4), the posterior mean of the clean picture, in [-1, 1] units inside;
    seen from outside in [0, 1] units, noise levels from 0.002 to 1.25.
    Source: Karras et al. 2022 [edm]; trained by zsir, see weights/photo.md
    """
    return _embedded("photo")


def cm_photo() -> NetworkPrior:
    """Consistency model distilled from `photo`: one plausible picture instead of the mean of all.

    f(x, s) = c_skip x + c_out F(c_in x, ln(s)/4), the end of the denoiser's ODE, in [-1, 1] units inside; seen from
    outside in [0, 1] units, noise levels from 0.002 to 1.25.
    Source: Song et al. 2023 [consistency]; distilled by zsir, see weights/cm-photo.md
    """
    return _embedded("cm-photo")


def _embedded(name: str) -> NetworkPrior:
    return _load(Path(str(files("zsir.priors") / "weights" / f"{name}.safetensors")), name)


def _load(file: Path, name: str) -> NetworkPrior:
    from zsir.priors.unet import UNet, UNetConfig

    if not file.is_file():
        raise BadInput(f"{name}: there is no weights file at {file}; give path=RUN/prior.safetensors.")
    tensors, text = read_tensors(file), metadata(file).get(NOTES, "{}")
    try:
        about = json.loads(text)
        config, kind, (low, high), grey = (about[key] for key in ("config", "kind", "sigma_range", "grey"))
        net = UNet(UNetConfig(**{**config, "widths": tuple(config["widths"])}))
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise BadInput(f"{name}: {file} was not written by zsir train or zsir distill.") from None
    load_into(net, tensors, file)
    net.eval().requires_grad_(False)
    estimate = consistency_of(low) if kind == "consistency" else edm_estimate
    levels, digest = (low, high), fingerprint(file)
    channels = net.config.channels
    return NetworkPrior(net, estimate, name, channels, levels, kind, fingerprint=digest, knows_grey=grey)
