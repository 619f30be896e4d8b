"""BibTeX of every publication that docstrings name as ``Source: ... [key]``, and of zsir itself. Imports no torch.

The entries stand beside the methods: in operators/citations.py, samplers/citations.py and zsir/priors/citations.py. An
entry that two of these folders cite stands in the first of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property

#: the modules that hold a dictionary ``BIBTEX``, in the order of the entries
HOMES = ("zsir.operators.citations", "zsir.samplers.citations", "zsir.priors.citations")

OWN: dict[str, str] = {
    "zsir": """@software{zsir,
  title  = {zsir: zero-shot image restoration with pretrained generative priors},
  author = {{The zsir authors}},
  year   = {2026}
}""",
}


class Citations(Mapping[str, str]):
    """The entries of all folders by key, read on first use; raises `ValueError` where two folders hold one key."""

    @cached_property
    def _entries(self) -> dict[str, str]:
        found = dict(OWN)
        for home in HOMES:
            entries: dict[str, str] = importlib.import_module(home).BIBTEX
            if twice := found.keys() & entries.keys():
                raise ValueError(f"{home} repeats the key {min(twice)} of another folder; keep the first one.")
            found.update(entries)
        return found

    def __getitem__(self, key: str) -> str:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


BIBTEX = Citations()
