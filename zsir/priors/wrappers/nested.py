"""Several wrappers around one prior, as settings ask for them."""

from __future__ import annotations

from zsir.priors.wrappers.ensemble import SelfEnsemble
from zsir.priors.wrappers.precision import DTYPES, Cast, Compiled
from zsir.priors.wrappers.settings import Wrapping
from zsir.priors.wrappers.tiled import Tiled
from zsir.protocols import Prior


def wrap(prior: Prior, wrapping: Wrapping) -> Prior:
    """Put wrappers around a prior. The network's own affairs are innermost.

    Args:
        prior: The prior.
        wrapping: Which wrappers.

    Returns:
        The wrapped prior.

    Raises:
        Incompatible: A wrapper cannot be put around this prior.
    """
    if wrapping.compiled:
        prior = Compiled(prior)
    if wrapping.precision in DTYPES:
        prior = Cast(prior, DTYPES[wrapping.precision])
    if wrapping.tile is not None:
        prior = Tiled(prior, wrapping.tile)
    return SelfEnsemble(prior) if wrapping.ensemble else prior
