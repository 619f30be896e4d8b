"""A spec that was taken apart, and what is built from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from zsir.errors import BadSpec

#: under this name an object that was built from a spec carries it
SPEC = "_zsir_spec"


@dataclass(frozen=True)
class Parsed:
    """A spec string taken apart: the name, the class or function behind it and its options, typed.

    ``stages`` are the parts of a chain, ``first | second``, in the order in which they act; empty for a single spec.
    """

    name: str
    target: Callable[..., Any]
    options: dict[str, Any]
    stages: tuple[Parsed, ...] = ()

    @property
    def spec(self) -> str:
        """The spec string in canonical form, exact to the last digit."""
        if self.stages:
            return " | ".join(stage.spec for stage in self.stages)
        options = ",".join(f"{k}={_exact(v)}" for k, v in self.options.items())
        return f"{self.name}:{options}" if options else self.name

    @property
    def paths(self) -> list[str]:
        """The files and folders that the options name."""
        if self.stages:
            return [path for stage in self.stages for path in stage.paths]
        named = (self.options.get(key) for key in ("path", "config"))
        return [path for path in named if path and isinstance(path, str)]

    def build(self, *context: Any) -> Any:
        """Call the target with ``context`` and the options; the result's spec is known to `spec_of` from then on."""
        parameters = list(inspect.signature(self.target).parameters.values())[len(context) :]
        missing = [p.name for p in parameters if p.default is p.empty and p.name not in self.options]
        if missing:
            raise BadSpec(f"'{self.name}' needs {missing[0]}=...; 'zsir describe {self.name}' lists its options.")
        made = self.target(*context, **self.options)
        with suppress(AttributeError, TypeError):  # an object without room for it stays without a spec
            object.__setattr__(made, SPEC, self.spec)
        return made


def spec_of(made: object) -> str:
    """The spec that an operator, prior or sampler was built from, or an empty string if it was made by hand.

    A copy keeps the spec: whoever changes a copy by hand makes its spec untrue.
    """
    found: str = vars(made).get(SPEC, "") if hasattr(made, "__dict__") else ""
    return found


def _exact(value: Any) -> str:
    return "+".join(_exact(v) for v in value) if isinstance(value, tuple) else str(value)
