"""What a run folder says: results, failures, what is missing, and where all of it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsir.errors import BadInput, ZsirError
from zsir.experiments import grid, summary, toml
from zsir.experiments.manifest import SPEC, Record, RunFolder
from zsir.experiments.sets import pictures
from zsir.experiments.spec import Spec, identity, parse, spec_hash
from zsir.experiments.summary import Row


@dataclass(frozen=True)
class Facts:
    """A run as it is now. ``total`` is the number of results that the spec asks for, None where its pictures are gone
    and nothing tells their number; ``done`` says how many results each cell has, failures not counted."""

    folder: RunFolder
    name: str
    text: str
    hash: str
    provenance: dict[str, str]
    records: list[Record]
    rows: list[Row]
    sessions: list[Record]
    total: int | None
    done: dict[str, int]
    per_cell: int

    @property
    def failed(self) -> list[Record]:
        """The results that are errors."""
        return [record for record in self.records if record["status"] != "ok"]

    @property
    def gaps(self) -> list[str]:
        """Sentences on what the run lacks."""
        found = []
        if self.total is None:
            found.append("The pictures of the spec are gone, so it is not known whether results are missing.")
        elif self.total > len(self.records):
            lack = self.total - len(self.records)
            found.append(f"The run is not finished: {lack} of {self.total} results are missing.")
        if self.failed:
            found.append(f"{len(self.failed)} of {self.total or len(self.records)} results are failures.")
        return found

    def better(self, metric: str) -> str | None:
        """``higher``, ``lower``, or None where the records do not say."""
        known = {"psnr": "higher", "ssim": "higher"}
        told = (record["better"].get(metric) for record in self.records if "better" in record)
        return next(filter(None, told), known.get(metric))


def read(run: Path) -> Facts:
    """The facts of the folder ``run``; raises `BadInput` where it is none, or nothing is done yet."""
    advice = "give the folder that 'zsir run --out' wrote"
    if not run.is_dir():
        raise BadInput(f"There is no folder {run}; {advice}.")
    if not (run / SPEC).is_file():
        raise BadInput(f"{run} is not the folder of a run: it holds no {SPEC}; {advice}.")
    folder = RunFolder(run)
    tables = toml.read(run / SPEC)
    try:
        spec = parse(tables, run)
        cells = grid.cells(spec)
        identity(tables)
    except (ZsirError, KeyError) as error:
        raise BadInput(f"{run / SPEC} is not as 'zsir run' wrote it ({error}); put it back.") from None
    records = summary.chosen(folder.records())
    if not records:
        raise BadInput(f"{run} holds no results yet; 'zsir run {run / SPEC} --out {run}' makes them.")
    sessions = folder.sessions()
    total = _asked(spec, len(cells), sessions)
    counts = Counter(record["cell"] for record in records if record["status"] == "ok")
    return Facts(
        folder,
        spec.name,
        (run / SPEC).read_text(encoding="utf-8"),
        spec_hash(tables),
        spec.provenance,
        records,
        summary.rows(records),
        sessions,
        total,
        {cell.key: counts[cell.key] for cell in cells},
        0 if total is None else total // len(cells),
    )


def _asked(spec: Spec, cells: int, sessions: Sequence[Record]) -> int | None:
    """How many results the spec asks for; where its pictures are gone, how many a run that began here meant to make."""
    try:
        return cells * len(pictures(spec)) * spec.run.samples
    except ZsirError:
        pass
    numbers = [session.get("items") for session in sessions if isinstance(session.get("items"), int)]
    return numbers[-1] if numbers else None


def weights(records: Sequence[Record]) -> dict[str, str]:
    """Prior -> fingerprints of its weights, as the records have them."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        if record["status"] == "ok" and record.get("fingerprint"):
            found.setdefault(record["prior"], {})[record["fingerprint"]] = None
    return {prior: ", ".join(prints) for prior, prints in found.items()}


def versions(records: Sequence[Record]) -> str:
    """Versions and devices that the results were made with; more than one of a kind if they changed."""
    kinds: dict[str, dict[str, None]] = {}
    for record in records:
        held: dict[str, Any] = {**record.get("versions", {}), "device": record.get("device", "")}
        for name, value in held.items():
            kinds.setdefault(name, {})[str(value)] = None
    return "; ".join(f"{name} {', '.join(values)}" for name, values in kinds.items())
