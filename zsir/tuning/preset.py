"""The file that ``zsir tune`` writes and ``zsir solve --preset`` reads: how to restore one kind of degradation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from zsir.errors import BadInput, BadSpec, UnknownName
from zsir.files import write_bytes
from zsir.names.registry import suggest
from zsir.operators.catalogue import OPERATORS
from zsir.priors.catalogue import PRIORS
from zsir.priors.wrappers.settings import Wrapping
from zsir.samplers.catalogue import SAMPLERS

VERSION = 1
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Preset:
    """Specs of operator, prior and sampler, the noise on the [0, 1] scale (None: estimated for each picture), the
    arithmetic and the tiles, and how they were found: the goal, its mean with these settings and with the ``given``
    sampler, over how many pictures and trials, and the hash of the prior's weights. Paths in specs are as they were
    typed."""

    op: str
    noise: float | None
    prior: str
    sampler: str
    tile: int | None
    precision: str
    dtype: str
    goal: str
    value: float
    given: str
    given_value: float
    pictures: int
    trials: int
    weights_sha256: str
    zsir: str

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all; raises `OutputError`."""
        write_bytes(path, (json.dumps({"preset": VERSION, **asdict(self)}, indent=2) + "\n").encode())

    @staticmethod
    def read(path: Path) -> Preset:
        """Raises `BadInput` where the file cannot be read, `BadSpec` where it is no preset or names what is unknown."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError):
            raise BadSpec(f"{path} is no preset: it is not JSON; 'zsir tune' writes one.") from None
        if not isinstance(data, dict) or data.get("preset") != VERSION or data["preset"] is True:
            raise BadSpec(
                f"{path} is no preset of this version of zsir ('preset': {VERSION}); make one by 'zsir tune'."
            )
        return _checked(path, {key: value for key, value in data.items() if key != "preset"})


def _checked(path: Path, data: dict[str, Any]) -> Preset:
    kinds = {"str": (str,), "int": (int,), "float": (float, int)}
    kinds |= {f"{name} | None": (*types, type(None)) for name, types in kinds.items()}
    wanted = {field.name: kinds[str(field.type)] for field in fields(Preset)}
    for key in data:
        if key not in wanted:
            raise BadSpec(f"{path}: a preset has no entry '{key}'{suggest(key, wanted)}")
    for key, types in wanted.items():
        if key not in data:
            raise BadSpec(f"{path}: the preset lacks the entry '{key}'; make it again by 'zsir tune'.")
        if not isinstance(data[key], types) or isinstance(data[key], bool):
            raise BadSpec(f"{path}: the entry '{key}' of the preset is {data[key]!r}, not {types[0].__name__}.")
    if data["noise"] is not None and not 0 <= data["noise"] <= 1:
        raise BadSpec(f"{path}: the noise of the preset is {data['noise']}; it must lie in [0, 1].")
    try:
        Wrapping(data["tile"], data["precision"])
    except BadSpec as error:
        raise BadSpec(f"{path}: {error}") from None
    if data["dtype"] not in DTYPES:
        raise BadSpec(f"{path}: the dtype of the preset is {data['dtype']!r}; known are {' and '.join(DTYPES)}.")
    for registry, key in ((OPERATORS, "op"), (PRIORS, "prior"), (SAMPLERS, "sampler")):
        try:
            registry.parse(data[key])
        except (BadSpec, UnknownName) as error:
            raise BadSpec(f"{path}: {error}") from None
    return Preset(**data)
