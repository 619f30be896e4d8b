"""Several wrappers around one prior, as settings ask for them."""

from __future__ import annotations

from zsir.priors.wrappers.ensemble import SelfEnsemble
from zsir.priors.wrappers.precision import DTYPES, Cast, Compiled
from zsir.priors.wrappers.settings import Wrapping
from zsir.priors.wrappers.tiled import Tiled
from zsir.protocols import Prior


def wrap(prior: Prior, wrapping: Wrapping) -> Prior:
    """The prior with what ``wrapping`` asks for around it, the network's own affairs innermost.

    Raises `Incompatible` for a prior that a wrapper cannot be put around.
    """
    if wrapping.compiled:
        prior = Compiled(prior)
    if wrapping.precision in DTYPES:
        prior = Cast(prior, DTYPES[wrapping.precision])
    if wrapping.tile is not None:
        prior = Tiled(prior, wrapping.tile)
    return SelfEnsemble(prior) if wrapping.ensemble else prior
