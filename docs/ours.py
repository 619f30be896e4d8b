"""What the documentation takes from inside zsir. A module that moves there is followed here and nowhere else."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from zsir.capabilities import draws_of, needs_of
from zsir.names.citations import BIBTEX
from zsir.names.registry import Description, Registry
from zsir.operators.catalogue import OPERATORS
from zsir.pictures.sheets import enlarge
from zsir.priors.catalogue import PRIORS
from zsir.priors.checkpoints.cards import cards
from zsir.rng import PictureNoise
from zsir.samplers.catalogue import SAMPLERS
from zsir.workflow.pose import observe as observe_as_files

__all__ = [
    "API",
    "BIBTEX",
    "OPERATORS",
    "PRIORS",
    "SAMPLERS",
    "Description",
    "PictureNoise",
    "Registry",
    "cards",
    "draws_of",
    "enlarge",
    "find",
    "made",
    "needs_of",
    "observe_as_files",
    "public",
]


ERRORS = ("ZsirError", "BadSpec", "UnknownName", "ShapeError", "BadInput", "Incompatible", "SolveError", "OutputError")

#: pages of the reference: title, what it is, names (a module stands for its public names)
API: dict[str, tuple[str, str, list[str]]] = {
    "workflow": (
        "Restore and solve",
        "`restore` does what the command does. `Problem` and `solve` are the parts that it is made of.",
        ["zsir.restore", "zsir.Restored", "zsir.Problem", "zsir.solve", "zsir.Solution", "zsir.Stats", "zsir.Event"],
    ),
    "files": (
        "Pictures in files",
        "Read pictures of any mode, write them.",
        ["zsir.read", "zsir.write", "zsir.Picture", "zsir.PictureWarning"],
    ),
    "operators": (
        "zsir.operators",
        "The classes behind [the operators](../operators/index.md), and their algebra.",
        ["zsir.operators"],
    ),
    "priors": ("zsir.priors", "Loading, wrapping and writing [priors](../priors/index.md).", ["zsir.priors"]),
    "samplers": (
        "zsir.samplers",
        "Making [samplers](../samplers/index.md).",
        ["zsir.samplers.make", "zsir.samplers.default", "zsir.samplers.default_for_samples"],
    ),
    "metrics": ("zsir.metrics", "Quality, residuals and what the data determined.", ["zsir.metrics"]),
    "testing": ("zsir.testing", "Checks for operators, priors and samplers of your own.", ["zsir.testing"]),
    "protocols": ("Protocols", "What an operator, a prior, a sampler has to have.", ["zsir.protocols"]),
    "errors": (
        "zsir.errors",
        "Every error is a `ZsirError` and says what to do.",
        [f"zsir.errors.{name}" for name in ERRORS],
    ),
}


def find(name: str) -> Any:
    """The module, class or function of a dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


def public(module: ModuleType) -> list[str]:
    """The public names of a module: ``__all__``, or what is defined in it."""
    own = [n for n, made in vars(module).items() if getattr(made, "__module__", "") == module.__name__]
    return [n for n in getattr(module, "__all__", own) if not n.startswith("_")]


def made(name: str, target: Callable[..., Any]) -> Any:
    """A sampler with its defaults; where a parameter has none, with the first of its choices."""
    needed = {"cm4ir-published": {"task": "imagenet64-sr2x-0.025"}}
    return target(**needed.get(name, {}))
