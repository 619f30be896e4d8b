"""Pack folders of pictures into one file, so that random crops need no decoding.

Packing reads every picture once, before training starts. So a damaged picture is found, named and left out early. A
resumed run sees the same pictures, even if the folders have changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsir.errors import BadInput, OutputError
from zsir.files import reason, write_bytes
from zsir.pictures import READABLE, read

#: the file of packed pictures, and its index
SAMPLES, INDEX = "pictures.bin", "pictures.json"
#: largest side of the pictures that are shown and measured during training
VALIDATION_SIDE = 256
#: one picture in HELD_OUT is kept for validation, at most MOST_HELD_OUT; of a validation folder at most MOST_MEASURED
HELD_OUT, MOST_HELD_OUT, MOST_MEASURED = 16, 16, 64

Array = NDArray[Any]


@dataclass(frozen=True)
class Stored:
    """Where a picture (height, width, channels) lies in the packed file; ``name`` is the path that it was read from."""

    name: str
    offset: int
    shape: tuple[int, int, int]
    dtype: str
    held_out: bool = False

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class Pictures:
    """The packed pictures of a run; ``skipped`` has a sentence for each file that could not be used."""

    path: Path
    stored: tuple[Stored, ...]
    skipped: tuple[str, ...] = ()

    @property
    def training(self) -> list[Stored]:
        """Pictures to learn from."""
        return [item for item in self.stored if not item.held_out]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Probability of each picture of `training`: proportional to the root of its area, so that large pictures
        count more, but do not crowd out the others."""
        roots = np.sqrt([float(item.pixels) for item in self.training])
        return np.asarray(roots / roots.sum())

    def array(self, item: Stored) -> Array:
        """The samples of a picture (height, width, channels), not read from the file until used."""
        return np.memmap(self.path, dtype=item.dtype, mode="r", offset=item.offset, shape=item.shape)

    def validation(self) -> list[Tensor]:
        """Held-out pictures (1, channels, height, width) in [0, 1]; of large pictures the centre."""
        pictures = []
        for item in (item for item in self.stored if item.held_out):
            array = self.array(item)
            top, left = (max(0, (n - VALIDATION_SIDE) // 2) for n in array.shape[:2])
            pictures.append(as_floats(array[top : top + VALIDATION_SIDE, left : left + VALIDATION_SIDE])[None])
        return pictures


def as_floats(array: Array) -> Tensor:
    """Samples (height, width, channels) as (channels, height, width) float32 in [0, 1]."""
    scaled = np.ascontiguousarray(array.transpose(2, 0, 1)).astype(np.float32) / np.iinfo(array.dtype).max
    return torch.from_numpy(scaled)


def packed(out: Path) -> bool:
    """Whether the pictures of the run in ``out`` lie there already."""
    return (out / INDEX).is_file() and (out / SAMPLES).is_file()


def check(folders: Sequence[Path], validation: Path | None, out: Path) -> None:
    """Raise `BadInput` where a folder of pictures does not exist or is that of the run, before anything is written.

    A run that has its pictures packed in ``out`` needs no folders any more.
    """
    if packed(out):
        return
    for option, folder in [*(("", f) for f in folders), *([("--val ", validation)] if validation else [])]:
        if not folder.is_dir():
            raise BadInput(f"{option}{folder} is not a folder; give folders with pictures.")
        if folder.resolve() == out.resolve():
            raise BadInput(f"--out {out} is a folder of pictures to learn from; give the run a folder of its own.")


def find(folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """(name, path) of every picture in ``folders`` and their subfolders, each file once, sorted by name.

    Folders of earlier training runs are skipped. Raises `BadInput` if there is no picture.
    """
    found: dict[Path, str] = {}
    for folder in folders:
        runs = {f.parent for f in folder.rglob("settings.json") if (f.parent / "recipe.json").is_file()}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in READABLE and path.is_file() and not runs.intersection(path.parents):
                found.setdefault(path.resolve(), path.as_posix())
    if not found:
        raise BadInput(
            f"{', '.join(map(str, folders))}: no pictures found ({', '.join(READABLE)}); folders of runs do not count."
        )
    return [(name, path) for path, name in found.items()]


def pack(
    folders: Sequence[Path],
    out: Path,
    channels: int,
    smallest: int,
    validation: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Pictures:
    """Read all pictures into ``out``/pictures.bin with an index beside it, or open the pictures packed there before.

    - A picture is left out and named if it cannot be read, has a side below ``smallest`` pixels, or has transparent
      pixels.
    - A large picture (four times ``smallest`` or more) is stored at half size too. The copy has fewer traces of
      compression, and shows the same things at another scale.
    - ``validation`` is a folder of pictures to measure on. Without it one picture in 16 is kept back for validation.

    Raises `BadInput` if no usable picture is left, `OutputError` if the disk is full.
    """
    index, target = out / INDEX, out / SAMPLES
    if packed(out):
        return _opened(index, target)
    measured = find([validation]) if validation else []
    apart = {path for _, path in measured}
    measured = measured[:: max(1, -(-len(measured) // MOST_MEASURED))]
    sources = [(name, path, False) for name, path in find(folders) if path not in apart]
    sources += [(name, path, True) for name, path in measured]
    stored, skipped = list[Stored](), list[str]()
    temporary = target.with_suffix(".part")
    try:
        with temporary.open("wb") as file:
            for count, (name, path, held_out) in enumerate(sources):
                progress(count, len(sources))
                try:
                    copies = _copies(path, channels, smallest, held_out)
                except BadInput as error:
                    # names of files need not be text, but what is shown and written must
                    skipped.append(str(error).encode("utf-8", "replace").decode())
                    continue
                for array in copies:
                    stored.append(Stored(name, file.tell(), array.shape, array.dtype.name, held_out))
                    file.write(array.tobytes())
            file.flush()
            os.fsync(file.fileno())
        stored = stored if validation else _held_out(stored)
        if validation and not any(item.held_out for item in stored):
            raise BadInput(f"--val {validation} holds no usable picture{': ' + skipped[-1] if skipped else '.'}")
        if not any(not item.held_out for item in stored):
            why = f": {skipped[0]}" if skipped else "."
            raise BadInput(f"There is no usable picture of {smallest}x{smallest} pixels or more to learn from{why}")
        index.unlink(missing_ok=True)  # of pictures that are gone: never beside new ones
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {reason(error)}.") from None
    finally:
        temporary.unlink(missing_ok=True)
    content = {"skipped": skipped, "stored": [asdict(item) for item in stored]}
    write_bytes(index, json.dumps(content).encode())
    return Pictures(target, tuple(stored), tuple(skipped))


def _opened(index: Path, target: Path) -> Pictures:
    try:
        content = json.loads(index.read_text("utf-8"))
        stored = tuple(Stored(**{**item, "shape": tuple(item["shape"])}) for item in content["stored"])
        skipped, last = tuple(content["skipped"]), max(stored, key=lambda item: item.offset)
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{index} is damaged; remove it, and the pictures are read again.") from None
    if target.stat().st_size < last.offset + int(np.prod(last.shape)) * np.dtype(last.dtype).itemsize:
        raise BadInput(f"{target} is cut short; remove it, and the pictures are read again.")
    return Pictures(target, stored, skipped)


def _copies(path: Path, channels: int, smallest: int, held_out: bool) -> list[Array]:
    """The stored copies of a picture: itself and, if it is large, itself at half size."""
    picture = read(path)
    height, width = picture.pixels.shape[-2:]
    if min(height, width) < smallest:
        raise BadInput(f"{path} has {width}x{height} pixels; crops of {smallest}x{smallest} do not fit.")
    if picture.alpha is not None and bool((picture.alpha < 1).any()):
        raise BadInput(f"{path} is transparent in places, where its colours mean nothing; save it on a background.")
    pixels = picture.pixels.mean(1, keepdim=True) if channels == 1 else picture.pixels
    copies = [pixels]
    if min(height, width) >= 4 * smallest and not held_out:
        copies.append(torch.nn.functional.avg_pool2d(pixels, 2))
    kind, white = (np.uint16, 65535) if picture.bits == 16 else (np.uint8, 255)
    return [p[0].permute(1, 2, 0).clamp(0, 1).mul(white).round_().numpy().astype(kind) for p in copies]


def _held_out(stored: list[Stored]) -> list[Stored]:
    """Mark every 16th picture, in all its sizes, as held out. Of fewer than four pictures none is held out."""
    names = list(dict.fromkeys(item.name for item in stored))
    chosen = set(names[HELD_OUT // 2 :: HELD_OUT][:MOST_HELD_OUT] or (names[-1:] if len(names) > 3 else []))
    # the first size of a held-out picture is measured; the other is used for nothing
    first = {item.name: item for item in reversed(stored)}
    kept = [item for item in stored if item.name not in chosen or first[item.name] is item]
    return [replace(item, held_out=item.name in chosen) for item in kept]
