"""Put the pages of the site together, in the layout that Sphinx reads.

Four kinds of pages: those written by hand (``docs/pages``), the README files of the repository (`PAGES`), one page for
every operator, prior and sampler from the registry, and the API from a list of names. Links between files of the
repository become links between pages; a link to a file without a page keeps its text, and a link to a file that does
not exist is an error.
"""

from __future__ import annotations

import html
import inspect
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import ours
from evidence import plots

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FACTS = json.loads((HERE / "pictures" / "facts.json").read_text(encoding="utf-8"))

#: file of the repository -> page of the site
PAGES = {
    "README.md": "guide/readme.md",
    "CHANGELOG.md": "changelog.md",
    "operators/README.md": "handbook/operators.md",
    "samplers/README.md": "handbook/samplers.md",
    "zsir/priors/README.md": "handbook/priors.md",
    "zsir/metrics/README.md": "handbook/metrics.md",
    "zsir/training/README.md": "handbook/training.md",
    "zsir/tuning/README.md": "handbook/tuning.md",
    "zsir/priors/weights/photo.md": "handbook/photo.md",
    "zsir/priors/weights/cm-photo.md": "handbook/cm-photo.md",
    "zsir/assets/ATTRIBUTION.md": "handbook/attribution.md",
    "experiments/README.md": "handbook/experiments.md",
    "docs/README.md": "handbook/documentation.md",
    "experiments/EVIDENCE.md": "evidence.md",
}
#: pages that are there if the repository has the file
OPTIONAL = {
    "CONTRIBUTING.md": "handbook/contributing.md",
    "SECURITY.md": "handbook/security.md",
    "ARCHITECTURE.md": "handbook/architecture.md",
}
LINK = re.compile(r"(?<!\!)\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)")
SECTION = re.compile(r'<!-- section (?P<file>\S+) "(?P<title>[^"]+)" -->')
KINDS = {"operators": ours.OPERATORS, "priors": ours.PRIORS, "samplers": ours.SAMPLERS}
NEEDS = {
    "forward": "the operator's `forward`",
    "adjoint": "the operator's `adjoint`",
    "pinv": "the operator's pseudo-inverse `pinv`",
    "prox": "the operator's `prox`",
    "svd": "the operator's singular values, `svd`",
    "gradient": "gradients through the prior",
    "noise": "an observation with noise above 0",
}
DRAWS = {
    "posterior": "draws from the posterior, exactly for a Gaussian prior, whatever the number of calls",
    "limit": "draws from the posterior in the limit of many calls, particles or weak coupling",
    "approximate": "draws, but not from the posterior, however many calls it gets",
    "unknown": "nothing is said about them",
    "estimate": "one estimate; results of different seeds are nearly the same picture",
}


def assemble(target: Path) -> None:
    """Write all pages into the new folder ``target``."""
    pages = {**PAGES, **{file: page for file, page in OPTIONAL.items() if (ROOT / file).is_file()}}
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    pages |= {f"notebooks/{n.name}": f"notebooks/{n.name}" for n in notebooks}
    shutil.copytree(HERE / "pages", target)
    for own in sorted(target.rglob("*.md")):
        put(own, filled(with_sections(read(own), own.relative_to(target).as_posix(), pages)))
    for file, page in pages.items():
        if file.endswith(".ipynb"):
            notebook(ROOT / file, target / page, pages)
        else:
            put(target / page, repository_page(file, page, pages))
    put(target / "handbook" / "index.md", handbook(pages))
    put(target / "notebooks" / "index.md", notebook_index(notebooks))
    for kind, registry in KINDS.items():
        for name in registry.names():
            put(target / kind / f"{slug(name)}.md", named(kind, name))
        put(target / kind / "index.md", kind_index(kind))
    for page, (title, about, names) in ours.API.items():
        put(target / "api" / f"{page}.md", api(title, about, names))
    put(target / "api" / "index.md", api_index())
    put(target / "cite.md", read(target / "cite.md") + bibliography())


def read(file: Path) -> str:
    """The text of a file."""
    return file.read_text(encoding="utf-8")


def put(file: Path, text: str) -> None:
    """Write a page."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.rstrip() + "\n", encoding="utf-8")


# -- files of the repository ---------------------------------------------------------------------------------------


def repository_page(file: str, page: str, pages: dict[str, str]) -> str:
    """A markdown file of the repository as a page."""
    text = linked(read(ROOT / file), file, page, pages)
    if not text.lstrip().startswith("# "):
        text = f"# {Path(file).stem.replace('-', ' ').capitalize()}\n\n{text}"
    # several numbers in one cell: a narrow table breaks after the stroke, never before it
    text = re.sub(r"(?<=[\d*]) / (?=[\d*])", "\u00a0/ ", text)
    if file == "experiments/EVIDENCE.md":
        before, bar, after = text.partition("\n| task |")
        text = f"{before}\n{plots(text)}\n{bar}{after}"
    return text


def linked(text: str, file: str, page: str, pages: dict[str, str]) -> str:
    """``text`` of the repository's ``file`` with its links led to pages, seen from ``page``."""

    def lead(match: re.Match[str]) -> str:
        target, mark, anchor = match["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        if not target:
            return match[0] if pages[file] == page else f"[{match['text']}]({relative(pages[file], page)}#{anchor})"
        path = (ROOT / file).parent / target
        if not path.exists():
            raise SystemExit(f"{file}: the link to {target} leads nowhere")
        inside = path.resolve().relative_to(ROOT).as_posix()
        inside = f"{inside}/README.md" if path.is_dir() else inside
        if inside not in pages:
            return match["text"]
        return f"[{match['text']}]({relative(pages[inside], page)}{mark}{anchor})"

    return LINK.sub(lead, text)


def relative(page: str, origin: str) -> str:
    """The path from page ``origin`` to ``page``."""
    here, there = origin.split("/")[:-1], page.split("/")
    while here and len(there) > 1 and here[0] == there[0]:
        here, there = here[1:], there[1:]
    return "/".join([".."] * len(here) + there)


def with_sections(text: str, page: str, pages: dict[str, str]) -> str:
    """A page written by hand with the sections of the repository's files that it asks for, their headings left out."""

    def take(match: re.Match[str]) -> str:
        file, title = match["file"], match["title"]
        pattern = rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)"
        found = re.search(pattern, read(ROOT / file), re.MULTILINE | re.DOTALL)
        if found is None:
            raise SystemExit(f"{page}: {file} has no section '{title}'")
        return linked(found[1].strip(), file, page, pages)

    return SECTION.sub(take, text)


def filled(text: str) -> str:
    """A page written by hand with the drawing and the numbers that it asks for."""
    drawing = read(HERE / "static" / "architecture.svg")
    text = text.replace("<!-- architecture -->", f'<figure class="drawing">\n{drawing.strip()}\n</figure>')
    return re.sub(r"<!-- start (\w+) (.+?) -->", lambda m: pair(m[1], m[2]), text)


def pair(name: str, what: str) -> str:
    """Before and after of the start page."""
    fact = FACTS["start"][name]
    noise = f" with noise {fact['noise'] * 255:.0f}/255" if fact["noise"] else ""
    words = f"<code>{fact['prior']}</code>, <code>{fact['sampler']}</code>: {fact['before']} to {fact['after']} dB"
    pictures = "".join(
        f'<img src="pictures/start-{name}-{when}.webp" width="256" height="256" alt="{what}, {when}">'
        for when in ("before", "after")
    )
    caption = f"<figcaption>{what} (<code>{fact['op']}</code>{noise}). {words}.</figcaption>"
    return f'<figure><div class="pair">{pictures}</div>{caption}</figure>'


def notebook(file: Path, target: Path, pages: dict[str, str]) -> None:
    """A notebook with its stored outputs; links in its text lead to pages."""
    content = json.loads(read(file))
    name = f"notebooks/{file.name}"
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            text = linked("".join(cell["source"]), name, name, pages)
            cell["source"] = text.splitlines(keepends=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content), encoding="utf-8")


def notebook_index(notebooks: list[Path]) -> str:
    """The list of notebooks."""
    items = "\n".join(n.stem for n in notebooks)
    return (
        "# Notebooks\n\nThe notebooks are shown with the outputs that they are kept with. What they claim is asserted "
        "in their cells and run by the tests. The files are in the folder `notebooks` of the repository.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{items}\n```\n"
    )


def handbook(pages: dict[str, str]) -> str:
    """The list of the repository's README files."""
    own = [p for p in pages.values() if p.startswith("handbook/")]
    items = "\n".join(Path(p).stem for p in own)
    return (
        "# Handbook\n\nThe README files of the repository's folders, as they stand there. Their examples are run by "
        f"the tests.\n\n```{{toctree}}\n:maxdepth: 1\n\n{items}\n```\n"
    )


# -- pages from the registry ---------------------------------------------------------------------------------------


def slug(name: str) -> str:
    """The file name of a page."""
    return name.replace("+", "-plus")


def named(kind: str, name: str) -> str:
    """The page of one operator, prior or sampler."""
    registry = KINDS[kind]
    about = registry.describe(name)
    target = registry.target(name)
    aliases = {a: spec for a, spec in registry.aliases.items() if spec.partition(":")[0] == name}
    parts = [f"# `{name}`", plain(sentence(about.summary)), shown(kind, name)]
    if aliases:
        parts += ["## Short names", table(("name", "stands for"), [(f"`{a}`", f"`{s}`") for a, s in aliases.items()])]
    parts += ["## What it computes", recipe(about.formula)]
    parts += ["## Parameters", parameters(about)]
    if kind == "samplers":
        parts += ["## Needs and draws", needs(name, target)]
    elif kind == "priors":
        parts += ["## What it is", nature(name)]
    parts += ["## Use", usage(kind, name, about)]
    if about.source:
        parts += ["## Source", plain(sentence(about.source))]
    if about.bibtex:
        parts += [f"```bibtex\n{about.bibtex}\n```"]
    return "\n\n".join(part for part in parts if part)


def shown(kind: str, name: str) -> str:
    """The picture of a page with its caption, or the reason why there is none."""
    fact = FACTS[kind].get(name)
    if fact is None:
        if kind == "priors":
            return "*No picture: the weights were not on the machine that made the pictures of this site.*"
        return "*No picture: it is made for the prior [latent](../priors/latent.md), whose weights were not at hand.*"
    if kind == "operators":
        noise = f", with noise {fact['noise']:g}" if fact["noise"] else ""
        size = "x".join(str(n) for n in (fact["shape"][2], fact["shape"][1]))
        words = f"Left: the photograph, 256x256. Right: its observation through `{fact['spec']}`{noise}, {size} pixels."
        return picture(f"operator-{name}", words, 516, 256)
    gain = f"PSNR {fact['before']:.2f} dB before, {fact['after']:.2f} dB after."
    if kind == "priors":
        words = f"Left: noise 25/255. Middle: denoised in one call. Right: the truth. {gain}"
        return picture(f"prior-{name}", words, 776, 256)
    words = (
        f"Left: the observation, `sr2x` with noise 0.02. Middle: the result of `{fact['spec']}` with the prior "
        f"`photo`, {fact['nfe']} calls. Right: the truth. {gain}"
    )
    return picture(f"sampler-{name}", words, 776, 256)


def picture(file: str, words: str, width: int, height: int) -> str:
    """A strip of pictures with a caption in words; both are there for who cannot see it."""
    alt = html.escape(words.replace("`", ""), quote=True)
    image = f'<img class="strip" src="../pictures/{file}.webp" width="{width}" height="{height}" alt="{alt}">'
    return f"{image}\n\n*{words}*"


def recipe(text: str) -> str:
    """Formula and remarks of a docstring: prose as paragraphs, formulas as they are written."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip()):
        words = re.findall(r"[A-Za-z_]{3,}", block)
        prose = sum(map(len, words)) > 0.62 * len(re.sub(r"\s", "", block)) and not block.startswith(" ")
        if prose:
            parts.append(plain(" ".join(block.split())))
        else:
            parts.append(f'<pre class="recipe">{html.escape(block.replace("``", ""))}</pre>')
    return "\n\n".join(parts)


def plain(text: str) -> str:
    """Text of a docstring as markdown: ``code`` and `references` stay, every other sign means itself."""
    parts = re.split(r"``(.+?)``|`(.+?)`", text)
    escaped = []
    for k in range(0, len(parts), 3):
        escaped.append(re.sub(r"([\\`*_\[\]<>$|~^#])", r"\\\1", parts[k]))
        code = next((c for c in parts[k + 1 : k + 3] if c), None)
        if code:
            escaped.append(f"`{code}`")
    return "".join(escaped)


def sentence(text: str) -> str:
    """A summary with a capital letter and a full stop."""
    text = text.strip()
    if re.match(r"[a-z]\w", text):  # a formula, y = x, keeps its letter
        text = text[0].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(cell.replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def parameters(about: ours.Description) -> str:
    """The table of parameters."""
    rows = [(f"`{p.name}`", plain(p.default) or "empty", plain(p.unit), plain(p.help)) for p in about.parameters]
    return table(("name", "default", "unit", "meaning"), rows) if rows else "It has none."


def needs(name: str, target: Callable[..., Any]) -> str:
    """What a sampler asks of operator and prior, and what its results are."""
    made = ours.made(name, target)
    listed = (
        "\n".join(f"- {NEEDS[need]}" for need in ours.needs_of(made)) or "- nothing beyond the operator's `forward`"
    )
    draws = ours.draws_of(made)
    calls = f"By default {made.nfe} network calls in {made.steps} steps. "
    return (
        f"It needs\n\n{listed}\n\n{calls}Its results are of the kind `{draws}`: {DRAWS[draws]} "
        "([how this was found](../handbook/samplers.md#what-each-sampler-samples))."
    )


def nature(name: str) -> str:
    """Kind, channels and noise levels of a prior, where it could be loaded; the card of a published network."""
    lines = []
    fact = FACTS["priors"].get(name)
    if fact:
        low, high = fact["sigma_range"]
        channels = fact["channels"] or "any number of"
        upper = "no upper limit" if high is None else f"{high:.3g}"
        means = {"denoiser": "the posterior mean", "consistency": "one plausible picture"}[fact["kind"]]
        lines += [
            f"- Kind: `{fact['kind']}`, an estimate that is {means}.",
            f"- Channels: {channels}.",
            f"- Noise levels: {low:.3g} to {upper}, as standard deviations on [0, 1].",
        ]
    card = ours.cards().get(name)
    if card:
        verified = card.sha256 or "not verified by us, because the weights were not within reach"
        lines += [
            f"- Hugging Face id: `{card.id}`, {card.megabytes} MB, pictures of {card.size}x{card.size}.",
            f"- Trained on: {plain(card.data)}. Licence of the weights: {plain(card.licence)}.",
            f"- SHA-256: {verified}.",
        ]
    if name in ("photo", "cm-photo"):
        lines.append(f"- Weights inside the package; [model card](../handbook/{name}.md).")
    if not lines:
        lines.append("- Its kind and noise levels follow from the file that it is given.")
    return "\n".join(lines)


def usage(kind: str, name: str, about: ours.Description) -> str:
    """A command and a line of Python."""
    needed = ",".join(f"{p.name}=..." for p in about.parameters if p.default == "required")
    spec = f"{name}:{needed}" if needed else name
    option = {"operators": "--op", "priors": "--op sr4x --prior", "samplers": "--op sr4x --sampler"}[kind]
    call = {
        "operators": f'operators.make("{spec}", in_shape=(3, 256, 256))',
        "priors": f'priors.load("{spec}")',
        "samplers": f'samplers.make("{spec}")',
    }[kind]
    return (
        f"```console\n$ zsir solve {option} {spec} observed.png -o restored.png\n$ zsir describe {name}\n```\n\n"
        f"```python\nfrom zsir import {kind}\n\nmade = {call}\n```"
    )


def kind_index(kind: str) -> str:
    """The overview of one kind: a card for every name."""
    registry = KINDS[kind]
    about = {
        "operators": "An operator is the degradation `A` in `y = A x + noise`. [Conventions and how to add one]"
        "(../handbook/operators.md).",
        "priors": "A prior is a pretrained denoiser or consistency model. [All about priors](../handbook/priors.md).",
        "samplers": "A sampler brings operator and prior together. "
        "[Measurements, error bars, how to add one](../handbook/samplers.md).",
    }[kind]
    cards = []
    for name in registry.names():
        stem = f"{kind[:-1]}-{name}"
        image = f'<img src="../pictures/{stem}.webp" alt="" loading="lazy">' if name in FACTS[kind] else ""
        words = html.escape(sentence(registry.summary(name)))
        cards.append(f'<a href="{slug(name)}.html">{image}<b><code>{name}</code></b>{words}</a>')
    items = "\n".join(slug(name) for name in registry.names())
    grid = f'<div class="cards {kind}">\n' + "\n".join(cards) + "\n</div>"
    return f"# {kind.capitalize()}\n\n{about}\n\n{grid}\n\n```{{toctree}}\n:hidden:\n\n{items}\n```\n"


def bibliography() -> str:
    """BibTeX of all methods."""
    return "\n\n## All entries\n\n" + "\n\n".join(f"```bibtex\n{entry}\n```" for entry in ours.BIBTEX.values())


# -- API -----------------------------------------------------------------------------------------------------------


def api(title: str, about: str, names: list[str]) -> str:
    """A page of the API reference."""
    lines = [f"# {title}", "", about, "", "```{eval-rst}"]
    for name in names:
        made = ours.find(name)
        if isinstance(made, ModuleType):
            lines += [directive(f"{name}.{public}", getattr(made, public)) for public in ours.public(made)]
        else:
            lines.append(directive(name, made))
    return "\n".join([*lines, "```"])


def directive(name: str, made: Any) -> str:
    """The autodoc directive for one object."""
    if inspect.isclass(made):
        members = "" if issubclass(made, BaseException) else "   :members:\n"
        return f".. autoclass:: {name}\n{members}"
    if callable(made):
        return f".. autofunction:: {name}\n"
    return f".. py:data:: {name}\n"


def api_index() -> str:
    """The list of API pages."""
    items = "\n".join(ours.API)
    return (
        "# Python reference\n\nThe public names. What is not listed here, or begins with an underscore, is internal "
        f"and may change in any version.\n\n```{{toctree}}\n:maxdepth: 1\n\n{items}\n```\n"
    )
