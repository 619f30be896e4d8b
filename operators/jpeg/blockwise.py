"""JPEG as a linear measurement with independent errors: colour matrix, means of the chroma, blockwise DCT, weights.

A file holds codes k, and the coefficient behind a code lies within half a step q of ``q k``. The operator divides every
coefficient by the standard deviation s of that error, so that the errors of all numbers are alike:

    A x = level diag(1/s) T M x,    y = level diag(1/s) (q k + offset) / 255,    s^2 = (q^2 + 1) / (12 255^2) + ...

M is the colour matrix, T the blockwise DCT of the planes, with means of the chroma. The 1 is the encoder's own
rounding. Noise that the picture carried before adds its variance in the coefficient. ``level`` puts the error on the
scale of the picture: it is about the rms error of the decoded file, so that ``Problem.noise_std`` means what it means
for other operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from zsir.errors import ShapeError
from zsir.linalg import per_picture, ridge_inverse
from zsir.operators.base import Operator
from zsir.operators.jpeg import decomposed
from zsir.operators.jpeg.boxes import Boxes
from zsir.operators.jpeg.coded import JpegFile
from zsir.operators.jpeg.decomposed import Colour, Kind, Norm, colour_matrix, triple, weighted
from zsir.operators.jpeg.encoder import by_pillow, dequantised, in_floats, pillow_writes
from zsir.operators.jpeg.units import Factors, Layout, Region, mapped, mean_gains
from zsir.operators.mask import Identity
from zsir.operators.plans import SVD, Plans
from zsir.operators.through_jpeg import through
from zsir.protocols import NoiseSource, Shape

#: last noise level of samplers as a share of white noise before the encoder: not all of that noise is left in the
#: decoded picture, whose highest frequencies are 0
LEFT = 0.65
#: last noise level of samplers
FINISH = 3 / 255
#: level up to which distances count in full; tuned as `FINISH` was
BALANCED = 7 / 255


@dataclass(frozen=True, eq=False)
class JpegOperator(Operator):
    """The linear part of a JPEG encoder, weighted by the errors that its quantisation makes.

    forward ``A x = level diag(1/s) T M x``; adjoint ``A^T y = M^T T^T diag(level/s) y``;
    pinv unit by unit, from the singular value decomposition of the matrix of one unit.
    Every unit of the picture (16x16 pixels for 4:2:0) goes through the same small matrix. Where the picture ends inside
    a unit, the edge is repeated as libjpeg does. Observations are the coefficients of all components, (numbers,).

    With ``norm="ycbcr"``, ``pinv`` and ``prox`` measure pictures in the colours of the file:

        prox(z, y, rho) = argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - z||_G^2,   ||x||_G = sqrt(balance) ||M x||
        pinv(y, ridge)  = G^-1 A^T (A G^-1 A^T + ridge I)^+ y

    The decomposition ``svd`` is always that of A.

    A code of 0 would pull detail to 0 if it were trusted as the others are. So ``prox`` in the file's colours takes
    ``zeros`` times the variance s^2 for numbers of y that are exactly 0, which is worth 0.1 dB on photographs.

    Attributes:
        in_shape: (channels, height, width) of one picture, 1 channel for grey and 3 for colour.
        tables: Quantisation steps of each component, (components, 8, 8), in natural order.
        factors: For each component how many rows and columns of the picture share one sample of it.
        colour: ``ycbcr``, ``rgb`` for components that are the colours themselves, or ``grey``.
        level: Standard deviation of the error of y, on the [0, 1] scale. By default 1.
        noise_before: Standard deviation of the noise that the picture carried before it was encoded, [0, 1] scale.
        norm: ``ycbcr`` or ``rgb``, see above.
        zeros: Factor of the variance, in ``prox``, of numbers of y that are exactly 0. By default 6.

    Raises:
        BadSpec: The tables or the factors do not fit the colour space.
        ShapeError: The picture has another number of channels than the colour space.
    """

    in_shape: Shape
    tables: Tensor = field(repr=False)
    factors: tuple[Factors, ...]
    colour: Colour = "ycbcr"
    level: float = 1.0
    noise_before: float = 0.0
    norm: Norm = "ycbcr"
    zeros: float = 6.0

    def __post_init__(self) -> None:
        decomposed.check_parts(self.in_shape[0], self.colour, self.tables, self.factors)

    @property
    def out_shape(self) -> tuple[int]:
        """(numbers,): the coefficients of all components, block by block."""
        return (self.layout.numbers,)

    @property
    def pictorial(self) -> bool:
        """Coefficients are no picture."""
        return False

    @property
    def own_noise(self) -> float:
        """``level``."""
        return self.level

    @property
    def finish(self) -> float:
        """3/255, or ``level`` where that is less: the error lies in few coefficients, and a denoiser at its rms level
        takes detail from the others. Tuned on nine crops with the prior ``photo``, qualities 10 to 75. Noise before the
        encoder raises it to `LEFT` of that noise."""
        return min(max(FINISH, LEFT * self.noise_before), self.level)

    @property
    def balance(self) -> float:
        """Weight of the norm ``ycbcr``, 1 down to about 0.4 at quality 10: with it one ``lam`` fits all qualities."""
        return 1.0 if self.norm == "rgb" else min(1.0, BALANCED / self.level)

    @property
    def colours(self) -> Tensor:
        """The matrix C of the norm, ``||x||_G = ||C x||``: sqrt(balance) M or the identity."""
        plain = self.norm == "rgb" and self.colour != "grey"
        return math.sqrt(self.balance) * colour_matrix("rgb" if plain else self.colour)

    def metric(self, x: Tensor) -> Tensor:
        """G x, with ``G = C^T C``."""
        mixing = self.colours.to(x)
        return torch.einsum("dc,bchw->bdhw", mixing.T @ mixing, x)

    @cached_property
    def layout(self) -> Layout:
        """Where codes stand."""
        return Layout(self.in_shape, self.factors)

    @cached_property
    def spread(self) -> Tensor:
        """s of each component and frequency on the [0, 1] scale, (components, 64) float64."""
        steps = self.tables.double().flatten(1)
        return ((steps**2 + 1) / (12 * 255**2) + self._grain).sqrt()

    @property
    def _grain(self) -> Tensor:
        """Variance of the noise before the encoder in the coefficients of each component, (components, 1) float64."""
        shared = torch.tensor([fy * fx for fy, fx in self.factors], dtype=torch.float64)
        gains = colour_matrix(self.colour).square().sum(dim=1) / shared
        return gains[:, None] * self.noise_before**2

    @cached_property
    def _kinds(self) -> list[Kind]:
        spread = self.spread.numpy().tobytes()
        return [Kind((r.down.size, r.across.size), self.factors, self.colour, spread) for r in self.layout.runs]

    @cached_property
    def _plans(self) -> dict[Kind, Plans]:
        return {kind: Plans({"a": self.level * weighted(kind)}) for kind in set(self._kinds)}

    @cached_property
    def _offset(self) -> Tensor:
        """The coefficients of the 128 that encoders subtract, (components, 64) float64 on the 0..255 scale."""
        offset = torch.zeros(len(self.tables), 64, dtype=torch.float64)
        offset[: None if self.colour == "rgb" else 1, 0] = 8 * 128
        return offset

    def measured(self, file: JpegFile) -> Tensor:
        """The observation that a file holds.

        Args:
            file: A file with codes, of the operator's size, sampling and tables.

        Returns:
            y, (1, numbers) float64.

        Raises:
            ShapeError: The file has another size, sampling, colour space or other tables.
            BadInput: Only the headers of the file were read.
        """
        ours = (self.in_shape[2], self.in_shape[1]), self.factors, self.colour
        alike = (file.size, file.factors, file.space) == ours
        if not alike or not torch.equal(torch.stack([c.table for c in file.components]).to(self.tables), self.tables):
            raise ShapeError(
                f"The file is {file.text}, but the operator is for {ours[0][0]}x{ours[0][1]} pixels, {self.colour}, "
                f"factors {self.factors}, or has other tables; make the operator of the file itself."
            )
        planes = zip(dequantised(file), self._offset, self.spread, strict=True)
        return torch.cat([((c + offset) / 255 * (self.level / s)).flatten() for c, offset, s in planes])[None]

    def record(self, x: Tensor, rng: NoiseSource) -> tuple[Tensor, Tensor]:
        """Encode pictures, by Pillow where it writes this kind of file.

        Args:
            x: Pictures, (batch, *in_shape), in [0, 1].
            rng: Where the noise before the encoder comes from.

        Returns:
            The observations y, (batch, numbers), and the pictures that a viewer decodes, (batch, *in_shape).
        """
        self.check_input(x, self.in_shape)
        if self.noise_before > 0:
            x = x + self.noise_before * rng.randn_like(x)
        made = [self._encoded(one) for one in x]
        return torch.cat([self.measured(file) for file, _ in made]).to(x), torch.stack([seen for _, seen in made]).to(x)

    def _encoded(self, x: Tensor) -> tuple[JpegFile, Tensor]:
        if pillow_writes(self.tables, self.factors, self.colour):
            return by_pillow(x, self.tables, self.factors)
        return self.in_floats(x)

    def in_floats(self, x: Tensor) -> tuple[JpegFile, Tensor]:
        """Codes and decoded picture (C, height, width) of one picture of that shape, by exact arithmetic: of a picture
        that was decoded from such codes, the codes themselves, but for what decoding rounded and clipped."""
        rounded = (x[None].double().cpu().clamp(0, 1) * 255).round()
        coefficients = self.forward(rounded)[0]
        for i, plane in enumerate(self.layout.planes(coefficients)):
            plane *= self.spread[i] / self.level
        return in_floats(coefficients, self.layout, self.tables, self.colour, self._offset)

    def forward(self, x: Tensor) -> Tensor:
        """level diag(1/s) T M x."""
        self.check_input(x, self.in_shape)
        matrices, layout = [self._plans[kind].like(x)["a"].T for kind in self._kinds], self.layout
        return mapped(self.layout.runs, x, layout.pixels, matrices, layout.set_codes, self.out_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """M^T T^T diag(level/s) y."""
        self.check_input(y, self.out_shape)
        return self._pixels(y, {kind: plans.like(y)["a"] for kind, plans in self._plans.items()})

    def _pixels(self, y: Tensor, matrices: dict[Kind, Tensor]) -> Tensor:
        """The numbers of every unit times the matrix of its kind."""
        each = [matrices[kind] for kind in self._kinds]
        return mapped(self.layout.runs, y, self.layout.codes, each, self.layout.set_pixels, self.in_shape)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """V [s/(s^2 + ridge)] U^T y of every unit, in the operator's norm."""
        self.check_input(y, self.out_shape)
        if isinstance(ridge, Tensor) and ridge.ndim:
            return torch.cat([self.pinv(one, float(r)) for one, r in zip(y.split(1), ridge, strict=True)])
        return self._pixels(y, {kind: self._inverse(kind, float(ridge)).to(y) for kind in set(self._kinds)})

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """argmin 1/2 ||A x - y||^2 + rho/2 ||x - z||_G^2, with ``zeros`` times the variance where y is exactly 0."""
        silent = y == 0
        if self.norm == "rgb" or self.zeros == 1 or not bool(silent.any()):
            return super().prox(z, y, rho)
        misfit = (y - self.forward(z)) / self.level
        made, ridges = z.clone(), per_picture(rho, y) * self.balance / self.level**2 / self.trust(y)
        for place, (r, each) in enumerate(zip(misfit, ridges.expand_as(misfit), strict=True)):
            for region, kind in zip(self.layout.runs, self._kinds, strict=True):
                codes = (self.layout.codes(numbers, region) for numbers in (r, each))
                change = decomposed.discounted_step(triple(kind, self.norm), *codes)
                self.layout.set_pixels(made[place], region, self.layout.pixels(z[place], region) + change)
        return made

    def _inverse(self, kind: Kind, ridge: float) -> Tensor:
        """The transposed ridge inverse of one unit, (numbers, channels * pixels) float64."""
        found = triple(kind, self.norm)
        return (found.u * ridge_inverse(self.level * found.s, self.balance * ridge)) @ found.v.T

    def with_noise(self, std: float) -> JpegOperator:
        """The operator of pictures that carried more noise before they were encoded.

        Args:
            std: Standard deviation of the noise to add, on the [0, 1] scale.

        Returns:
            An operator whose ``noise_before`` and ``own_noise`` have both parts.
        """
        return replace(self, noise_before=math.hypot(self.noise_before, std), level=math.hypot(self.level, std))

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The nearest pictures, in the colours of the file, whose coefficients lie in the box of y. See `Boxes`.

        Args:
            x: Pictures, (batch, *in_shape).
            y: Observations, as `measured` gives them.

        Returns:
            Pictures, (batch, *in_shape).
        """
        self.check_input(x, self.in_shape)
        self.check_input(y, self.out_shape)
        return self._boxes.nearest(x, y)

    @property
    def expected(self) -> Callable[[Tensor, Tensor, float | Tensor], Tensor] | None:
        """`Boxes.expected` for z, y and rho; None where noise before the encoder is more than half of ``level``. There
        errors are nearly normal, and results of `prox` were up to 0.9 dB better."""
        return None if 2 * self.noise_before > self.level else self._expected

    def _expected(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        self.check_input(z, self.in_shape)
        self.check_input(y, self.out_shape)
        return self._boxes.expected(z, y, torch.as_tensor(self.level**2 / rho, dtype=torch.float64).expand(len(z)))

    @cached_property
    def _boxes(self) -> Boxes:
        tables = self.tables.double().flatten(1)
        return Boxes(self.layout, tables, self.spread, self._grain, self.colour, self.level)

    def after(self, inner: Operator) -> Operator | None:
        """A I = A; the product with most other operators knows how to precondition its conjugate gradients."""
        return self if isinstance(inner, Identity) else through(self, inner)

    def trust(self, y: Tensor) -> Tensor:
        """1, and ``1 / zeros`` for numbers of y that are exactly 0; in the norm ``rgb`` 1 for all."""
        least = 1.0 if self.norm == "rgb" else 1 / self.zeros
        return torch.where(y == 0, torch.full_like(y, least), torch.ones_like(y))

    def response(self, trust: Tensor, fold: int = 1) -> Tensor:
        """The mean gain of A^T W A in the colours of the norm, by frequency of the picture.

        Args:
            trust: The diagonal of W, (numbers,).
            fold: How many times larger a side is in the Fourier transform than in the picture. By default 1.

        Returns:
            Gains, (components, fold * height, fold * width) float64, in the order of ``torch.fft.fft2``.
        """
        found = mean_gains(self.layout, trust, (self.level / self.spread) ** 2 / self.balance, fold)
        if self.norm == "rgb" and self.colour == "ycbcr":
            found = torch.einsum("pc,phw->chw", colour_matrix(self.colour).square(), found)
        return found

    def svd(self, like: Tensor) -> SVD:
        """The decomposition in the dtype and on the device of ``like``; coefficients unit by unit, (all,)."""
        triples = [triple(kind, "rgb") for kind in self._kinds]
        s = [t.s.expand(region.count, -1).flatten() for t, region in zip(triples, self.layout.runs, strict=True)]
        u, v = ([getattr(t, name).to(like) for t in triples] for name in ("u", "v"))
        layout, sizes = self.layout, [each.numel() for each in s]

        def inside(c: Tensor, region: Region) -> Tensor:
            start = sum(sizes[: self.layout.runs.index(region)])
            return c[start:][: region.count * v[self.layout.runs.index(region)].shape[1]].view(region.count, -1)

        def put(c: Tensor, region: Region, units: Tensor) -> None:
            inside(c, region).copy_(units)

        ut, vt = [m.T for m in u], [m.T for m in v]
        return SVD(
            s=self.level * torch.cat(s).to(like),
            u=lambda c: mapped(self.layout.runs, c, inside, ut, layout.set_codes, self.out_shape),
            ut=lambda y: mapped(self.layout.runs, y, layout.codes, u, put, (sum(sizes),)),
            v=lambda c: mapped(self.layout.runs, c, inside, vt, layout.set_pixels, self.in_shape),
            vt=lambda x: mapped(self.layout.runs, x, layout.pixels, v, put, (sum(sizes),)),
        )
