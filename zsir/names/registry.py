"""How names and spec strings work; the names themselves are in each part's catalogue.py. Imports no torch.

A spec is ``name`` or ``name:key=value,key=value``; its keys are the parameters of the class or function behind
the name. Installed packages add names through the entry-point groups ``zsir.operators``, ``zsir.priors`` and
``zsir.samplers``.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from zsir.errors import BadSpec, UnknownName
from zsir.names.docstrings import formula_and_source
from zsir.names.parsed import Parsed


@dataclass(frozen=True)
class Entry:
    """What is known of a name without importing it: its target ``module:attribute`` and one line about it.

    ``in_shape`` (operators that change the size) names a function ``(out_shape, options) -> in_shape``.
    """

    target: str
    summary: str
    in_shape: str = ""


@dataclass(frozen=True)
class Parameter:
    """One option of a spec, for people: name, default, unit and meaning."""

    name: str
    default: str
    unit: str
    help: str


@dataclass(frozen=True)
class Description:
    """All that ``zsir describe`` prints."""

    name: str
    summary: str
    formula: str
    parameters: list[Parameter]
    source: str
    bibtex: str


@dataclass(frozen=True)
class Range:
    """Where ``zsir tune`` looks for a number: from ``low`` to ``high``, evenly in ratio with ``log``."""

    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float:
        """The number that lies at ``share`` (0 to 1) of the range."""
        if self.log:
            return self.low * math.exp(share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True)
class Option:
    """Annotation of a parameter: ``Annotated[float, Option("standard deviation of the kernel", "pixels")]``.

    ``tune`` says where good values of it lie, whatever the picture; see `zsir.tuning`.
    """

    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    tune: Range | None = None


@dataclass(frozen=True)
class Registry:
    """The names of one kind.

    ``context`` lists leading parameters that the caller fills, not the spec. ``chain`` names a function ``module:name``
    that joins several specs of this kind, written ``first | second``, into one; without it they cannot be joined.
    """

    kind: str
    group: str
    builtin: Mapping[str, Entry]
    aliases: Mapping[str, str] = field(default_factory=dict)
    context: tuple[str, ...] = ()
    chain: str = ""

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {e.name: e for e in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """All names, built-in ones first, without the aliases."""
        return [*self.builtin, *(n for n in self._plugins if n not in self.builtin)]

    def summary(self, name: str) -> str:
        """One line about ``name``, known without importing what it names."""
        if name in self.builtin:
            return self.builtin[name].summary
        if name in self._plugins:
            return f"plug-in {self._plugins[name].value}"
        raise self._unknown(name)

    def target(self, name: str) -> Callable[..., Any]:
        """Import and return the class or function behind ``name``; raises `UnknownName`."""
        if name in self.builtin:
            return _load(self.builtin[name].target)
        if name in self._plugins:
            return typing.cast(Callable[..., Any], self._plugins[name].load())
        raise self._unknown(name)

    def in_shape_rule(self, name: str) -> Callable[..., Any] | None:
        """``(out_shape, options) -> in_shape`` of an operator that changes the size, else None.

        A plug-in gives it as an attribute ``in_shape_for`` of what its entry point names.
        """
        if name in self.builtin:
            rule = self.builtin[name].in_shape
            return _load(rule) if rule else None
        from zsir.capabilities import shape_rule  # which needs torch; listing does not

        return shape_rule(self.target(name))

    def parse(self, spec: str) -> Parsed:
        """Take a spec string, alias or chain apart; raises `UnknownName` or `BadSpec`."""
        if self.chain and "|" in spec:
            if not all(stage.strip() for stage in spec.split("|")):
                raise BadSpec(f"{self.kind} '{spec}': a stage is empty; write one operator on each side of every |.")
            stages = tuple(self.parse(stage) for stage in spec.split("|"))
            return Parsed(" | ".join(stage.name for stage in stages), _load(self.chain), {"stages": stages}, stages)
        name, _, rest = spec.strip().partition(":")
        if name in self.aliases:
            meant = self.parse(self.aliases[name])
            if not rest:
                return meant
            # what the user states takes the place of what the alias states
            stated = self.parse(f"{meant.name}:{rest}").options
            return dataclasses.replace(meant, options={**meant.options, **stated})
        target = self.target(name)
        hints = _hints(target, self.context)
        options: dict[str, Any] = {}
        for item in filter(None, (part.strip() for part in rest.split(","))):
            key, equals, value = (part.strip() for part in item.partition("="))
            if not equals:
                raise BadSpec(f"{self.kind} '{spec}': '{item}' is not key=value; write {name}:{item}=...")
            if key not in hints:
                raise UnknownName(f"{self.kind} '{name}' has no option '{key}'{suggest(key, hints)}")
            if key in options:
                raise BadSpec(f"{self.kind} '{spec}': {name}:{key} is given twice; leave one of them out.")
            options[key] = convert(value, hints[key], f"{name}:{key}")
        return Parsed(name, target, options)

    def ranges(self, name: str) -> dict[str, Range]:
        """The parameters of ``name`` that declare where good values lie."""
        options = {key: _option(hint) for key, hint in _hints(self.target(name), self.context).items()}
        return {key: option.tune for key, option in options.items() if option.tune is not None}

    def numbers(self, name: str) -> dict[str, type]:
        """The parameters of ``name`` that are single numbers, with their type, int or float."""
        kinds = {key: _plain(hint) for key, hint in _hints(self.target(name), self.context).items()}
        return {key: kind for key, kind in kinds.items() if kind in (int, float)}

    def describe(self, name: str) -> Description:
        """Formula, parameters and source of ``name`` (an alias is described by what it stands for)."""
        from zsir.names.citations import BIBTEX

        plain = self.aliases.get(name, name).partition(":")[0]
        target = self.target(plain)
        formula, source = formula_and_source(target.__doc__ or "")
        keys = [k for k in BIBTEX if f"[{k}]" in source]
        bibtex = "\n\n".join(BIBTEX[k] for k in keys)
        return Description(plain, self.summary(plain), formula, self._parameters(target), source, bibtex)

    def _parameters(self, target: Callable[..., Any]) -> list[Parameter]:
        hints = _hints(target, self.context)
        defaults = inspect.signature(target).parameters
        rows = []
        for key, hint in hints.items():
            option = _option(hint)
            default = defaults[key].default
            text = "required" if default is inspect.Parameter.empty else _show(default)
            about = option.help + (f" ({' | '.join(option.choices)})" if option.choices else "")
            about += f" (tuned over {option.tune.low:g} to {option.tune.high:g})" if option.tune else ""
            rows.append(Parameter(key, text, option.unit, about))
        return rows

    def _unknown(self, name: str) -> UnknownName:
        known = [*self.names(), *self.aliases]
        return UnknownName(f"There is no {self.kind} '{name}'{suggest(name, known)} 'zsir list' shows all names.")


def _load(target: str) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    return typing.cast(Callable[..., Any], getattr(importlib.import_module(module), attribute))


def number(text: str) -> float:
    """A number written as ``0.02`` or as a fraction, ``5/255`` or ``2.5/255``; raises `BadSpec`.

    >>> number("5/255"), number("25.5/255")
    (0.0196078431372549, 0.1)
    """
    above, slash, below = text.replace(" ", "").partition("/")
    try:
        value = float(Fraction(above)) / float(below) if slash else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise BadSpec(f"'{text}' is not a number; write for example 0.02 or 5/255.") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise BadSpec(f"'{text}' is not a finite number; write for example 0.02 or 5/255.")
    return value


def noise_level(noise: float | str | None) -> float | None:
    """A standard deviation on the [0, 1] scale from a number or a text such as ``5/255``; None for auto.

    Raises `BadSpec`.
    """
    if noise is None or (isinstance(noise, str) and noise.strip().lower() == "auto"):
        return None
    std = number(noise) if isinstance(noise, str) else float(noise)
    if std > 1:
        raise BadSpec(f"--noise {noise}: noise is on the [0, 1] scale: write {std:g}/255.")
    if not std >= 0:
        raise BadSpec(f"--noise {noise}: a standard deviation is not negative.")
    return std


def convert(text: str, hint: Any, where: str) -> Any:
    """The value of ``text`` as the annotated type ``hint``; ``where`` names the option in errors."""
    option, kind = _option(hint), _plain(hint)
    if option.choices and text not in option.choices:
        raise BadSpec(f"{where}={text}: choose one of {', '.join(option.choices)}{suggest(text, option.choices)}")
    if kind is float:
        return number(text)
    if kind is int:
        try:
            value = int(text)
        except ValueError:
            raise BadSpec(f"{where}={text}: a whole number is needed.") from None
        if abs(value) >= 2**63:
            raise BadSpec(f"{where}={text}: the number is too large.")
        return value
    if kind is bool:
        if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise BadSpec(f"{where}={text}: write true or false.")
        return text.lower() in ("true", "yes", "1")
    if typing.get_origin(kind) is tuple:
        return tuple(number(part) for part in text.split("+"))
    if kind is str:
        return text
    raise BadSpec(f"{where} cannot be set in a spec; pass it in Python.")


def _plain(hint: Any) -> Any:
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (a for a in typing.get_args(hint) if a is not type(None))
    return hint


def _option(hint: Any) -> Option:
    extras = typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ()
    return next((e for e in extras if isinstance(e, Option)), Option(""))


def _hints(target: Callable[..., Any], context: Iterable[str]) -> dict[str, Any]:
    """Annotated parameters of a class or function that a spec may set."""
    function = target.__init__ if inspect.isclass(target) and not dataclasses.is_dataclass(target) else target
    hints = {k: _declared(hint) for k, hint in typing.get_type_hints(function, include_extras=True).items()}
    return {k: hints[k] for k in inspect.signature(target).parameters if k in hints and k not in context}


def _declared(hint: Any) -> Any:
    """The annotation as it was written: Python 3.10 takes a default of None for an ``Optional`` around it."""
    inside = typing.get_args(hint) if typing.get_origin(hint) is typing.Union else ()
    return next((part for part in inside if typing.get_origin(part) is typing.Annotated), hint)


def suggest(name: str, known: Iterable[str]) -> str:
    """How an error about ``name`` goes on: the names that may be meant, or all where they are few."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(repr(c) for c in close)}?"
    return f"; known are {', '.join(known)}." if known and len(known) <= 12 else "."


def _show(value: Any) -> str:
    if value is None:
        return "chosen by rule"
    if isinstance(value, tuple):
        return "+".join(_show(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
