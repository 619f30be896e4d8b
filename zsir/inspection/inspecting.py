"""From a picture to all that can be said of it."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zsir.errors import BadInput, PictureWarning
from zsir.inspection.beneath import beneath
from zsir.inspection.comb import ODDS, ODDS_DRAWING, find_comb
from zsir.inspection.conclusions import LEAST_ENLARGEMENT, Inspection, coarse, mean_step, visible
from zsir.inspection.directed import directed_blur
from zsir.inspection.ending import CLEAR_OF_ALL, ending, sharp_end
from zsir.inspection.enlarged import find_enlargement, repeats, undone
from zsir.inspection.findings import Blur, Enlargement, Findings, Jpeg, Noise
from zsir.inspection.grain import grain
from zsir.inspection.jpeg_tables import jpeg_of_comb, jpeg_of_file, luma_table
from zsir.inspection.pieces import blocks_of
from zsir.inspection.scratches import detect_mask, only_spots
from zsir.inspection.spectrum import Spectrum, spectrum
from zsir.inspection.surface import clipping, is_drawing, is_flat
from zsir.inspection.widths import SHARP, SHARP_BELOW_END, as_blur, blur_of, gauss_of, gaussian_width, levy_width
from zsir.metrics.noise import LUMA
from zsir.pictures import Picture, PictureLike, as_picture

#: smallest side that anything is estimated from
LEAST_SIDE = 16
#: noise of luma over that of independent channels
LUMA_SHARE = math.sqrt(sum(w**2 for w in LUMA))
#: fewer frequencies than this say nothing of a blur
LEAST_POWERS = 60
#: JPEG cuts the spectrum where the power is below this share of that of its rounding
CUT = 1.0


def inspect(picture: PictureLike) -> Inspection:
    """Estimate what a picture has been through.

    Args:
        picture: A file's path, a tensor, an array, a Pillow picture or a `zsir.Picture`. The tables of a JPEG file are
            read from the file; the coding of other pictures is looked for in the pixels.

    Returns:
        The findings with error bars, as sentences and numbers, and the command to run.

    Raises:
        BadInput: The picture cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PictureWarning)
        read = as_picture(picture)
    x = np.ascontiguousarray(read.pixels[0].numpy(), dtype=np.float32)
    return Inspection(str(read.path) if read.from_file else "", read.shape, _found(x, read))


def _found(x: NDArray[np.float32], picture: Picture) -> Findings:
    unknown: dict[str, str] = {}
    clipped = clipping(x)
    if is_flat(x):
        return Findings(clipped, unknown=_all_unknown("all pixels are the same"))
    if min(x.shape[1:]) < LEAST_SIDE:
        return Findings(clipped, unknown=_all_unknown(f"the picture has fewer than {LEAST_SIDE} pixels on a side"))
    scratched = detect_mask(picture.pixels)
    if scratched is not None and not only_spots(scratched):
        unknown = _all_unknown("the picture has scratches")
        return Findings(clipped, scratches=1 - float(scratched.known.double().mean()), unknown=unknown)
    factor = repeats(x)
    drawing = is_drawing(x[:, ::factor, ::factor])
    jpeg = _jpeg(x, picture, drawing, unknown)
    if jpeg is None and (drawing or factor > 1):
        unknown |= _all_unknown("the picture is a drawing or screenshot" if drawing else "its pixels are repeated")
        enlarged = None if drawing else Enlargement(float(factor), 0.0, "nearest")
        return Findings(clipped, enlargement=enlarged, drawing=drawing, unknown=unknown)
    noise = _noise(x, jpeg, unknown)
    enlarged = find_enlargement(x, jpeg is not None, mean_step(jpeg))
    before = None
    if enlarged is not None and jpeg is None and (small := undone(x, enlarged)):
        before, enlarged = _before(small[0]), replace(enlarged, kernel=small[1])
    # a picture that was much enlarged is soft because of it
    much = enlarged is not None and enlarged.factor >= LEAST_ENLARGEMENT
    blur = None if much or before is not None else _blur(x, jpeg, unknown, enlarged is not None)
    return Findings(
        clipped,
        noise=noise,
        jpeg=jpeg,
        blur=blur,
        enlargement=enlarged,
        drawing=drawing,
        unknown=unknown,
        before=before,
    )


def _before(small: NDArray[np.uint8]) -> Findings | None:
    """What a picture had been through before it was enlarged, where that was a blur, JPEG or noise."""
    found = inspect(small).findings
    if visible(found) and found.blur and found.blur.kind == "motion":
        found = replace(found, blur=None)  # noise that was rounded twice looks like one
    # an enlargement alone is no reason to undo anything: a second one is seldom true
    return found if found.blur or (found.jpeg and coarse(found.jpeg)) or visible(found) else None


def _all_unknown(reason: str) -> dict[str, str]:
    return {
        "noise": f"The noise cannot be estimated: {reason}.",
        "blur": f"The blur cannot be estimated: {reason}.",
        "enlargement": f"An enlargement cannot be recognised: {reason}.",
    }


def _jpeg(x: NDArray[np.float32], picture: Picture, drawing: bool, unknown: dict[str, str]) -> Jpeg | None:
    if picture.from_file and (found := jpeg_of_file(Path(picture.path))):
        return found
    if not _eight_bits(x):
        unknown["jpeg"] = "JPEG cannot be recognised: the values are not those of a file with 8 bits."
        return None
    comb = find_comb(x, ODDS_DRAWING if drawing else ODDS)
    return jpeg_of_comb(comb) if comb else None


def _eight_bits(x: NDArray[np.float32]) -> bool:
    sample = 255 * x[:, :: max(1, x.shape[1] // 64), :: max(1, x.shape[2] // 64)]
    return bool(np.abs(sample - np.round(sample)).max() < 1e-3)


def _noise(x: NDArray[np.float32], jpeg: Jpeg | None, unknown: dict[str, str]) -> Noise | None:
    if jpeg is None:
        try:
            return grain(x)
        except BadInput as error:
            unknown["noise"] = str(error)
            return None
    table = luma_table(jpeg)
    coefficients, whole = blocks_of(x, jpeg.phase)
    codes = np.round(coefficients[whole] / np.maximum(table, 1))
    found = beneath(codes, table)
    if found is None:
        unknown["noise"] = "The noise beneath JPEG cannot be estimated: there are too few blocks that are not clipped."
        return None
    if found.std and not found.told_by(table):
        unknown["noise"] = "The noise beneath JPEG cannot be estimated: the steps of the JPEG are much larger."
        return None
    # the error of texture that looks like noise, measured on photographs
    share = LUMA_SHARE if len(x) == 3 else 1.0
    bar = math.hypot(found.error, 0.1 * found.std) / share
    return Noise(found.std / share, bar, found.bound / share + 2 * bar, beneath_jpeg=True, grey=len(x) == 1)


def _blur(x: NDArray[np.float32], jpeg: Jpeg | None, unknown: dict[str, str], enlarged: bool) -> Blur | None:
    seen = spectrum(x)
    if seen is None:
        unknown["blur"] = "The blur cannot be estimated: the picture is smaller than 64 x 64 pixels."
        return None
    if jpeg is not None:
        seen = _not_cut(seen, jpeg)
    if len(seen.power) < LEAST_POWERS:
        unknown["blur"] = "The blur cannot be estimated: JPEG has left too little of the fine detail."
        return None
    gauss = gaussian_width(seen)
    ended = ending(seen, gauss.fit)
    levy = levy_width(seen, gauss, ended)
    rival = min(one.loss for one in (gauss.fit, ended, levy.fit if levy else None) if one is not None)
    # a picture that is as sharp as a photograph, and whose spectrum does not end, has been through no such filter
    low = None if ended is None and gauss.width < SHARP else sharp_end(seen, gauss, rival)
    # a disc or a motion need not be clearly likelier than a sinc filter, but the filter than them
    least = min(levy.fit.loss if levy else math.inf, low[1] + CLEAR_OF_ALL if low else math.inf)
    # the period of an enlargement looks like zeros of a motion
    directed = None if enlarged else directed_blur(seen, gauss.fit, ended, jpeg is not None, least)
    if directed == "unclear" and low is None:
        unknown["blur"] = "The blur cannot be estimated: neither a Gaussian nor a disc alone explains the spectrum."
        return None
    if isinstance(directed, Blur):
        return directed
    if low is not None:
        return low[0]
    plain = as_blur(gauss, mean_step(jpeg))
    if levy is not None and plain is not None:
        if jpeg is not None and levy.power > 2:
            unknown["blur"] = (
                "The blur cannot be estimated: JPEG hides whether it is one, or the end of a low-pass filter."
            )
            return None
        return blur_of(levy)
    if ended is not None:
        return as_blur(gauss_of(seen, ended), mean_step(jpeg), SHARP_BELOW_END)
    return plain


def _not_cut(seen: Spectrum, jpeg: Jpeg) -> Spectrum:
    """The frequencies up to the first ring where rounding of the codes is as strong as the picture."""
    table = luma_table(jpeg).astype(np.float64)
    steps = table[table > 0]
    if steps.max(initial=1) <= 1:
        return seen
    down, across = np.indices((8, 8)) / 16
    ring = np.hypot(down, across)
    for limit in np.arange(0.1, 0.5, 0.03125):
        near = (ring >= limit) & (ring < limit + 0.09) & (table > 0)
        rounding = float((table[near] ** 2).mean()) / 12 / 255**2 if near.any() else 0.0
        here = (seen.radius >= limit) & (seen.radius < limit + 0.03125)
        if here.any() and float(np.median(seen.power[here])) < CUT * rounding:
            return seen.below(float(limit))
    return seen
