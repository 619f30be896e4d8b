"""What a picture went through, exactly: a trace replays its observation and knows the operator that is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.operators.base import Operator
from zsir.operators.mask import Identity
from zsir.operators.wild import stages as every
from zsir.operators.wild.stages import Stage
from zsir.protocols import Shape
from zsir.rng import generator

#: the form of the JSON file
VERSION = 1


@dataclass(frozen=True)
class Trace:
    """The stages that one picture went through, in order.

    Attributes:
        pipeline: Name of the pipeline that drew them.
        in_shape: (channels, height, width) of the clean picture.
        stages: The stages, parameters and seeds included.
    """

    pipeline: str
    in_shape: Shape
    stages: tuple[Stage, ...]

    @cached_property
    def _steps(self) -> list[tuple[Stage, Operator | None, Shape]]:
        return every.linear_part(self.stages, self.in_shape)

    @property
    def out_shape(self) -> Shape:
        """(channels, height, width) of the observation."""
        return self._steps[-1][2] if self._steps else self.in_shape

    def apply(self, x: Tensor) -> Tensor:
        """The observation, to the last bit the same every time.

        Args:
            x: Clean pictures, (batch, *in_shape), in [0, 1]. All go through the same stages, with the same noise.

        Returns:
            The observations, (batch, *out_shape), in the dtype and on the device of ``x``.

        Raises:
            ShapeError: The pictures have another shape.
        """
        self._check(x)
        y = x.double().cpu()
        for stage, operator, _ in self._steps:
            y = stage.apply(y) if operator is None else operator.forward(y)
        return y.to(x)

    def observe(self, x: Tensor) -> tuple[Tensor, Trace]:
        """The observation of one picture, and the trace with what only the picture decides.

        Args:
            x: The clean picture, (1, *in_shape), in [0, 1].

        Returns:
            The observation (1, *out_shape), and a trace that has the error of every JPEG stage and the level of every
            Poisson stage, as `noise` needs them.

        Raises:
            ShapeError: The picture has another shape, or there are several.
        """
        self._check(x)
        if len(x) != 1:
            raise ShapeError(f"A trace belongs to one picture, got {len(x)}; observe them one by one.")
        y, known = x.double().cpu(), []
        for stage, operator, _ in self._steps:
            seen = stage.seen(y)
            known.append(seen)
            y = seen.apply(y) if operator is None else operator.forward(y)
        return y.to(x), replace(self, stages=tuple(known))

    def _check(self, x: Tensor) -> None:
        if tuple(x.shape[1:]) != tuple(self.in_shape) or not x.is_floating_point():
            raise ShapeError(
                f"This trace is of pictures (batch, {', '.join(map(str, self.in_shape))}) of floats, got "
                f"{tuple(x.shape)} of {x.dtype}."
            )

    def linear(self) -> Operator:
        """The composed operator A of the linear stages; noise, rounding and JPEG count as the identity.

        Returns:
            A, from ``in_shape`` to ``out_shape``.
        """
        found: Operator = Identity(self.in_shape)
        for _, operator, _ in self._steps:
            if operator is not None:
                found = operator @ found
        return found

    def noise(self) -> float:
        """The standard deviation of all noise as it reaches the observation, on the [0, 1] scale.

        Noise of stage j passes the operator B_j of the later stages: the mean variance is
        ``sum_j sigma_j^2 ||B_j||_F^2 / m``. Each ``||B_j||_F^2`` is estimated by one white field that is pushed through
        the later stages; the relative error is about sqrt(2/m). Blurs after the noise make it coloured, which a single
        number does not tell.

        The levels of JPEG and Poisson stages are those of the picture in a trace that `observe` gave. They are those of
        a typical picture in a trace that was only drawn.

        Returns:
            The standard deviation.
        """
        field: Tensor | None = None
        for number, (stage, operator, shape) in enumerate(self._steps):
            if operator is not None and field is not None:
                field = operator.forward(field)
            if stage.level > 0:
                # independent fields of all stages add up to one, each with its own variance
                white = torch.randn(1, *shape, dtype=torch.float64, generator=generator(0, number, "trace"))
                field = stage.level * white if field is None else field + stage.level * white
        return 0.0 if field is None else float(field.square().mean().sqrt())

    def as_json(self) -> dict[str, Any]:
        """The trace as a dictionary that JSON holds without loss."""
        return {
            "zsir-trace": VERSION,
            "pipeline": self.pipeline,
            "in_shape": list(self.in_shape),
            "out_shape": list(self.out_shape),
            "stages": [stage.as_json() for stage in self.stages],
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Trace:
        """The trace of a dictionary that `as_json` made.

        Args:
            held: The dictionary.

        Returns:
            The trace.

        Raises:
            BadSpec: The dictionary is no trace, or one of a later version.
        """
        if not isinstance(held, Mapping) or held.get("zsir-trace") != VERSION:
            raise BadSpec('it has no "zsir-trace": 1.')
        shape, stages = held.get("in_shape"), held.get("stages")
        if not isinstance(shape, Sequence) or len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise BadSpec(f"in_shape is {shape}, not (channels, height, width).")
        if not isinstance(stages, list):
            raise BadSpec("its stages are no list.")
        c, h, w = shape
        return cls(str(held.get("pipeline", "")), (c, h, w), tuple(every.from_json(stage) for stage in stages))


def text(trace: Trace) -> str:
    """The content of a trace's file."""
    return json.dumps(trace.as_json(), indent=1, allow_nan=False) + "\n"


def read_trace(path: str | Path) -> Trace:
    """The trace in a file.

    Args:
        path: A file that ``zsir degrade --trace`` wrote.

    Returns:
        The trace.

    Raises:
        BadInput: The file cannot be read or holds no trace.
    """
    try:
        held = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        return Trace.from_json(held)
    except OSError as error:
        raise BadInput(f"The trace {path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no trace of zsir degrade: it is not a text file.") from None
    except json.JSONDecodeError as error:
        raise BadInput(f"{path} is no trace of zsir degrade: line {error.lineno} is not JSON.") from None
    except BadSpec as error:
        raise BadInput(f"{path} is no trace of zsir degrade: {error}") from None
