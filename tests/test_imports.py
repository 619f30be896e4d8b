"""Who may import whom, and what must not be loaded before it is needed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.sources import imports, modules, project

#: the parts, from the inside out; a part may import itself, the core and the parts that are named for it
MAY_IMPORT = {
    "zsir.operators": set[str](),
    "zsir.priors": set[str](),
    "zsir.samplers": set[str](),
    "zsir.training": {"zsir.priors"},
    "zsir.tuning": {"zsir.samplers"},
    "zsir.experiments": {"zsir.operators", "zsir.priors", "zsir.samplers"},
    "zsir.cli": {"zsir.operators", "zsir.priors", "zsir.samplers", "zsir.experiments", "zsir.training", "zsir.tuning"},
}

#: the one loop, where the parts meet: parts know the protocols, not the loop
ABOVE_THE_PARTS = {"zsir.loop", "zsir.problem", "zsir.testing", "zsir.provenance", "zsir.timing"}


def part(module: str) -> str:
    """The part that a module belongs to: a package of `MAY_IMPORT`, or ``core``."""
    name = ".".join(module.split(".")[:2])
    if name == "zsir.__main__":
        return "zsir.cli"
    return name if name in MAY_IMPORT else "core"


def ours(module: str) -> set[str]:
    return {name for name in imports(module) if name.split(".")[0] == "zsir"}


# `zsir` itself is left out: it names the parts lazily, which test_light_imports holds it to.
@pytest.mark.parametrize("module", [m for m in modules() if m != "zsir"])
def test_imports_run_one_way(module: str) -> None:
    own = part(module)
    allowed = MAY_IMPORT.get(own, set()) | {own, "core"}
    wrong = sorted(name for name in ours(module) if part(name) not in allowed)
    assert not wrong, f"{module} ({own}) imports {', '.join(wrong)}"


@pytest.mark.parametrize("module", [m for m in modules() if part(m) in list(MAY_IMPORT)[:3]])
def test_parts_do_not_know_the_loop(module: str) -> None:
    wrong = ours(module) & ABOVE_THE_PARTS
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))}; protocols are enough"


@pytest.mark.parametrize("module", ["zsir.protocols", "zsir.errors"])
def test_foundations_import_nothing_of_ours(module: str) -> None:
    assert ours(module) == set()


# not free: no extra brings it, and what needs it does without where it is missing
FOUND_OR_NOT = {"zsir.experiments.photo.baselines": {"bm3d"}}


def test_only_declared_dependencies_are_imported() -> None:
    declared = project()["project"]
    extras = [r for name, group in declared["optional-dependencies"].items() if name != "dev" for r in group]
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in declared["dependencies"] + extras}
    modules_of = {"pillow": "PIL", "scikit-image": "skimage"}
    allowed = {modules_of.get(name, name) for name in names} | {"zsir"} | sys.stdlib_module_names
    for module in modules():
        foreign = {name.split(".")[0] for name in imports(module)} - allowed - FOUND_OR_NOT.get(module, set())
        assert not foreign, f"{module} imports {sorted(foreign)}, which pyproject.toml does not declare"


COMMAND = "import sys; sys.argv = ['zsir', *{!r}]; from zsir.cli import main; main()"
LIGHT = {
    "import zsir": "import zsir",
    "registry": "from zsir.catalogue import OPERATORS; OPERATORS.names(); OPERATORS.summary('blur')",
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
