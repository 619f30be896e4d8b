"""PSNR and SSIM against scikit-image and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from zsir.errors import ShapeError
from zsir.metrics import psnr, ssim


def pair(channels, height, width):
    rng = np.random.default_rng([channels, height, width])
    a = rng.random((channels, height, width))
    b = np.clip(a + 0.2 * rng.standard_normal(a.shape), 0, 1)
    return a, b


@pytest.mark.parametrize("shape", [(1, 11, 11), (1, 17, 40), (3, 33, 12), (3, 64, 48)])
def test_against_scikit_image(shape):
    a, b = pair(*shape)
    x, y = torch.from_numpy(a)[None], torch.from_numpy(b)[None]
    expected = structural_similarity(
        a, b, data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(x, y) == pytest.approx(expected, abs=1e-10)
    assert ssim(x.float(), y.float()) == pytest.approx(expected, abs=1e-6)
    assert psnr(x, y) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1.0), abs=1e-10)


def test_data_range():
    a, b = pair(3, 20, 20)
    x, y = torch.from_numpy(a)[None], torch.from_numpy(b)[None]
    assert psnr(255 * x, 255 * y, 255) == pytest.approx(psnr(x, y))
    assert ssim(255 * x, 255 * y, 255) == pytest.approx(ssim(x, y))


def test_a_batch_has_the_mean_of_its_pictures():
    a, b = pair(3, 20, 20)
    x, y = torch.from_numpy(a)[None], torch.from_numpy(b)[None]
    z = (x + y) / 2
    both = torch.cat([x, x]), torch.cat([y, z])
    assert psnr(*both) == pytest.approx((psnr(x, y) + psnr(x, z)) / 2)
    assert ssim(*both) == pytest.approx((ssim(x, y) + ssim(x, z)) / 2)


def test_equal_pictures():
    x = torch.from_numpy(pair(3, 16, 16)[0])[None]
    assert psnr(x, x) == math.inf
    assert ssim(x, x) == pytest.approx(1)


def test_refusals():
    x = torch.zeros(1, 3, 10, 40)
    with pytest.raises(ShapeError, match="11x11"):
        ssim(x, x)
    with pytest.raises(ShapeError, match="one shape"):
        psnr(x, x[:, :1])
    with pytest.raises(ShapeError, match="one shape"):
        psnr(x[0], x[0])
