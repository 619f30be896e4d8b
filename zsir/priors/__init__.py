"""Pretrained models as denoisers ``denoise(x, sigma) -> x0`` in [0, 1] units. See README.md to add one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from zsir.lazy import on_first_use
from zsir.priors.catalogue import PRIORS

if TYPE_CHECKING:
    from zsir.priors.checkpoints.diffusers_nets import load_folder
    from zsir.priors.checkpoints.irsde.mean_reverting import IRSDEPrior
    from zsir.priors.denoisers.functions import FunctionPrior, from_azula, from_callable, from_deepinv
    from zsir.priors.embedded import photo, trained
    from zsir.priors.exact import Dense, Gaussian, Mixture, Stationary, flat_mixture, power_law
    from zsir.priors.network import NetworkPrior
    from zsir.priors.parametrisations import (
        ConsistencyEstimate,
        EDMEstimate,
        FlowEstimate,
        VPEstimate,
        consistency_estimate,
        edm_estimate,
        score_estimate,
    )
    from zsir.priors.wrappers.ensemble import Counted, SelfEnsemble
    from zsir.priors.wrappers.grey import Grey
    from zsir.priors.wrappers.nested import wrap
    from zsir.priors.wrappers.precision import Cast, Compiled
    from zsir.priors.wrappers.settings import Wrapping
    from zsir.priors.wrappers.tiled import Tiled
    from zsir.protocols import Prior

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
    """Load a prior from a spec. The prior follows the device of the pictures that it is given.

    Args:
        spec: A name with options, such as ``photo`` or ``gaussian:std=0.2``. ``zsir list priors`` shows all names.

    Returns:
        The prior.

    Raises:
        UnknownName: No prior or option has that name.
        BadSpec: The spec does not parse or an option lies outside its range.
        BadInput: A file that the spec names cannot be used.

    >>> load("gaussian").kind
    'denoiser'
    """
    return cast("Prior", PRIORS.parse(spec).build())
