"""Who may import whom, and what must not be loaded before it is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.sources import imports, modules, ours, project, tools

#: the rooms, from the inside out; a room may import itself, the core (the modules of `zsir` itself) and the rooms named
MAY_IMPORT = {
    "zsir.names": set[str](),
    "zsir.pictures": set[str](),
    "zsir.operators": {"zsir.names", "zsir.pictures"},
    "zsir.priors": {"zsir.names"},
    "zsir.samplers": {"zsir.names"},
    "zsir.loop": {"zsir.names"},
    "zsir.metrics": {"zsir.pictures"},
    "zsir.inspection": {"zsir.names", "zsir.pictures", "zsir.metrics", "zsir.operators"},
    "zsir.blind": {"zsir.names", "zsir.pictures", "zsir.operators"},
    "zsir.tuning": {"zsir.names", "zsir.loop", "zsir.metrics", "zsir.operators", "zsir.priors", "zsir.samplers"},
    "zsir.training": {"zsir.names", "zsir.pictures", "zsir.metrics", "zsir.priors"},
    "zsir.workflow": {
        *("zsir.names", "zsir.pictures", "zsir.loop", "zsir.metrics"),
        *("zsir.operators", "zsir.priors", "zsir.samplers", "zsir.inspection", "zsir.blind"),
    },
}
MAY_IMPORT["zsir.experiments"] = {*MAY_IMPORT["zsir.workflow"], "zsir.workflow"}
MAY_IMPORT["zsir.cli"] = {*MAY_IMPORT["zsir.experiments"], "zsir.experiments", "zsir.training", "zsir.tuning"}

FOUNDATIONS = ("zsir.protocols", "zsir.errors")

#: modules of `zsir` itself that stand above the rooms
ON_TOP = {"zsir": set(MAY_IMPORT), "zsir.__main__": {"zsir.cli"}, "zsir.testing": {"zsir.loop"}}


def room(module: str) -> str:
    """The room that a module belongs to: a package of `MAY_IMPORT`, or ``core``."""
    name = ".".join(module.split(".")[:2])
    return name if name in MAY_IMPORT else "core"


def from_zsir(module: str) -> set[str]:
    return {name for name in imports(module) if name.split(".")[0] == "zsir"}


def test_imports_run_one_way() -> None:
    wrong = []
    for module in modules():
        own = room(module)
        allowed = ON_TOP.get(module, MAY_IMPORT.get(own, set())) | {own, "core"}
        wrong += [f"{module} imports {name}" for name in sorted(from_zsir(module)) if room(name) not in allowed]
    assert not wrong, "\n".join(wrong)


def test_rooms_have_no_circle() -> None:
    """The table itself runs one way, so that what it allows has no circle either."""
    order = list(MAY_IMPORT)
    for own, others in MAY_IMPORT.items():
        later = [name for name in others if order.index(name) >= order.index(own)]
        assert not later, f"{own} may import {later}, which come after it"


def test_no_file_circle() -> None:
    """No module is imported, by whatever way, by a module that it imports; imports in functions and for types count."""
    known = set(modules())
    edges = {module: {name for name in imports(module) if name in known and name != module} for module in known}
    circles = set()
    for module in known:
        reached, waiting = set[str](), list(edges[module])
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += edges[name]
        if module in reached:
            circles.add(module)
    assert not circles, f"these modules are parts of circles: {sorted(circles)}"


def test_folders_can_be_overlooked() -> None:
    """No folder of more than 15 modules, and no two files of one name, but for those that each room has."""
    files = [file for file in modules().values() if file.name != "__init__.py"]
    full = {str(folder): n for folder, n in Counter(file.parent for file in files).items() if n > 15}
    assert not full, f"modules in these folders: {full}"
    rooms_have = {"catalogue", "citations", "base"}
    twice = {name for name, n in Counter(file.stem for file in files).items() if n > 1} - rooms_have
    assert not twice, f"two files are called {sorted(twice)}"


def test_foundations_import_nothing_of_ours() -> None:
    assert {module: from_zsir(module) for module in FOUNDATIONS} == {key: set() for key in FOUNDATIONS}


def test_the_package_imports_no_tools() -> None:
    wrong = {
        module: found
        for module in modules()
        if (found := {name for name in imports(module) if name.split(".")[0] == "tools"})
    }
    assert not wrong, f"the wheel does not hold the folder tools: {wrong}"


#: the programs under tools import each other; bm3d is not free, no extra brings it, and its caller does without it
OWN = {**{key: {"tools"} for key in tools()}, "tools.photo.baselines": {"tools", "bm3d"}}


def test_only_declared_dependencies_are_imported() -> None:
    declared = project()["project"]
    extras = [r for name, group in declared["optional-dependencies"].items() if name != "dev" for r in group]
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in declared["dependencies"] + extras}
    modules_of = {"pillow": "PIL", "scikit-image": "skimage"}
    allowed = {modules_of.get(name, name) for name in names} | {"zsir", "tomllib"} | sys.stdlib_module_names
    foreign = {
        module: {name.split(".")[0] for name in imports(module)} - allowed - OWN.get(module, set()) for module in ours()
    }
    wrong = {module: sorted(names) for module, names in foreign.items() if names}
    assert not wrong, f"pyproject.toml does not declare these imports: {wrong}"


COMMAND = "import sys; sys.argv = ['zsir', *{!r}]; from zsir.cli import main; main()"
LIGHT = {
    "import zsir": "import zsir",
    "registry": "from zsir.operators.catalogue import OPERATORS; OPERATORS.names(); OPERATORS.summary('blur')",
    "citations": "from zsir.names.citations import BIBTEX; BIBTEX['cm4ir']",
    **{
        f"zsir {arguments}": COMMAND.format(arguments.split())
        for arguments in ("--help", "--version", "list", "solve --help")
    },
}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT.keys())
def test_light_imports(code: str) -> None:
    script = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('loaded:', *({'torch', 'numpy', 'PIL', 'scipy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
