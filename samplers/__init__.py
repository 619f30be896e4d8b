"""Algorithms: each is one short file with ``init`` and ``step``; `zsir.solve` is the loop. See README.md to add one."""

from __future__ import annotations

if __name__ == "samplers":
    raise ImportError("This folder is installed as 'zsir.samplers'; write 'from zsir import samplers'.")

import dataclasses
from typing import TYPE_CHECKING, cast

from zsir.errors import BadSpec
from zsir.lazy import on_first_use
from zsir.samplers.catalogue import SAMPLERS

if TYPE_CHECKING:
    from zsir.protocols import Sampler
    from zsir.samplers.diffusion.daps import DAPS
    from zsir.samplers.diffusion.ddnm import DDNM, DDNMPlus
    from zsir.samplers.diffusion.ddpg import DDPG
    from zsir.samplers.diffusion.ddrm import DDRM
    from zsir.samplers.diffusion.diffpir import DiffPIR
    from zsir.samplers.diffusion.gibbs import Gibbs
    from zsir.samplers.diffusion.irsde import IRSDE
    from zsir.samplers.diffusion.reddiff import REDDiff
    from zsir.samplers.few_step.cm4ir import CM4IR
    from zsir.samplers.few_step.injected import Injected
    from zsir.samplers.few_step.latino import LATINO
    from zsir.samplers.few_step.pnpcm import PnPCM
    from zsir.samplers.gradient.dps import DPS
    from zsir.samplers.gradient.mmps import MMPS
    from zsir.samplers.gradient.pigdm import PiGDM
    from zsir.samplers.gradient.tds import TDS
    from zsir.samplers.plug_and_play.hqs import HQS
    from zsir.samplers.plug_and_play.pnp import ADMM, PGD, RED
    from zsir.samplers.plug_and_play.rdmd import RDMD

__all__ = [
    "ADMM",
    "CM4IR",
    "DAPS",
    "DDNM",
    "DDPG",
    "DDRM",
    "DPS",
    "HQS",
    "IRSDE",
    "LATINO",
    "MMPS",
    "PGD",
    "RDMD",
    "RED",
    "TDS",
    "DDNMPlus",
    "DiffPIR",
    "Gibbs",
    "Injected",
    "PiGDM",
    "PnPCM",
    "REDDiff",
    "default",
    "default_for_samples",
    "make",
]

__getattr__ = on_first_use(__name__, __file__)

#: up to this many network calls CM4IR is the default, above it HQS
FEW_CALLS = 8
#: calls of mmps for each sample where nothing is said
SAMPLE_CALLS = 10


def default(nfe: int | None = None) -> str:
    """Name the sampler that is taken where the user names none.

    Args:
        nfe: Number of network calls, or None where nothing is said.

    Returns:
        ``cm4ir`` for up to 8 calls and where nothing is said, ``hqs`` above.
    """
    return "cm4ir" if nfe is None or nfe <= FEW_CALLS else "hqs"


def default_for_samples(nfe: int | None, gradients: bool) -> str:
    """Name the sampler for draws from the posterior that is taken where the user names none.

    Args:
        nfe: Number of network calls for each sample. By default 10 for ``mmps`` and 40 for ``gibbs``.
        gradients: Whether gradients flow through the prior. ``mmps`` needs them, ``gibbs`` does not.

    Returns:
        The spec of ``mmps`` or ``gibbs``, with its options.
    """
    if gradients:
        return f"mmps:nfe={nfe or SAMPLE_CALLS},inner=3"
    calls = nfe or 4 * SAMPLE_CALLS
    return f"gibbs:nfe={calls},inner={next(k for k in (4, 3, 2, 1) if calls % k == 0)}"


def make(spec: str | None = None, *, nfe: int | None = None) -> Sampler:
    """Build a sampler from a spec.

    Args:
        spec: A name with options, such as ``cm4ir`` or ``hqs:lam=0.3``. By default ``cm4ir`` for up to 8 calls, ``hqs``
            above.
        nfe: Number of network calls. By default that of the sampler, 4 for ``cm4ir``.

    Returns:
        The sampler.

    Raises:
        UnknownName: No sampler or option has that name.
        BadSpec: The spec does not parse, an option lies outside its range, or spec and ``nfe`` differ.

    >>> make(nfe=4).nfe, make(nfe=20)
    (4, HQS(nfe=20, first=0.19215686274509805, last=None, lam=0.23, turns=True, inject=None))
    """
    parsed = SAMPLERS.parse(default(nfe) if spec is None else spec)
    options = dict(parsed.options)
    if nfe is not None:
        if options.get("nfe", nfe) != nfe:
            raise BadSpec(
                f"sampler '{spec}' asks for nfe={options['nfe']}, the option for nfe={nfe}; give one of them."
            )
        options["nfe"] = nfe
    return cast("Sampler", dataclasses.replace(parsed, options=options).build())
