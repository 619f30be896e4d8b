"""Docstrings as reStructuredText: formulas in them hold signs that it would take for markup."""

from __future__ import annotations

import re
from typing import Any

#: quoted code, references and bold words keep their signs
KEPT = re.compile(r"(``.+?``|`[^`]+`|\*\*\w[^*]*\*\*)")


def escaped(lines: list[str]) -> list[str]:
    """The lines with every stray ``*`` and ``|`` made a plain sign; indented formulas and examples stay."""
    result: list[str] = []
    literal = False
    for line in lines:
        indented = line.startswith("    ")
        literal = (literal and (indented or not line.strip())) or (bool(result) and result[-1].endswith("::"))
        if line.lstrip().startswith((">>>", "...", "*")) or literal:
            result.append(line)
            continue
        parts = KEPT.split(line)
        result.append("".join(p if k % 2 else re.sub(r"([*|])", r"\\\1", p) for k, p in enumerate(parts)))
    return result


#: docstrings of attributes by their names, see `restore`
_attributes: dict[str, list[str]] = {}


def process(app: object, what: str, name: str, made: object, options: object, lines: list[str]) -> None:
    """Autodoc's hook: change the lines in place."""
    lines[:] = escaped(lines)
    if what in ("property", "attribute", "data"):
        _attributes[name] = list(lines)


def restore(app: object, what: str, name: str, made: object, options: object, lines: list[str]) -> None:
    """Give attributes their text back: napoleon takes all before its first colon for a type."""
    if name in _attributes:
        lines[:] = _attributes.pop(name)


def signature(
    app: object, what: str, name: str, made: object, options: object, arguments: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """A default that is made anew each time has no text; three dots keep the signature one that Sphinx can read."""
    return (arguments.replace("<factory>", "..."), returned) if arguments else (arguments, returned)


def setup(app: Any) -> None:
    """Before and after napoleon, which reads the sections."""
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
