"""Sphinx settings of the documentation. `build.py` assembles the pages and calls Sphinx with this file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import docstrings  # noqa: E402
import mathml  # noqa: E402

import zsir  # noqa: E402

project = "zsir"
author = "The zsir authors"
copyright = "The zsir authors, MIT licence"
version = release = zsir.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
templates_path: list[str] = []
exclude_patterns: list[str] = []
suppress_warnings = ["ref.python"]  # a name in back-ticks, such as `step`, that several classes have
nitpicky = False

# notebooks are shown with the outputs that they are stored with
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# docstrings: one back-tick refers, two quote code; sections in Google style
default_role = "py:obj"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False
maximum_signature_line_length = 88

html_theme = "furo"
html_title = "zsir"
html_static_path = [str(HERE / "static")]
html_css_files = ["zsir.css"]
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
html_math_renderer = "mathml"
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

os.environ.setdefault("SOURCE_DATE_EPOCH", "0")


def setup(app: object) -> None:
    """Formulas are MathML: browsers draw it by themselves, without a script or a font from elsewhere."""
    mathml.setup(app)
    docstrings.setup(app)
