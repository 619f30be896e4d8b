"""Convolution along one axis: the continuation of a line beyond its ends, and matrices of separable kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from zsir.protocols import Shape


def line_matrix(n: int, line: Tensor, boundary: str) -> Tensor:
    """(n, n) matrix of the one-dimensional convolution with ``line``, float64."""
    taps = line.numel()
    before, after = taps - 1 - taps // 2, taps // 2
    rows = torch.zeros(n, n + taps - 1, dtype=torch.float64)
    for offset, weight in enumerate(line.flip(0)):
        rows.diagonal(offset)[:n] += weight
    return pad_adjoint(rows, before, after, boundary)


def line_matrices(kernel: Tensor, in_shape: Shape, boundary: str) -> tuple[Tensor, Tensor] | None:
    """The matrices for rows and columns of a kernel that is a column times a row; None for another kernel."""
    factors = line_factors(kernel)
    if factors is None:
        return None
    column, row = factors
    return line_matrix(in_shape[1], column, boundary), line_matrix(in_shape[2], row, boundary)


def line_factors(kernel: Tensor) -> tuple[Tensor, Tensor] | None:
    """The column and the row whose outer product the kernel is; None for another kernel."""
    left, s, right = torch.linalg.svd(kernel)
    if s.numel() > 1 and s[1] > 1e-12 * s[0]:
        return None
    return left[:, 0] * s[0].sqrt(), right[0] * s[0].sqrt()


def valid_matrix(n: int, line: Tensor, before: int, after: int) -> Tensor:
    """(n, before + n + after) matrix of the one-dimensional convolution that continues nothing, float64.

    ``before`` and ``after`` are as many entries as the taps reach, or more. Taps beyond them must be 0.
    """
    rows = torch.zeros(n, before + n + after, dtype=torch.float64)
    for tap, weight in enumerate(line):
        offset = before + line.numel() // 2 - tap
        if 0 <= offset <= before + after:
            rows.diagonal(offset)[:n] += weight
    return rows


def pad(x: Tensor, before: int, after: int, boundary: str) -> Tensor:
    """Continue the last dim by ``before`` and ``after`` entries, mirrored (edge repeated) or zero."""
    if boundary == "zero":
        return torch.nn.functional.pad(x, (before, after))
    for left, right in _portions(x.shape[-1], before, after):
        n = x.shape[-1]
        x = torch.cat([x[..., :left].flip(-1), x, x[..., n - right :].flip(-1)], -1)
    return x


def pad_adjoint(x: Tensor, before: int, after: int, boundary: str) -> Tensor:
    """Adjoint of `pad`: what lies outside is dropped, or folded back onto what it mirrored."""
    n = x.shape[-1] - before - after
    if boundary == "zero":
        return x[..., before : before + n]
    for left, right in reversed(_portions(n, before, after)):
        m = x.shape[-1] - left - right
        folded = x[..., left : left + m].clone()
        folded[..., :left] += x[..., :left].flip(-1)
        folded[..., m - right :] += x[..., left + m :].flip(-1)
        x = folded
    return x


def _portions(n: int, before: int, after: int) -> list[tuple[int, int]]:
    """A mirror reaches at most n entries far; longer margins are mirrored again."""
    portions = []
    while before or after:
        left, right = min(before, n), min(after, n)
        portions.append((left, right))
        n, before, after = n + left + right, before - left, after - right
    return portions
