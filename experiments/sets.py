"""The pictures of an experiment: which files, in which order, cut to size, and a digest that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import zsir
from zsir.errors import BadInput, BadSpec
from zsir.experiments.spec import Data, Spec

if TYPE_CHECKING:
    from torch import Tensor

#: sets of pictures that come with the package: 34 crops of 256x256 that `photo` was not trained on, and one of them
SETS = {"eval34": Path(__file__).parent / "data" / "eval34", "demo": Path(zsir.__file__).parent / "assets"}
#: photographs that the package scikit-image brings; `photo` was not trained on them. The second is grey
SCIKIT_IMAGE = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")


@dataclass(frozen=True)
class PictureFile:
    """One clean picture; ``index`` is its position in the sorted list, which its random numbers follow from.
    ``observed`` is the file of its observation where that is not simulated."""

    index: int
    name: str
    path: Path
    observed: Path | None = None


def pictures(spec: Spec) -> list[PictureFile]:
    """The pictures in order; raises `BadInput` where they are missing, `BadSpec` where names or numbers clash."""
    data = spec.data
    paths = _files(data, spec.base)[: data.pictures]
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [path.name for path in paths]
    if len(set(names)) < len(names):
        raise BadSpec("[data] files: two pictures have the same name; rename one of them.")
    observed: Sequence[Path | None] = [None] * len(paths)
    if data.observed is not None:
        partners = _observed(data.observed, spec.base)
        everything = len(_files(data, spec.base))
        if len(partners) != everything:
            raise BadInput(
                f"[data] observed: {data.observed} holds {len(partners)} pictures for {everything} clean ones; "
                "they are paired in the order of their names, one each."
            )
        observed = partners[: len(paths)]
    return [PictureFile(k, *rest) for k, rest in enumerate(zip(names, paths, observed, strict=True))]


def lacking(spec: Spec) -> list[str]:
    """Why `pictures` raises `BadInput`: a sentence for the clean pictures and one for the observations, where both or
    one of them are missing."""
    found, data = [], spec.data
    try:
        _files(data, spec.base)
    except BadInput as error:
        found.append(str(error))
    try:
        _observed(data.observed, spec.base)
    except BadInput as error:
        found.append(str(error))
    return found


def folder_of(name: str, base: Path) -> Path:
    """The folder of a shipped set, or ``name`` seen from ``base``."""
    return SETS[name] if name in SETS else base / Path(name).expanduser()


def eclipsed(spec: Spec) -> list[str]:
    """Sentences on folders of the user's that a shipped set of the same name stands before."""
    names = {"folder": spec.data.folder, "observed": spec.data.observed}
    return [
        f'[data] {key} = "{name}" is the set that ships, not the folder {spec.base / name}; write "./{name}" for that.'
        for key, name in names.items()
        if name is not None and (name in SETS or name == "scikit-image") and (spec.base / name).is_dir()
    ]


def of_set(folder: str, files: Sequence[PictureFile]) -> bool:
    """Whether ``folder`` is the name of a set, or of several joined by ``+``, and ``files`` are from there rather than
    from a folder of that name."""
    places = {**SETS, "scikit-image": _place_of_scikit_image()}
    named = [places.get(name) for name in folder.split("+")]
    return bool(files) and None not in named and {file.path.parent for file in files} <= set(named)


def _files(data: Data, base: Path) -> list[Path]:
    names = (data.folder or "").split("+")
    if len(names) > 1 and all(name in SETS or name == "scikit-image" for name in names):
        return [path for name in names for path in _files(replace(data, folder=name), base)]
    if data.folder == "scikit-image":
        return _of_scikit_image()
    if data.folder is not None:
        sets = f" ({', '.join(SETS)} ship)"
        return _in_folder(folder_of(data.folder, base), "folder", sets)
    found = [_file(name, base) for name in data.files]
    for path in found:
        if not path.is_file():
            raise BadInput(f"[data] files: there is no file {path}.")
    return found


def _file(name: str, base: Path) -> Path:
    """The file ``name`` seen from ``base``, else the one of a shipped set: ``eval34/NAME.png``."""
    path, (first, _, rest) = base / Path(name).expanduser(), name.partition("/")
    return SETS[first] / rest if first in SETS and not path.is_file() else path


def _of_scikit_image() -> list[Path]:
    place = _place_of_scikit_image()
    if place is None:
        raise BadInput("[data] folder: scikit-image is not installed; pip install 'zsir[classical]'.")
    return [place / name for name in SCIKIT_IMAGE]


def _place_of_scikit_image() -> Path | None:
    package = find_spec("skimage")
    return None if package is None or package.origin is None else Path(package.origin).parent / "data"


def _observed(name: str | None, base: Path) -> list[Path]:
    return [] if name is None else _in_folder(folder_of(name, base), "observed")


def _in_folder(folder: Path, key: str, also: str = "") -> list[Path]:
    from zsir.pictures import READABLE

    if not folder.is_dir():
        raise BadInput(f"[data] {key}: there is no folder {folder}; --set data.{key}=... names another{also}.")
    found = [path for path in folder.iterdir() if path.suffix.lower() in READABLE and not path.name.startswith(".")]
    if not found:
        raise BadInput(f"[data] {key}: {folder} holds no pictures ({', '.join(READABLE)}).")
    return sorted(found, key=lambda path: path.name)


def digest(files: Sequence[PictureFile]) -> str:
    """SHA-256 over names and contents of all pictures and observations, in 64 hexadecimal digits."""
    total = hashlib.sha256()
    for file in files:
        for path in filter(None, (file.path, file.observed)):
            try:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
            total.update(f"{file.name} {content}\n".encode())
    return total.hexdigest()


def load(path: Path, size: int | None) -> Tensor:
    """The picture (1, c, height, width) in [0, 1], without alpha, or its centre of ``size`` pixels a side.

    Raises `BadInput` for one that is smaller.
    """
    from zsir.pictures import read

    pixels = read(path).pixels
    h, w = pixels.shape[-2:]
    if size is None:
        return pixels
    if min(h, w) < size:
        raise BadInput(f"{path} has {w}x{h} pixels, less than [data] size = {size}.")
    top, left = (h - size) // 2, (w - size) // 2
    return pixels[:, :, top : top + size, left : left + size].contiguous()
