"""The embedded prior ``photo``: a small denoiser for photographs whose weights lie inside the package.

How it was made, on what, and what it cannot do: ``weights/photo.md``.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from zsir.errors import BadInput
from zsir.priors.checkpoint import fingerprint, load_into, metadata, read_tensors
from zsir.priors.edm import edm_estimate
from zsir.priors.network import NetworkPrior
from zsir.registry import Option

#: noise levels it was trained for, on the [0, 1] scale
SIGMA_RANGE = (0.002, 1.25)


def photo(
    path: Annotated[
        str, Option("another weights file of the same kind, by experiments/photo; empty: the shipped one")
    ] = "",
) -> NetworkPrior:
    """Noise-conditional denoiser (EDM-preconditioned U-Net without normalisation) for colour photographs of any size.

    D(x, s) = c_skip x + c_out F(c_in x, ln(s)/4), the posterior mean of the clean picture, in [-1, 1] units inside;
    seen from outside in [0, 1] units, noise levels from 0.002 to 1.25.
    Source: Karras et al. 2022 [edm]; trained by experiments/photo, see weights/photo.md
    """
    from zsir.priors.unet import UNet, UNetConfig

    file = Path(path) if path else Path(str(files("zsir.priors") / "weights" / "photo.safetensors"))
    if not file.is_file():
        raise BadInput(f"photo: there is no weights file at {file}; check photo:path=...")
    tensors, text = read_tensors(file), metadata(file).get("config")
    if text is None:
        raise BadInput(f"photo: {file} holds no 'config'; it was not written by zsir's experiments/photo.")
    try:
        config = json.loads(text)
        net = UNet(UNetConfig(**{**config, "widths": tuple(config["widths"])}))
    except (ValueError, TypeError, KeyError, RuntimeError):
        raise BadInput(f"photo: the 'config' of {file} describes no network of zsir's experiments/photo.") from None
    load_into(net, tensors, file)
    net.eval().requires_grad_(False)
    return NetworkPrior(net, edm_estimate, "photo", net.config.channels, SIGMA_RANGE, fingerprint=fingerprint(file))
