"""An experiment as a TOML file: read strictly, every mistake one sentence that names the key. See README.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from zsir.errors import BadSpec, UnknownName
from zsir.experiments import measures, toml
from zsir.names.registry import number, suggest
from zsir.priors.wrappers.settings import PRECISIONS

Scalar: TypeAlias = str | int | float | bool

SHIPPED = Path(__file__).parent / "specs"
TABLES = ("data", "task", "method", "run")
TOP = ("name", *TABLES, "provenance", "digests")


@dataclass(frozen=True)
class Data:
    """Which pictures: a folder or files; ``observed`` holds real observations instead of simulated ones."""

    folder: str | None = None
    files: tuple[str, ...] = ()
    observed: str | None = None
    pictures: int | None = None
    size: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Block:
    """One [[task]] or [[method]]: every key with the values that it takes; ``listed`` are those written as lists."""

    where: str
    values: dict[str, tuple[Scalar, ...]]
    listed: frozenset[str]


@dataclass(frozen=True)
class Run:
    """How often, how measured, what is kept."""

    seeds: tuple[int, ...] = (0,)
    samples: int = 1
    metrics: tuple[str, ...] = ("psnr", "ssim")
    crop: int = 0
    noise_told: tuple[Scalar, ...] = ()
    save: str = "all"
    batch: int | str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class Spec:
    """An experiment. ``base`` is the folder that relative paths of its data begin at; ``digests`` has the SHA-256 of
    the files that operators, priors, samplers and metrics name."""

    name: str
    data: Data
    tasks: tuple[Block, ...]
    methods: tuple[Block, ...]
    run: Run
    provenance: dict[str, str] = field(default_factory=dict)
    base: Path = Path()
    digests: dict[str, str] = field(default_factory=dict)

    def resolved(self) -> dict[str, Any]:
        """The spec with all defaults written out, as a TOML file holds it."""
        data = {key: list(held) if isinstance(held, tuple) else held for key, held in asdict(self.data).items()}
        return {
            "name": self.name,
            "data": {key: held for key, held in data.items() if held not in (None, [])},
            "task": [_written(block) for block in self.tasks],
            "method": [_written(block) for block in self.methods],
            "run": {key: list(held) if isinstance(held, tuple) else held for key, held in asdict(self.run).items()},
            "provenance": dict(self.provenance),
            **({"digests": dict(self.digests)} if self.digests else {}),
        }


def _written(block: Block) -> dict[str, Any]:
    return {key: list(held) if key in block.listed else held[0] for key, held in block.values.items()}


@dataclass(frozen=True)
class Kind:
    """What a key may hold: a test, and words for it."""

    accepts: Callable[[Any], bool]
    words: str


def _whole(held: Any, least: int = 1) -> bool:
    return isinstance(held, int) and not isinstance(held, bool) and held >= least


def _scalar(held: Any) -> bool:
    return isinstance(held, str | int | float)


def _list_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda held: isinstance(held, list) and bool(held) and all(map(accepts, held))


def _is_save(held: Any) -> bool:
    return held in ("all", "none") or (
        isinstance(held, str) and held.startswith("first:") and held.removeprefix("first:").isdecimal()
    )


TEXT = Kind(lambda held: isinstance(held, str) and bool(held), 'text in quotes, such as "photos"')
TEXTS = Kind(_list_of(TEXT.accepts), 'a list of texts, such as ["a.png", "b.png"]')
COUNT = Kind(_whole, "a whole number of at least 1, such as 4")

DATA_KEYS = {"folder": TEXT, "files": TEXTS, "observed": TEXT, "pictures": COUNT, "size": COUNT, "digest": TEXT}
RUN_KEYS = {
    "seeds": Kind(_list_of(lambda held: _whole(held, 0)), "a list of whole numbers, such as [0, 1]"),
    "samples": COUNT,
    "metrics": TEXTS,
    "crop": Kind(lambda held: _whole(held, 0), "a whole number of pixels, such as 4"),
    "noise_told": Kind(
        lambda held: isinstance(held, list) and all(map(_scalar, held)),
        'a list of noise levels, such as [0.02, "5/255"]',
    ),
    "save": Kind(_is_save, '"all", "none" or "first:8"'),
    "batch": Kind(lambda held: held == "auto" or _whole(held), '"auto" or a whole number of at least 1'),
    "threads": COUNT,
}
#: what is put around the prior of a [[method]]
WRAPPING_KEYS = {
    "tile": Kind(lambda held: _whole(held, 0), "the side of the windows in pixels, such as 256, or 0 for none"),
    "precision": Kind(lambda held: held in PRECISIONS, '"' + '", "'.join(PRECISIONS[:-1]) + f'" or "{PRECISIONS[-1]}"'),
    "ensemble": Kind(lambda held: isinstance(held, bool), "true or false"),
}
#: what stands for a key of these that is left out
UNWRAPPED: dict[str, Scalar] = {"tile": 0, "precision": PRECISIONS[0], "ensemble": False}
#: keys of a [[task]] and of a [[method]]; all others are variables that fill {braces}
TASK_KEYS, METHOD_KEYS = ("label", "op", "noise"), ("label", "prior", "sampler", "restorer", *WRAPPING_KEYS)
METHOD_DEFAULTS = {"prior": "photo"}
TASK_DEFAULTS = {"noise": 0.0}


def shipped() -> dict[str, Path]:
    """The specs that come with the package: name -> file."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def read_spec(source: str, changes: Sequence[str] = ()) -> Spec:
    """The spec in the file ``source``, or the shipped one of that name, with ``changes`` such as ``data.pictures=2``.

    Raises `UnknownName`, `BadInput` or `BadSpec`.
    """
    path, known = Path(source), shipped()
    ours = not path.is_file() and source in known
    if not path.exists() and not ours:
        meant = suggest(source, known)
        if "did you mean" not in meant:
            meant = f"; shipped are {', '.join(known)}."
        raise UnknownName(f"There is no file {source}, and no shipped spec of that name{meant}")
    path = known[source] if ours else path
    tables = toml.read(path)
    for change in changes:
        _change(tables, change)
    # what a shipped spec asks its user to bring lies where the user is
    return parse(tables, Path() if ours else path.parent)


def _change(tables: dict[str, Any], change: str) -> None:
    """Put ``table.key=value`` (``method.0.key=value`` in a list of tables) in its place."""
    place, equals, text = change.partition("=")
    parts = [part.strip() for part in place.split(".")]
    if not equals or not all(parts):
        raise BadSpec(f"--set {change}: write table.key=value, such as data.pictures=2 or method.0.nfe=[1,2].")
    holder: Any = tables
    for depth, part in enumerate(parts[:-1]):
        if _are_tables(holder):
            if not part.isdecimal() or int(part) >= len(holder):
                raise BadSpec(f"--set {change}: {parts[depth - 1]} counts from 0 to {len(holder) - 1}.")
            holder = holder[int(part)]
            continue
        if depth == 0 and part not in TOP:
            raise BadSpec(f"--set {change}: a spec has no table '{part}'{suggest(part, TOP)}")
        _check_table(holder, parts[:depth], change)
        holder = holder.setdefault(part, {})
    first, last = ".".join(parts[:-1]), parts[-1]
    if _are_tables(holder) and last.isdecimal():
        raise BadSpec(
            f"--set {change}: {first}.{last} is a table; name a key of it, as in {first}.{last}.label={text}."
        )
    if _are_tables(holder):
        raise BadSpec(f"--set {change}: {first} is a list; say which one: {first}.0.{last}={text}.")
    _check_table(holder, parts[:-1], change)
    holder[last] = toml.value(text.strip())


def _are_tables(held: Any) -> bool:
    return isinstance(held, list) and all(isinstance(entry, dict) for entry in held)


def _check_table(held: Any, parts: Sequence[str], change: str) -> None:
    """Raise `BadSpec` where a change goes into a value as if that were a table."""
    if not isinstance(held, dict):
        name = ".".join(parts)
        raise BadSpec(f"--set {change}: {name} is a value and has no keys; write --set {name}=... to change it.")


def parse(tables: Mapping[str, Any], base: Path = Path()) -> Spec:
    """A spec out of the tables of its file; raises `BadSpec` for whatever is unknown, missing or of the wrong kind."""
    _known(tables, TOP, "A spec")
    for key in TABLES[:3]:
        if key not in tables:
            sign = f"[{key}]" if key == "data" else f"[[{key}]]"
            raise BadSpec(f"The spec has no {sign}; see zsir/experiments/README.md for its tables.")
    data = _table(tables["data"], "[data]", DATA_KEYS)
    if ("folder" in data) == ("files" in data):
        raise BadSpec('[data] needs either folder = "..." or files = ["...", ...].')
    run = _table(tables.get("run", {}), "[run]", RUN_KEYS)
    measures.check(run.get("metrics", ()))
    crop, size = run.get("crop", 0), data.get("size")
    if size is not None and 2 * crop >= size:
        raise BadSpec(f"[run] crop = {crop} leaves nothing of pictures of [data] size = {size}; take a smaller one.")
    name = tables.get("name", "experiment")
    if not TEXT.accepts(name):
        raise BadSpec(f"name = {name!r} must be {TEXT.words}.")
    provenance = _texts(tables, "provenance", 'source = "paper, table 1"')
    digests = _texts(tables, "digests", '"k.png" = "SHA-256"')
    tasks = _blocks(tables["task"], "task", TASK_KEYS, TASK_DEFAULTS)
    methods = _blocks(tables["method"], "method", METHOD_KEYS, METHOD_DEFAULTS)
    for block, key in [(block, "op") for block in tasks] + [(block, "sampler") for block in methods]:
        if key not in block.values and "restorer" not in block.values:
            raise BadSpec(f"{block.where} needs {key} = ...; 'zsir list' shows what there is.")
    return Spec(name, Data(**data), tasks, methods, Run(**run), provenance, base, digests)


def _texts(tables: Mapping[str, Any], key: str, example: str) -> dict[str, str]:
    """A table of texts, which may be missing."""
    held = tables.get(key, {})
    if not isinstance(held, Mapping) or not all(isinstance(text, str) for text in held.values()):
        raise BadSpec(f"[{key}] holds texts, such as {example}.")
    return dict(held)


def _known(table: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise BadSpec(f"{where} has no key '{key}'{suggest(key, keys)}")


def _table(table: Any, where: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """A table whose keys and values are checked, lists as tuples."""
    if not isinstance(table, Mapping):
        raise BadSpec(f"{where} must be a table of key = value lines.")
    _known(table, list(kinds), where)
    for key, held in table.items():
        if not kinds[key].accepts(held):
            raise BadSpec(f"{where} {key} = {held!r} must be {kinds[key].words}.")
    return {key: tuple(held) if isinstance(held, list) else held for key, held in table.items()}


def _blocks(tables: Any, name: str, keys: Sequence[str], defaults: Mapping[str, Scalar]) -> tuple[Block, ...]:
    if not isinstance(tables, list) or not tables or not all(isinstance(table, Mapping) for table in tables):
        raise BadSpec(f"{name} must be written as one or more tables, each headed [[{name}]].")
    found = []
    for place, table in enumerate(tables):
        where = f"[[{name}]] {place + 1}" if len(tables) > 1 else f"[[{name}]]"
        listed = {key for key, held in table.items() if isinstance(held, list)}
        values: dict[str, tuple[Scalar, ...]] = {}
        for key, held in {**defaults, **table}.items():
            options = held if key in listed else [held]
            if not options or not all(map(_scalar, options)):
                raise BadSpec(f"{where} {key} = {held!r} must be a text or number, or a list of them for a grid.")
            kind = WRAPPING_KEYS.get(key, TEXT)
            if key in keys and key != "noise" and not all(map(kind.accepts, options)):
                raise BadSpec(f"{where} {key} = {held!r} must be {kind.words}.")
            values[key] = tuple(options)
        if "label" in listed:
            raise BadSpec(f"{where} label = {table['label']!r} must be one text; {{braces}} in it name the variables.")
        for level in values.get("noise", ()):
            noise_level(level, f"{where} noise")
        found.append(Block(where, values, frozenset(listed)))
    return tuple(found)


def text_of(held: Scalar) -> str:
    """A value as people write it in a spec string: ``0.05``, ``4``, ``true``."""
    if isinstance(held, bool):
        return "true" if held else "false"
    return held if isinstance(held, str) else repr(held).removesuffix(".0")


def noise_level(held: Scalar, where: str) -> float:
    """A standard deviation on the [0, 1] scale; raises `BadSpec`."""
    try:
        std = number(text_of(held))
    except BadSpec as error:
        raise BadSpec(f"{where}: {error}") from None
    if not 0 <= std <= 1:
        raise BadSpec(f'{where} = {text_of(held)} must lie on the [0, 1] scale; write "5/255" for what others call 5.')
    return std


def identity(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the results, as flat ``table.key -> value``: not the place of the pictures but their digest, those
    of the files that specs name, not the batch, not the provenance. A crop of 0 counts as no crop, a wrapper that is
    told to do nothing as none."""
    flat: dict[str, Any] = {"name": resolved["name"]}
    for key, held in resolved["data"].items():
        if key not in ("folder", "files", "observed"):
            flat[f"data.{key}"] = held
    for table in ("task", "method"):
        for place, block in enumerate(resolved[table]):
            idle = UNWRAPPED if table == "method" else {}
            kept = {key: held for key, held in block.items() if key not in idle or held != idle[key]}
            flat.update({f"{table}.{place}.{key}": held for key, held in kept.items()})
    flat.update({f"run.{key}": held for key, held in resolved["run"].items() if key != "batch"})
    flat.update({f"digests.{path}": held for path, held in resolved.get("digests", {}).items()})
    if not flat.get("run.crop"):
        flat.pop("run.crop", None)
    return flat


def spec_hash(resolved: Mapping[str, Any]) -> str:
    """SHA-256 of what decides the results, in 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity(resolved), sort_keys=True).encode()).hexdigest()


def first_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """``key = ours here and theirs there`` for the first key that differs, or None."""
    a, b = identity(ours), identity(theirs)
    for key in [*a, *(key for key in b if key not in a)]:
        if a.get(key) != b.get(key):
            told = ["missing" if key not in side else repr(side[key]) for side in (a, b)]
            if key.startswith("digests."):
                return (
                    f"the file {key.removeprefix('digests.')} is another one (SHA-256 {told[0]} here, {told[1]} there)"
                )
            return f"{key} is {told[0]} here and {told[1]} there"
    return None
