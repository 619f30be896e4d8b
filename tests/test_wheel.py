"""What a wheel holds, and that each command works where the wheel alone is installed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sources import FOLDERS, ROOT, package_files, project
from zsir.cli import main

#: a command line for every command, in an order in which each finds what it reads
COMMANDS = """
zsir --help
zsir --version
zsir list
zsir describe blur
zsir cite --sampler cm4ir --prior photo
zsir degrade --op sr2x photo.png -o small.png
zsir inspect photo.png
zsir solve --op sr2x --nfe 1 --record record.json small.png -o big.png
zsir compare --op sr2x --simulate -m cm4ir:nfe=1 -m cm4ir@wavelet photo.png -o compared
zsir trace --op sr2x --sampler hqs:nfe=2 --simulate photo.png -o trace
zsir tune --op sr2x --sampler hqs:nfe=1 --simulate --trials 2 --crop 16 photo.png -o preset.json
zsir train photos --out trained --device cpu --recipe tiny:steps=2,widths=8+16,patch=16,batch=2
zsir distill trained:path=trained/prior.safetensors photos --out distilled --device cpu --recipe distill:steps=2,batch=2
zsir convert trained/prior.safetensors converted.safetensors
zsir run smoke --out smoke --set data.pictures=1
zsir report smoke
zsir demo demo
"""

#: what these leave behind
WRITTEN = (
    *("small.png", "big.png", "record.json", "compared/record.json", "trace/strip.png", "preset.json"),
    *("trained/prior.safetensors", "distilled/prior.safetensors", "converted.safetensors"),
    *("smoke/table.md", "smoke/report.html", "demo/restored.png"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, symlinks and all, without network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignore)
    for name in ("tools", "tests", "notebooks"):  # nothing of them may come along
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    output_of([sys.executable, "-m", "pip", "wheel", "--quiet", *offline, "-w", str(out), str(source)], source)
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment that holds the wheel, and sees the dependencies but no checkout."""
    home = tmp_path_factory.mktemp("environment")
    output_of([sys.executable, "-m", "venv", "--without-pip", str(home)], home)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python")]
    output_of([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], home)
    (packages,) = home.glob("lib/python*/site-packages")
    # Folders named in a .pth file are searched, but .pth files inside them are not followed: an editable install of
    # this checkout stays out of sight.
    others = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    (packages / "dependencies.pth").write_text("\n".join(others) + "\n", encoding="utf-8")
    return home / "bin"


def output_of(command: list[str], folder: Path) -> str:
    """What a command prints that must succeed in a folder; it is not told where this checkout is."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_wheel_holds_every_file_once(wheel: Path) -> None:
    content = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert [name for name, count in Counter(content).items() if count > 1] == []
    assert sorted(content) == sorted(inside for inside, _ in package_files())


def test_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"zsir"}
    makers = {"tools", "tests", "docs", "notebooks", "photo"}
    assert not [name for name in names if makers & set(name.split("/")[:-1])]
    assert not [name for name in names if name.endswith((".ipynb", ".pyc", ".in", ".orig"))]


def test_wheel_carries_licence_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (licence,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
    assert "The zsir authors" in archive.read(licence).decode()
    (entries,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
    assert "zsir = zsir.cli:main" in archive.read(entries).decode()


@pytest.mark.slow
def test_installed_wheel_is_what_runs(commands: Path, tmp_path: Path) -> None:
    code = (
        "from zsir import operators, priors, samplers; import zsir.experiments, zsir.cli\n"
        "assert len(priors.load('photo').fingerprint) == 64\n"
        "for m in (zsir, operators, priors, samplers, zsir.experiments, zsir.cli): print(m.__file__)"
    )
    files = output_of([str(commands / "python"), "-c", code], tmp_path).splitlines()
    assert len(files) == 6
    for file in files:
        assert Path(file).is_relative_to(commands.parent), f"{file} is not in the fresh environment"


def test_smoke_test_leaves_no_command_out() -> None:
    assert {line.split()[1] for line in COMMANDS.split("\n") if line} - {"--help", "--version"} == {*main.commands}
    assert project()["project"]["scripts"] == {"zsir": "zsir.cli:main"}


@pytest.mark.slow
def test_every_command_works_from_the_wheel_alone(commands: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    rows, columns = np.mgrid[0:96, 0:80]
    picture = np.stack([2 * rows, 3 * columns, (rows + columns) % 64 * 4], axis=2).astype(np.uint8)
    for name in ("photo.png", "photos/photo.png"):
        Image.fromarray(picture).save(tmp_path / name)
    for line in filter(None, COMMANDS.split("\n")):
        program, *arguments = line.split()
        output_of([str(commands / program), *arguments], tmp_path)
    assert [name for name in WRITTEN if not (tmp_path / name).is_file()] == []
