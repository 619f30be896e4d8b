"""Curves as small SVG files, drawn without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, BAND = 480, 130, 62, 24, 168


def log_curves(curves: Mapping[str, Sequence[float]], label: str) -> str:
    """An SVG with one panel per curve, one below the other, over 1, 2, ... on a logarithmic scale.

    ``curves`` maps titles to values, which must not be negative; zeros are not drawn. ``label`` names the abscissa.

    >>> "<polyline" in log_curves({"sigma": [1.0, 0.1]}, "step")
    True
    """
    height = BAND * len(curves) + 24
    panels = [_panel(title, values, BAND * k) for k, (title, values) in enumerate(curves.items())]
    total = LEFT + WIDTH + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{height}" viewBox="0 0 {total} {height}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "".join(panels)
        + f'<text x="{LEFT + WIDTH // 2}" y="{height - 8}" text-anchor="middle">{escape(label)}</text>\n</svg>\n'
    )


def _panel(title: str, values: Sequence[float], top: int) -> str:
    """Frame, decades and line of one curve."""
    y0 = top + TOP
    drawn = [(k, math.log10(v)) for k, v in enumerate(values) if v > 0 and math.isfinite(v)]
    low, high = _decades([v for _, v in drawn])

    def place(k: int, v: float) -> str:
        x = LEFT + WIDTH * (k / (len(values) - 1) if len(values) > 1 else 0.5)
        return f"{x:.1f},{y0 + HEIGHT * (high - v) / (high - low):.1f}"

    parts = [
        f'<text x="{LEFT}" y="{y0 - 8}">{escape(title)}</text>',
        f'<rect x="{LEFT}" y="{y0}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
    ]
    for decade in range(low, high + 1, max(1, (high - low) // 4)):
        y = y0 + HEIGHT * (high - decade) / (high - low)
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">1e{decade}</text>')
    points = " ".join(place(k, v) for k, v in drawn)
    parts.append(f'<polyline points="{points}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>')
    for end, anchor in ((0, "start"), (len(values) - 1, "end")):
        x = LEFT + WIDTH * end / max(1, len(values) - 1)
        parts.append(f'<text x="{x:.0f}" y="{y0 + HEIGHT + 14}" text-anchor="{anchor}">{end + 1}</text>')
        if len(values) == 1:
            break
    return "\n".join(parts) + "\n"


def _decades(logs: Sequence[float]) -> tuple[int, int]:
    """Whole powers of ten around the values, at least one apart."""
    if not logs:
        return -1, 0
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return low, max(high, low + 1)
