"""Packages whose names are imported on first use, so that listing and ``--help`` need no torch."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def on_first_use(package: str, file: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package: it imports a name when that is asked for.

    ``file`` is the package's ``__init__.py``. The names and their homes are those that it imports under
    ``if TYPE_CHECKING:``, so that type checkers and this function read one list.
    """
    homes: dict[str, str] = {}

    def find(name: str) -> Any:
        if not homes:
            homes.update(_homes(Path(file).read_text(encoding="utf-8")))
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        found = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, found)
        return found

    return find


def _homes(source: str) -> dict[str, str]:
    """Name -> module, of every ``from module import name`` under ``if TYPE_CHECKING:``."""
    guarded = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    blocks = [node.body for node in guarded if ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for body in blocks for node in body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}
