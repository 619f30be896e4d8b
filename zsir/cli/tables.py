"""Tables as text: aligned columns for a terminal, or Markdown."""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def aligned(rows: Rows) -> list[str]:
    """One line per row: the first column flush left, the others flush right. The first row is the heading.

    >>> aligned([["method", "dB"], ["cm4ir", "8.5"], ["hqs", "24.25"]])
    ['method     dB', 'cm4ir     8.5', 'hqs     24.25']
    """
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def markdown(rows: Rows) -> str:
    r"""The same as a Markdown table.

    >>> print(markdown([["method", "dB"], ["a|b", "8.5"]]), end="")
    | method | dB |
    |---|---:|
    | a\|b | 8.5 |
    """
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]]) + "\n"
