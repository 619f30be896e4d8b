"""Docstrings taken apart for ``zsir describe`` and the site. Imports no torch."""

from __future__ import annotations

import inspect
import re

#: sections in Google style; what they say of parameters is printed from `zsir.names.registry.Option` instead
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):$")
SOURCE = "Source: "


def formula_and_source(docstring: str) -> tuple[str, str]:
    r"""What is computed, with the remarks on it, and the publications that it comes from.

    Args:
        docstring: The docstring of a class or function. Each line that begins with ``Source: `` names a source. The
            sections on parameters, results and errors are left out.

    Returns:
        The text without sources and sections, and the sources, separated by semicolons.

    >>> formula_and_source("A x = x.\n\nSource: Keys 1981 [keys]\n\nArgs:\n    x: A picture.\n")
    ('A x = x.', 'Keys 1981 [keys]')
    """
    text, sources, inside = [], [], False
    for line in inspect.cleandoc(docstring).split("\n"):
        inside = bool(SECTION.match(line)) or (inside and (not line or line.startswith(" ")))
        if line.startswith(SOURCE):
            sources.append(line.removeprefix(SOURCE))
        elif not inside:
            text.append(line)
    return "\n".join(text).strip(), "; ".join(sources)
