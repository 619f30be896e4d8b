"""The folders on disk, the packages that are declared and the symlinks; tests/test_wheel.py has what a wheel holds."""

from __future__ import annotations

import ast
import importlib
import os

import pytest

from tests.sources import FOLDERS, ROOT, modules, project, tree

MAPPED = {folder: package for folder, package in FOLDERS.items() if folder != "zsir"}


def test_every_package_is_declared_with_its_folder() -> None:
    setuptools = project()["tool"]["setuptools"]
    on_disk = {name: file.parent for name, file in modules().items() if file.name == "__init__.py"}
    assert set(setuptools["packages"]) == set(on_disk)
    assert len(setuptools["packages"]) == len(on_disk)
    for name, folder in on_disk.items():
        assert _declared_folder(setuptools["package-dir"], name) == folder.relative_to(ROOT).as_posix()


def _declared_folder(mapping: dict[str, str], package: str) -> str:
    """setuptools' rule: the longest declared parent, and the rest of the name below it."""
    parts = package.split(".")
    for n in range(len(parts), 0, -1):
        if (head := ".".join(parts[:n])) in mapping:
            return "/".join([mapping[head], *parts[n:]])
    return "/".join(parts)


def test_every_python_file_belongs_to_a_package() -> None:
    for name, file in modules().items():
        assert (file.parent / "__init__.py").is_file(), f"{name}: {file.parent} has no __init__.py"


@pytest.mark.parametrize("folder", MAPPED)
def test_symlink_leads_from_the_package_to_the_folder(folder: str) -> None:
    link = ROOT / "zsir" / folder
    assert link.is_symlink(), f"{link} must be a symlink; git config core.symlinks may be false"
    assert os.readlink(link) == f"../{folder}"


@pytest.mark.parametrize("folder", MAPPED)
def test_guard_is_the_first_statement(folder: str) -> None:
    statements = [
        node
        for node in tree(MAPPED[folder]).body
        if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    assert isinstance(statements[0], ast.If)
    assert ast.unparse(statements[0].test) == f"__name__ == '{folder}'"


@pytest.mark.parametrize("folder", MAPPED)
def test_folder_is_refused_as_a_top_level_name(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    with pytest.raises(ImportError, match=f"installed as 'zsir.{folder}'"):
        importlib.import_module(folder)
