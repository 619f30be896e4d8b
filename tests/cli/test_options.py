"""Every option and argument of every command is given in some test, or in an example of a page that is run.

Command lines are found in the source of the tests: a call, list or tuple whose strings begin with the name of a
command. What a name stands for is looked up in its function and module; what a parameter stands for, in the decorators
of its function and in the calls of it.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache

import click
import pytest

from tests.sources import ROOT
from tests.test_readme import PAGES, blocks
from zsir.cli import main

COMMANDS = sorted(main.commands)
Words = set[str]


class Module:
    """The command lines in the source of one module of tests."""

    def __init__(self, source: str) -> None:
        tree = ast.parse(source)
        self.functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        self._shared = _assigned(tree.body)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        self._calls = {f.name: [c for c in calls if ast.unparse(c.func) == f.name] for f in self.functions}

    def lines(self) -> Iterator[tuple[str, Words]]:
        """(command, what it is given) of every command line."""
        for function in self.functions:
            known = {**self._shared, **_assigned(ast.walk(function))}
            given = [*function.decorator_list, *self._calls[function.name]]
            outside = {text for node in given for text in _constants(node, self._shared)}
            parameters = {a.arg for a in (*function.args.args, *filter(None, [function.args.vararg]))}
            for node in ast.walk(function):
                if isinstance(node, ast.Call | ast.List | ast.Tuple | ast.BinOp):
                    words = list(_words(node, known))
                    if words and words[0] in COMMANDS:
                        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                        yield words[0], {*words[1:], *(outside if names & parameters - {"run", "folder"} else ())}


def _assigned(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """Names and what was last assigned to them."""
    found: dict[str, ast.expr] = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                names, values = [target], [node.value]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    names, values = target.elts, node.value.elts
                found.update({n.id: v for n, v in zip(names, values, strict=False) if isinstance(n, ast.Name)})
    return found


def _words(node: ast.AST, known: dict[str, ast.expr]) -> Iterator[str]:
    """The strings of a call, list or tuple in order, those of names that stand for such things too."""
    if isinstance(node, ast.Constant):
        yield from [node.value] if isinstance(node.value, str) else []
    elif isinstance(node, ast.Starred):
        yield from _words(node.value, known)
    elif isinstance(node, ast.BinOp):
        yield from (*_words(node.left, known), *_words(node.right, known))
    elif isinstance(node, ast.Name) and node.id in known:
        rest = {name: value for name, value in known.items() if name != node.id}
        yield from _words(known[node.id], rest)
    elif isinstance(node, ast.Call | ast.List | ast.Tuple):
        for part in node.args if isinstance(node, ast.Call) else node.elts:
            yield from _words(part, known)


def _constants(node: ast.AST, known: dict[str, ast.expr]) -> Iterator[str]:
    """All strings anywhere in ``node``."""
    for part in ast.walk(node):
        yield from _words(part, known) if isinstance(part, ast.Constant | ast.Name) else ()


def printed_lines(text: str) -> Iterator[tuple[str, Words]]:
    """The command lines in the examples of a page."""
    for block in blocks("page", text):
        if block.info in (("console", "run"), ("sh", "run")):
            for line in block.text.replace("\\\n", " ").splitlines():
                # pipes, but not the bars of a chain of operators, which stand in quotes
                for part in re.split(r"""(?:&&|;|\|)(?=(?:[^"]*"[^"]*")*[^"]*$)""", line.removeprefix("$ ")):
                    words = shlex.split(part)
                    if words[:1] == ["zsir"] and len(words) > 1:
                        yield words[1], set(words[2:])


@cache
def given() -> dict[str, Words]:
    """Command -> everything that it is given in any test."""
    found: dict[str, Words] = {name: set() for name in COMMANDS}
    files = [Module(path.read_text(encoding="utf-8")).lines() for path in sorted((ROOT / "tests").rglob("*.py"))]
    pages = [printed_lines((ROOT / page).read_text(encoding="utf-8")) for page in PAGES]
    for lines in [*files, *pages]:
        for command, words in lines:
            found[command] |= words
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_given_in_a_test(name: str):
    words = given()[name]
    assert words, f"no test gives the command zsir {name}"
    options = [p for p in main.commands[name].params if isinstance(p, click.Option)]
    missing = [p.opts[-1] for p in options if not words & {*p.opts, *p.secondary_opts}]
    assert not missing, f"no test gives zsir {name} {', '.join(missing)}"


def test_options_before_the_command():
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "cli").glob("*.py"))]
    for option in (p for p in main.params if isinstance(p, click.Option)):
        assert any(f'"{option.opts[-1]}"' in text for text in texts), option.opts


EXAMPLE = """
FAST = ("--nfe", "1")

def test_a(run):
    more = [*FAST, "--tile", 8]
    run("solve", *more, "x.png")
    other("degrade --bits", "-q")

def helper(run, *arguments):
    return run("compare", "-m", "hqs", *arguments)

def test_b(run):
    helper(run, "--seed", 3)

@pytest.mark.parametrize("options", [("--set", "a=1"), FAST])
def test_c(run, options):
    main(["run", "smoke"] + options)
    main(["report", "r"])
"""


def test_the_search_finds_what_is_given_and_nothing_else():
    found: dict[str, Words] = {}
    for command, words in Module(EXAMPLE).lines():
        found[command] = found.get(command, set()) | words
    assert found["solve"] == {"--nfe", "1", "--tile", "x.png"}
    assert found["compare"] == {"-m", "hqs", "--seed"}
    assert {"smoke", "--set", "--nfe"} <= found["run"] and found["report"] == {"r"}
    assert "degrade" not in found
    page = "```console run\n$ zsir solve -q \\\n  a.png && zsir cite --op x\nout\n```\n```console\n$ zsir run\n```\n"
    assert list(printed_lines(page)) == [("solve", {"-q", "a.png"}), ("cite", {"--op", "x"})]
