"""What an inspection finds, one class for each kind of damage, with figures and error bars."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Noise:
    """Noise of a picture, on the [0, 1] scale.

    Attributes:
        std: Standard deviation per channel; 0 where none was found.
        error: One standard error of it.
        bound: What it does not exceed.
        white: Whether neighbouring pixels have independent noise; None where it cannot be told.
        grey: Whether the channels have the same noise, or are one channel.
        beneath_jpeg: Whether it is the noise before JPEG, found from the codes.
    """

    std: float
    error: float
    bound: float
    white: bool | None = None
    grey: bool = False
    beneath_jpeg: bool = False


@dataclass(frozen=True)
class Jpeg:
    """JPEG that a picture is, or was.

    Attributes:
        quality: Quality of libjpeg that has the luma table, or None where the table is not one of libjpeg's.
        tables: Steps in natural order, of luma and where it is known of colour, 64 numbers each; 0 where unknown.
        from_file: Whether the tables were read from the file; else they were found in the pixels.
        sampling: Size of the colour planes, such as ``4:2:0``; empty where unknown.
        phase: Row and column where the grid of 8x8 blocks begins.
        before: Quality or steps of an earlier JPEG, as words; empty where none was found.
    """

    quality: int | None
    tables: tuple[tuple[int, ...], ...]
    from_file: bool
    sampling: str = ""
    phase: tuple[int, int] = (0, 0)
    before: str = ""


@dataclass(frozen=True)
class Blur:
    """Blur of a picture, in pixels.

    Attributes:
        kind: ``gaussian``, ``levy``, ``sinc``, ``motion`` or ``defocus``.
        width: Standard deviation of a Gaussian, sigma of a Lévy blur, length of a motion, or radius of a disc; the
            cut-off of a sinc filter, in radians a pixel.
        error: One standard error of the width; of a sinc filter, the step of the search.
        angle: Direction of a motion in degrees, counter-clockwise from the horizontal.
        spec: The operator.
        power: Power of a Lévy blur; 2 would be a Gaussian.
    """

    kind: str
    width: float
    error: float
    spec: str
    angle: float | None = None
    power: float | None = None


@dataclass(frozen=True)
class Enlargement:
    """Enlargement of a smaller picture.

    Attributes:
        factor: How many times smaller the picture was on a side.
        error: One standard error of it.
        kernel: ``nearest``, ``bilinear``, ``bicubic``, ``cubic`` (that of OpenCV) or ``lanczos``; empty where it cannot
            be told.
    """

    factor: float
    error: float
    kernel: str = ""


@dataclass(frozen=True)
class Clipping:
    """Shares of the pixels with a channel at the limits of the file.

    Attributes:
        black: Share at 0.
        white: Share at 1.
    """

    black: float
    white: float


@dataclass(frozen=True)
class Hypothesis:
    """One thing that may have happened to a picture.

    Attributes:
        spec: The chain of operators; empty for a picture with nothing but noise.
        noise: Standard deviation of the noise before JPEG, on the [0, 1] scale.
        score: Plausibility relative to the likeliest one, 0 to 1.
    """

    spec: str
    noise: float
    score: float


@dataclass(frozen=True)
class Findings:
    """Everything that was found; what is None was not found or cannot be told.

    Attributes:
        noise: Noise.
        jpeg: JPEG.
        blur: Blur.
        enlargement: Enlargement.
        clipping: Clipping.
        scratches: Share of the pixels that are scratches of pure black or white; 0 where there are none.
        drawing: Whether it is a drawing or screenshot: flat areas, few colours, exact repeats.
        unknown: For each kind of damage that cannot be estimated a sentence that says why.
        before: What the small picture had been through before the enlargement, in its pixels; None where it cannot be
            computed from the large one.
    """

    clipping: Clipping
    noise: Noise | None = None
    jpeg: Jpeg | None = None
    blur: Blur | None = None
    enlargement: Enlargement | None = None
    scratches: float = 0.0
    drawing: bool = False
    unknown: dict[str, str] = field(default_factory=dict)
    before: Findings | None = None
