"""Kernels as they are measured: pedestals, negative weights, centres elsewhere; told, and removed on request."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zsir import operators
from zsir.errors import BadSpec, PictureWarning
from zsir.operators.blurs import kernels
from zsir.operators.blurs.low_pass import low_pass
from zsir.operators.blurs.measured import flaws_of, pedestal


def blur(path: Path, **options: object) -> Any:
    text = "".join(f",{key}={value}" for key, value in options.items())
    return operators.make(f"kernel:path={path},boundary=circular{text}", in_shape=(1, 48, 50))


def quiet(path: Path, **options: object) -> torch.Tensor:
    """The kernel of an operator that is made without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel: torch.Tensor = blur(path, **options).kernel
    return kernel


@pytest.fixture
def psf(tmp_path: Path) -> Any:
    """Save a kernel; returns its path."""

    def save(kernel: torch.Tensor, name: str = "k.npy") -> Path:
        np.save(tmp_path / name, kernel.numpy())
        return tmp_path / name

    return save


MOTION = torch.nn.functional.pad(kernels.motion(9, 30), (4, 4, 4, 4))


def test_a_pedestal_is_told_and_taken_off(psf: Any) -> None:
    path = psf(1000 * MOTION + 0.8)
    with pytest.warns(PictureWarning, match=r"stands on a constant of 0\.8, 19% of its sum.*background=auto"):
        kept = blur(path).kernel
    assert torch.allclose(kept, (1000 * MOTION + 0.8) / (1000 + 0.8 * MOTION.numel()), atol=1e-15)
    for option in ("auto", "0.8", "4/5"):
        assert torch.allclose(quiet(path, background=option), MOTION, atol=1e-12)


def test_a_pedestal_below_zero_is_taken_off(psf: Any) -> None:
    """Though the sum is negative, or 0, until it is."""
    for level in (-10.0, -1000 / MOTION.numel()):
        path = psf(1000 * MOTION + level)
        for option in ("auto", level):
            assert torch.allclose(quiet(path, background=option), MOTION, atol=1e-12)
        with pytest.raises(BadSpec, match="positive sum"):
            blur(path)


def test_the_pedestal_of_a_picture(tmp_path: Path) -> None:
    """An 8-bit picture of a point of light with a black level of 3 and rounding."""
    grey = np.rint(252 * kernels.gaussian(1.5, 33).numpy() / kernels.gaussian(1.5, 33).max().item() + 3)
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "psf.png")
    with pytest.warns(PictureWarning, match=r"constant of 0\.0118, 48% of its sum"):
        blur(tmp_path / "psf.png")
    assert (quiet(tmp_path / "psf.png", background="auto") - kernels.gaussian(1.5, 33)).abs().max() < 2e-3


def test_a_noisy_pedestal_leaves_negative_weights(psf: Any) -> None:
    noise = torch.randn(33, 33, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    true = kernels.gaussian(2.0, 33)
    path = psf(100 * true + 0.5 + 0.02 * noise)
    with pytest.warns(PictureWarning, match=r"5\.1% of the kernel's weight is negative.*negative=clip"):
        left = blur(path, background="auto").kernel
    assert left.sum() == pytest.approx(1) and left.min() < 0
    assert (torch.from_numpy(np.load(path)) / np.load(path).sum() - true).abs().sum() > 1
    assert (quiet(path, background="auto", negative="clip") - true).abs().sum() < 0.2


def test_negative_lobes_are_told_and_clipped(psf: Any) -> None:
    kernel = torch.zeros(5, 5, dtype=torch.float64)
    kernel[2, 1:4] = torch.tensor([-0.1, 1.2, -0.1])
    path = psf(kernel)
    with pytest.warns(PictureWarning, match=r"14\.3% of the kernel's weight is negative"):
        assert torch.allclose(blur(path).kernel, kernel, atol=1e-15)
    assert quiet(path, negative="clip")[2, 2] == 1


def test_a_centre_elsewhere_is_told_and_moved(psf: Any) -> None:
    aside = torch.nn.functional.pad(kernels.gaussian(1.0), (0, 8, 6, 0))
    path = psf(aside)
    with pytest.warns(
        PictureWarning, match=r"\+3\.0 pixels down and -4\.0 to the right .* shifted by -3\.0 and \+4\.0"
    ):
        blur(path)
    moved = operators.make(f"kernel:path={path},boundary=circular,centre=mass", in_shape=(1, 48, 50))
    plain = operators.convolution((1, 48, 50), kernels.gaussian(1.0), "circular")
    x = torch.rand(1, 1, 48, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (moved.forward(x) - plain.forward(x)).abs().max() < 1e-14


def test_a_correlation_is_mirrored(psf: Any) -> None:
    kernel = torch.arange(1.0, 13, dtype=torch.float64).view(3, 4)
    op = blur(psf(kernel))
    mirrored = blur(psf(kernel), flip="true")
    x = torch.rand(1, 1, 48, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (mirrored.forward(x) - op.adjoint(x)).abs().max() < 1e-14


@pytest.mark.parametrize(
    "kernel",
    [kernels.uniform(9), kernels.gaussian(3.0), kernels.gaussian(10, 5), kernels.gaussian(4.0, 11), MOTION]
    + [kernels.gaussian(s, 21) for s in (3.0, 4.0, 5.0, 6.0, 7.0, 8.0)]
    + [kernels.shake(31, 0.5, seed) for seed in range(4)]
    + [kernels.motion(31, 90), torch.ones(1, 7, dtype=torch.float64), torch.ones(3, 3, dtype=torch.float64)],
    ids=lambda k: "x".join(map(str, k.shape)),
)
def test_good_kernels_are_not_suspected(kernel: torch.Tensor) -> None:
    """Boxes, Gaussians cut off at any width, paths: none stands on a pedestal, whatever fills its frame."""
    assert pedestal(kernel) == 0 and flaws_of(kernel).negative == 0


def test_the_least_pedestal_that_is_told() -> None:
    """Half a percent of the sum: what it takes to shift a photograph by the rounding of a file."""
    for share, told in ((0.004, False), (0.006, True)):
        level = share / (1 - share) / MOTION.numel()
        assert (pedestal(MOTION + level) > 0) is told


def test_warnings_come_once_with_an_unknown_border(psf: Any) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        op = operators.make(f"kernel:path={psf(MOTION + 0.01)},boundary=unknown", out_shape=(1, 30, 30))
    assert len(said) == 1 and tuple(op.out_shape) == (1, 30, 30)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"background": "some"}, "background=some: write auto, keep or a number"),
        ({"background": "1"}, "positive sum"),
        ({"negative": "drop"}, "choose one of keep, clip"),
        ({"centre": "peak"}, "choose one of keep, mass"),
    ],
)
def test_options_that_make_no_sense(psf: Any, options: dict[str, str], words: str) -> None:
    with pytest.raises(BadSpec, match=words):
        blur(psf(MOTION), **options)


@pytest.mark.parametrize("power", [1.5, 3.0, 4.0])
def test_the_transfer_function_of_a_levy_blur(power: float) -> None:
    """exp(-(2 pi sigma f)^power / 2), but for what the cut at 8 sigma takes."""
    kernel = kernels.levy(1.8, power)
    n = kernel.shape[0]
    f = torch.fft.fftfreq(n, dtype=torch.float64)
    expected = torch.exp(-0.5 * (2 * np.pi * 1.8 * torch.hypot(f[:, None], f)) ** power)
    made = torch.fft.fft2(torch.fft.ifftshift(kernel)).real
    assert n == 33 and (made - expected).abs().max() < (0.012 if power < 2 else 0.003)
    assert torch.equal(kernel, kernel.flip(0)) and torch.equal(kernel, kernel.flip(1))
    assert (kernel - kernel.T).abs().max() < 1e-15


def test_levy_blurs_in_closed_form() -> None:
    """Power 2 is the Gaussian; power 1 the Poisson kernel, (r^2 + (sigma / 2)^2)^(-3/2), cut off or not."""
    few, all_of_them = kernels.levy(6.0, 1.0, 31), kernels.levy(6.0, 1.0)
    cut = all_of_them[33:64, 33:64]
    assert all_of_them.shape == (97, 97) and (few - cut / cut.sum()).abs().max() < 1e-15
    assert torch.equal(kernels.levy(1.3, 2.0, 9), kernels.gaussian(1.3, 9))
    t = torch.arange(-10, 11, dtype=torch.float64)
    expected = (t[:, None] ** 2 + t**2 + 3.0**2) ** -1.5
    made = kernels.levy(6.0, 1.0, 161)[70:91, 70:91]
    assert (made / made[10, 10] - expected / expected[10, 10]).abs().max() < 2e-3


@pytest.mark.parametrize("size, cutoff", [(4, 1.0), (129, 1.0), (1, 1.0), (21, 0.0), (21, 3.2), (21, float("nan"))])
def test_filters_of_no_sense_are_refused(size: int, cutoff: float) -> None:
    with pytest.raises(BadSpec, match="sinc:"):
        low_pass(size, cutoff)
    assert low_pass(127, 3.1416).sum() == pytest.approx(1)


@pytest.mark.parametrize("power", [0.5, 9.0, float("nan")])
def test_powers_of_no_blur_are_refused(power: float) -> None:
    with pytest.raises(BadSpec, match="at most 64 pixels"):
        kernels.levy(65, 3.0)
    with pytest.raises(BadSpec, match="blur:power="):
        kernels.levy(1.5, power)
