"""TOML read with sentences for errors, and written: what a spec holds, no more."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zsir.errors import BadInput, BadSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; raises `BadInput` where it cannot be read, `BadSpec` where it is not TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadInput(f"{path} cannot be read: {reason}.") from None
    return loads(text, str(path))


def loads(text: str, name: str = "The text") -> dict[str, Any]:
    """The tables of a TOML text, called ``name`` in errors; raises `BadSpec`."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSpec(f"{name} is not TOML: {error}.") from None
    return tables


def value(text: str) -> Any:
    """The value of ``text`` as TOML has it; text that is no TOML value is a string by itself.

    >>> value("[1, 2]"), value("photo"), value("true")
    ([1, 2], 'photo', True)
    """
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if len(found) == 1 else text


def dumps(tables: Mapping[str, Any]) -> str:
    """TOML of scalars and lists at the top, then tables, then lists of tables; None is left out.

    >>> print(dumps({"name": "x", "data": {"size": 4}, "task": [{"op": ["sr2x", "blur"]}]}))
    name = "x"
    <BLANKLINE>
    [data]
    size = 4
    <BLANKLINE>
    [[task]]
    op = ["sr2x", "blur"]
    <BLANKLINE>
    """
    lines = _lines({k: v for k, v in tables.items() if not _is_table(v)})
    for name, held in tables.items():
        if isinstance(held, Mapping):
            lines += ["", f"[{_key(name)}]", *_lines(held)]
        elif _is_table(held):
            for entry in held:
                lines += ["", f"[[{_key(name)}]]", *_lines(entry)]
    return "\n".join(lines) + "\n"


def _is_table(held: object) -> bool:
    tables = isinstance(held, Sequence) and not isinstance(held, str) and bool(held) and isinstance(held[0], Mapping)
    return isinstance(held, Mapping) or tables


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_text(held)}" for key, held in table.items() if held is not None]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(held: Any) -> str:
    if isinstance(held, list | tuple):
        return "[" + ", ".join(_text(v) for v in held) + "]"
    if isinstance(held, bool):
        return "true" if held else "false"
    if isinstance(held, str):  # JSON's escapes are TOML's, but for one character
        return json.dumps(held, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(held)
