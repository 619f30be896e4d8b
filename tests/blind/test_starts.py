"""Least squares of lags, gradients, and first kernels."""

from __future__ import annotations

import torch

from zsir.blind.edges import gradients
from zsir.blind.grids import Grid
from zsir.blind.lags import by_gradients, least_squares_of_lags
from zsir.blind.simplex import least_squares, on_simplex
from zsir.blind.starts import STARTS, coarse_to_fine


def test_gradients_of_a_ramp() -> None:
    x = torch.arange(4.0)[None, None, :, None] * 2 + torch.arange(5.0) * 3
    across, down = gradients(x)
    assert torch.equal(across[..., :-1], torch.full((1, 1, 4, 4), 3.0))
    assert torch.equal(across[..., -1], torch.full((1, 1, 4), -12.0))
    assert torch.equal(down[..., :-1, :], torch.full((1, 1, 3, 5), 2.0))


def test_least_squares_of_lags_is_that_of_the_written_form() -> None:
    """The form is written out tap by tap from the autocorrelation."""
    drawn, n = torch.Generator().manual_seed(2), 5
    a = torch.fft.rfft2(torch.randn(16, 18, dtype=torch.float64, generator=drawn))
    own = torch.fft.irfft2(a.conj() * a, s=(16, 18))
    taps = [(i, j) for i in range(n) for j in range(n)]
    form = torch.stack([torch.stack([own[(p - r) % 16, (q - s) % 18] for r, s in taps]) for p, q in taps])
    truth = on_simplex(torch.randn(n * n, dtype=torch.float64, generator=drawn))
    start = torch.full((n, n), 1 / n**2, dtype=torch.float64)
    found = least_squares_of_lags(own, (form @ truth).view(n, n), start)
    assert torch.allclose(found.flatten(), truth, atol=1e-3)
    assert torch.allclose(found, least_squares(form, form @ truth, start), atol=1e-3)


def test_the_kernel_between_two_pictures_is_found_by_their_gradients() -> None:
    """A picture that is moved by one pixel down and two to the right, inside the window of the grid."""
    x = torch.rand(1, 2, 60, 64, generator=torch.Generator().manual_seed(3))
    grid = Grid(x.roll((1, 2), (-2, -1)), 7, 1 / 255)
    before = torch.nn.functional.pad(x, (grid.margin,) * 4, mode="reflect")
    found = by_gradients(grid, before, torch.full((7, 7), 1 / 49, dtype=torch.float64))
    assert divmod(int(found.argmax()), 7) == (3 + 1, 3 + 2)
    assert float(found.max()) > 0.8
    wide = by_gradients(grid, before, torch.full((7, 7), 1 / 49, dtype=torch.float64), ridge=100.0)
    assert float(wide.max()) < 0.1  # a strong ridge makes all taps equal


def test_every_start_gives_a_kernel_in_the_whole_array() -> None:
    y = torch.rand(1, 1, 48, 52, generator=torch.Generator().manual_seed(4))
    for taps in (3, 5, 9):
        for start in STARTS:
            found = coarse_to_fine(y, taps, 1 / 255, start)
            assert found.shape == (taps, taps)
            assert abs(float(found.sum()) - 1) < 1e-9 and float(found.min()) >= 0
