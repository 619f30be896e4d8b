"""Networks from the Hugging Face hub: by the name of a card, by id, or from a folder.

A card's weights are taken from ``path=`` if given, else from huggingface_hub's cache, else downloaded into it: the
configuration and weights of the U-Net and its scheduler, nothing else. ``HF_HUB_OFFLINE=1`` forbids the download.
Every name of `zsir.priors.checkpoints.cards.cards` is an attribute of this module: a function that loads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from zsir.errors import BadInput
from zsir.names.registry import Option
from zsir.priors.checkpoints.cards import PICKLE, SAFETENSORS, Card, cards, hub_cache, on_this_machine, repository
from zsir.priors.checkpoints.diffusers_nets import check_configs, load_folder
from zsir.priors.network import NetworkPrior

CONFIGS = (
    "model_index.json",
    "config.json",
    "scheduler_config.json",
    "unet/config.json",
    "scheduler/scheduler_config.json",
)

FORMULAE = {
    "consistency": "f(x, s) = c_skip x + c_out F(c_in x, 250 ln s): one call leads to a plausible clean picture.",
    "eps": "x0 = x - s eps(x/sqrt(1 + s^2), t(s)), the posterior mean of the clean picture.",
    "score": "x0 = x + s^2 score(x, s), the posterior mean of the clean picture.",
}


def folder(
    path: Annotated[str, Option("folder in the hub's layout: unet/, scheduler/, or everything at its top")],
    label: Annotated[int, Option("class of a class-conditional network; -1: class 0")] = -1,
) -> NetworkPrior:
    """U-Net of diffusers (UNet2DModel) from a folder; its scheduler's file decides how it is read.

    x0 = x - s eps (DDPM; or v, or x0 itself), x + s^2 score (NCSN++), EDM's D(x, s), a consistency model's f(x, s), or
    x_t - t v (flow matching). Pictures of any size: they are mirrored to a multiple of 2^(levels - 1) and cut back, but
    far from the size of its training pictures a network is on ground it does not know. Needs the extra ``hub``.
    """
    return load_folder(path, "folder", label)


def hub(
    id: Annotated[str, Option("owner/name on the Hugging Face hub, such as google/ddpm-ema-cat-256")],
    label: Annotated[int, Option("class of a class-conditional network; -1: class 0")] = -1,
    sha256: Annotated[str, Option("what the weights' SHA-256 must be; empty: not checked")] = "",
) -> NetworkPrior:
    """Any U-Net of diffusers on the Hugging Face hub, from the cache of huggingface_hub or downloaded into it.

    Read as `folder` reads a folder. Needs the extra ``hub``: pip install 'zsir[hub]'.
    """
    return _checked(load_folder(fetch(id, f"hub:id={id}"), id, label), sha256, id)


def __getattr__(name: str) -> Any:
    """The loader of a card."""
    if name in cards():
        return _loader(name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


@lru_cache
def _loader(name: str) -> Callable[..., NetworkPrior]:
    card = cards()[name]

    def load(
        path: Annotated[str, Option("local folder with the same files; empty: cache or download")] = "",
        label: Annotated[int, Option("class of a class-conditional network; -1: class 0")] = -1,
    ) -> NetworkPrior:
        where = Path(path) if path else fetch(card.id, name)
        return _checked(load_folder(where, name, label), card.sha256 or "", card.id)

    load.__name__, load.__doc__ = name, _description(card)
    return load


def _description(card: Card) -> str:
    low, high = card.native_range
    return (
        f"{card.about[:1].upper()}{card.about[1:]}: {card.id} on the Hugging Face hub.\n\n"
        f"{FORMULAE[card.parametrisation]}\n"
        f"Trained on {card.data} at {card.size}x{card.size}, pictures in [{low:g}, {high:g}] inside. "
        f"Licence of the weights: {card.licence}; {card.megabytes} MB.\n"
        f"SHA-256 of the weights: {card.sha256 or 'not verified by us, so not checked'}.\n"
        "Needs the extra ``hub``: pip install 'zsir[hub]'.\n"
        f"Source: {card.cite}"
    )


def fetch(id: str, name: str) -> Path:
    """The folder of a model in the cache, downloaded if it is not there; ``name`` is what the user called it.

    Its configuration comes first and is checked; the weights follow only if zsir can use them. Raises `BadInput`, with
    a way out, where it neither is there nor can be downloaded, and what `check_configs` raises.
    """
    found = on_this_machine(id)
    if found is not None:
        return found
    if _offline():
        raise _missing(id, name, "HF_HUB_OFFLINE forbids downloads")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise _missing(id, name, "downloads need the extra hub: pip install 'zsir[hub]'") from None

    def download(*wanted: str) -> Path:
        endpoint = os.environ.get("HF_ENDPOINT")
        try:
            return Path(snapshot_download(id, allow_patterns=[*wanted], cache_dir=hub_cache(), endpoint=endpoint))
        except Exception as error:
            # the client's errors are of many kinds, those of its HTTP library included
            raise _missing(id, name, _reason(error)) from None

    check_configs(download(*CONFIGS), id)
    for weights in (SAFETENSORS, PICKLE):  # the older format only where the safe one does not exist
        download(*CONFIGS, weights, f"unet/{weights}")
        found = on_this_machine(id)
        if found is not None:
            return found
    raise _missing(id, name, "the model on the hub has no weights in one file of diffusers' layout")


def _offline() -> bool:
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in ("1", "ON", "YES", "TRUE")


def _reason(error: Exception) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "GatedRepoError" in kinds:
        return "its licence must be accepted on the hub first, then log in with 'hf auth login'"
    if "RepositoryNotFoundError" in kinds:
        return "there is no such model on the hub, or it is private"
    if "LocalEntryNotFoundError" in kinds or kinds & {"ConnectError", "ConnectionError", "TimeoutException"}:
        return "the hub cannot be reached from here"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


def _missing(id: str, name: str, why: str) -> BadInput:
    other = f"{name}:path=FOLDER" if name in cards() else "folder:path=FOLDER"
    include = " ".join(f"--include '{pattern}'" for pattern in ("*config.json", "*diffusion_pytorch_model.*"))
    return BadInput(
        f"The weights {id} are not on this machine ({repository(id)}) and cannot be downloaded: {why}; "
        f"elsewhere run: hf download {id} {include} --local-dir FOLDER, bring FOLDER here and use --prior {other}"
    )


def _checked(prior: NetworkPrior, sha256: str, id: str) -> NetworkPrior:
    """The prior itself if its weights are those that were expected; raises `BadInput`."""
    if sha256 and prior.fingerprint != sha256.lower():
        raise BadInput(
            f"The weights are not those of {id}: their SHA-256 is {prior.fingerprint}, expected was {sha256.lower()}; "
            "download them again, or use folder:path=... if they are meant to differ."
        )
    return prior
