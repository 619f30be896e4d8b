"""PSNR after the best shift."""

from __future__ import annotations

import pytest
import torch

from zsir.metrics import measure
from zsir.metrics.shifted import MARGIN, psnr_shifted, shifted


def smooth(height: int, width: int) -> torch.Tensor:
    """A periodic picture of a few low frequencies, (1, 3, height, width) in [0, 1]."""
    drawn = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    x = torch.fft.irfft2(torch.fft.rfft2(drawn) * torch.exp(-200 * (rows**2 + columns**2)), s=(height, width))
    return 0.5 + 0.4 * x / x.abs().max()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -3), (0.5, 1.25), (-5, 4.75)])
def test_shifts_are_undone(down: float, right: float) -> None:
    truth = smooth(61, 74)
    assert psnr_shifted(shifted(truth, down, right), truth)[0] > 100


def test_whole_shifts_move_pixels() -> None:
    x = smooth(20, 31)
    torch.testing.assert_close(shifted(x, 2, -3), x.roll((2, -3), (2, 3)), atol=1e-12, rtol=0)


def test_noise_stays_and_the_border_does_not_count() -> None:
    truth = smooth(61, 74)
    noisy = (truth + 0.02 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    inside = slice(MARGIN, -MARGIN)
    plain = measure(["psnr"], noisy[..., inside, inside], truth[..., inside, inside])["psnr"][0]
    spoiled = noisy.clone()
    spoiled[..., : MARGIN // 2, :] = 0
    assert psnr_shifted(noisy, truth)[0] == pytest.approx(plain, abs=0.05)
    assert psnr_shifted(spoiled, truth)[0] == pytest.approx(plain, abs=0.05)
    assert psnr_shifted(shifted(noisy, 3, 1).clamp(0, 1), truth)[0] == pytest.approx(plain, abs=0.05)
    assert measure(["psnr"], shifted(noisy, 3, 1).clamp(0, 1), truth)["psnr"][0] < plain - 5
