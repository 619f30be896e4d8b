"""Fill the model cards of the embedded priors with what can be counted.

    python -m tools.photo.cards NAME WEIGHTS CURVE PHOTOS OUT

NAME is ``photo`` or ``cm-photo``; WEIGHTS a prior.safetensors, CURVE the curve.tsv of its run, PHOTOS the photos.tsv
that `tools.photo.fetch` wrote. Copies the weights to OUT/NAME.safetensors and writes OUT/NAME.md: hash,
number of parameters, learning curve, and every picture with its licence.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

from zsir.files import write_bytes
from zsir.priors import trained
from zsir.priors.checkpoints.tensors import fingerprint


def curve(path: Path) -> str:
    """The steps at which PSNR was measured, as table rows."""
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()[1:]]
    return "\n".join(f"| {' | '.join([row[0], *row[2:]])} |" for row in rows if len(row) > 2)


def sources(path: Path) -> str:
    """Every picture under its package and licence; authors where the licence asks for their names."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            groups[row["source"], row["licence"]].append(row)
    text = []
    for (source, licence), rows in sorted(groups.items()):
        size = sum(float(row["megapixels"]) for row in rows)
        names = {row["path"]: row["author"] if licence.startswith("CC-BY") else "" for row in rows}
        listed = ", ".join(f"`{p.split('/')[-1]}`" + (f" ({author})" if author else "") for p, author in names.items())
        text.append(f"- **{source}**, {licence}: {len(names)} pictures, {size:.1f} megapixels. {listed}.")
    return "\n".join(text)


def main() -> None:
    """Command line of the module."""
    if len(sys.argv) != 6:
        sys.exit("usage: python -m tools.photo.cards photo|cm-photo WEIGHTS CURVE PHOTOS OUT")
    name, (weights, learned, photos, out) = sys.argv[1], map(Path, sys.argv[2:])
    net = trained(str(weights)).net
    card = (Path(__file__).parent / f"{name}.md.in").read_text("utf-8")
    card = card.format(
        parameters=f"{sum(p.numel() for p in net.parameters()):,}",
        digest=fingerprint(weights),
        curve=curve(learned),
        sources=sources(photos),
    )
    write_bytes(out / f"{name}.safetensors", weights.read_bytes())
    write_bytes(out / f"{name}.md", card.encode())


if __name__ == "__main__":
    main()
