"""Channels mixed by a matrix, and the mosaic of a camera's sensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import torch
from torch import Tensor

from zsir.capabilities import Margins, decompose
from zsir.errors import BadSpec, ShapeError
from zsir.extent import beyond
from zsir.linalg import alone, per_picture, ridge_inverse
from zsir.names.registry import Option
from zsir.operators.base import Operator
from zsir.operators.blurs.cosine import CosineBlur
from zsir.operators.blurs.fourier import CircularBlur
from zsir.operators.channel_matrix import matrix_of
from zsir.operators.plans import SVD, Plans
from zsir.operators.separable import Separable
from zsir.protocols import Shape

#: weights of red, green and blue: ITU-R BT.601 (JPEG, Pillow's "L"), ITU-R BT.709 (sRGB, HDTV), the plain mean
LUMA = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722), "mean": (1 / 3, 1 / 3, 1 / 3)}
#: the 2x2 cell of a sensor, row by row
PATTERNS = {"rggb": (0, 1, 1, 2), "bggr": (2, 1, 1, 0), "grbg": (1, 0, 2, 1), "gbrg": (1, 2, 0, 1)}
#: operators that treat every channel alike and have a decomposition that knows no number of channels
ALONE = (Separable, CosineBlur, CircularBlur)


@dataclass(frozen=True, eq=False)
class Channels(Operator):
    """Every pixel's channels mixed by one matrix M.

    forward ``y[., i, j] = M x[., i, j]``; adjoint ``M^T y``; pinv ``V S / (S^2 + ridge) U^T y`` with ``M = U S V^T``.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        matrix: The matrix M, (channels of y, channels of x).

    Raises:
        ShapeError: The matrix does not have a column for each channel of the picture.
        BadSpec: The matrix holds values that are not finite.
    """

    in_shape: Shape
    matrix: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or not self.matrix.numel() or self.matrix.shape[1] != self.in_shape[0]:
            raise ShapeError(
                f"The matrix of the channels has shape {tuple(self.matrix.shape)}, the picture {self.in_shape[0]} "
                f"channel(s); give (channels of the observation, {self.in_shape[0]})."
            )
        if not bool(torch.isfinite(self.matrix).all()):
            raise BadSpec("The matrix of the channels holds values that are not finite numbers.")

    @property
    def out_shape(self) -> Shape:
        """(rows of M, height, width)."""
        return (self.matrix.shape[0], *self.in_shape[1:])

    @property
    def pictorial(self) -> bool:
        """Whether y is a picture: 1 or 3 channels, each a mean of those of x."""
        rows = self.matrix.double()
        within = bool((rows >= 0).all()) and float(rows.sum(1).max()) <= 1 + 1e-6
        return within and self.matrix.shape[0] in (1, 3)

    @cached_property
    def unit(self) -> float:
        """The largest singular value, unless observations are pictures. See `zsir.observation_units`."""
        return 1.0 if self.pictorial else float(torch.linalg.svdvals(self.matrix.double())[0])

    @cached_property
    def _plans(self) -> Plans:
        m = self.matrix.double()
        u, s, vt = torch.linalg.svd(m, full_matrices=False)
        return Plans({"m": m, "u": u, "s": s[:, None, None], "vt": vt})

    def factors(self, like: Tensor) -> dict[str, Tensor]:
        """The singular value decomposition of M.

        Args:
            like: A tensor whose dtype and device the factors take.

        Returns:
            ``m`` (rows, channels), ``u`` (rows, rank), ``s`` (rank, 1, 1) and ``vt`` (rank, channels), by name.
        """
        return self._plans.like(like)

    def forward(self, x: Tensor) -> Tensor:
        """M x."""
        self.check_input(x, self.in_shape)
        return mixed(self._plans.like(x)["m"], x)

    def adjoint(self, y: Tensor) -> Tensor:
        """M^T y."""
        self.check_input(y, self.out_shape)
        return mixed(self._plans.like(y)["m"].T, y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """V S / (S^2 + ridge) U^T y."""
        self.check_input(y, self.out_shape)
        p = self._plans.like(y)
        return mixed(p["vt"].T, mixed(p["u"].T, y) * ridge_inverse(p["s"], per_picture(ridge, y)))

    def svd(self, like: Tensor) -> SVD:
        """The decomposition of M, the same at every pixel; coefficients (rank, height, width)."""
        p = self._plans.like(like)
        return SVD(
            s=p["s"].expand(-1, *self.in_shape[1:]),
            u=lambda c: mixed(p["u"], c),
            ut=lambda y: mixed(p["u"].T, y),
            v=lambda c: mixed(p["vt"].T, c),
            vt=lambda x: mixed(p["vt"], x),
        )

    def after(self, inner: Operator) -> Operator | None:
        """Two mixtures of channels are one; a mixture after an operator on each channel alone keeps its inverses."""
        if isinstance(inner, Channels):
            return Channels(inner.in_shape, self.matrix.double() @ inner.matrix.double())
        return MixedChannels(self, inner) if isinstance(inner, ALONE) else None


@dataclass(frozen=True, eq=False)
class MixedChannels(Operator):
    """Channels mixed after an operator that treats every channel alike: ``A = M K`` with ``M K = K M``.

    forward ``M (K x)``; adjoint ``K^T (M^T y)``; pinv ``V S / (S^2 + ridge) U^T y``, whose singular values are the
    products of those of M and of K.

    Attributes:
        outer: The mixture M.
        inner: The operator K: a resize, or a blur with a closed form.
    """

    outer: Channels
    inner: Operator

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the pictures of K."""
        return self.inner.in_shape

    @property
    def out_shape(self) -> Shape:
        """Shape of what M makes."""
        return self.outer.out_shape

    @property
    def pictorial(self) -> bool:
        """Whether M makes pictures."""
        return self.outer.pictorial

    @property
    def margins(self) -> Margins:
        """Those of K."""
        return beyond(self.outer, self.inner)

    @property
    def unit(self) -> float:
        """That of M, which writes the observation."""
        return self.outer.unit

    def forward(self, x: Tensor) -> Tensor:
        """M (K x)."""
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """K^T (M^T y)."""
        return self.inner.adjoint(self.outer.adjoint(y))

    def svd(self, like: Tensor) -> SVD:
        """That of K in every channel of that of M; coefficients (rank of M, coefficients of one channel of K)."""
        m, k = self.outer.factors(like), decompose(self.inner, like)
        return SVD(
            s=m["s"] * k.s[:1],
            u=lambda c: mixed(m["u"], k.u(c)),
            ut=lambda y: k.ut(mixed(m["u"].T, y)),
            v=lambda c: mixed(m["vt"].T, k.v(c)),
            vt=lambda x: k.vt(mixed(m["vt"], x)),
        )

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """V S / (S^2 + ridge) U^T y."""
        self.check_input(y, self.out_shape)
        svd = self.svd(y)
        return svd.v(svd.ut(y) * ridge_inverse(svd.s, per_picture(ridge, y)))


def mixed(matrix: Tensor, x: Tensor) -> Tensor:
    """The matrix applied to the channels of x (batch, channels, height, width)."""
    return alone(lambda picture: torch.einsum("rc,bchw->brhw", matrix, picture), x)


@dataclass(frozen=True, eq=False)
class Mosaic(Operator):
    """One channel of each pixel, as a sensor with a colour filter array sees it: a grey picture.

    forward ``y[i, j] = x[c(i, j), i, j]``; adjoint: 0 in the channels not seen; pinv ``A^T y / (1 + ridge)``.

    Attributes:
        in_shape: (3, height, width) of one picture.
        pattern: The 2x2 cell at the top left, row by row: ``rggb``, ``bggr``, ``grbg`` or ``gbrg``.
    """

    in_shape: Shape
    pattern: str

    @property
    def out_shape(self) -> Shape:
        """(1, height, width)."""
        return (1, *self.in_shape[1:])

    @cached_property
    def seen(self) -> Tensor:
        """True where a channel of a pixel is observed, (3, height, width)."""
        _, h, w = self.in_shape
        cell = torch.tensor(PATTERNS[self.pattern]).view(2, 2)
        channel = cell.repeat(h // 2 + 1, w // 2 + 1)[:h, :w]
        return channel == torch.arange(3)[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """The observed channel of each pixel."""
        self.check_input(x, self.in_shape)
        return torch.where(self.seen.to(x.device), x, 0.0).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """The observed values in their channels, 0 in the others."""
        self.check_input(y, self.out_shape)
        return torch.where(self.seen.to(y.device), y, 0.0)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T y / (1 + ridge): A A^T = I."""
        return self.adjoint(y) / (1 + per_picture(ridge, y))

    def svd(self, like: Tensor) -> SVD:
        """s = 1, U = I, V = A^T; coefficients have the observation's shape."""
        return SVD.of_selection(self, like)


def grey(
    in_shape: Shape,
    weights: Annotated[
        str, Option("of red, green and blue: of JPEG and Pillow, of sRGB and HDTV, or equal", choices=tuple(LUMA))
    ] = "bt601",
) -> Channels:
    """A grey picture of a colour picture; to restore it is to colour it.

    forward ``y = w_r x_r + w_g x_g + w_b x_b``; adjoint ``(w_r y, w_g y, w_b y)``; pinv ``w y / (|w|^2 + ridge)``.

    Args:
        in_shape: (3, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: The weights have no such name.
        ShapeError: The picture has no colours.
    """
    if weights not in LUMA:
        raise BadSpec(f"grey:weights={weights}: choose one of {', '.join(LUMA)}.")
    _need_colour("grey", in_shape)
    return Channels(in_shape, torch.tensor([LUMA[weights]], dtype=torch.float64))


def channels(
    in_shape: Shape,
    rows: Annotated[str | None, Option("the matrix, numbers joined by + and rows by ;: 0.5+0.5+0;0+0+1")] = None,
    path: Annotated[str | None, Option("the matrix in a .npy file, one row for each observed channel")] = None,
) -> Channels:
    """Every pixel's channels mixed by a matrix M, such as that of a camera.

    forward ``y[., i, j] = M x[., i, j]``; adjoint ``M^T y``; pinv ``V S / (S^2 + ridge) U^T y`` with ``M = U S V^T``.
    In Python, ``operators.Channels(in_shape, matrix)`` takes a tensor.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadInput: The file cannot be read.
        BadSpec: The matrix does not parse.
        ShapeError: The matrix does not have a column for each channel of the picture.
    """
    return Channels(in_shape, matrix_of(rows, path))


def mosaic(
    in_shape: Shape,
    pattern: Annotated[str, Option("colours of the 2x2 cell, row by row", choices=tuple(PATTERNS))] = "rggb",
) -> Mosaic:
    """One colour of each pixel, as a sensor under a Bayer filter sees it; to restore it is to demosaic it.

    forward ``y[i, j] = x[c(i, j), i, j]``; adjoint ``A^T y``: 0 in the colours not seen; pinv ``A^T y / (1 + ridge)``.
    The observation is one grey picture, as in a raw file.

    Args:
        in_shape: (3, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: The pattern has no such name.
        ShapeError: The picture has no colours.
    """
    if pattern not in PATTERNS:
        raise BadSpec(f"mosaic:pattern={pattern}: choose one of {', '.join(PATTERNS)}.")
    _need_colour("mosaic", in_shape)
    return Mosaic(in_shape, pattern)


def colour_shape(out_shape: Shape, options: dict[str, Any]) -> Shape:
    """The colour picture behind a grey observation; raises `ShapeError` for an observation in colour."""
    if out_shape[0] != 1:
        raise ShapeError(
            f"The observation has {out_shape[0]} channels, but grey and mosaic give one: save it as a grey picture."
        )
    return (3, *out_shape[1:])


def unmixed_shape(out_shape: Shape, options: dict[str, Any]) -> Shape:
    """The picture behind an observation of `channels`; raises `ShapeError` where the rows do not fit."""
    matrix = matrix_of(options.get("rows"), options.get("path"))
    if matrix.shape[0] != out_shape[0]:
        raise ShapeError(
            f"channels: the matrix has {matrix.shape[0]} row(s), the observation {out_shape[0]} channel(s); give one "
            "row for each."
        )
    return (matrix.shape[1], *out_shape[1:])


def _need_colour(name: str, in_shape: Shape) -> None:
    if in_shape[0] != 3:
        raise ShapeError(f"{name} takes pictures of three channels, this one has {in_shape[0]}; give an RGB picture.")
