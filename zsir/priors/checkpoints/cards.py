"""Published weights that zsir knows by name, and whether they are on this machine. Imports no torch.

The cards are data, ``priors/cards.json``: where the weights are, whose, under which licence, how large, in which units.
``sha256`` is that of the safetensors file; null where it was not verified by us. ``megabytes`` is what is downloaded.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from zsir.errors import BadSpec

SAFETENSORS, PICKLE = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"


@dataclass(frozen=True)
class Card:
    """One published network; ``id`` is its name on the Hugging Face hub, ``size`` that of its training pictures."""

    name: str
    id: str
    about: str
    data: str
    licence: str
    megabytes: int
    size: int
    native_range: tuple[float, float]
    parametrisation: str
    sha256: str | None
    cite: str

    @property
    def summary(self) -> str:
        """One line about it."""
        return f"{self.about}, {self.size}x{self.size}"


@lru_cache
def cards() -> dict[str, Card]:
    """All cards by name."""
    text = (Path(__file__).parent / "cards.json").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = json.loads(text)
    return {
        name: Card(name=name, native_range=tuple(entry.pop("native_range")), **entry) for name, entry in entries.items()
    }


def hub_cache() -> Path:
    """Where the package huggingface_hub keeps its downloads, by the same environment variables."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    hub = os.environ.get("HF_HOME") or os.path.join(home, "huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(hub, "hub")
    return Path(os.path.expandvars(os.path.expanduser(cache)))


def repository(id: str) -> Path:
    """The cache's folder of a model; raises `BadSpec` for what cannot be the id of one."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", id) or ".." in id:
        raise BadSpec(f"'{id}' is not the id of a model on the hub; write owner/name, such as google/ddpm-cat-256.")
    return hub_cache() / f"models--{id.replace('/', '--')}"


def on_this_machine(id: str) -> Path | None:
    """The folder of the cache that holds a model completely, or None. Looks at paths only, so that listing is fast.

    It is the snapshot that was downloaded last under the name ``main``, else the only one there is.
    """
    home = repository(id)
    try:
        revisions = [(home / "refs" / "main").read_text(encoding="utf-8").strip()]
    except OSError:
        found = sorted((home / "snapshots").glob("*"))
        revisions = [found[0].name] if len(found) == 1 else []
    folders = [home / "snapshots" / revision for revision in revisions]
    return next((folder for folder in folders if _complete(folder)), None)


def _complete(folder: Path) -> bool:
    """Whether configuration, weights and scheduler are there; a link that leads nowhere is not."""
    scheduler = any((folder / place / "scheduler_config.json").is_file() for place in ("scheduler", "."))
    return scheduler and any(
        (home / "config.json").is_file() and any((home / name).is_file() for name in (SAFETENSORS, PICKLE))
        for home in (folder / "unet", folder)
    )
