"""The package's own source files, parsed: for the tests of layout, imports and budgets."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent

#: folders at the top level and the package that each is installed as
FOLDERS = {
    "zsir": "zsir",
    "operators": "zsir.operators",
    "samplers": "zsir.samplers",
    "experiments": "zsir.experiments",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def project() -> dict[str, Any]:
    """The content of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def package_files() -> Iterator[tuple[str, Path]]:
    """(path inside site-packages, path on disk) of all files; symlinks and caches left out."""
    for folder, package in FOLDERS.items():
        for file in sorted(_files(ROOT / folder)):
            inside = Path(*package.split(".")) / file.relative_to(ROOT / folder)
            yield inside.as_posix(), file


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink() or path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


@cache
def modules() -> dict[str, Path]:
    """Installed module name -> file."""
    found: dict[str, Path] = {}
    for inside, file in package_files():
        if file.suffix == ".py":
            name = inside.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            assert name not in found, f"{name} is both {found[name]} and {file}"
            found[name] = file
    return found


@cache
def tools() -> dict[str, Path]:
    """Module name -> file of the makers' programs, which run from a clone and are not installed."""
    return {
        file.relative_to(ROOT).as_posix().removesuffix(".py").replace("/", ".").removesuffix(".__init__"): file
        for file in sorted(_files(ROOT / "tools"))
        if file.suffix == ".py"
    }


@cache
def ours() -> dict[str, Path]:
    """All modules that the house rules hold for: `modules` and `tools`."""
    return {**modules(), **tools()}


@cache
def tree(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(ours()[module].read_text(encoding="utf-8"))


def functions(module: str) -> Iterator[Function]:
    """All functions and methods of a module, nested ones too."""
    for node in ast.walk(tree(module)):
        if isinstance(node, Function):
            yield node


def body(function: Function) -> list[ast.stmt]:
    """The statements of a function without its docstring."""
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def imports(module: str) -> set[str]:
    """Absolute names of all modules that a module imports, in functions and for type checking too."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            children = {f"{base}.{alias.name}" for alias in node.names}
            found.update({base} if children - ours().keys() else set(), children & ours().keys())
    return found


def _base(module: str, node: ast.ImportFrom) -> str:
    """The module that ``from ... import`` names, relative ones resolved."""
    if not node.level:
        return node.module or ""
    up = node.level - (ours()[module].name == "__init__.py")
    parts = module.split(".")
    return ".".join([*parts[: len(parts) - up], *filter(None, [node.module])])
