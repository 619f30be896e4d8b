"""An inspection as people and programs read it."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsir.inspection.findings import Enlargement, Findings, Hypothesis, Jpeg, Noise

#: noise of less than this is nothing to remove
VISIBLE = 1.5 / 255
#: JPEG from this quality on needs no repair; a table not of libjpeg's is judged by its mean step
GOOD_QUALITY, GOOD_STEP = 96, 8.0
#: an enlargement by less than this costs too little detail for an attempt to bring it back: a blur counts instead
LEAST_ENLARGEMENT = 1.3
#: shares of clipped pixels worth a sentence
CLIPPED = 0.01
#: radius of the disc that behind JPEG is taken for a Gaussian of width 1: discs of 2.5 to 4.5 pixels are taken for
#: Gaussians of 1.57 to 3.1
DISC = 1.54
#: rounding to 8 bits
ROUNDING = 0.29 / 255


@dataclass(frozen=True)
class Inspection:
    """What a picture has been through.

    Attributes:
        path: The file, or empty.
        shape: (channels, height, width) of the picture.
        findings: Everything found, with figures and error bars.
    """

    path: str
    shape: tuple[int, int, int]
    findings: Findings

    @property
    def needs_nothing(self) -> bool:
        """Whether nothing was found that a restoration could repair."""
        found = self.findings
        repaired = found.scratches or found.blur or found.before or enlarged_much(found)
        damaged = repaired or (found.jpeg and coarse(found.jpeg))
        return not damaged and not visible(found)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise before JPEG, on the [0, 1] scale, never below that of rounding to 8 bits."""
        return _level(self.findings)

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """What may have happened, likeliest first; empty where the picture needs nothing."""
        return () if self.needs_nothing else tuple(_hypotheses(self.findings, self.noise, self.shape))

    @property
    def spec(self) -> str:
        """The chain of operators of the likeliest hypothesis; empty where the picture needs nothing."""
        return self.hypotheses[0].spec if self.hypotheses else ""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words, one sentence each."""
        return tuple(_sentences(self))

    def command(self, path: str = "", output: str = "") -> str:
        """The command that repairs the picture: ``auto``, which believes what this inspection says.

        Args:
            path: The file; by default the one that was inspected.
            output: The file to write; by default the name of the picture with ``_restored`` behind it.

        Returns:
            A ``zsir solve`` command, or an empty string where the picture needs nothing.
        """
        if not self.hypotheses:
            return ""
        file = path or self.path or "PICTURE"
        made = output or str(Path(file).with_name(f"{Path(file).stem}_restored.png"))
        # a name that begins with a dash would be taken for an option
        file, made = (f"./{name}" if name.startswith("-") else name for name in (file, made))
        return shlex.join(["zsir", "solve", file, "-o", made])

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it.

        Returns:
            The keys ``path``, ``shape``, ``needs_nothing``, ``findings``, ``sentences``, ``hypotheses``, ``command``.
        """
        return {
            "path": self.path,
            "shape": list(self.shape),
            "needs_nothing": self.needs_nothing,
            "findings": dataclasses.asdict(self.findings),
            "sentences": list(self.sentences),
            "hypotheses": [dataclasses.asdict(one) for one in self.hypotheses],
            "command": self.command(),
        }


def coarse(jpeg: Jpeg) -> bool:
    """Whether the steps of a JPEG are worth a repair."""
    if jpeg.quality is not None:
        return jpeg.quality < GOOD_QUALITY
    return mean_step(jpeg) > GOOD_STEP


def mean_step(jpeg: Jpeg | None) -> float:
    """The mean of the known steps of luma, 0 where there is no JPEG or none is known."""
    steps = [q for q in jpeg.tables[0] if q] if jpeg is not None and jpeg.tables else []
    return sum(steps) / len(steps) if steps else 0.0


def visible(found: Findings) -> bool:
    """Whether there is noise that can be seen."""
    return found.noise is not None and found.noise.std >= VISIBLE


def enlarged_much(found: Findings) -> bool:
    """Whether an enlargement was found that is worth an attempt to bring detail back."""
    return found.enlargement is not None and found.enlargement.factor >= LEAST_ENLARGEMENT


def jpeg_stage(jpeg: Jpeg | None) -> str:
    """The last stage of a chain, empty where there is none or its grid or table is not known."""
    if jpeg is None:
        return ""
    if jpeg.from_file:
        return "jpeg"
    return f"jpeg:q={jpeg.quality}" if jpeg.quality is not None and jpeg.phase == (0, 0) else ""


def enlarging(found: Enlargement, shape: tuple[int, int, int]) -> tuple[str, str]:
    """The stages of an enlargement: the reduction that lost the detail, and the enlargement itself."""
    _, height, width = shape
    small = f"{max(1, round(width / found.factor))}x{max(1, round(height / found.factor))}"
    kernel = "rule=opencv,kernel=cubic" if found.kernel == "cubic" else f"kernel={found.kernel or 'bicubic'}"
    return f"resize:size={small}", f"resize:size={width}x{height},{kernel}"


def _hypotheses(found: Findings, noise: float, shape: tuple[int, int, int]) -> Iterator[Hypothesis]:
    if found.scratches:
        yield Hypothesis("scratches", noise, 1.0)
        return
    last = jpeg_stage(found.jpeg)

    def chain(*stages: str) -> str:
        return " | ".join(stage for stage in (*stages, last) if stage) or "identity"

    if found.enlargement and (found.before or enlarged_much(found)):
        reduction, enlargement = enlarging(found.enlargement, shape)
        height, width = (max(1, round(n / found.enlargement.factor)) for n in shape[1:])
        small = found.before and _hypotheses(found.before, _level(found.before), (shape[0], height, width))
        # what may have happened to the small picture, down to JPEG and noise alone or nothing
        chains = [_with_noise(one) for one in small or ()] or [""]
        # nothing but rounding came after it, and what looks like noise now was before
        after = ROUNDING if found.before else noise
        if chains[-1] and enlarged_much(found):
            chains.append("")
        for score, stages in zip((1.0, *(0.3,) * len(chains)), chains, strict=False):
            if stages or enlarged_much(found):
                yield Hypothesis(chain(reduction, stages, enlargement), after, score)
        if not chains[-1]:
            yield Hypothesis(chain(), noise, 0.1)
        return
    blur = found.blur
    if blur is None:
        yield Hypothesis(chain(), noise, 1.0)
        return
    yield Hypothesis(chain(blur.spec), noise, 1.0)
    if blur.kind == "gaussian" and found.jpeg:
        # JPEG hides the zeros of a disc
        yield Hypothesis(chain(f"disc:radius={DISC * blur.width:.2f}"), noise, 0.3)
    yield Hypothesis(chain(), noise, 0.1)


def _level(found: Findings) -> float:
    return max(ROUNDING, found.noise.std if found.noise else 0.0)


def _with_noise(one: Hypothesis) -> str:
    """Its spec with its noise as a stage, which comes before JPEG."""
    *others, last = one.spec.split(" | ")
    grain = [f"noise:std={one.noise:.4f}"] if one.noise >= VISIBLE else []
    stages = [*others, *grain, last] if last.startswith("jpeg") else [*others, last, *grain]
    return " | ".join(stage for stage in stages if stage != "identity")


def _sentences(one: Inspection) -> Iterator[str]:
    found = one.findings
    if found.drawing:
        yield "The picture is a drawing or screenshot: it has flat areas that repeat exactly."
    if found.scratches:
        yield f"The picture has scratches of pure black or white, on {100 * found.scratches:.1f} % of its pixels."
    if found.jpeg:
        yield _of_jpeg(found.jpeg)
    if found.noise and not (found.before and visible(found.before)):
        yield _of_noise(found.noise)
    if found.blur:
        yield _of_blur(found)
    if found.enlargement:
        yield _of_enlargement(found.enlargement)
        if found.before:
            yield from _of_before(found.before)
    elif not found.blur and "blur" not in found.unknown and not found.drawing:
        yield "No blur was found."
    clip = found.clipping
    if clip.white >= CLIPPED or clip.black >= CLIPPED:
        yield f"Clipped: {100 * clip.white:.1f} % of the pixels are at white, {100 * clip.black:.1f} % at black."
    yield from found.unknown.values()
    if one.needs_nothing:
        yield "The picture needs nothing that a restoration could give."


def _of_jpeg(jpeg: Jpeg) -> str:
    where = "The file is a JPEG" if jpeg.from_file else "The picture was a JPEG"
    kind = f" of quality {jpeg.quality}" if jpeg.quality is not None else " with tables that are not libjpeg's"
    sampling = f", colour {jpeg.sampling}" if jpeg.sampling else ""
    source = "tables read from the file" if jpeg.from_file else "found by the steps of its pixels"
    at = "" if jpeg.phase == (0, 0) else f", cropped: its blocks begin at row {jpeg.phase[0]}, column {jpeg.phase[1]}"
    return f"{where}{kind}{sampling} ({source}){at}."


def _of_noise(noise: Noise) -> str:
    where = " beneath the JPEG" if noise.beneath_jpeg else ""
    if noise.std == 0:
        return f"No noise was found{where}; it is below {noise.bound:.4f} ({255 * noise.bound:.1f}/255)."
    kind = {True: "white ", False: "coloured ", None: ""}[noise.white]
    return (
        f"The {kind}noise{where} has the level {noise.std:.4f} ({255 * noise.std:.1f}/255), "
        f"give or take {255 * noise.error:.1f}/255."
    )


def _of_enlargement(enlarged: Enlargement) -> str:
    how = {"": "", "nearest": " by repeating pixels", "cubic": " with OpenCV's cubic kernel"}.get(
        enlarged.kernel, f" with a {enlarged.kernel} kernel"
    )
    return f"The picture was enlarged {enlarged.factor:.2f} times{how}: it has no detail of its own beyond that size."


def _of_before(found: Findings) -> Iterator[str]:
    if found.jpeg:
        yield f"Before that: {_of_jpeg(found.jpeg)}"
    if found.noise and visible(found):
        yield f"Before that: {_of_noise(found.noise)}"
    if found.blur:
        yield f"Before that: {_of_blur(found)}"
    if found.enlargement:
        yield f"Before that: {_of_enlargement(found.enlargement)}"
        yield from _of_before(found.before) if found.before else ()


def _of_blur(found: Findings) -> str:
    blur = found.blur
    assert blur is not None
    if blur.kind == "gaussian":
        return f"The picture is blurred like a Gaussian of {blur.width:.2f} +- {blur.error:.2f} pixels."
    if blur.power is not None:
        how = "with longer tails" if blur.power < 2 else "but ends more sharply"
        return (
            f"The picture is blurred by {blur.width:.2f} +- {blur.error:.2f} pixels like a Gaussian, {how} "
            f"(power {blur.power:g} in place of 2)."
        )
    if blur.kind == "sinc":
        return (
            f"The picture has been {'blurred, and then ' if '|' in blur.spec else ''}through a sharp low-pass filter "
            f"({blur.spec}): it has no detail finer than {2 * math.pi / blur.width:.1f} pixels."
        )
    if blur.kind == "motion":
        return (
            f"The picture has a motion blur of {blur.width:.1f} +- {blur.error:.1f} pixels at {blur.angle:.0f} degrees."
        )
    return f"The picture is out of focus by a disc of radius {blur.width:.1f} +- {blur.error:.1f} pixels."
