"""The tables of a JPEG file, read by Pillow, and the codes of its luma."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from zsir.errors import BadInput
from zsir.inspection.comb import Comb, quality_of
from zsir.inspection.findings import Jpeg

SAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


def jpeg_of_file(path: Path) -> Jpeg | None:
    """What a file says of its own coding, or None where it is no JPEG file.

    Raises:
        BadInput: The file is damaged.
    """
    try:
        with Image.open(path) as image:
            if not isinstance(image, JpegImagePlugin.JpegImageFile):
                return None
            tables = {key: tuple(int(step) for step in steps) for key, steps in image.quantization.items()}
            order = list(dict.fromkeys(layer[3] for layer in image.layer))
            sampling = SAMPLING.get(JpegImagePlugin.get_sampling(image), "") if len(image.layer) == 3 else ""
    except (OSError, SyntaxError, ValueError, KeyError, IndexError) as error:
        raise BadInput(f"{path} is damaged or not a usable picture ({error}).") from None
    found = tuple(tables[key] for key in order if key in tables)
    quality = quality_of(np.array(found[0]).reshape(8, 8)) if found else None
    return Jpeg(quality, found, True, sampling)


def jpeg_of_comb(comb: Comb) -> Jpeg:
    """The finding of a trace in pixels. Tables of colour are not known."""
    return Jpeg(comb.quality, (tuple(int(q) for q in comb.table.ravel()),), False, phase=comb.phase)


def luma_table(jpeg: Jpeg) -> NDArray[np.int64]:
    """Steps of luma (8, 8)."""
    table: NDArray[np.int64] = np.array(jpeg.tables[0], dtype=np.int64).reshape(8, 8)
    return table
