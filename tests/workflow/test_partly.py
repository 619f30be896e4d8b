"""Specs with ``auto`` in Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import zsir
from zsir.blind import KernelEstimate, resolve
from zsir.errors import BadSpec, PictureWarning
from zsir.operators import make


@pytest.fixture(scope="module")
def y() -> Tensor:
    """A grey picture with the spectrum of photographs, moved by 9 pixels at 30 degrees, with noise of 0.01."""
    drawn = torch.Generator().manual_seed(5)
    x = torch.randn(1, 1, 160, 176, generator=drawn)
    rows, columns = torch.fft.fftfreq(160)[:, None], torch.fft.rfftfreq(176)
    x = torch.fft.irfft2(torch.fft.rfft2(x) * (rows**2 + columns**2).clamp_min(1e-4) ** -0.65)
    x = 0.5 + 0.16 * (x - x.mean()) / x.std()
    moved = make("motion:length=9,angle=30,boundary=circular", in_shape=(1, 160, 176)).forward(x)[..., 12:-12, 12:-12]
    return (moved + 0.01 * torch.randn(moved.shape, generator=drawn)).clamp(0, 1)


def test_motion_is_found(y: Tensor) -> None:
    with pytest.warns(PictureWarning, match="Found length"):
        result = zsir.restore(y, "motion:length=auto,angle=auto", prior="gaussian", noise=0.01)
    assert result.found is not None and result.found.kernel is None
    options = dict(item.split("=") for item in result.found.spec.partition(":")[2].split(","))
    assert abs(float(options["length"]) - 9) < 1 and abs(float(options["angle"]) - 30) < 8
    assert result.settings["op"] == "motion:length=auto,angle=auto"
    assert result.found.remark in result.verdict
    assert result.x.shape == y.shape


def test_a_kernel_is_found_and_nothing_written(y: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    taps = torch.full((3, 3), 1 / 9, dtype=torch.float64)
    estimate = KernelEstimate(taps, y, 1.0, 0.0, gain=500, gain_straight=10, spread=0.8)
    monkeypatch.setattr(resolve, "estimate_kernel", lambda *_: estimate)
    with pytest.warns(PictureWarning, match="kernel"):
        result = zsir.restore(y, "kernel:auto,size=9,boundary=circular", prior="gaussian", noise=0.01)
    assert result.found is not None and result.found.kernel is taps
    assert result.found.spec == "kernel:path=KERNEL.npy,boundary=circular"
    assert not list(tmp_path.iterdir())


def test_nothing_is_found_for_simulations(y: Tensor) -> None:
    with pytest.raises(BadSpec, match="state its numbers"):
        zsir.restore(y, "blur:sigma=auto", prior="gaussian", simulate=True)
