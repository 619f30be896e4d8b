"""Pictures of a run for its report: scaled, with a detail, with maps of error, misfit and spread, below a budget."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zsir import operators, pictures
from zsir.errors import BadInput, ZsirError
from zsir.experiments import named_files, toml
from zsir.experiments.manifest import Record
from zsir.experiments.report.facts import Facts
from zsir.operators.catalogue import OPERATORS

#: characters of data: addresses in a page; pictures beyond are left out
BUDGET = 3_000_000
#: longest sides in pixels of a picture, of a map, and of the detail that is shown pixel by pixel
SIDE, MAP_SIDE, DETAIL = 384, 192, 64


@dataclass(frozen=True)
class Map:
    """A map as a data: address; ``kind`` is ``error``, ``misfit`` or ``spread``."""

    kind: str
    src: str


@dataclass(frozen=True)
class Shot:
    """One picture of a scene: whole and detail as data: addresses, its metrics, its maps."""

    label: str
    whole: str
    detail: str
    metrics: dict[str, float | None] = field(default_factory=dict)
    maps: list[Map] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """What was observed of one picture, the truth, and what the methods made of it. ``scales``: kind of map -> value
    that is shown brightest, on the [0, 1] scale."""

    picture: str
    task: str
    width: int
    height: int
    shots: list[Shot]
    scales: dict[str, float]


@dataclass(frozen=True)
class Gallery:
    """Scenes, and sentences on what was left out."""

    scenes: list[Scene]
    notes: list[str]


@dataclass(frozen=True)
class _Raw:
    """An estimate (1, c, h, w) with its maps (h, w) before they are scaled."""

    record: Record
    x: Tensor
    maps: dict[str, Tensor]


def collect(facts: Facts, budget: int = BUDGET) -> Gallery:
    """The first pictures of all tasks, then the second ones, and so on as long as the budget lasts."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    kept = [record for record in facts.records if record["status"] == "ok" and record["outputs"]]
    for record in sorted(kept, key=lambda r: (r["index"], r["place"], r["sample"])):
        key = (record["index"], record["task"], record["noise"], record["told"], record["seed"])
        groups.setdefault(key, []).append(record)
    scenes: list[Scene] = []
    shown = lost = broken = 0
    unmade = _other_files(facts)
    total = sum(record["sample"] == 0 for record in kept)
    for group in groups.values():
        if budget <= 0:
            break
        try:
            scene = _scene(facts.folder.path, group, budget, unmade)
        except (ZsirError, OSError):
            broken += 1
            lost += sum(record["sample"] == 0 for record in group)
            continue
        scenes.append(scene)
        shown += len(scene.shots) - 2
        budget -= sum(len(s.whole) + len(s.detail) + sum(len(m.src) for m in s.maps) for s in scene.shots)
    notes = [_why_none(facts)] if not kept else []
    if broken:
        notes.append(f"{broken} observations with their results are not shown: their pictures cannot be read any more.")
    if shown + lost < total:
        notes.append(
            f"The gallery shows {shown} of {total} results, to keep the page small; all are in the run folder."
        )
    notes += [
        f"Maps of |A estimate - observation| are missing for {op}, which cannot be made here ({reason.rstrip('.')}); "
        "'zsir report' in the folder that 'zsir run' was given in makes them."
        for op, reason in unmade.items()
    ]
    return Gallery(scenes, notes)


def _why_none(facts: Facts) -> str:
    if len(facts.failed) == len(facts.records):
        return "There is no gallery: every result is a failure."
    return "There is no gallery: the run kept no pictures ([run] save)."


def _scene(root: Path, group: Sequence[Record], budget: int, unmade: dict[str, str]) -> Scene:
    """One observation with the results that fit the budget, one at least; ``unmade`` receives operators that cannot be
    made here, and why."""
    first = group[0]
    truth = _read(root, first["outputs"]["truth"])
    y = _read(root, first["outputs"]["observed"])
    height, width = truth.shape[-2:]
    top, left, side = _detail(truth)

    def shot(label: str, x: Tensor, record: Record | None = None, maps: Sequence[Map] = ()) -> Shot:
        part = x[..., top : top + side, left : left + side]
        metrics = {} if record is None else record["metrics"]
        return Shot(label, _encoded(x, SIDE), _encoded(part, DETAIL), metrics, list(maps))

    enlarged = _resized(y, height, width, Image.Resampling.BICUBIC) if y.shape[-2:] != truth.shape[-2:] else y
    shots = [shot("observation" if enlarged is y else "observation, enlarged", enlarged), shot("truth", truth)]
    raws = [_raw(root, record, group, truth, y, unmade) for record in group if record["sample"] == 0]
    scales = {
        kind: max(
            1 / 255,
            *(float(torch.quantile(raw.maps[kind].flatten()[:1_000_000], 0.99)) for raw in raws if kind in raw.maps),
            0,
        )
        for kind in dict.fromkeys(kind for raw in raws for kind in raw.maps)
    }
    used = 0
    for raw in raws:
        maps = [Map(kind, _coloured(held / scales[kind])) for kind, held in raw.maps.items()]
        added = shot(raw.record["method"], raw.x, raw.record, maps)
        shots.append(added)
        used += len(added.whole) + len(added.detail) + sum(len(m.src) for m in maps)
        if used > budget:
            break
    return Scene(first["picture"], _task(first), width, height, shots, scales)


def _task(record: Record) -> str:
    told = f", told {record['told']}" if record["told"] != record["noise"] else ""
    seed = f", seed {record['seed']}" if record["seed"] else ""
    return f"{record['task']}, noise {record['noise']}{told}{seed}"


def _raw(root: Path, record: Record, group: Sequence[Record], truth: Tensor, y: Tensor, unmade: dict[str, str]) -> _Raw:
    x = _read(root, record["outputs"]["estimate"])
    maps = {"error": (x - truth).abs().mean(dim=(0, 1))} if x.shape == truth.shape else {}
    if record["op"] not in unmade:
        try:
            misfit = _misfit(record["op"], x, y)
        except ZsirError as error:
            unmade[record["op"]] = str(error)
        else:
            maps |= {} if misfit is None else {"misfit": misfit}
    samples = [r for r in group if r["cell"] == record["cell"]]
    if len(samples) > 1:
        stack = torch.cat([_read(root, r["outputs"]["estimate"]) for r in samples])
        maps["spread"] = stack.var(dim=0).mean(dim=0).sqrt()
    return _Raw(record, x, maps)


def _other_files(facts: Facts) -> dict[str, str]:
    """Operators whose file is another one now than in the run, and what to say of them."""
    held, found = toml.loads(facts.text).get("digests", {}), dict[str, str]()
    for op in {record["op"] for record in facts.records}:
        with suppress(ZsirError):  # an operator that is not known here is reported when it is made
            path = str(OPERATORS.parse(op).options.get("path", ""))
            if path in held and named_files.digests({path: op}, {}).get(path, held[path]) != held[path]:
                found[op] = f"{path} is not the file that the run had"
    return found


def _misfit(op: str, x: Tensor, y: Tensor) -> Tensor | None:
    """``|A x - y|`` where the operator observes a picture; raises `ZsirError` where it cannot be made here."""
    seen = _operator(op, tuple(x.shape[1:])).forward(x)
    return (seen - y).abs().mean(dim=(0, 1)) if seen.shape == y.shape else None


@lru_cache(maxsize=4)
def _operator(op: str, shape: tuple[int, ...]) -> operators.Operator:
    return operators.make(op, in_shape=(shape[0], shape[1], shape[2]))


def _read(root: Path, name: str) -> Tensor:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise BadInput(f"{name} does not lie in the run folder.")
    return pictures.read(path).pixels


def _detail(truth: Tensor) -> tuple[int, int, int]:
    """Top, left and side of the square that varies most in the truth."""
    side = min(DETAIL, max(1, min(truth.shape[-2:]) // 2))
    grey = truth.mean(dim=1, keepdim=True)
    stride = max(1, side // 4)
    variance = F.avg_pool2d(grey.square(), side, stride) - F.avg_pool2d(grey, side, stride).square()
    row, column = divmod(int(variance.argmax()), variance.shape[-1])
    return row * stride, column * stride, side


def _array(x: Tensor) -> np.ndarray[Any, Any]:
    """uint8 (h, w) or (h, w, 3) of a picture (1, c, h, w)."""
    planes = (x[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return planes[:, :, 0] if planes.shape[2] == 1 else planes


def _resized(x: Tensor, height: int, width: int, resampling: Image.Resampling) -> Tensor:
    picture = np.asarray(Image.fromarray(_array(x)).resize((width, height), resampling))
    planes = picture[:, :, None] if picture.ndim == 2 else picture
    return torch.from_numpy(planes.copy()).permute(2, 0, 1)[None].float() / 255


def _encoded(x: Tensor, limit: int) -> str:
    """The picture, no side longer than ``limit``, as PNG or JPEG, whichever is shorter; details always as PNG."""
    picture = Image.fromarray(_array(x))
    picture.thumbnail((limit, limit), Image.Resampling.LANCZOS)
    exact = _saved(picture, "PNG", optimize=True)
    small = exact if limit == DETAIL else _saved(picture, "JPEG", quality=90, subsampling=0)
    return _address("png", exact) if len(exact) <= len(small) else _address("jpeg", small)


def _coloured(values: Tensor) -> str:
    """A map (h, w), 1 the brightest, in colours that grow lighter."""
    from matplotlib import colormaps

    table = (np.asarray(colormaps["inferno"](np.arange(256)))[:, :3] * 255).round().astype(np.uint8)
    picture = Image.fromarray(table[(values.clamp(0, 1) * 255).round().to(torch.int64).numpy()])
    picture.thumbnail((MAP_SIDE, MAP_SIDE), Image.Resampling.BOX)
    return _address("jpeg", _saved(picture, "JPEG", quality=80))


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _address(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
