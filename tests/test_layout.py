"""The folders on disk, the packages that are declared, the symlinks and what a wheel holds."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.sources import FOLDERS, ROOT, modules, package_files, project, tree

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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from a copy of the sources, symlinks and all, without network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    python("-m", "pip", "wheel", "--quiet", *offline, "-w", str(out), str(source), cwd=source)
    (file,) = out.glob("*.whl")
    return zipfile.ZipFile(file)


def python(*arguments: str, cwd: Path, path: str = "") -> str:
    """Run this interpreter in a folder, ``path`` before what is installed; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_holds_every_file_once(wheel: zipfile.ZipFile) -> None:
    content = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert [name for name, count in Counter(content).items() if count > 1] == []
    assert sorted(content) == sorted(inside for inside, _ in package_files())


def test_wheel_carries_licence_and_command(wheel: zipfile.ZipFile) -> None:
    (licence,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
    assert "The zsir authors" in wheel.read(licence).decode()
    (entries,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "zsir = zsir.cli:main" in wheel.read(entries).decode()


def test_unpacked_wheel_works(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    code = (
        "from zsir import operators, priors, samplers; import zsir.experiments, zsir.cli\n"
        "assert len(priors.load('photo').fingerprint) == 64\n"
        "for m in (operators, priors, samplers, zsir.experiments, zsir.cli): print(m.__file__)"
    )
    for line in python("-c", code, cwd=tmp_path, path=str(tmp_path / "site")).splitlines():
        assert Path(line).is_relative_to(tmp_path / "site")
