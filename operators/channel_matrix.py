"""The matrix of the operator ``channels``, from a spec or a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zsir.errors import BadInput, BadSpec
from zsir.names.registry import number

#: more rows than this are a mistake
MOST_CHANNELS = 256


def matrix_of(rows: str | None, path: str | None) -> Tensor:
    """The matrix of `channels` (float64); raises `BadSpec` or `BadInput`."""
    if (rows is None) == (path is None):
        raise BadSpec("channels needs either rows=..., such as rows=0.5+0.5+0;0+0+1, or path=MATRIX.npy.")
    if rows is not None:
        parsed = [[number(part) for part in row.split("+")] for row in rows.split(";")]
        if len({len(row) for row in parsed}) != 1:
            raise BadSpec(f"channels:rows={rows}: every row needs as many numbers as the picture has channels.")
        matrix = torch.tensor(parsed, dtype=torch.float64)
    else:
        from zsir.pictures.reading import read_gray

        if Path(str(path)).suffix.lower() != ".npy":
            raise BadInput(f"channels:path={path}: give a .npy file, as numpy.save writes it.")
        matrix = torch.from_numpy(np.asarray(read_gray(str(path)), dtype=np.float64))
    if max(matrix.shape) > MOST_CHANNELS:
        given = "x".join(str(n) for n in matrix.shape)
        raise BadSpec(f"channels: the matrix is {given}; at most {MOST_CHANNELS} rows and columns are taken.")
    return matrix
