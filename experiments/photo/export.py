"""Turn a training run into what the package ships: the weights file and its model card.

    python -m zsir.experiments.photo.export RUN PHOTOS OUT

Writes OUT/photo.safetensors (the averaged network in half precision, its configuration in the header) and
OUT/photo.md (recipe, learning curve, hash, and every picture with its licence), from RUN/checkpoint.pt,
RUN/curve.tsv and PHOTOS/photos.tsv.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import sys
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import save_file

from zsir.experiments.photo.train import CONFIG, Recipe


def export_weights(checkpoint: Path, out: Path) -> tuple[str, int]:
    """Write ``out`` whole or not at all; returns its SHA-256 and the number of parameters."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    tensors = {name: t.half().contiguous() for name, t in state["ema"].items()}
    temporary = out.with_suffix(".tmp")
    save_file(tensors, temporary, {"config": json.dumps(dataclasses.asdict(CONFIG)), "step": str(state["step"])})
    temporary.chmod(0o644)
    temporary.replace(out)
    return hashlib.sha256(out.read_bytes()).hexdigest(), sum(t.numel() for t in tensors.values())


def curve(path: Path) -> str:
    """The steps at which PSNR was measured, as table rows."""
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    measured = {int(r[0]): r[3:6] for r in rows if len(r) == 6}
    return "\n".join(f"| {step} | {' | '.join(values)} |" for step, values in sorted(measured.items()))


def sources(path: Path) -> str:
    """Every picture under its package and licence; authors where the licence asks for their names."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with path.open() as table:
        for row in csv.DictReader(table, delimiter="\t"):
            groups[row["source"], row["licence"]].append(row)
    text = []
    for (source, licence), rows in sorted(groups.items()):
        size = sum(float(row["megapixels"]) for row in rows)
        names = {row["path"]: row["author"] if licence.startswith("CC-BY") else "" for row in rows}
        listed = ", ".join(f"`{p.split('/')[-1]}`" + (f" ({author})" if author else "") for p, author in names.items())
        text.append(f"- **{source}**, {licence}: {len(names)} pictures, {size:.1f} megapixels. {listed}.")
    return "\n".join(text)


def export(run: Path, photos: Path, out: Path) -> str:
    """Write weights and card into ``out``; returns the SHA-256 of the weights."""
    digest, parameters = export_weights(run / "checkpoint.pt", out / "photo.safetensors")
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    template = (files("zsir.experiments.photo") / "card.md").read_text()
    recipe = ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(Recipe(steps=state["step"])).items())
    card = template.format(
        parameters=f"{parameters:,}",
        widths=", ".join(map(str, CONFIG.widths)),
        steps=f"{state['step']:,}",
        recipe=recipe,
        curve=curve(run / "curve.tsv"),
        sources=sources(photos / "photos.tsv"),
        digest=digest,
    )
    (out / "photo.md").write_text(card)
    return digest


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m zsir.experiments.photo.export RUN PHOTOS OUT")
    print(export(*map(Path, sys.argv[1:])))
