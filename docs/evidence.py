"""Plots of the numbers in experiments/EVIDENCE.md, as SVG inside the page.

They are drawn from the page's own table whenever the site is built, so that they cannot say anything else, and take
the colours of the page, light or dark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: colours that can be told apart with every common kind of colour vision, on light and on dark
COLOURS = ("#0a9396", "#ee9b00", "#ca6702", "#ae2012", "#8367c7", "#3a86ff", "#e0559b")
SHAPES = ("circle", "square", "diamond", "triangle", "circle", "square", "diamond")
WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 760, 150, 20, 22, 64, 44
LINEAR = "Tikhonov"


@dataclass(frozen=True)
class Results:
    """The first table of the page: methods, tasks with their noise, and (PSNR, SSIM, ST-LPIPS) of each."""

    methods: list[str]
    tasks: list[str]
    cells: list[list[tuple[float, ...]]]


def results(page: str) -> Results:
    """Read the first table of the page; raises ValueError where it is another one than expected."""
    table = re.search(r"^\| task \|.*?(?=\n\n)", page, re.MULTILINE | re.DOTALL)
    if table is None:
        raise ValueError("experiments/EVIDENCE.md has no table that begins with a column 'task'")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()]
    header, body = rows[0], rows[2:]
    if header[2] != LINEAR:
        raise ValueError(f"the third column of the first table is {header[2]!r}, expected {LINEAR!r}")
    cells = [[tuple(float(v) for v in re.findall(r"\d+\.\d+", cell)) for cell in row[2:]] for row in body]
    if any(len(cell) != 3 for row in cells for cell in row):
        raise ValueError("a cell of the first table does not hold three numbers")
    return Results(header[2:], [f"{row[0]}, {row[1]}" for row in body], cells)


def plots(page: str) -> str:
    """The three plots with their captions, in HTML."""
    found = results(page)
    gain = [[cell[0] - row[0][0] for cell in row] for row in found.cells]
    looks = [[cell[2] for cell in row] for row in found.cells]
    return "\n\n".join(
        [
            figure(
                dots(found, gain, "PSNR above Tikhonov, dB"),
                "What each method gains over the linear answer (Tikhonov, the line at 0). Further right is better. "
                "Rows are tasks with their noise.",
            ),
            figure(
                dots(found, looks, "ST-LPIPS"),
                "Distance of appearance from the truth. Further left is better.",
            ),
            figure(
                scatter(found),
                "Both at once, as means over the 20 rows. Better is down and right: the methods with the highest PSNR "
                "are not those that look closest to the truth.",
            ),
        ]
    )


def figure(svg: str, words: str) -> str:
    """A drawing with its caption."""
    return f'<figure class="drawing">\n{svg}\n<figcaption>{words}</figcaption>\n</figure>'


def dots(found: Results, values: list[list[float]], label: str) -> str:
    """One row a task, one mark a method."""
    low, high, ticks = scale([v for row in values for v in row])
    height = TOP + ROW * len(found.tasks) + BOTTOM

    def at(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    base = height - BOTTOM
    parts = [legend(found.methods)]
    for tick in ticks:
        x = at(tick)
        parts.append(line(x, TOP - 8, x, base, 1.4 if tick == 0 and low < 0 else 0.5))
        parts.append(words(x, base + 16, f"{tick:g}", "middle"))
    parts.append(words((LEFT + WIDTH - RIGHT) / 2, base + 36, label, "middle"))
    for k, (task, row) in enumerate(zip(found.tasks, values, strict=True)):
        y = TOP + ROW * k + 6
        parts.append(words(LEFT - 10, y + 4, task, "end"))
        parts.append(line(at(min(row)), y, at(max(row)), y, 0.7))
        parts += [mark(at(value), y, m, found.methods[m]) for m, value in enumerate(row)]
    return svg(height, parts, f"{label} of {len(found.methods)} methods on {len(found.tasks)} tasks")


def scatter(found: Results) -> str:
    """Mean PSNR against mean ST-LPIPS."""
    count = len(found.tasks)
    means = [[sum(row[m][i] for row in found.cells) / count for i in (0, 2)] for m in range(len(found.methods))]
    (x_low, x_high, x_ticks), (y_low, y_high, y_ticks) = (scale([mean[i] for mean in means]) for i in (0, 1))
    height, left = 360, 70
    base = height - BOTTOM

    def at(mean: list[float]) -> tuple[float, float]:
        x = left + (mean[0] - x_low) / (x_high - x_low) * (WIDTH - left - 150)
        return x, base - (mean[1] - y_low) / (y_high - y_low) * (base - 20)

    parts = []
    for tick in x_ticks:
        x = at([tick, y_low])[0]
        parts += [line(x, 20, x, base, 0.5), words(x, base + 16, f"{tick:g}", "middle")]
    for tick in y_ticks:
        y = at([x_low, tick])[1]
        parts += [line(left, y, WIDTH - 150, y, 0.5), words(left - 8, y + 4, f"{tick:g}", "end")]
    parts.append(words((left + WIDTH - 150) / 2, base + 36, "mean PSNR, dB", "middle"))
    parts.append(words(left - 50, 12, "mean ST-LPIPS", "start"))
    for m, mean in enumerate(means):
        x, y = at(mean)
        parts += [mark(x, y, m, found.methods[m]), words(x + 10, y + 4, found.methods[m], "start")]
    return svg(height, parts, "mean PSNR and mean ST-LPIPS of each method")


def scale(values: list[float]) -> tuple[float, float, list[float]]:
    """Lowest and highest number of an axis and its ticks, at round numbers."""
    low, high = min(values), max(values)
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if (high - low) / s <= 8)
    first, last = int(low // step), -int(-high // step)
    return first * step, last * step, [round(k * step, 4) for k in range(first, last + 1)]


def legend(methods: list[str]) -> str:
    """Marks and names, in two lines."""
    parts, x, y = [], 10.0, 14.0
    for m, method in enumerate(methods):
        wide = 24 + 7.2 * len(method)
        if x + wide > WIDTH:
            x, y = 10.0, y + 20
        parts += [mark(x + 6, y, m, method), words(x + 16, y + 4, method, "start")]
        x += wide + 10
    return "".join(parts)


def mark(x: float, y: float, m: int, title: str) -> str:
    """The mark of method ``m``: colour and shape."""
    shape, colour = SHAPES[m % len(SHAPES)], COLOURS[m % len(COLOURS)]
    drawn = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.6"',
        "square": f'<rect x="{x - 4.2:.1f}" y="{y - 4.2:.1f}" width="8.4" height="8.4"',
        "diamond": f'<path d="M{x:.1f} {y - 5.8:.1f}l5.8 5.8l-5.8 5.8l-5.8 -5.8z"',
        "triangle": f'<path d="M{x:.1f} {y - 5.4:.1f}l5.4 9.6h-10.8z"',
    }[shape]
    return f'{drawn} fill="{colour}" fill-opacity="0.9"><title>{title}</title></{drawn[1:].split(" ")[0]}>'


def line(x1: float, y1: float, x2: float, y2: float, width: float) -> str:
    """A thin line in the colour of the text."""
    where = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {where} stroke="var(--color-foreground-muted)" stroke-width="{width}"/>'


def words(x: float, y: float, text: str, anchor: str) -> str:
    """A label."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="13" text-anchor="{anchor}">{text}</text>'


def svg(height: float, parts: list[str], title: str) -> str:
    """The drawing as one element without empty lines, which would end it in markdown."""
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">\n' + "\n".join(parts) + "\n</svg>"
