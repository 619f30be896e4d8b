"""A kernel from an observation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zsir.blind import KernelEstimate, estimate_kernel
from zsir.blind.grids import Grid
from zsir.blind.resolve import resolve_auto
from zsir.blind.simplex import least_squares
from zsir.blind.starts import coarse_to_fine
from zsir.errors import BadInput, BadSpec
from zsir.operators import make
from zsir.operators.blurs.kernels import shake
from zsir.pictures import read, read_gray
from zsir.priors.embedded import photo
from zsir.priors.exact import power_law
from zsir.priors.wrappers.grey import Grey


def blocks(side: int = 112) -> Tensor:
    """A picture of flat rectangles, (1, 1, side, side) float32."""
    rng = np.random.default_rng(4)
    x = torch.full((1, 1, side, side), 0.5)
    for _ in range(40):
        top, left = rng.integers(0, side - 8, 2)
        height, width = rng.integers(6, 30, 2)
        x[..., top : top + height, left : left + width] = float(rng.uniform(0.1, 0.9))
    return x


def corner() -> Tensor:
    """An L of 7 pixels, its centre of mass in the middle."""
    k = torch.zeros(7, 7, dtype=torch.float64)
    k[1:6, 2], k[5, 2:6] = 1, 1
    return k / k.sum()


def blurred(x: Tensor, k: Tensor) -> Tensor:
    return torch.nn.functional.conv2d(x.double(), k.flip(0, 1)[None, None]).to(x)


def likeness(a: Tensor, b: Tensor) -> float:
    """The largest correlation of two kernels over all shifts, 1 for equal ones."""
    n = a.shape[0] + b.shape[0]
    f, g = torch.fft.rfft2(a.double(), s=(n, n)), torch.fft.rfft2(b.double(), s=(n, n))
    return float(torch.fft.irfft2(f.conj() * g, s=(n, n)).max() / (a.norm() * b.norm()))


def test_normal_equations_of_the_true_picture_give_the_kernel() -> None:
    x, k = blocks(), corner()
    grid = Grid(blurred(x, k), 7, 1 / 255)
    truth = torch.nn.functional.pad(x, (2,) * 4, mode="reflect")  # the kernel takes 3 pixels of the 5 of the margin
    form, right = grid.normal_equations(truth, k)
    assert torch.allclose(form, form.T, atol=1e-12)
    assert likeness(least_squares(form, right, torch.full((7, 7), 1 / 49, dtype=torch.float64)), k) > 0.97


def test_edges_alone_lead_to_a_kernel() -> None:
    """Before any network is asked; a Gaussian prior could not go on from there, since it cannot sharpen."""
    found = coarse_to_fine(blurred(blocks(), corner()), 9, 1 / 255)
    assert abs(float(found.sum()) - 1) < 1e-9 and float(found.min()) >= 0
    flat, none = torch.full((7, 7), 1 / 49, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    assert likeness(found, corner()) > max(likeness(flat, corner()), likeness(none, corner())) + 0.1


@pytest.mark.slow
def test_the_kernel_is_written_beside_the_result(tmp_path: Path) -> None:
    y = blurred(blocks(), corner())
    y = y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    found = resolve_auto(
        "kernel:auto,size=7,boundary=circular", y, 0.01, prior=Grey(photo()), beside=tmp_path / "x.png"
    )
    assert found.found is not None and not found.found.doubt
    assert likeness(found.found.kernel, corner()) > 0.9
    picture, array = found.files
    assert found.spec == f"kernel:path={array},boundary=circular"
    taps = found.found.kernel.numpy()
    np.testing.assert_array_equal(np.load(array), taps)
    np.testing.assert_allclose(read_gray(picture) / read_gray(picture).sum(), taps, atol=1e-5)
    assert make(found.spec, in_shape=(1, 64, 64)).out_shape == (1, 64, 64)


@pytest.mark.slow
def test_a_sharp_picture_has_no_kernel() -> None:
    y = blocks(96) + 0.01 * torch.randn(1, 1, 96, 96, generator=torch.Generator().manual_seed(1))
    found = estimate_kernel(y, 7, 0.01, power_law())
    assert found.doubt


@pytest.mark.parametrize(
    ("estimate", "says"),
    [
        ({}, ""),
        ({"gain": 19.0, "gain_straight": -5.0}, "gain 19, and 20 is needed"),
        ({"gain_straight": 500.0}, "gain 500, and 525 is needed"),
        ({"spread": 1.0}, "waves"),
        ({"outside": 0.12}, "waves"),
        ({"spread": 0.88, "outside": 0.09, "gain_straight": 470.0}, ""),
        ({"kernel": torch.eye(1, dtype=torch.float64)}, "single pixel"),
    ],
)
def test_signs_of_a_wrong_kernel(estimate: dict[str, Any], says: str) -> None:
    good: dict[str, Any] = {"kernel": corner(), "gain": 500.0, "gain_straight": 100.0, "spread": 0.8, "outside": 0.01}
    doubt = KernelEstimate(x0=blocks(), residual=1.0, movement=0.0, **(good | estimate)).doubt
    assert says in doubt if says else not doubt


@pytest.mark.parametrize(
    ("y", "size", "error", "says"),
    [
        (torch.rand(1, 3, 64, 64), 8, BadSpec, "odd number"),
        (torch.rand(1, 3, 40, 64), 21, BadInput, "cannot be found in 64x40"),
        (torch.rand(1, 3, 1, 1), 3, BadInput, "cannot be found in 1x1"),
        (torch.full((1, 3, 64, 64), 0.3), 7, BadInput, "flat"),
    ],
)
def test_what_no_kernel_is_looked_for_in(y: Tensor, size: int, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        estimate_kernel(y, size, 0.02, power_law())


@pytest.mark.slow
def test_a_photograph_gives_its_kernel() -> None:
    x = read("experiments/data/eval34/monuments_france_arlesAmphitheater.png").pixels
    k = shake(15, 0.5, 2)
    y = blurred(x.transpose(0, 1), k).transpose(0, 1)
    y = y + 5 / 255 * torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    found = estimate_kernel(y, 15, 5 / 255, photo())
    assert likeness(found.kernel, k) > 0.8
    assert found.residual < 1.1
