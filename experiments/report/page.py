"""The page of a report. Every text that comes from the run goes through `html.escape` before it enters the page."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

import zsir
from zsir.experiments import hardware, measures, summary
from zsir.experiments.report import facts as reading
from zsir.experiments.report import plots
from zsir.experiments.report.facts import Facts
from zsir.experiments.report.gallery import Gallery, Scene, Shot
from zsir.experiments.spec import noise_level
from zsir.experiments.summary import Row

#: lines of a list of failures or of unfinished cells; the manifests have all
LINES = 100
#: pictures of so many pixels are shown pixel by pixel, not smoothed
SMALL = 256
BOLD = (
    "Bold: the best mean of a task, among methods that are done with all its pictures, seeds and samples that any is "
    "done with, two at least, and where all values are finite."
)
#: columns that hold noise levels
LEVELS = ["noise", "told"]

KINDS = {
    "error": "|estimate - truth|",
    "misfit": "|A estimate - observation|",
    "spread": "standard deviation of the samples",
}


def build(facts: Facts, gallery: Gallery) -> str:
    """The whole page."""
    files = {
        name: (Path(__file__).parent / f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")
    }
    digest = base64.b64encode(hashlib.sha256(files["js"].encode()).digest()).decode()
    pictures = len({record["picture"] for record in facts.records})
    cells = len(facts.done)
    return Template(files["html"]).substitute(
        name=escape(facts.name),
        script_hash=f"sha256-{digest}",
        css=files["css"],
        js=files["js"],
        summary=escape(f"Results: {len(facts.records)}; cells: {cells}; pictures: {pictures}. {_dates(facts)}"),
        gaps=_list(facts.gaps, "gaps") if facts.gaps else "",
        table=_table(facts),
        plots=_plots(facts),
        gallery=_gallery(gallery),
        failures=_failures(facts),
        failed_link='<a href="#missing">Missing</a> ' if facts.gaps else "",
        provenance=_provenance(facts),
    )


def _dates(facts: Facts) -> str:
    began = [str(session.get("began", "")) for session in facts.sessions]
    return f"Begun {began[0]}." if began and began[0] else ""


def _list(lines: Iterable[str], kind: str = "") -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="{kind}">{items}</ul>' if kind else f"<ul>{items}</ul>"


def _cell(text: str, value: object = None, strong: bool = False) -> str:
    """A cell of the table; ``value``: a number that it is sorted by, in full."""
    inside = f"<strong>{escape(text)}</strong>" if strong else escape(text)
    if value is None:
        return f'<td data-value="{escape(text)}">{inside}</td>'
    return f'<td class="number" data-value="{escape(str(value))}">{inside}</td>'


def _table(facts: Facts) -> str:
    rows = facts.rows
    names = summary.metric_names(rows)
    told = any(row.told != row.noise for row in rows)
    failed = any(row.failed for row in rows)
    texts = ["task", *LEVELS[: 1 + told], "method"]
    numbers = ["calls", "pictures", *["failed"] * failed, *names, "seconds"]
    best = _best(facts, names)
    head = "".join(
        f'<th scope="col" class="{kind}"><button type="button">{escape(name)}</button>{_better(facts, name)}</th>'
        for kind, name in [
            *(("number" if name in LEVELS else "text", name) for name in texts),
            *(("number", name) for name in numbers),
        ]
    )
    body = "\n".join(_row(row, texts, names, failed, best) for row in rows)
    caption = f"{summary.caption(rows)} {BOLD}"
    return (
        f'<p class="soft" id="intervals">{escape(caption)}</p><div class="wide" role="region" aria-label="Results" '
        'tabindex="0"><table id="table" aria-describedby="intervals">'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _better(facts: Facts, name: str) -> str:
    better = facts.better(name)
    return f"<small>{better} is better</small>" if better in ("higher", "lower") else ""


def _best(facts: Facts, names: Sequence[str]) -> set[tuple[int, str]]:
    """Places of rows and metrics that no comparable row of the task outdoes, see `BOLD`."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in facts.rows:
        groups.setdefault((row.task, row.noise, row.told), []).append(row)
    found: set[tuple[int, str]] = set()
    for group in groups.values():
        everything = frozenset[tuple[str, int, int]]().union(*(row.done for row in group))
        whole = [row for row in group if row.done == everything]
        for name in names:
            which = {"higher": max, "lower": min}.get(facts.better(name) or "")
            if len(whole) < 2 or which is None or any(row.counted.get(name) != len(everything) for row in whole):
                continue
            top = which(row.metrics[name].mean for row in whole)
            found |= {(row.place, name) for row in whole if row.metrics[name].mean == top}
    return found


def _row(row: Row, texts: Sequence[str], names: Sequence[str], failed: bool, best: set[tuple[int, str]]) -> str:
    cells = [_level(getattr(row, key)) if key in LEVELS else _cell(getattr(row, key)) for key in texts]
    cells.append(_number(row.nfe, 0))
    cells += [_cell(str(count), count) for count in (row.pictures, *[row.failed] * failed)]
    for name in names:
        held = row.metrics.get(name)
        value = held.mean if held is not None else ""
        cells.append(_cell(summary.in_words(row, name), value, (row.place, name) in best))
    return f"<tr>{''.join(cells)}{_number(row.seconds, 3)}</tr>"


def _level(text: str) -> str:
    """A noise level as it was written, sorted by its value."""
    return _cell(text, noise_level(text, "noise"))


def _number(value: float, digits: int) -> str:
    return _cell("", "") if math.isnan(value) else _cell(f"{value:.{digits}f}", value)


def _plots(facts: Facts) -> str:
    parts = []
    signs = "".join(
        f'<li><span aria-hidden="true" style="color:{colour}">{sign}</span> {escape(name)}</li>'
        for name, (colour, sign) in plots.legend(facts.rows).items()
    )
    for title, (panels, note) in (
        ("Quality over network calls", plots.quality_by_calls(facts)),
        ("Perception against distortion", plots.perception(facts)),
    ):
        figures = "".join(
            f'<figure role="img" aria-label="{escape(panel.words)}; the table has the numbers">{panel.svg}'
            f"<figcaption>{escape(panel.title)}</figcaption></figure>"
            for panel in panels
        )
        parts.append(f"<h3>{title}</h3>")
        parts.append(f'<p class="soft">{escape(note)}</p>' if note else "")
        parts.append(f'<div class="panels">{figures}</div>' if figures else "")
    return f'<ul class="legend" aria-label="Methods">{signs}</ul>' + "".join(parts)


def _gallery(gallery: Gallery) -> str:
    kinds = dict.fromkeys(kind for scene in gallery.scenes for kind in scene.scales)
    boxes = (("wholes", "whole pictures", True), ("details", "details", True), ("maps", "maps", False))
    toggles = "".join(
        f'<label><input type="checkbox" value="{value}"{" checked" if on else ""}> {label}</label>'
        for value, label, on in boxes
        if kinds or value != "maps"
    )
    head = f'<div class="toggles" hidden>Show: {toggles}</div>' if gallery.scenes else ""
    lead = "A detail is the part of a picture that varies most, pixel by pixel. Maps are made from the 8-bit pictures: "
    maps = ", then ".join(KINDS[kind] for kind in kinds)
    text = f'<p class="soft">{escape(lead + maps)}.</p>' if kinds else ""
    notes = _list(gallery.notes) if gallery.notes else ""
    return notes + head + text + "\n".join(_scene(scene, k) for k, scene in enumerate(gallery.scenes))


def _scene(scene: Scene, number: int) -> str:
    title = f"{scene.picture}: {scene.task}"
    choices = [shot.label for shot in scene.shots]

    def select(side: str, chosen: int) -> str:
        entries = "".join(
            f'<option value="{k}"{" selected" if k == chosen else ""}>{escape(label)}</option>'
            for k, label in enumerate(choices)
        )
        place = {"before": "Left", "after": "Right"}[side]
        return f'<label>{place} <select data-side="{side}">{entries}</select></label>'

    small = " small" if max(scene.width, scene.height) <= SMALL else ""
    shape = f"aspect-ratio:{scene.width}/{scene.height}"
    stage = (
        f'<div class="stage" hidden><div class="frame{small}" style="{shape}"><img class="after" alt="">'
        f'<img class="before" alt=""><div class="bar"></div></div><input type="range" min="0" max="100" '
        f'value="50" aria-label="{escape(title)}: share of the left picture, in per cent"><div class="pick">'
        f"{select('before', 0)}{select('after', min(2, len(choices) - 1))}</div></div>"
    )
    scales = "; ".join(f"{KINDS[kind]}: brightest at {value:.3f}" for kind, value in scene.scales.items())
    note = f'<p class="soft">Maps, on the [0, 1] scale: {escape(scales)} and more.</p>' if scales else ""
    shots = "".join(_shot(shot, title) for shot in scene.shots)
    opened = " open" if number < 4 else ""
    return (
        f'<details class="scene"{opened}><summary>{escape(title)}</summary>{stage}{note}'
        f'<div class="shots">{shots}</div></details>'
    )


def _shot(shot: Shot, title: str) -> str:
    name = escape(f"{shot.label}; {title}")
    parts = [
        f'<img class="whole" src="{shot.whole}" alt="{name}">',
        f'<img class="detail" src="{shot.detail}" alt="detail of {name}">',
        *(f'<img class="map" src="{m.src}" alt="{escape(KINDS[m.kind])} of {name}">' for m in shot.maps),
    ]
    values = ", ".join(
        f"{metric} {'without a value' if value is None else f'{value:.{measures.digits(metric)}f}'}"
        for metric, value in shot.metrics.items()
    )
    return f"<figure>{''.join(parts)}<figcaption><b>{escape(shot.label)}</b>{escape(values)}</figcaption></figure>"


def _failures(facts: Facts) -> str:
    """What failed with its sentence, and the cells that lack results."""
    if not facts.gaps:
        return ""
    failed = [f"{r['cell']} | {r['picture']}: {r['error']}" for r in facts.failed]
    lacking = [
        f"{cell}: {count} of {facts.per_cell} done" for cell, count in facts.done.items() if count < facts.per_cell
    ]
    parts = []
    for title, lines in (("Failed", failed), ("Unfinished cells", lacking)):
        if lines:
            more = [f"... and {len(lines) - LINES} more"] if len(lines) > LINES else []
            parts.append(f"<h3>{title}</h3>{_list([*lines[:LINES], *more])}")
    return (
        '<section id="missing" aria-labelledby="h-missing"><h2 id="h-missing">Missing</h2>'
        + _list(facts.gaps)
        + "".join(parts)
        + "</section>"
    )


def _provenance(facts: Facts) -> str:
    pairs = [("spec hash", facts.hash), ("made with", reading.versions(facts.records))]
    pairs += [(f"weights of {prior}", prints) for prior, prints in reading.weights(facts.records).items()]
    for session in facts.sessions:
        keys = ("command", "machine", "system", "processor", "cores", "python", "device", "rank")
        text = "; ".join(f"{key} {session[key]}" for key in keys if session.get(key) not in (None, ""))
        pairs.append((f"begun {session.get('began', '')}", text))
    pairs += list(facts.provenance.items())
    pairs.append(("report", f"zsir {zsir.__version__}, {hardware.now()}"))
    entries = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in pairs)
    return f'<dl>{entries}</dl><h3>Spec</h3><pre tabindex="0"><code>{escape(facts.text)}</code></pre>'
