"""Pictures from JPEG files: their codes in place of their pixels.

A JPEG file holds integers and the steps that they count; its decoded pixels are only one of the pictures with these
integers. What is observed of a picture from a JPEG file are the integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from zsir.errors import BadInput
from zsir.names.parsed import Parsed
from zsir.operators.jpeg.blockwise import JpegOperator
from zsir.operators.jpeg.coded import JpegFile, read_jpeg
from zsir.operators.jpeg.measurement import of_tables
from zsir.operators.jpeg.upright import Upright
from zsir.pictures import Picture
from zsir.protocols import Sampler

#: formats of Pillow whose first picture is a JPEG
JPEG = ("JPEG", "MPO")
#: colour spaces whose components are those of grey or RGB pictures
USABLE = ("grey", "ycbcr", "rgb")
#: white noise of this many times the rms error of a decoded file is what restores best where the file is taken as a
#: picture with white noise. For blurs, motion and reductions of q75 to q85, 1.0 to 1.6 times were within 0.3 dB of the
#: best, less was ruinous
AS_WHITE = 1.2


@dataclass(frozen=True)
class Coding:
    """The codes of a picture's file, or a sentence why they cannot be used."""

    file: JpegFile | None
    remark: str = ""


def coding_of(picture: Picture) -> Coding:
    """The codes of the JPEG file that a picture was read from; none for every other picture."""
    if picture.format not in JPEG or not picture.from_file:
        return Coding(None)
    try:
        file = read_jpeg(picture.path)
    except BadInput as error:
        return Coding(None, f"The codes of {picture.path} cannot be used, so its pixels are: {error}")
    if file.space not in USABLE:
        return Coding(
            None, f"{picture.path} holds {file.space.upper()} inks, so its pixels are used and not its codes."
        )
    return Coding(file)


def recovered(picture: Picture, stage: Parsed) -> Coding:
    """The codes of a picture that was decoded from a JPEG file, whose tables the last ``stage`` of a spec names."""
    operator = stage.build(picture.shape)
    return Coding(operator.in_floats(picture.pixels[0])[0])


def contrasted(picture: Picture, stage: Parsed) -> Coding:
    """The codes of a picture's JPEG file, and a sentence if the last ``stage`` of a spec names other tables."""
    coding = coding_of(picture)
    if coding.file is None:
        return coding
    own, named = of_tables(coding.file), stage.build(picture.shape)
    # a quality alone means any sampling
    alike = set(stage.options) == {"q"} or own.layout.factors == named.layout.factors
    if alike and own.tables.shape == named.tables.shape and bool((own.tables == named.tables).all()):
        return coding
    holds = "other tables" if coding.file.quality is None else f"quality {coding.file.quality}"
    holds = " ".join(filter(None, [holds, coding.file.sampling]))
    return Coding(coding.file, f"{picture.path} holds {holds} and is taken as that; '{stage.spec}' has no effect.")


def operator_of_file(file: JpegFile, noise_before: float = 0.0) -> Upright | JpegOperator:
    """The operator from upright pictures to the codes of a file, and how noisy they were before."""
    operator = of_tables(file)
    if noise_before > 0:
        operator = operator.with_noise(noise_before)
    return operator if file.orientation == 1 else Upright(operator, file.orientation)


def measured(operator: Upright | JpegOperator, file: JpegFile) -> Tensor:
    """What `operator_of_file` observes: y (1, numbers) of the codes in the file."""
    inner = operator.inner if isinstance(operator, Upright) else operator
    return cast(JpegOperator, inner).measured(file)


def as_white(file: JpegFile, sampler: Sampler | None = None) -> float:
    """Standard deviation of the white noise that the error of the decoded file is taken for behind other stages.

    The attribute ``of_coding`` of a sampler says which share of it counts, by default all.
    """
    return float(getattr(sampler, "of_coding", 1.0)) * AS_WHITE * of_tables(file).own_noise
