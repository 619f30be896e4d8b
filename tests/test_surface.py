"""The public surface: its names and signatures as recorded in surface.txt, and docstrings that say all of it."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import importlib
import inspect
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zsir import capabilities
from zsir.operators import Operator
from zsir.priors import exact

RECORDED = Path(__file__).with_name("surface.txt")
#: the command that writes the record anew
COMMAND = "ZSIR_RECORD_SURFACE=1 python -m pytest tests/test_surface.py"
MODULES = (
    *("zsir", "zsir.operators", "zsir.priors", "zsir.samplers", "zsir.metrics", "zsir.testing", "zsir.errors"),
    "zsir.protocols",
)
#: special methods that users write as signs and calls
SIGNS = ("__call__", "__matmul__", "__rmul__")
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$")


def test_surface_is_the_recorded_one() -> None:
    lines = list(surface())
    if os.environ.get("ZSIR_RECORD_SURFACE"):
        RECORDED.write_text("\n".join(lines) + "\n", encoding="utf-8")
    recorded = RECORDED.read_text(encoding="utf-8").splitlines()
    changes = "\n".join(difflib.unified_diff(recorded, lines, "recorded", "now", lineterm="", n=0))
    assert not changes, (
        f"The public surface has changed. If the change is meant, CONTRIBUTING.md has the rule for deprecation. Then "
        f"write the record anew with\n\n    {COMMAND}\n\n{changes}"
    )


def surface() -> Iterator[str]:
    """A line for each public name, with its signature; a class is followed by its members."""
    seen: dict[int, str] = {}
    for module in MODULES:
        for name in sorted(importlib.import_module(module).__all__):
            where, made = f"{module}.{name}", getattr(importlib.import_module(module), name)
            if isinstance(made, ModuleType):
                yield f"{where}: module"
            elif not callable(made):
                yield f"{where}: {type(made).__name__}"
            elif id(made) in seen:
                yield f"{where} is {seen[id(made)]}"
            elif inspect.isclass(made):
                yield f"class {where}{signature(made) if has_own_constructor(made) else ''}"
                yield from (f"    {line}" for line in members(made))
            else:
                yield f"{where}{signature(made)}"
            seen[id(made)] = where


def members(cls: type) -> Iterator[str]:
    """Public methods, properties and class attributes, those of our own base classes too."""
    fields = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    for name, (_, made) in sorted(own(cls).items()):
        if getter := getter_of(made):
            yield f"{name}: {plain(getter.__annotations__['return'])}"
        elif inspect.isfunction(made):
            yield f"{name}{signature(made)}"
        elif name not in fields:
            yield f"{name}: class attribute"


def getter_of(made: Any) -> Any:
    """The function behind a property, else None."""
    if isinstance(made, property):
        return made.fget
    return made.func if isinstance(made, functools.cached_property) else None


def own(cls: type) -> dict[str, tuple[type, Any]]:
    """Name -> (class of ours that defines it, what it is)."""
    found: dict[str, tuple[type, Any]] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("zsir"):
            found.update({k: (base, v) for k, v in vars(base).items() if not k.startswith("_") or k in SIGNS})
    return found


def has_own_constructor(cls: type) -> bool:
    """Whether the constructor's parameters are written in zsir, as for a dataclass."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith("zsir")]
    written = any(inspect.isfunction(vars(base).get("__init__")) for base in bases)
    return dataclasses.is_dataclass(cls) or (written and not getattr(cls, "_is_protocol", False))


def signature(made: Any) -> str:
    """As `inspect.signature` prints it, the same in every Python: annotations as written, without their options."""
    parts, kinds = [], inspect.Parameter
    star = False
    for parameter in inspect.signature(made).parameters.values():
        if parameter.name.startswith("_"):
            continue
        if parameter.kind is kinds.KEYWORD_ONLY and not star:
            parts.append("*")
        star = star or parameter.kind in (kinds.KEYWORD_ONLY, kinds.VAR_POSITIONAL)
        text = ("*" if parameter.kind is kinds.VAR_POSITIONAL else "") + parameter.name
        if parameter.annotation is not kinds.empty:
            text += f": {plain(parameter.annotation)}"
        if parameter.default is not kinds.empty:
            text += f" = {parameter.default!r}"
        parts.append(text)
    returned = getattr(made, "__annotations__", {}).get("return") if not inspect.isclass(made) else None
    return f"({', '.join(parts)})" + (f" -> {plain(returned)}" if returned else "")


def plain(annotation: Any) -> str:
    """The text of an annotation; of ``Annotated[type, Option(...)]`` the type, for help texts may change."""
    assert isinstance(annotation, str), f"{annotation!r}: its module lacks 'from __future__ import annotations'"
    node = ast.parse(annotation, mode="eval").body
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
        assert isinstance(node.slice, ast.Tuple)
        node = node.slice.elts[0]
    return ast.unparse(node)


def documented() -> Iterator[tuple[str, Any]]:
    """(name, class or function) of the surface, and (name, method or getter) of its classes."""
    seen: set[int] = set()
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            made = getattr(importlib.import_module(module), name)
            if not callable(made) or id(made) in seen:
                continue
            seen.add(id(made))
            yield f"{module}.{name}", made
            for key, (home, member) in own(made).items() if inspect.isclass(made) else ():
                function = getter_of(member) or member
                if inspect.isfunction(function) and home is made and key not in SIGNS:
                    yield f"{module}.{name}.{key}", function


@functools.cache
def contracts() -> dict[str, Any]:
    """Name -> method of the protocols and base classes that carry the sections for all who implement them."""
    protocols = importlib.import_module("zsir.protocols")
    carriers = [getattr(protocols, name) for name in protocols.__all__]
    carriers += [Operator, exact.Covariance]
    carriers += [capabilities.Conditional, capabilities.Decomposable, capabilities.Inflatable]
    found: dict[str, Any] = {}
    for cls in carriers:
        for name, (_, made) in own(cls).items():
            if inspect.isfunction(made) and name not in SIGNS:
                found.setdefault(name, made)
    return found


def lacking(made: Any) -> list[str]:
    """What the docstring of a class or function does not say."""
    sections = sections_of(inspect.getdoc(made) or "")
    named = {*sections.get("Args", {}), *sections.get("Attributes", {})}
    wrong = [f"'{name}' is not under Args" for name in undescribed(made) if name not in named]
    known = set(parameters(made)) | set(vars(made) if inspect.isclass(made) else ())
    wrong += [f"there is no parameter '{name}'" for name in sections.get("Args", {}) if name not in known]
    raising = set(raised(made)) - {"NotImplementedError"}
    wrong += [f"'{error}' is not under Raises" for error in sorted(raising - set(sections.get("Raises", {})))]
    returned = None if inspect.isclass(made) else getattr(made, "__annotations__", {}).get("return")
    if parameters(made) and returned not in (None, "None") and "Returns" not in sections:
        wrong.append("it has no section Returns")
    return wrong


def sections_of(text: str) -> dict[str, dict[str, str]]:
    """Section -> name -> what it says, of a docstring in Google style."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in text.splitlines():
        if heading := SECTION.match(line):
            section = heading[1]
            found[section] = {}
        elif line and not line.startswith(" "):
            section = ""
        elif section and (entry := re.match(r"^ {4}\*?(\w+):\s*(\S.*)$", line)):
            found[section][entry[1]] = entry[2]
    return found


def parameters(made: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a function or of a constructor that is written in zsir, without self and private ones."""
    if inspect.isclass(made) and not has_own_constructor(made):
        return {}
    found = inspect.signature(made).parameters
    return {name: each for name, each in found.items() if name != "self" and not name.startswith("_")}


def undescribed(made: Any) -> list[str]:
    """The parameters that no `Option` describes."""
    home = inspect.getmodule(made)
    names = []
    for name, parameter in parameters(made).items():
        annotation = parameter.annotation
        if isinstance(annotation, str) and annotation.isidentifier():  # a type that several options share
            annotation = str(getattr(home, annotation, annotation))
        if "Option(" not in str(annotation):
            names.append(name)
    return names


def raised(made: Any) -> Iterator[str]:
    """The exceptions that a body raises by name; of a class those of its constructor."""
    bodies = [made]
    if inspect.isclass(made):
        written = [vars(made).get(name) for name in ("__init__", "__post_init__")]
        bodies = [each for each in written if each is not None and is_written_in(each, made.__module__)]
    for each in bodies:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(each))))
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = ast.unparse(node.exc.func).rpartition(".")[2]
                if name[0].isupper():
                    yield name


def is_written_in(function: Any, module: str) -> bool:
    """Whether a constructor was written in a module; dataclasses and protocols make theirs."""
    return function.__code__.co_filename == importlib.import_module(module).__file__


def test_docstrings_say_everything() -> None:
    wrong = []
    for name, made in [*documented(), *((f"contract {k}", v) for k, v in contracts().items())]:
        implements = inspect.isfunction(made) and contracts().get(made.__name__, made) is not made
        if "." in getattr(made, "__qualname__", "") and implements:
            continue
        wrong += [f"{name}: {fault}" for fault in lacking(made)]
    assert not wrong, f"{len(wrong)} faults; CONTRIBUTING.md says how docstrings are written.\n" + "\n".join(wrong)


def test_everything_public_has_a_docstring() -> None:
    assert [name for name, made in documented() if not made.__doc__] == []


def sample(x: int, y: int = 0) -> int:
    """Add.

    Args:
        x: One number.
        z: Nothing.

    Returns:
        The sum.
    """
    if x < 0:
        raise ValueError("negative")
    return x + y


def test_that_search_finds_faults() -> None:
    assert lacking(sample) == [
        "'y' is not under Args",
        "there is no parameter 'z'",
        "'ValueError' is not under Raises",
    ]
    assert sections_of("A.\n\nArgs:\n    x: One\n        more: text\n\nSource: none")["Args"] == {"x": "One"}


@pytest.mark.parametrize(
    ("annotation", "text"),
    [("Annotated[float | None, Option('a, b')]", "float | None"), ("Tensor", "Tensor"), ("list[int]", "list[int]")],
)
def test_annotations_lose_their_options(annotation: str, text: str) -> None:
    assert plain(annotation) == text
