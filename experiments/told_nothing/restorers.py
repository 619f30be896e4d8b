"""Methods that are told nothing of the degradation: classics, and doing nothing, for ``[[method]] restorer``.

Each takes the observation as a viewer sees it and gives a picture. The noise level that the classics need is
scikit-image's own estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from zsir.errors import BadInput
from zsir.experiments.told_nothing.blind_methods import edge_kernel, found_kernel

if TYPE_CHECKING:
    from torch import Tensor

#: standard deviation of the Gaussian blur that the Wiener filter is told, in pixels, and the radius of its kernel
WIENER_BLUR, WIENER_RADIUS = 1.0, 3
#: the least level, that of rounding to 8 bits: classics divide by it
LEAST = 1 / 255 / 12**0.5
#: the high pass of the wavelet db2, and the upper quartile of the normal distribution
DB2 = (-0.48296291314469025, 0.836516303737469, -0.22414386804185735, -0.12940952255092145)
QUARTILE = 0.6744897501960817


@dataclass(frozen=True)
class Restorer:
    """A method of one picture.

    Attributes:
        restore: Function of the observation (1, channels, height, width) in [0, 1] that gives a picture of its size.
        calls: Network calls for a picture.
        package: Module that it needs; empty for none.
        install: What to give to pip for that.
    """

    restore: Callable[[Tensor], Tensor]
    calls: int = 0
    package: str = ""
    install: str = ""

    @property
    def lacking(self) -> str:
        """Why it cannot work here, as the end of a sentence; empty if it can."""
        if not self.package or find_spec(self.package) is not None:
            return ""
        return f"the package {self.package} is not installed; pip install {self.install}."


def check(name: str) -> Restorer:
    """The restorer ``name``, on this machine; raises `BadInput` if its package is missing."""
    found = RESTORERS[name]
    if found.lacking:
        raise BadInput(f"restorer {name}: {found.lacking}")
    return found


def nothing(y: Tensor) -> Tensor:
    """The observation itself."""
    return y


def non_local_means(y: Tensor) -> Tensor:
    """Non-local means of scikit-image as its documentation sets it: h is 0.8 of the estimated level."""
    sigma = level(y)
    pixels = _pixels(y)
    made = _skimage().denoise_nl_means(pixels, 5, 6, h=0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=-1)
    return _tensor(made, y)


def opencv_non_local_means(y: Tensor) -> Tensor:
    """Non-local means of OpenCV for 8 bits, h and the window sizes 7 and 21; h is the estimated level."""
    cv2: Any = import_module("cv2")
    h = max(1.0, 255 * level(y))
    pixels = (255 * _pixels(y)).round().astype(np.uint8)
    if pixels.shape[2] == 1:
        made = cv2.fastNlMeansDenoising(pixels[:, :, 0], None, h, 7, 21)
    else:
        made = cv2.fastNlMeansDenoisingColored(pixels, None, h, h, 7, 21)
    return _tensor(made / 255, y)


def total_variation(y: Tensor) -> Tensor:
    """Total variation as the prior `tv` has it, at the estimated level."""
    import torch

    from zsir.priors import load

    return load("tv").denoise(y, torch.full((len(y),), level(y)))


def unsupervised_wiener(y: Tensor) -> Tensor:
    """scikit-image's Wiener filter that estimates noise and smoothness, channel by channel.

    It must be told a blur. It is told a Gaussian of one pixel, the middle of what the pipelines draw.
    """
    t = np.arange(-WIENER_RADIUS, WIENER_RADIUS + 1)
    line = np.exp(-0.5 * (t / WIENER_BLUR) ** 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    planes = np.moveaxis(_pixels(y), -1, 0)
    made = [_skimage().unsupervised_wiener(p, kernel, clip=False, rng=np.random.default_rng(0))[0] for p in planes]
    return _tensor(np.stack(made, axis=-1), y)


def level(y: Tensor) -> float:
    """scikit-image's ``estimate_sigma``, the mean over channels, at least that of rounding; it needs no PyWavelets.

    The median absolute diagonal detail of the wavelet db2, over the upper quartile of the normal distribution.
    """
    planes = np.moveaxis(_pixels(y), -1, 0)
    found = [float(np.median(np.abs(detail[detail != 0]))) for detail in map(_diagonal, planes) if detail.any()]
    return max(LEAST, sum(found) / len(planes) / QUARTILE)


def _diagonal(plane: np.ndarray) -> np.ndarray:
    """The finest diagonal details of the wavelet db2, the picture mirrored at its border."""
    for _ in range(2):
        padded = np.pad(plane, ((0, 0), (3, 3)), mode="symmetric")
        plane = np.add.reduce([tap * padded[:, k : k + plane.shape[1] + 3] for k, tap in enumerate(DB2)])[:, 1::2].T
    return plane


def _skimage() -> Any:
    return import_module("skimage.restoration")


def _pixels(y: Tensor) -> np.ndarray:
    found: np.ndarray = y[0].permute(1, 2, 0).double().clamp(0, 1).numpy()
    return found


def _tensor(pixels: np.ndarray, like: Tensor) -> Tensor:
    import torch

    planes = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return torch.from_numpy(np.ascontiguousarray(planes)).permute(2, 0, 1)[None].to(like)


_CLASSICAL = ("skimage", "'zsir[classical]'")


def automatic(y: Tensor) -> Tensor:
    """``zsir solve`` without ``--op``, on the 8 bits that a file would hold."""
    import warnings

    import torch

    from zsir.errors import PictureWarning
    from zsir.workflow.restore import restore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PictureWarning)
        return restore((255 * y[0]).round().clamp(0, 255).to(torch.uint8)).x


RESTORERS: dict[str, Restorer] = {
    "auto": Restorer(automatic, 8),
    "nothing": Restorer(nothing),
    "nlm": Restorer(non_local_means, 0, *_CLASSICAL),
    "opencv-nlm": Restorer(opencv_non_local_means, 0, "cv2", "opencv-python-headless"),
    "tv": Restorer(total_variation, 0, *_CLASSICAL),
    "kernel-auto": Restorer(found_kernel, 59),
    "kernel-edges": Restorer(edge_kernel, 4),
    "wiener": Restorer(unsupervised_wiener, 0, *_CLASSICAL),
}
