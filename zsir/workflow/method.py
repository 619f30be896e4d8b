"""A method of restoration: degradation, noise, prior and sampler, loaded and checked before any picture is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from zsir import priors, samplers
from zsir.capabilities import is_differentiable
from zsir.errors import BadSpec
from zsir.names.parsed import spec_of
from zsir.names.registry import noise_level
from zsir.priors.wrappers.settings import Wrapping
from zsir.protocols import LinearOperator, Prior, Sampler
from zsir.workflow.degradation import AUTO, parsed_op

#: calls of the network for such a picture, unless others are asked for
AUTO_CALLS = 8
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Method:
    """Degradation, noise, prior and sampler of a restoration.

    - ``op``: the spec of the degradation, or the operator itself
    - ``noise_std``: its noise on the [0, 1] scale; None if the noise is to be estimated from each observation
    - ``prior_spec``: the prior's spec without ``wrapping``; empty for a prior made by hand
    - ``ignore_jpeg``: take the pixels of JPEG files as they are, and not the codes in the file
    """

    op: str | LinearOperator
    noise_std: float | None
    prior: Prior
    sampler: Sampler
    device: torch.device
    dtype: torch.dtype
    prior_spec: str = ""
    wrapping: Wrapping = field(default_factory=Wrapping)
    ignore_jpeg: bool = False

    @property
    def op_text(self) -> str:
        """The name of the degradation in records and messages."""
        return self.op if isinstance(self.op, str) else spec_of(self.op) or repr(self.op)

    def settings(
        self,
        *,
        seed: int = 0,
        samples: int = 1,
        size: tuple[int, int] | None = None,
        simulate: bool = False,
    ) -> dict[str, Any]:
        """The keyword arguments of `zsir.restore` as JSON-able values. Parts made by hand appear as their repr."""
        around = self.wrapping
        return {
            "op": self.op_text,
            "noise": self.noise_std if self.noise_std is not None else 0.0 if simulate else "auto",
            "prior": self.prior_spec or repr(self.prior),
            "sampler": spec_of(self.sampler) or repr(self.sampler),
            "tile": around.tile,
            "precision": around.precision,
            "ensemble": around.ensemble,
            "compiled": around.compiled,
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "seed": seed,
            "samples": samples,
            "size": None if size is None else list(size),
            "simulate": simulate,
            "ignore_jpeg": self.ignore_jpeg,
        }

    def through(self, sampler: Sampler) -> Method:
        """This method with another sampler."""
        return replace(self, sampler=sampler)


def load_method(
    op: str | LinearOperator,
    noise: float | str | None = None,
    prior: str | Prior = "photo",
    sampler: str | Sampler | None = None,
    *,
    nfe: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    wrapping: Wrapping | None = None,
    several: bool = False,
    ignore_jpeg: bool = False,
) -> Method:
    """Parse and load everything that the arguments name, so that mistakes surface before a picture is read.

    ``noise`` is a number on the [0, 1] scale, a text such as ``5/255``, or ``auto`` (None) to estimate it from each
    observation. ``wrapping`` says which wrappers go around the prior, ``ignore_jpeg`` takes JPEG files as pixels. With
    ``several`` samples the default sampler is one that draws from the posterior. Raises `UnknownName`, `BadSpec` or
    `BadInput`.
    """
    if isinstance(op, str):
        op = op.strip()
        parsed_op(op)
    noise_std, around = noise_level(noise), wrapping or Wrapping()
    loaded = priors.wrap(priors.load(prior) if isinstance(prior, str) else prior, around)
    if several and sampler is None:
        sampler = samplers.default_for_samples(nfe, is_differentiable(loaded))
    elif sampler is None and nfe is None and op == AUTO:
        sampler = samplers.make("hqs", nfe=AUTO_CALLS)
    if sampler is None or isinstance(sampler, str):
        sampler = samplers.make(sampler, nfe=nfe)
    elif nfe is not None and nfe != sampler.nfe:
        raise BadSpec(f"nfe={nfe}: the sampler {sampler!r} makes {sampler.nfe} calls; set its own nfe.")
    if dtype not in DTYPES:
        raise BadSpec(f"dtype={dtype}: choose float32 or float64.")
    spec = prior if isinstance(prior, str) else spec_of(prior)
    return Method(op, noise_std, loaded, sampler, pick_device(device), DTYPES[dtype], spec, around, ignore_jpeg)


def pick_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is CUDA if there is a GPU. Raises `BadSpec` for a device that is not available."""
    cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BadSpec(f"--device {name}: write auto, cpu, cuda or cuda:0.") from None
    if device.type not in ("cpu", "cuda"):
        raise BadSpec(f"--device {name}: only cpu and cuda are supported.")
    count = torch.cuda.device_count() if cuda else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        seen = f"torch {torch.__version__} sees {count} of them here" if count else "torch sees none here"
        raise BadSpec(f"--device {name}: there is no such CUDA device ({seen}); use --device cpu.")
    return device
