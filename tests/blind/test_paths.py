"""Kernels as paths: their transfer functions, their score, and that the search finds one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.blind.test_estimate import blocks, blurred, likeness
from zsir.blind.likelihood import periodogram
from zsir.blind.paths import (
    STAGES,
    Stage,
    _Score,
    _Sharpened,
    _Spectrum,
    kernel_of,
    path_kernels,
    points,
    transfers,
)


def bow() -> Tensor:
    """A bent path of about 9 pixels, (4, 2)."""
    c = torch.zeros(4, 2)
    c[0, 1], c[1, 0] = -4.0, 2.0
    return c


def test_points_of_a_path() -> None:
    """One mode is a cosine; at equal times the points have the mean 0."""
    p = points(bow()[None], 8)[0]
    t = [(k + 0.5) / 8 for k in range(8)]
    assert torch.allclose(p[:, 1], torch.tensor([-4 * math.cos(math.pi * s) for s in t]), atol=1e-5)
    assert torch.allclose(p[:, 0], torch.tensor([2 * math.cos(2 * math.pi * s) for s in t]), atol=1e-5)
    assert torch.allclose(p.mean(0), torch.zeros(2), atol=1e-5)


def test_transfer_function_of_two_points_is_a_cosine() -> None:
    rows, columns = torch.linspace(-0.4, 0.4, 5), torch.linspace(0, 0.5, 4)
    k = transfers(torch.tensor([[[1.0, 2.0], [-1.0, -2.0]]]), rows, columns)[0]
    wanted = torch.cos(2 * math.pi * (rows[:, None] + 2 * columns))
    assert torch.allclose(k.real, wanted, atol=1e-5)
    assert torch.allclose(k.imag, torch.zeros_like(wanted), atol=1e-5)


def test_the_kernel_of_a_path_has_its_transfer_function() -> None:
    """Up to the shift. Spreading a point on four taps multiplies by sinc^2 in both directions, in the mean."""
    kernel = kernel_of(bow(), 13)
    assert abs(float(kernel.sum()) - 1) < 1e-9 and float(kernel.min()) >= 0
    size = torch.fft.rfft2(kernel, s=(64, 64)).abs()[:8, :8].float()
    f = torch.arange(8) / 64
    wanted = transfers(points(bow()[None], 512), f, f)[0].abs() * torch.outer(torch.sinc(f) ** 2, torch.sinc(f) ** 2)
    assert torch.allclose(size, wanted, atol=0.015)


def test_a_path_that_leaves_the_array_ends_at_its_border() -> None:
    kernel = kernel_of(3 * bow(), 9)
    assert kernel.shape == (9, 9) and abs(float(kernel.sum()) - 1) < 1e-9


def test_white_noise_has_its_variance_in_the_periodogram() -> None:
    noise = 0.1 * torch.randn(90, 80, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    power, rows, columns = periodogram(noise)
    assert power.shape == (len(rows), len(columns))
    assert abs(float(power[2:-2, 2:].mean()) / 0.01 - 1) < 0.05


def test_the_power_spectrum_does_not_tell_a_path_from_its_mirror_image_but_the_evenness_does() -> None:
    k = kernel_of(bow(), 13)
    y = blurred(blocks(), k)
    both = torch.stack([bow(), -bow()])
    spectrum, sharp = _Spectrum(y, 0.01, 0.35), _Sharpened(y, 0.35)
    alike = spectrum.loss(transfers(points(both, 64), spectrum.rows, spectrum.columns), spectrum.first().expand(2, -1))
    assert float(alike[0]) == pytest.approx(float(alike[1]), rel=1e-5)
    right, wrong = sharp.loss(transfers(points(both, 64), sharp.rows, sharp.columns))
    assert float(right) < float(wrong) - 10


@pytest.mark.parametrize("stage", [STAGES[0], STAGES[-1]])
def test_the_descent_follows_the_slope_of_the_score(stage: Stage) -> None:
    """The derivative along a direction, against a finite difference."""
    y = blurred(blocks(), kernel_of(bow(), 13))
    score = _Score(_Spectrum(y, 0.01, stage.top), _Sharpened(y, stage.top))
    c, n = (0.7 * bow()[None]).requires_grad_(), score.spectrum.first()[None]
    (slope,) = torch.autograd.grad(score.loss(c, n, 32).sum(), c)
    way = torch.randn(c.shape, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        before, after = (float(score.loss(c + s * way, n, 32)) for s in (-0.01, 0.01))
    assert (after - before) / 0.02 == pytest.approx(float((slope * way).sum()), rel=0.05)


@pytest.mark.slow
def test_a_path_is_found_in_its_blur() -> None:
    truth = kernel_of(bow(), 13)
    y = blurred(blocks(), truth)
    y = y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    found = path_kernels(y, 13, 0.01)
    assert 1 <= len(found) <= sum(stage.offered for stage in STAGES) and all(one.shape == (13, 13) for one in found)
    assert max(likeness(one, truth) for one in found) > 0.8
    assert all(torch.equal(one, again) for one, again in zip(found, path_kernels(y, 13, 0.01), strict=True))
