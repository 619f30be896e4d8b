"""The house rules that can be counted: length, depth, signatures, randomness, repetition."""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest

from tests.sources import Function, body, functions, ours, tree

FILE_LINES = 350
FUNCTION_LINES = 50
PARAMETERS = 10
#: `zsir.restore` takes all that the command line can say, by keyword
MANY_PARAMETERS = {"zsir.workflow.restore.restore"}

#: torch functions and tensor methods that draw random numbers, from the global generator unless given another
DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
DRAWS_IN_PLACE = {"normal_", "uniform_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_"}
ALWAYS_GLOBAL = {
    *(f"torch.{name}" for name in ("manual_seed", "seed", "rand_like", "randn_like", "randint_like")),
    *(f"torch.cuda.{name}" for name in ("manual_seed", "manual_seed_all", "seed", "seed_all")),
}
OWN_GENERATORS = ("np.random.default_rng", "numpy.random.default_rng", "random.Random")


def test_file_length() -> None:
    lengths = {module: len(file.read_text(encoding="utf-8").splitlines()) for module, file in ours().items()}
    long = {module: lines for module, lines in lengths.items() if lines > FILE_LINES}
    assert not long, f"lines of files with more than {FILE_LINES}: {long}; one idea per file"


def test_function_length() -> None:
    lengths = {f"{module}.{f.name}": _length(f) for module in ours() for f in functions(module)}
    long = {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES}
    assert not long, f"lines without docstring of functions with more than {FUNCTION_LINES}: {long}"


def _length(function: Function) -> int:
    statements = body(function)
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def test_public_signatures() -> None:
    wrong = []
    for module in ours():
        for function in functions(module):
            if function.name.startswith("_") and function.name not in ("__init__", "__call__"):
                continue
            where, spec = f"{module}.{function.name}", function.args
            if spec.kwarg is not None:
                wrong.append(f"{where} takes **{spec.kwarg.arg}: a typo must be an error")
            count = len(spec.posonlyargs + spec.args + spec.kwonlyargs)
            if count > PARAMETERS and where not in MANY_PARAMETERS:
                wrong.append(f"{where} has {count} parameters, {PARAMETERS} are allowed")
    assert not wrong, "\n".join(wrong)


def test_inheritance_is_one_deep() -> None:
    bases: dict[str, list[str]] = {}
    for module in ours():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(b).split("[")[0].split(".")[-1] for b in node.bases]
    for name, parents in bases.items():
        deep = [(p, g) for p in parents for g in bases.get(p, ()) if g in bases]
        assert not deep, f"{name} inherits from {deep}: abstract or final, nothing between"


def test_no_global_randomness() -> None:
    wrong = [
        f"{module}, line {node.lineno}: {ast.unparse(node.func)}"
        for module in ours()
        if not module.startswith("zsir.experiments")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and _draws_globally(node)
    ]
    assert not wrong, "pass generator=..., see zsir.rng:\n" + "\n".join(wrong)


def _draws_globally(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    name, method = ast.unparse(call.func), call.func.attr
    seeded = any(keyword.arg == "generator" for keyword in call.keywords)
    if name in ALWAYS_GLOBAL:
        return True
    if (name == f"torch.{method}" and method in DRAWS) or method in DRAWS_IN_PLACE:
        return not seeded
    return name.startswith(("np.random.", "numpy.random.", "random.")) and not name.startswith(OWN_GENERATORS)


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("torch.randn(3)", True),
        ("torch.randn(3, generator=g)", False),
        ("torch.randn_like(x)", True),
        ("rng.randn_like(x)", False),
        ("torch.manual_seed(0)", True),
        ("torch.Generator().manual_seed(0)", False),
        ("x.normal_()", True),
        ("x.normal_(generator=g)", False),
        ("np.random.rand(3)", True),
        ("np.random.default_rng(0)", False),
        ("random.random()", True),
    ],
)
def test_randomness_rule(code: str, wrong: bool) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert _draws_globally(call) is wrong


def test_no_function_body_twice() -> None:
    seen: dict[str, list[str]] = defaultdict(list)
    for module in ours():
        for function in functions(module):
            text = "\n".join(ast.unparse(statement) for statement in body(function))
            if len(text) > 80:  # shorter ones repeat by nature: return self, raise NotImplementedError
                seen[text].append(f"{module}.{function.name}")
    twice = [names for names in seen.values() if len(names) > 1]
    assert not twice, f"the same body in {twice}"
