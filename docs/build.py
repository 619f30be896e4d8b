"""Build the documentation: ``python docs/build.py [FOLDER]``, by default into ``site/``; ``make docs`` calls it.

Everything comes from this repository and the installed packages; nothing is downloaded, no notebook is run and no
network is evaluated. Warnings are errors.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from assemble import HERE, ROOT, assemble
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils


def build(target: Path) -> int:
    """Write the site into ``target``, in place of an older one; returns 1 where there was a warning."""
    if target.exists() and any(target.iterdir()) and not (target / "objects.inv").is_file():
        raise SystemExit(f"{target} holds something else than an older site; name another folder or empty it")
    with tempfile.TemporaryDirectory() as folder, patch_docutils(), docutils_namespace():
        source = Path(folder) / "source"
        assemble(source)
        app = Sphinx(
            str(source),
            str(HERE),
            str(Path(folder) / "site"),
            str(Path(folder) / "doctrees"),
            "html",
            freshenv=True,
            warningiserror=True,
            status=None,
        )
        app.build(force_all=True)
        shutil.rmtree(target, ignore_errors=True)
        # without what Sphinx keeps for the next build, and its folder of copied sources
        leave = shutil.ignore_patterns(".buildinfo", ".doctrees", "_sources")
        shutil.copytree(Path(folder) / "site", target, ignore=leave)
        shutil.copytree(HERE / "pictures", target / "pictures", ignore=shutil.ignore_patterns("*.json"))
        return app.statuscode


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"))
