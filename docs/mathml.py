"""Formulas as MathML, made when the site is built by the converter that docutils has.

MathJax and KaTeX are scripts and fonts of a megabyte and more, mostly loaded from elsewhere. MathML needs neither, and
every current browser draws it.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

#: TeX commands that the converter lacks, and what it knows in their place
SAME = {
    r"\bar": r"\overline",
    r"\dots": r"\ldots ",
    r"\lVert": r"\Vert ",
    r"\rVert": r"\Vert ",
    r"\lvert": r"\vert ",
    r"\rvert": r"\vert ",
}

#: a line over an expression: fonts without stretching signs draw a dash, a border always fits
OVERLINE = re.compile(r'<mover accent="false">(.*?)<mo accent="true">_</mo>\s*</mover>', re.DOTALL)


def markup(tex: str, block: bool) -> str:
    """The MathML of a formula; raises `ExtensionError` where it cannot be read."""
    for command, known in SAME.items():
        tex = tex.replace(command, known)
    # in \bar\theta_t the index belongs beside the letter, not under it
    tex = re.sub(r"\\(overline|hat|tilde)\s*(\{[^{}]*\}|\\[a-zA-Z]+|[a-zA-Z])_", r"\\\1{\2}{}_", tex)
    tex = re.sub(r"\\([td]?frac)\s*(\d)(\d)", r"\\\1{\2}{\3}", tex)  # the converter takes 12 of \frac12 for one number
    try:
        return OVERLINE.sub(r'<mrow class="overline">\1</mrow>', str(tex2mathml(tex, as_block=block)))
    except MathError as error:
        raise ExtensionError(f"the formula {tex!r} cannot be converted to MathML: {error}") from error


def inline(writer: Any, node: nodes.math) -> None:
    """A formula inside a sentence."""
    writer.body.append(markup(node.astext(), block=False))
    raise nodes.SkipNode


def display(writer: Any, node: nodes.math_block) -> None:
    """A formula on lines of its own; it scrolls where the page is too narrow for it."""
    writer.body.append(f'<div class="formula">{markup(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
