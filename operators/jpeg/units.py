"""The linear part of a JPEG encoder, cut into units that do not touch each other.

A unit is the smallest part of the picture that holds whole 8x8 blocks of every component: 8x8 pixels without reduction
of the chroma, 16x16 with 4:2:0. Every unit goes through the same small matrix. Only those at the right and lower border
have matrices of their own, because there the encoder repeats the edge. At most four matrices are the whole operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TypeAlias

import torch
from torch import Tensor

from zsir.operators.jpeg.codec import dct_matrix
from zsir.protocols import Shape

#: how many rows and columns of the picture share one sample of a component
Factors: TypeAlias = tuple[int, int]
#: units that are worked on at a time, which bounds the memory
TOGETHER = 4096


@dataclass(frozen=True)
class Span:
    """A run of equal units along one side of the picture.

    Attributes:
        start: First pixel.
        count: Number of units.
        size: Pixels of one unit that lie in the picture.
    """

    start: int
    count: int
    size: int


@dataclass(frozen=True)
class Region:
    """The units of one kind: a run of them down and a run across."""

    down: Span
    across: Span

    @property
    def count(self) -> int:
        """Number of units."""
        return self.down.count * self.across.count


@dataclass(frozen=True)
class Layout:
    """Where the pixels and the codes of each unit stand.

    Attributes:
        in_shape: (channels, height, width) of the picture.
        factors: For each component how many rows and columns of the picture share one sample of it.
    """

    in_shape: Shape
    factors: tuple[Factors, ...]

    @cached_property
    def unit(self) -> Factors:
        """Height and width of a unit in pixels."""
        return 8 * math.lcm(*(fy for fy, _ in self.factors)), 8 * math.lcm(*(fx for _, fx in self.factors))

    @cached_property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of 8x8 blocks of each component, without blocks that lie beyond the picture."""
        _, h, w = self.in_shape
        return tuple((-(-h // (8 * fy)), -(-w // (8 * fx))) for fy, fx in self.factors)

    @property
    def numbers(self) -> int:
        """Number of codes."""
        return sum(64 * rows * columns for rows, columns in self.grids)

    def regions(self) -> Iterator[Region]:
        """Runs of equal units: inside, in bands of rows, at the right border, at the lower border, in the corner."""
        _, h, w = self.in_shape
        across = list(_spans(w, self.unit[1], w))
        rows = max(1, TOGETHER // across[0].count)
        for down in _spans(h, self.unit[0], rows):
            for each in across:
                yield Region(down, each)

    @cached_property
    def runs(self) -> list[Region]:
        """All of `regions`."""
        return list(self.regions())

    def pixels(self, x: Tensor, region: Region) -> Tensor:
        """The pixels of one picture (channels, height, width), unit by unit: (units, channels * size * size)."""
        down, across = region.down, region.across
        part = x[:, down.start :, across.start :][:, : down.count * down.size, : across.count * across.size]
        units = part.reshape(x.shape[0], down.count, down.size, across.count, across.size)
        return units.permute(1, 3, 0, 2, 4).reshape(region.count, -1)

    def set_pixels(self, x: Tensor, region: Region, units: Tensor) -> None:
        """Write the pixels that `pixels` reads."""
        down, across = region.down, region.across
        part = x[:, down.start :, across.start :][:, : down.count * down.size, : across.count * across.size]
        shaped = units.reshape(down.count, across.count, x.shape[0], down.size, across.size)
        part.copy_(shaped.permute(2, 0, 3, 1, 4).reshape(part.shape))

    def codes(self, y: Tensor, region: Region) -> Tensor:
        """The numbers of one observation (numbers,), unit by unit: (units, numbers of a unit)."""
        found = []
        for plane, box in zip(self.planes(y), self._boxes(region), strict=True):
            (top, tall), (left, wide) = box
            part = plane[top:, left:][: region.down.count * tall, : region.across.count * wide]
            units = part.reshape(region.down.count, tall, region.across.count, wide, 64)
            found.append(units.permute(0, 2, 1, 3, 4).reshape(region.count, -1))
        return torch.cat(found, dim=1)

    def row(self, region: Region, values: Tensor) -> Tensor:
        """Values by component and frequency (components, 64) in the order of `codes`, (numbers of a unit,)."""
        boxes = self._boxes(region)
        return torch.cat([each.repeat(tall * wide) for each, ((_, tall), (_, wide)) in zip(values, boxes, strict=True)])

    def set_codes(self, y: Tensor, region: Region, units: Tensor) -> None:
        """Write the numbers that `codes` reads."""
        begin = 0
        for plane, box in zip(self.planes(y), self._boxes(region), strict=True):
            (top, tall), (left, wide) = box
            part = plane[top:, left:][: region.down.count * tall, : region.across.count * wide]
            shaped = units[:, begin : begin + 64 * tall * wide]
            shaped = shaped.reshape(region.down.count, region.across.count, tall, wide, 64)
            part.copy_(shaped.permute(0, 2, 1, 3, 4).reshape(part.shape))
            begin += 64 * tall * wide

    def planes(self, y: Tensor) -> list[Tensor]:
        """Views of the components of one observation (numbers,): (rows, columns, 64) each."""
        sizes = [64 * rows * columns for rows, columns in self.grids]
        ends = list(accumulate(sizes))
        # slices: autograd lets nobody write into the parts of `split`
        return [y[end - n : end].view(*grid, 64) for n, end, grid in zip(sizes, ends, self.grids, strict=True)]

    def maps(self, region: Region) -> list[tuple[Tensor, Tensor]]:
        """For each component the matrices of the rows and of the columns of one unit, (samples, pixels) float64.

        They repeat the edge as libjpeg does, average, and transform: the right edge is repeated before the average
        of the chroma, the lower edge after it.
        """
        found = []
        for (fy, fx), ((_, tall), (_, wide)) in zip(self.factors, self._boxes(region), strict=True):
            rows = _transformed(_repeated(_mean(region.down.size, fy), tall))
            columns = _transformed(_mean(region.across.size, fx, 8 * wide * fx))
            found.append((rows, columns))
        return found

    def _boxes(self, region: Region) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """For each component the first row of blocks and the rows of one unit, and the same of the columns."""
        found = []
        for fy, fx in self.factors:
            down, across = region.down, region.across
            rows = (down.start // (8 * fy), -(-down.size // (8 * fy)))
            found.append((rows, (across.start // (8 * fx), -(-across.size // (8 * fx)))))
        return found


def _spans(length: int, unit: int, most: int) -> Iterator[Span]:
    """The whole units of a side in runs of at most ``most``, then the one that the picture fills in part."""
    whole, rest = divmod(length, unit)
    for first in range(0, whole, most):
        yield Span(first * unit, min(most, whole - first), unit)
    if rest:
        yield Span(whole * unit, 1, rest)


def _mean(size: int, factor: int, wanted: int = 0) -> Tensor:
    """Means of ``factor`` pixels out of ``size``, the last pixel repeated up to ``wanted`` or to whole means."""
    length = wanted or -(-size // factor) * factor
    pixels = torch.zeros(length, size, dtype=torch.float64)
    pixels[torch.arange(length), torch.arange(length).clamp_max(size - 1)] = 1
    return pixels.view(length // factor, factor, size).mean(dim=1)


def _repeated(samples: Tensor, blocks: int) -> Tensor:
    """``samples`` (n, pixels) with the last row repeated up to whole blocks."""
    return samples[torch.arange(8 * blocks).clamp_max(samples.shape[0] - 1)]


def _transformed(samples: Tensor) -> Tensor:
    """The DCT of every 8 rows of ``samples``."""
    blocks: Tensor = torch.block_diag(*[dct_matrix(torch.float64)] * (samples.shape[0] // 8))
    return blocks @ samples


def unit_matrix(layout: Layout, region: Region, colours: Tensor) -> Tensor:
    """The matrix of one unit from its pixels to its coefficients, before any weighting.

    Args:
        layout: Where pixels and codes stand.
        region: The kind of unit.
        colours: The matrix from channels to components, (components, channels) float64.

    Returns:
        (numbers of a unit, channels * pixels of a unit) float64, rows and columns in the order of `Layout.codes` and
        `Layout.pixels`.
    """
    parts = []
    for mixed, (rows, columns) in zip(colours, layout.maps(region), strict=True):
        tall, wide = rows.shape[0] // 8, columns.shape[0] // 8
        both = torch.einsum("aui,bvj->abuvij", rows.view(tall, 8, -1), columns.view(wide, 8, -1))
        part = torch.einsum("abuvij,c->abuvcij", both, mixed)
        parts.append(part.reshape(64 * tall * wide, -1))
    return torch.cat(parts)


def mean_gains(layout: Layout, trust: Tensor, weights: Tensor, fold: int) -> Tensor:
    """How much of each frequency of a plane of the picture the weighted coefficients hold, in the mean over its places.

    Args:
        layout: Where codes stand.
        trust: A weight for each number, (numbers,).
        weights: A weight for each component and frequency, (components, 64).
        fold: How many times larger a side is in the Fourier transform than in the picture.

    Returns:
        (components, fold * height, fold * width) float64, in the order of ``torch.fft.fft2``.
    """
    _, h, w = layout.in_shape
    gains = []
    for plane, weight, (fy, fx) in zip(layout.planes(trust.double()), weights, layout.factors, strict=True):
        each = (plane.mean(dim=(0, 1)).cpu() * weight).view(8, 8)
        basis = (_transformed(_mean(8 * factor, factor)) for factor in (fy, fx))
        rows, columns = (torch.fft.fft(part, fold * n).abs().square() for part, n in zip(basis, (h, w), strict=True))
        gains.append(torch.einsum("uv,uh,vw->hw", each, rows, columns) / (64 * fy * fx))
    return torch.stack(gains)


def mapped(
    regions: Sequence[Region],
    a: Tensor,
    read: Callable[[Tensor, Region], Tensor],
    matrices: Sequence[Tensor],
    write: Callable[[Tensor, Region, Tensor], None],
    shape: tuple[int, ...],
) -> Tensor:
    """Every unit of every entry of a batch times the matrix of its region, from the right.

    Args:
        regions: The regions.
        a: The batch.
        read: Units of an entry, such as `Layout.pixels`.
        matrices: One for each region.
        write: Writes units into a new entry, such as `Layout.set_codes`.
        shape: Shape of a new entry.

    Returns:
        The new batch, (batch, *shape).
    """
    made = a.new_empty(a.shape[0], *shape)
    for place, one in enumerate(a):
        for region, matrix in zip(regions, matrices, strict=True):
            write(made[place], region, read(one, region) @ matrix)
    return made
