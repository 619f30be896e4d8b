"""A restored picture, and what is known about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zsir import metrics, pictures
from zsir.loop.provenance import provenance
from zsir.loop.solver import Solution, Stats
from zsir.operators import Identity
from zsir.pictures import Picture
from zsir.problem import Problem
from zsir.workflow.degradation import AUTO
from zsir.workflow.harm import harm
from zsir.workflow.method import Method
from zsir.workflow.partly import Found
from zsir.workflow.pose import Posed
from zsir.workflow.spread import Spread


@dataclass(frozen=True)
class Restored:
    """A restored picture and what is known about it.

    Attributes:
        x: The picture, float32 (1, C, height, width) in [0, 1] on the CPU; with several samples their mean.
        observation: The picture that it was restored from, (1, C, height, width).
        truth: The clean picture where the observation was simulated, else None.
        verdict: Sentences that the user should know: a doubt about the stated noise, a misfit, remarks on the samples.
            Empty where nothing is wrong.
        spread: Of several samples: their standard deviation, quantiles and the samples themselves; else None.
        solution: The solver's own result, not clipped.
        source: The picture as it was read: bits per sample, transparency, colour profile, path.
        doubt: The sentence about the stated noise, or an empty string; part of ``verdict``.
        misfit: The sentence about a result that contradicts its observation, or an empty string; part of ``verdict``.
        harm: The sentence about a result that is worse than its observation, with the likely cause and what to change,
            or an empty string; part of ``verdict``. `zsir solve` does not write such a result without ``--force``.
        settings: The settings that made it, as `zsir.restore` takes them.
        found: What was found in place of ``auto``, alone or in the operator's spec: the spec, a sentence, and the
            kernel if there is one; else None. The spec of a picture that stays as it is is ``identity``.
    """

    x: Tensor = field(repr=False)
    observation: Tensor = field(repr=False)
    truth: Tensor | None = field(repr=False)
    verdict: tuple[str, ...]
    spread: Spread | None = field(repr=False)
    solution: Solution = field(repr=False)
    source: Picture = field(repr=False)
    doubt: str = ""
    misfit: str = ""
    harm: str = ""
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    found: Found | None = None

    @property
    def residual(self) -> float:
        """How far the picture is from its observation, without a unit.

        It is ``||y - A x|| / (noise_std sqrt(m))``, near 1 for a picture that fits as the noise allows. Without noise
        it is the relative residual ``||y - A x|| / ||y||``.
        """
        return self.solution.stats.residual[0]

    @property
    def stats(self) -> Stats:
        """Network calls, operator calls, iterations, seconds, residual."""
        return self.solution.stats

    @property
    def provenance(self) -> dict[str, Any]:
        """Specs, weights' digest, noise, seed, dtype, device and versions, as JSON-able values."""
        return self.solution.provenance

    def numpy(self) -> NDArray[np.float32]:
        """The picture as float32 in [0, 1]: (height, width, 3), or (height, width) for a grey one."""
        values: NDArray[np.float32] = self.x[0].permute(1, 2, 0).numpy().copy()
        return values[:, :, 0] if values.shape[2] == 1 else values

    def pil(self) -> Image.Image:
        """The picture as an 8-bit Pillow picture of mode L or RGB, with the source's transparency LA or RGBA."""
        samples = np.rint(255 * self.numpy().astype(np.float64)).astype(np.uint8)
        made = Image.fromarray(samples)
        alpha = self.alpha
        if alpha is not None:
            made.putalpha(Image.fromarray(np.rint(255 * alpha[0, 0].numpy()).astype(np.uint8)))
        return made

    @property
    def alpha(self) -> Tensor | None:
        """The source's transparency in the size of the result (1, 1, height, width), or None."""
        return self.source.alpha_at((self.x.shape[-2], self.x.shape[-1]))

    def save(self, path: str | Path) -> None:
        """Write the picture with what its source brings along: bits per sample, transparency, profile, EXIF, dpi.

        EXIF is carried as it is, but for the orientation, which becomes 1, and the thumbnail, which goes.

        Args:
            path: The file; its suffix (``.png``, ``.jpg``, ``.tif``, ``.webp``) chooses the format.

        Raises:
            OutputError: The file cannot be written. Nothing is left half-written.
        """
        suffix = Path(path).suffix.lower()
        deep = suffix == ".png" or (suffix in (".tif", ".tiff") and self.x.shape[1] == 1 and self.alpha is None)
        # a file's bits are worth a warning where the format has fewer, those of an array are not
        bits = self.source.bits if deep or self.source.from_file else 8
        source = self.source
        pictures.write(path, self.x, bits=bits, alpha=self.alpha, icc=source.icc, exif=source.exif, dpi=source.dpi)

    def quality(self, pixels: Tensor | None = None) -> tuple[float, float] | None:
        """PSNR and SSIM against the truth.

        Args:
            pixels: The picture to measure, (1, C, height, width). By default the result.

        Returns:
            (PSNR in dB, SSIM), or None where the truth is not known. SSIM is NaN for sides below 11 pixels.
        """
        if self.truth is None:
            return None
        a, b = (self.x if pixels is None else pixels).clamp(0, 1), self.truth.clamp(0, 1)
        small = min(a.shape[-2:]) < 2 * metrics.WINDOW_RADIUS + 1
        return metrics.psnr(a, b), math.nan if small else metrics.ssim(a, b)

    def sheet(self) -> Tensor:
        """A contact sheet (1, 3, height, width).

        It shows the observation enlarged by bicubic interpolation, the restored picture, and the truth where it is
        known. Then the other headings say the PSNR.
        """
        cells = [self._observed(piece) for piece in self.observation.split(self.x.shape[1], dim=1)]
        cells.append((self._title("restored", self.x), self.x))
        if self.truth is not None:
            cells.append(("ground truth", self.truth))
        return pictures.contact_sheet(cells)

    def _observed(self, piece: Tensor) -> tuple[str, Tensor]:
        """A cell of the sheet; several observations of one picture have one each."""
        enlarged = pictures.enlarge(piece, (self.x.shape[-2], self.x.shape[-1]))
        return self._title("observation" if enlarged is piece else "bicubic", enlarged), enlarged

    def _title(self, name: str, pixels: Tensor) -> str:
        quality = self.quality(pixels)
        return name if quality is None else f"{name} {quality[0]:.2f} dB"


def judged(
    picture: Picture,
    posed: Posed,
    solution: Solution,
    settings: dict[str, Any],
    spread: Spread | None = None,
    remarks: Sequence[str] = (),
) -> Restored:
    """The first picture of a solution as a result, with all that is to be said of it."""
    x = solution.x[:1]
    misfit = metrics.contradiction(posed.problem, x)[0]
    # a simulated observation came through this operator with this noise, and the truth is there to judge by
    harmed = "" if posed.truth is not None else harm(posed.problem, x, misfit, settings["op"])
    return Restored(
        x=posed.shown(x).clamp(0, 1).cpu().float(),
        observation=posed.observation,
        truth=posed.truth,
        verdict=tuple(filter(None, [*posed.remarks, harmed or misfit, *remarks])),
        spread=spread,
        solution=solution,
        source=picture,
        doubt=posed.doubt,
        misfit=misfit,
        harm=harmed,
        settings=settings,
        # with op=auto the problem was posed for what was decided
        found=Found(posed.op, " ".join(posed.remarks)) if settings["op"] == AUTO else posed.found,
    )


def unchanged(picture: Picture, method: Method, settings: dict[str, Any], sentences: tuple[str, ...]) -> Restored:
    """A picture that needs nothing, as a result."""
    x = picture.pixels
    problem = Problem(x, Identity(picture.shape), 0.0)
    stats = Stats(0, {}, 0, 0.0, 0.0, 0.0, [0.0])
    made = provenance(problem, method.prior, method.sampler, settings["seed"], [0])
    found, solution = Found("identity", " ".join(sentences)), Solution(x, stats, made)
    return Restored(x, x, None, sentences, None, solution, picture, settings=settings, found=found)
