"""From a spec to its cells: every task with every method, noise level told and seed."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from zsir.errors import BadSpec
from zsir.experiments.spec import METHOD_KEYS, TASK_KEYS, UNWRAPPED, Block, Spec, noise_level, text_of
from zsir.experiments.told_nothing.restorers import RESTORERS
from zsir.names.registry import suggest
from zsir.priors.wrappers.settings import Wrapping


@dataclass(frozen=True)
class Cell:
    """One method on one task with one seed. ``noise`` is in the observation, ``told`` what the solver is told of it;
    both as written and as numbers on the [0, 1] scale. ``wrapping`` goes around the prior; ``values`` are the grid's
    variables, and what the spec says of the wrapping. A ``restorer`` has neither prior nor sampler."""

    number: int
    task: str
    op: str
    noise_text: str
    noise: float
    told_text: str
    told: float
    method: str
    prior: str
    sampler: str
    seed: int
    wrapping: Wrapping
    values: dict[str, str] = field(default_factory=dict)
    restorer: str = ""

    @property
    def key(self) -> str:
        """Name of the cell, unique in its spec."""
        told = f" | told {self.told_text}" if self.told_text != self.noise_text else ""
        return f"{self.task} | noise {self.noise_text}{told} | {self.method} | seed {self.seed}"

    @property
    def slug(self) -> str:
        """The cell's name as the name of a folder."""
        return f"{self.number:03d}-{slug(f'{self.task}-{self.noise_text}-{self.method}-seed{self.seed}')}"

    @property
    def observation(self) -> str:
        """Folder name of what the cell observes: all cells of one task, noise level and seed share it.
        The name is cut where it is long, so all that decides stands in the digits at its end."""
        whole = json.dumps([self.task, self.op, self.noise_text, self.seed])
        return slug(f"{self.task}-{self.noise_text}-seed{self.seed}") + f"-{_short(whole)}"


def slug(text: str) -> str:
    """``text`` in letters, digits and a few signs that every file system takes, at most 80 of them."""
    return re.sub(r"[^A-Za-z0-9.+=_]+", "-", text).strip("-.")[:80]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class _Choice:
    """One combination of a block's values, and the block it came from."""

    block: Block
    scope: dict[str, str]


def cells(spec: Spec) -> list[Cell]:
    """All cells of a spec in the order of its file; raises `BadSpec` for braces or variables that nothing fills or
    uses, and for two cells of one name."""
    used: set[tuple[str, str]] = set()
    found: list[Cell] = []
    for task, method in itertools.product(_choices(spec.tasks), _choices(spec.methods)):
        for told in spec.run.noise_told or (None,):
            for seed in spec.run.seeds:
                found.append(_cell(spec, task, method, None if told is None else text_of(told), seed, used, len(found)))
    for block, keys in [(b, TASK_KEYS) for b in spec.tasks] + [(b, METHOD_KEYS) for b in spec.methods]:
        for key in block.values:
            if key not in keys and (block.where, key) not in used:
                raise BadSpec(
                    f"{block.where}: nothing uses {key}: write {{{key}}} where it belongs{suggest(key, keys)}"
                )
    seen: dict[str, Cell] = {}
    for cell in found:
        if cell.key in seen:
            raise BadSpec(f"Two cells of the grid are called '{cell.key}'; give one of them another label.")
        seen[cell.key] = cell
    return found


def _choices(blocks: tuple[Block, ...]) -> Iterator[_Choice]:
    for block in blocks:
        for combination in itertools.product(*block.values.values()):
            yield _Choice(block, dict(zip(block.values, map(text_of, combination), strict=True)))


def _cell(
    spec: Spec, task: _Choice, method: _Choice, told: str | None, seed: int, used: set[tuple[str, str]], number: int
) -> Cell:
    noise = task.scope["noise"]
    own = _variables(task, TASK_KEYS)
    scope = {"noise": noise, **own}
    op = _fill(task, "op", scope, used, task)
    name = _named(task, "op", {**scope, "op": op}, used, task, hidden=("op", "noise"))
    scope = {
        **scope,
        "task": name,
        "op": op,
        "told": noise if told is None else told,
        **_variables(method, METHOD_KEYS),
    }
    restorer = _restorer(method)
    parts = ("", "") if restorer else (_fill(method, key, scope, used, task) for key in ("prior", "sampler"))
    prior, sampler = parts
    around = {key: held for key, held in method.scope.items() if key in UNWRAPPED}
    scope |= {"prior": prior, "sampler": sampler, "restorer": restorer, **around}
    key = "restorer" if restorer else "sampler"
    label = _named(method, key, scope, used, task, hidden=(key,))
    told = noise if told is None else told
    levels = (noise_level(noise, f"{task.block.where} noise"), noise_level(told, "[run] noise_told"))
    values = {**own, **_variables(method, METHOD_KEYS), **around}
    wrapping = _wrapping(method)
    told_to = (prior, sampler, seed, wrapping, values, restorer)
    return Cell(number, name, op, noise, levels[0], told, levels[1], label, *told_to)


def _restorer(method: _Choice) -> str:
    """The restorer of a method or an empty string; raises `BadSpec` for one that nobody knows, and for keys that it
    would not use."""
    name = method.scope.get("restorer", "")
    if name and name not in RESTORERS:
        raise BadSpec(f"{method.block.where} restorer = '{name}' is not known{suggest(name, RESTORERS)}")
    unused = [key for key in ("sampler", *UNWRAPPED) if key in method.scope]
    if name and unused:
        raise BadSpec(f"{method.block.where}: a restorer does not use {unused[0]}; take it out.")
    return name


def _wrapping(method: _Choice) -> Wrapping:
    """What goes around the prior; raises `BadSpec`."""
    tile, precision, ensemble = (method.scope.get(key, text_of(held)) for key, held in UNWRAPPED.items())
    try:
        return Wrapping(int(tile) or None, precision, ensemble == "true")
    except BadSpec as error:
        raise BadSpec(f"{method.block.where} {error}") from None


def _variables(choice: _Choice, keys: tuple[str, ...]) -> dict[str, str]:
    return {key: held for key, held in choice.scope.items() if key not in keys}


def _fill(choice: _Choice, key: str, scope: Mapping[str, str], used: set[tuple[str, str]], task: _Choice) -> str:
    """The text of ``key`` with its braces filled; notes whose variables were used."""
    where = choice.block.where

    def put(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name not in scope:
            raise BadSpec(f"{where} {key}: nothing is called {{{name}}}{suggest(name, scope)}")
        used.update({(where, name), (task.block.where, name)})
        return scope[name]

    return re.sub(r"\{([^{}]*)\}", put, choice.scope[key])


def _named(
    choice: _Choice,
    default: str,
    scope: Mapping[str, str],
    used: set[tuple[str, str]],
    task: _Choice,
    *,
    hidden: tuple[str, ...],
) -> str:
    """The label, with every listed value that it does not show itself; without one the spec string ``default``."""
    template = choice.scope.get("label")
    shown = choice.scope[default] if template is None else template
    label = scope[default] if template is None else _fill(choice, "label", scope, used, task)
    visible = {name.strip() for name in re.findall(r"\{([^{}]*)\}", shown)} | (
        set(hidden) if template is None else {"noise"}
    )
    extra = [f"{key}={scope[key]}" for key in choice.scope if key in choice.block.listed and key not in visible]
    return f"{label} ({', '.join(extra)})" if extra else label
