"""The documentation: it builds without a warning, its links lead somewhere, and it loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from tests.sources import ROOT

pytest.importorskip("myst_nb", reason="the extra 'docs' is not installed; it needs Python 3.11 or later")
pytestmark = pytest.mark.slow

#: attributes that a browser follows by itself when it shows a page
LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("source", "src"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("video", "src"),
    ("audio", "src"),
    ("embed", "src"),
    ("object", "data"),
    ("image", "href"),
    ("use", "href"),
}
#: kinds of <link> that are loaded; others (index, search, next, ...) are addresses only
LOADED_LINKS = {"stylesheet", "icon", "shortcut icon", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest"}


class Page(HTMLParser):
    """The addresses on a page, apart: what is loaded, what can be clicked, and what can be pointed at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.styles = "".join(re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL))
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self.styles += values.get("style", "")
        for name, value in values.items():
            if (tag, name) in LOADED:
                parts = value.split(",") if name == "srcset" else [value]
                self.loaded += [part.split()[0] for part in parts if part.strip()]
        if tag == "link":
            kept = self.loaded if values.get("rel", "").lower() in LOADED_LINKS else self.links
            kept.append(values.get("href", ""))
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])


@cache
def page(file: Path) -> Page:
    return Page(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    target = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, str(ROOT / "docs" / "build.py"), str(target)]
    done = subprocess.run(command, cwd=target.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(target.parent.iterdir()) == [target], "the build leaves files beside the site"
    yield target


def outside(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme not in ("", "data")


def broken(site: Path, file: Path) -> Iterator[str]:
    """The addresses inside the site that lead nowhere, and those outside that have no proper form."""
    for address in [*page(file).links, *page(file).loaded]:
        parts = urlsplit(address)
        if outside(address):
            if parts.scheme == "mailto" and "@" in parts.path:
                continue
            if parts.scheme not in ("https", "http") or "." not in parts.netloc or " " in address:
                yield address
            continue
        if parts.scheme == "data":
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        anchors = page(target).anchors if target.suffix == ".html" and target.is_file() else set()
        inside = target.is_file() and target.is_relative_to(site.resolve())
        if not inside or (parts.fragment and unquote(parts.fragment) not in anchors):
            yield address


def loaded_from_outside(file: Path) -> list[str]:
    """What a page or a style sheet asks a browser to fetch from another host."""
    if file.suffix == ".css":
        return remote_styles(file.read_text(encoding="utf-8"))
    return [address for address in page(file).loaded if outside(address)] + remote_styles(page(file).styles)


def remote_styles(text: str) -> list[str]:
    found = re.findall(r"url\(\s*['\"]?([^'\")]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)
    return [address for address in found if outside(address)]


def test_all_links_lead_somewhere(site: Path) -> None:
    files = sorted(site.rglob("*.html"))
    found = {file.relative_to(site).as_posix(): sorted(set(broken(site, file))) for file in files}
    assert {name: links for name, links in found.items() if links} == {}
    assert sum(len(page(file).links) for file in files) > 1000


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    files = [*sorted(site.rglob("*.html")), *sorted(site.rglob("*.css"))]
    found = {file.relative_to(site).as_posix(): loaded_from_outside(file) for file in files}
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_every_name_has_a_page_with_formula_and_parameters(site: Path) -> None:
    listed = subprocess.run([sys.executable, "-m", "zsir", "list"], capture_output=True, text=True, check=True).stdout
    kind, names = "", set()
    for line in listed.splitlines():
        if line and not line.startswith(" "):
            kind = line.split()[0].lower()
        elif line.strip() and kind != "experiments" and "short for" not in line:
            names.add(f"{kind}/{line.split()[0].replace('+', '-plus')}.html")
    assert len(names) > 50
    for name in names:
        text = (site / name).read_text(encoding="utf-8")
        assert 'id="what-it-computes"' in text and 'id="parameters"' in text, name


def test_notebooks_keep_their_outputs(site: Path) -> None:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert len(notebooks) == 7
    for notebook in notebooks:
        text = (site / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
        assert "cell_output" in text and "<math" in text, notebook.name


def test_pictures_are_shown_and_small(site: Path) -> None:
    shown = {unquote(urlsplit(a).path).rpartition("/")[2] for file in site.rglob("*.html") for a in page(file).loaded}
    pictures = {file.name for file in (ROOT / "docs" / "pictures").glob("*.webp")}
    assert pictures <= shown, f"committed and not shown: {sorted(pictures - shown)}"
    size = sum(file.stat().st_size for file in (ROOT / "docs").rglob("*") if file.suffix != ".pyc" and file.is_file())
    assert size < 4_000_000


def script(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"zsir_docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\bar\theta_t", r'<mrow class="overline"><mi>θ</mi></mrow><msub><mrow></mrow><mi>t</mi></msub>'),
        (r"\tfrac12 \lVert x \rVert", "<mn>1</mn><mn>2</mn></mfrac><mo>‖</mo><mi>x</mi>"),
        (r"1, \dots, L", r"<mi>…</mi>"),
    ],
)
def test_formulas_become_mathml(tex: str, expected: str) -> None:
    made = re.sub(r"\s+", "", script("mathml").markup(tex, block=False))
    assert re.sub(r"\s+", "", expected) in made, made


def test_signs_of_formulas_in_docstrings_are_no_markup() -> None:
    lines = [
        "norm |x| of *operator and ``k * x``, **bold** `ref`.",
        "",
        "    |x|::",
        "",
        "        |y|",
        "",
        ">>> a * b",
    ]
    expected = [r"norm \|x\| of \*operator and ``k * x``, **bold** `ref`.", "", r"    \|x\|::", *lines[3:]]
    assert script("docstrings").escaped(lines) == expected


@pytest.mark.parametrize(
    "text",
    [
        '<a href="missing.html">',
        '<a href="#missing">',
        '<a href="other.html#missing">',
        '<a href="../outside.html">',
        '<img src="missing.webp">',
        '<a href="https://nohost">',
        '<a href="javascript:void(0)">',
    ],
)
def test_a_broken_link_is_seen(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (tmp_path / "outside.html").write_text("")
    (folder / "other.html").write_text('<p id="there">')
    (folder / "index.html").write_text(f'<p id="here"><a href="#here"><a href="other.html#there">{text}')
    assert len(list(broken(folder, folder / "index.html"))) == 1


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/x.css">',
        '<img src="http://example.org/x.png">',
        "<style>@import 'https://example.org/x.css';</style>",
        '<p style="background: url(https://example.org/x.png)">',
    ],
)
def test_a_load_from_elsewhere_is_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.html").write_text(f'<a href="https://example.org/">{text}<img src="data:image/png;base64,AA">')
    assert len(loaded_from_outside(tmp_path / "index.html")) == 1
