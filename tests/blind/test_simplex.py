"""Kernels as points of the simplex."""

from __future__ import annotations

import torch

from zsir.blind.simplex import ladder, least_squares, on_simplex, recentred, resized, thresholded


def test_projection_is_the_nearest_point() -> None:
    """v - P v is constant on the support of P v, and no smaller than that off it: the optimality conditions."""
    v = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = on_simplex(v)
    assert abs(float(p.sum()) - 1) < 1e-12
    assert float(p.min()) >= 0
    gap = v - p
    constant = gap[p > 0]
    assert float(constant.max() - constant.min()) < 1e-12
    assert float(gap[p == 0].max()) <= float(constant[0]) + 1e-12


def test_a_point_of_the_simplex_stays() -> None:
    p = torch.tensor([0.2, 0.0, 0.5, 0.3], dtype=torch.float64)
    assert torch.allclose(on_simplex(p), p, atol=1e-15)


def test_least_squares_finds_the_kernel_of_its_equations() -> None:
    rng = torch.Generator().manual_seed(1)
    a = torch.randn(60, 25, dtype=torch.float64, generator=rng)
    k = on_simplex(torch.randn(25, dtype=torch.float64, generator=rng))
    found = least_squares(a.T @ a, a.T @ (a @ k), torch.full((5, 5), 1 / 25, dtype=torch.float64))
    assert torch.allclose(found.flatten(), k, atol=1e-4)


def test_recentred_moves_mass_to_the_middle_and_loses_none() -> None:
    k = torch.zeros(9, 9, dtype=torch.float64)
    k[0, 1], k[1, 2], k[2, 3] = 0.25, 0.5, 0.25
    moved = recentred(k)
    assert torch.equal(moved, k.roll((3, 2), (0, 1)))
    wide = torch.zeros(5, 5, dtype=torch.float64)
    wide[2, 0], wide[2, 4] = 0.9, 0.1
    assert torch.equal(recentred(wide), wide)  # there is no room


def test_thresholded_and_resized_keep_the_sum() -> None:
    k = torch.zeros(7, 7, dtype=torch.float64)
    k[3, 2:5], k[0, 0] = torch.tensor([0.3, 0.4, 0.28]), 0.02
    cut = thresholded(k, 0.1)
    assert float(cut[0, 0]) == 0
    large = resized(cut, 11)
    assert large.shape == (11, 11)
    assert abs(float(large.sum()) - 1) < 1e-12
    assert float(large.sum(0).argmax()) == 5


def test_ladder_is_odd_and_rises_from_three() -> None:
    for taps in (3, 5, 19, 39):
        sides = ladder(taps)
        assert sides[0] == 3 and sides[-1] == taps
        assert all(side % 2 for side in sides) and sides == sorted(set(sides))
