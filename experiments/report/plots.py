"""Plots of a run's table as SVG that stands inside a page: one panel for each task, colours and signs by method."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zsir.errors import Incompatible
from zsir.experiments.measures import AGAINST_DATA
from zsir.experiments.report.facts import Facts
from zsir.experiments.spec import UNWRAPPED
from zsir.experiments.summary import Mean, Row

COLOURS = ("#1f77b4", "#e6700a", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#a5a615", "#17a5b8")
#: matplotlib's markers, and the same signs as text for the legend
MARKERS, SIGNS = "os^vDP*", "●■▲▼◆✚★"
#: tasks that get a panel of their own; the table has all
PANELS = 12
#: pictures from which on intervals are drawn: those of fewer cover everything, and the table has them
BARS = 5
FIDELITY = ("psnr", "psnr-y", "ssim", "ssim-y")
#: a colour that nothing else has, which becomes the colour of the page's text
TEXT = "#010203"


@dataclass(frozen=True)
class Panel:
    """One plot: the task, what is plotted in words, and the SVG."""

    title: str
    words: str
    svg: str


@dataclass(frozen=True)
class Point:
    """A method in a panel; ``family`` joins points by lines."""

    method: str
    x: Mean
    y: Mean
    family: str = ""


def check() -> None:
    """Raise `Incompatible` where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise Incompatible("A report needs the package matplotlib for its plots; pip install 'zsir[report]'.") from None


def legend(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Method -> colour and sign."""
    methods = dict.fromkeys(row.method for row in rows)
    return {name: (COLOURS[k % len(COLOURS)], SIGNS[k % len(SIGNS)]) for k, name in enumerate(methods)}


def quality_by_calls(facts: Facts) -> tuple[list[Panel], str]:
    """PSNR over network calls, and a sentence on what is not there (empty for nothing)."""
    metric = _first(facts.rows, ("psnr", "psnr-y"))
    if metric is None:
        return [], "There is no plot of PSNR over network calls: the run did not measure PSNR."
    tasks = _tasks(facts.rows)
    panels: list[Panel] = []
    for title, rows in list(tasks.items())[:PANELS]:
        points = [
            Point(row.method, Mean(row.nfe, None, 1), row.metrics[metric], _line(row))
            for row in rows
            if metric in row.metrics
        ]
        svg = _svg(points, facts, ("network calls", _axis(metric)), f"a{len(panels)}", calls=True)
        panels.append(Panel(title, f"{_axis(metric)} over network calls, {title}", svg))
    return panels, _left_out(len(tasks))


def _line(row: Row) -> str:
    """What the points of one line have in common: prior, what is around it, and kind of sampler."""
    around = [f"{key}={row.values[key]}" for key in UNWRAPPED if key in row.values]
    return " ".join([row.prior, *around, row.sampler.partition(":")[0]])


def perception(facts: Facts) -> tuple[list[Panel], str]:
    """A perceptual metric over PSNR; SSIM over PSNR, with a sentence, where none was measured."""
    names = list(dict.fromkeys(name for row in facts.rows for name in row.metrics))
    across = _first(facts.rows, FIDELITY)
    perceptual = next((name for name in names if name not in (*FIDELITY, *AGAINST_DATA)), None)
    up = perceptual or next((name for name in ("ssim", "ssim-y") if name in names and name != across), None)
    if across is None or up is None:
        return [], "There is no plot of perception against distortion: the run measured too few metrics."
    tasks = _tasks(facts.rows)
    panels: list[Panel] = []
    for title, rows in list(tasks.items())[:PANELS]:
        held = [row for row in rows if across in row.metrics and up in row.metrics]
        points = [Point(row.method, row.metrics[across], row.metrics[up]) for row in held]
        svg = _svg(points, facts, (_axis(across), _axis(up)), f"b{len(panels)}")
        panels.append(Panel(title, f"{_axis(up)} over {_axis(across)}, {title}", svg))
    told = {"higher": "Better is above", "lower": "Better is below"}.get(facts.better(up) or "", "")
    sentence = f"{told} and to the right." if told else ""
    sentence += f" Bars are 95 % confidence intervals, drawn for {BARS} pictures and more, cut off at the frame."
    if perceptual is None:
        sentence += " The run measured no perceptual metric, so SSIM stands in its place."
    return panels, " ".join(filter(None, (sentence.strip(), _left_out(len(tasks)))))


def _left_out(tasks: int) -> str:
    return f"Plotted are the first {PANELS} of {tasks} tasks; the table has all." if tasks > PANELS else ""


def _first(rows: Sequence[Row], names: Sequence[str]) -> str | None:
    return next((name for name in names if any(name in row.metrics for row in rows)), None)


def _axis(metric: str) -> str:
    return {"psnr": "PSNR (dB)", "psnr-y": "PSNR of luma (dB)", "ssim": "SSIM", "ssim-y": "SSIM of luma"}.get(
        metric, metric
    )


def _tasks(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        told = f", told {row.told}" if row.told != row.noise else ""
        found.setdefault(f"{row.task}, noise {row.noise}{told}", []).append(row)
    return found


def _svg(points: Sequence[Point], facts: Facts, axes: tuple[str, str], prefix: str, calls: bool = False) -> str:
    """A panel; names inside it begin with ``prefix``, so that several fit one page."""
    import matplotlib
    from matplotlib.figure import Figure

    style = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), TEXT)
    texts = {"svg.fonttype": "none", "svg.hashsalt": prefix, "text.parse_math": False, "font.size": 11}
    marks = list(legend(facts.rows))
    with matplotlib.rc_context({**style, **texts}):
        figure = Figure(figsize=(4.4, 3.3), layout="constrained")
        plot = figure.add_subplot()
        for family in dict.fromkeys(point.family for point in points if point.family):
            line = sorted((p.x.mean, p.y.mean) for p in points if p.family == family)
            if len({x for x, _ in line}) > 1:
                plot.plot(*zip(*line, strict=True), color="#888888", linewidth=1, zorder=1)
        for point in points:
            k = marks.index(point.method)
            plot.errorbar(
                point.x.mean,
                point.y.mean,
                xerr=_bar(point.x),
                yerr=_bar(point.y),
                color=COLOURS[k % len(COLOURS)],
                marker=MARKERS[k % len(MARKERS)],
                markersize=7,
                elinewidth=0.8,
            )
        _frame(plot, points, calls)
        plot.set_xlabel(axes[0])
        plot.set_ylabel(axes[1])
        plot.grid(color="#888888", alpha=0.25)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), prefix)


def _bar(value: Mean) -> float | None:
    return value.half if value.n >= BARS else None


def _frame(plot: Any, points: Sequence[Point], calls: bool) -> None:
    """Axes that fit the means: intervals can be far wider, and are cut off. Calls are ticks."""
    if not points:
        return
    for values, limit in (([p.x.mean for p in points], plot.set_xlim), ([p.y.mean for p in points], plot.set_ylim)):
        low, high = min(values), max(values)
        margin = 0.2 * (high - low) or 0.05 * abs(high) or 1.0
        if limit == plot.set_ylim or not calls:
            limit(low - margin, high + margin)
    if calls:
        ticks = sorted({p.x.mean for p in points})
        if ticks[-1] > 4 * max(1, ticks[0]):
            plot.set_xscale("log", base=2)
        plot.set_xticks(ticks if len(ticks) <= 6 else ticks[:: -(-len(ticks) // 6)], minor=False)
        plot.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _inline(text: str, prefix: str) -> str:
    """The drawing alone, without prologue and metadata, which hold addresses."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text, count=1)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    return text.replace("xlink:href", "href").replace(TEXT, "currentColor")
