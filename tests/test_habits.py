"""What the files beside the code claim: SECURITY.md, CITATION.cff, the minimum versions, the workflow."""

from __future__ import annotations

import ast
import re

from tests.sources import ROOT, modules, project, tree
from zsir import __version__

#: calls that could run what a file holds, with the keyword that forbids it (empty: never allowed)
CALLS = {
    **dict.fromkeys(("eval", "exec", "pickle.load", "pickle.loads", "pickle.Unpickler", "torch.jit.load"), ""),
    "torch.load": "weights_only=True",
    "np.load": "allow_pickle=False",
    "numpy.load": "allow_pickle=False",
}


def unsafe(code: ast.AST) -> list[str]:
    """The calls that break a promise of SECURITY.md."""
    found = []
    for node in ast.walk(code):
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in CALLS:
            given = [f"{keyword.arg}={ast.unparse(keyword.value)}" for keyword in node.keywords]
            if CALLS[name] not in given:
                found.append(ast.unparse(node))
    return found


def test_nothing_that_is_read_is_executed() -> None:
    wrong = {module: calls for module in modules() if (calls := unsafe(tree(module)))}
    assert not wrong, f"see SECURITY.md: {wrong}"
    trusted = [module for module, file in modules().items() if "trust_remote_code" in file.read_text(encoding="utf-8")]
    assert not trusted


def test_that_search_finds_unsafe_calls() -> None:
    code = "torch.load(f); torch.load(f, weights_only=False); np.load(f); eval(s); pickle.loads(b)"
    assert len(unsafe(ast.parse(code))) == 5
    assert not unsafe(ast.parse("torch.load(f, weights_only=True); np.load(f, allow_pickle=False); net.eval()"))


def test_modules_that_the_security_page_names_exist() -> None:
    named = re.findall(r"`((?:zsir|operators|samplers|experiments|tools|tests)/[\w/.]+)`", text("SECURITY.md"))
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_citation_has_the_version() -> None:
    assert re.findall(r"^version: (.*)$", text("CITATION.cff"), re.MULTILINE) == [__version__]


def test_declared_minimum_versions_are_the_tested_ones() -> None:
    pinned = {name: version for name, version, _ in pins("constraints-minimum.txt")}
    declared = project()["project"]
    groups = {**declared["optional-dependencies"], "base": declared["dependencies"]}
    for group in ("base", "hub", "train", "classical", "report", "notebooks", "dev"):
        for requirement in groups[group]:
            if least := re.match(r"([\w-]+)>=([\d.]+)", requirement):
                name, version = normal(least[1]), least[2]
                parts = pinned[name].split(".")
                assert parts[: version.count(".") + 1] == version.split("."), f"{group}: {requirement}, {pinned[name]}"


def test_all_that_is_declared_is_pinned() -> None:
    pinned = {name for name, _, _ in pins("constraints.txt")}
    declared = project()["project"]
    extras = [
        r for name in ("hub", "notebooks", "report", "train", "dev") for r in declared["optional-dependencies"][name]
    ]
    names = {normal(re.split(r"[^\w-]", requirement)[0]) for requirement in declared["dependencies"] + extras} - {
        "zsir"
    }
    assert not names - pinned


def test_workflow_runs_what_a_developer_runs() -> None:
    workflow = text(".github/workflows/ci.yml")
    assert "bash .ci/run" in workflow
    assert re.search(r"^exec make test\b", text(".ci/run"), re.MULTILINE)
    assert {f"3.{minor}" for minor in range(10, 14)} <= set(re.findall(r'"(3\.\d+)"', workflow))
    targets = set(re.findall(r"make (\w+)", workflow))
    assert targets <= set(re.findall(r"^(\w+):", text("Makefile"), re.MULTILINE))


def pins(file: str) -> list[tuple[str, str, str]]:
    """(normalised name, version, marker) of a file of constraints."""
    found = re.findall(r"^([\w.-]+)==([^;\s]+)(.*)$", text(file), re.MULTILINE)
    return [(normal(name), version, marker) for name, version, marker in found]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")
