"""Pretrained models as denoisers ``denoise(x, sigma) -> x0`` in [0, 1] units. See README.md to add one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from zsir.catalogue import PRIORS
from zsir.lazy import on_first_use

if TYPE_CHECKING:
    from zsir.priors.adapters import FunctionPrior, from_azula, from_callable, from_deepinv
    from zsir.priors.consistency import ConsistencyEstimate, consistency_estimate
    from zsir.priors.diffusers_unet import load_folder
    from zsir.priors.edm import EDMEstimate, edm_estimate
    from zsir.priors.embedded import photo, trained
    from zsir.priors.exact import Dense, Gaussian, Mixture, Stationary, flat_mixture, power_law
    from zsir.priors.flow import FlowEstimate
    from zsir.priors.grey import Grey
    from zsir.priors.irsde import IRSDEPrior
    from zsir.priors.network import NetworkPrior
    from zsir.priors.score import score_estimate
    from zsir.priors.tiled import Tiled
    from zsir.priors.vp import VPEstimate
    from zsir.priors.wrappers import Cast, Compiled, Counted, SelfEnsemble, wrap
    from zsir.protocols import Prior
    from zsir.wrapping import Wrapping

__all__ = [
    "Cast",
    "Compiled",
    "ConsistencyEstimate",
    "Counted",
    "Dense",
    "EDMEstimate",
    "FlowEstimate",
    "FunctionPrior",
    "Gaussian",
    "Grey",
    "IRSDEPrior",
    "Mixture",
    "NetworkPrior",
    "SelfEnsemble",
    "Stationary",
    "Tiled",
    "VPEstimate",
    "Wrapping",
    "consistency_estimate",
    "edm_estimate",
    "flat_mixture",
    "from_azula",
    "from_callable",
    "from_deepinv",
    "load",
    "load_folder",
    "photo",
    "power_law",
    "score_estimate",
    "trained",
    "wrap",
]

__getattr__ = on_first_use(__name__, __file__)


def load(spec: str) -> Prior:
    """The prior of a spec such as ``photo`` or ``gaussian:std=0.2``; it follows the device of what it is given.

    Raises `UnknownName`, `BadSpec` or `BadInput`.

    >>> load("gaussian").kind
    'denoiser'
    """
    return cast("Prior", PRIORS.parse(spec).build())
