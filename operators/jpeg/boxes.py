"""The intervals that the codes of a JPEG file leave for its coefficients, and pictures that are moved into them.

A code k says that the coefficient lies within half a step q of ``q k``, and nothing else: within these intervals it is
the picture's own. A picture is moved unit by unit, in the norm of the file's colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zsir.operators.jpeg import decomposed
from zsir.operators.jpeg.decomposed import Colour, Kind, triple, weighted
from zsir.operators.jpeg.truncated import truncated_mean
from zsir.operators.jpeg.units import Layout, Region

#: noise lies within this many standard deviations
SURELY = 3.0
#: the error of an estimate in a coefficient of the luma is not believed to be below this share of the error that the
#: quantisation makes there, or of the error of the decoded picture where that is less: both have the same cause.
#: Tuned with `photo` on nine crops, qualities 10 and 30
UNSURE = 0.6
#: variance of the encoder's own rounding, in grey levels of 255
ROUNDED = 1 / 12

#: from the place in the batch, kind, region, coefficients of units and middles of their intervals to changes of units
Step = Callable[[int, Kind, Region, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of files of one kind.

    Attributes:
        layout: Where codes stand.
        tables: Quantisation steps of each component, (components, 64) float64.
        spread: What y is divided by on the [0, 1] scale, (components, 64) float64.
        grain: Variance of noise before the encoder in the coefficients, (components, 1) float64, [0, 1] scale.
        colour: Colour space of the file.
        level: Standard deviation of the error of the decoded picture, on the [0, 1] scale.
    """

    layout: Layout
    tables: Tensor
    spread: Tensor
    grain: Tensor
    colour: Colour
    level: float

    @cached_property
    def _norms(self) -> Tensor:
        """What makes the rows of a whole unit 1 long, (components, 1)."""
        return torch.tensor([math.sqrt(fy * fx) for fy, fx in self.layout.factors], dtype=torch.float64)[:, None]

    @cached_property
    def _kinds(self) -> list[Kind]:
        """Of each region the kind whose rows, in a whole unit, have length 1."""
        unit = self._norms.reciprocal().expand(-1, 64).contiguous().numpy().tobytes()
        sizes = [(run.down.size, run.across.size) for run in self.layout.runs]
        return [Kind(size, self.layout.factors, self.colour, unit) for size in sizes]

    def nearest(self, x: Tensor, y: Tensor) -> Tensor:
        """The nearest pictures with coefficients in the box, which noise before the encoder makes wider.

        It does so by `SURELY` standard deviations of the noise in the coefficient.

        Args:
            x: Pictures, (batch, *in_shape).
            y: Observations, (batch, numbers).

        Returns:
            Pictures, (batch, *in_shape).
        """
        half = self._norms * (self.tables / 2 + SURELY * 255 * self.grain.sqrt())

        def step(place: int, kind: Kind, region: Region, d: Tensor, wanted: Tensor) -> Tensor:
            reach = self._row(region, half, d)
            return decomposed.box_step(triple(kind, "ycbcr"), d, wanted - reach, wanted + reach)

        return self._moved(x, y, step)

    def expected(self, z: Tensor, y: Tensor, variances: Tensor) -> Tensor:
        """The pictures that are expected behind the codes, where an estimate of them has white normal errors.

        The encoder rounds u = c + n, the coefficient with the noise before it and the rounding of pixels. For an
        estimate d of c with variance v, and noise of variance w, u is normal with mean d and variance v + w, cut to the
        interval of the code, and E[c] = d + v/(v + w) (E[u] - d). `UNSURE` keeps v from vanishing.

        Args:
            z: The estimates, (batch, *in_shape).
            y: Observations, (batch, numbers).
            variances: Those of the errors, (batch,), on the [0, 1] scale.

        Returns:
            Pictures, (batch, *in_shape).
        """
        half, blur = self._norms * self.tables / 2, self._norms**2 * (ROUNDED + 255**2 * self.grain).expand(-1, 64)
        least = self._least()

        def step(place: int, kind: Kind, region: Region, d: Tensor, wanted: Tensor) -> Tensor:
            reach, noise, floor = (self._row(region, values, d) for values in (half, blur, least))
            variance = 255**2 * variances[place].to(d) + floor
            # the number that was rounded holds the noise before the encoder as well
            inside = truncated_mean(d, variance + noise, wanted - reach, wanted + reach)
            return decomposed.least_step(triple(kind, "ycbcr"), variance / (variance + noise) * (inside - d))

        return self._moved(z, y, step)

    def _least(self) -> Tensor:
        """Least variances of the error of an estimate, (components, 64), in grey levels of 255."""
        uniform = self._norms * self.tables / math.sqrt(12)
        floor = (UNSURE * uniform.clamp_max(255 * self.level)).square()
        if self.colour == "ycbcr":
            floor[1:] = 0
        return floor

    def _row(self, region: Region, values: Tensor, like: Tensor) -> Tensor:
        return self.layout.row(region, values).to(like)

    def _moved(self, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """Pictures changed by ``step``, in grey levels of 255 and with rows of length 1."""
        scale, made = 255 * self._norms * self.spread / self.level, torch.empty_like(x)
        for place, (one, numbers) in enumerate(zip(x, y.expand(len(x), -1), strict=True)):
            for region, kind in zip(self.layout.runs, self._kinds, strict=True):
                units = self.layout.pixels(one, region).double()
                wanted = self.layout.codes(numbers, region).double()
                wanted = wanted * self._row(region, scale, wanted)
                d = 255 * units @ weighted(kind).to(units).T
                change = step(place, kind, region, d, wanted) / 255
                self.layout.set_pixels(made[place], region, (units + change).to(x))
        return made
