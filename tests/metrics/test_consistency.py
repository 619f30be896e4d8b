"""Residuals and the split into what data determine and what is imagined."""

from __future__ import annotations

import pytest
import torch

from zsir import Problem, operators
from zsir.errors import ShapeError, SolveError
from zsir.metrics import energies, residual, split
from zsir.operators.mask import Mask
from zsir.rng import PictureNoise

SPECS = ["sr2x", "sr3x", "mask:keep=0.4", "blur:sigma=1.5,boundary=circular", "blur:sigma=0.8"]


def pictures(shape):
    return PictureNoise(0, range(shape[0])).randn_like(torch.zeros(shape, dtype=torch.float64)) * 0.2 + 0.5


def built(spec, shape=(3, 18, 24)):
    return operators.make(spec, in_shape=shape)


@pytest.mark.parametrize("spec", SPECS)
def test_the_parts_are_a_projection(spec):
    op, x = built(spec), pictures((2, 3, 18, 24))
    seen, free = split(op, x)
    assert torch.equal(seen + free, x) or torch.allclose(seen + free, x, atol=1e-14, rtol=0)
    assert torch.allclose(op.forward(seen), op.forward(x), atol=1e-7, rtol=0)
    assert torch.allclose(op.forward(free), torch.zeros_like(op.forward(x)), atol=1e-7, rtol=0)
    assert torch.allclose(split(op, seen)[0], seen, atol=1e-7, rtol=0)
    assert (seen * free).flatten(1).mean(dim=1).tolist() == pytest.approx([0, 0], abs=1e-7)


@pytest.mark.parametrize("spec", SPECS)
def test_energies_add_up_and_belong_to_their_picture(spec):
    op, x = built(spec), pictures((3, 3, 18, 24)) * torch.tensor([0.5, 1, 2]).view(-1, 1, 1, 1)
    parts = energies(op, x)
    total = [a + b for a, b in zip(parts.determined, parts.free, strict=True)]
    assert total == pytest.approx(x.square().flatten(1).mean(dim=1).tolist(), rel=1e-7)
    alone = energies(op, x[1:2])
    assert alone.determined == pytest.approx(parts.determined[1:2], rel=1e-9)
    assert alone.free == pytest.approx(parts.free[1:2], rel=1e-9, abs=1e-14)


def test_a_mask_determines_what_it_shows():
    known = torch.arange(5 * 7).view(5, 7) % 3 != 0
    op = Mask((2, 5, 7), known)
    x = pictures((2, 2, 5, 7))
    parts = energies(op, x)
    assert parts.determined == pytest.approx((x * known).square().flatten(1).mean(dim=1).tolist(), abs=1e-14)
    assert parts.free == pytest.approx((x * ~known).square().flatten(1).mean(dim=1).tolist(), abs=1e-14)


def test_error_of_a_consistent_picture_is_imagined():
    """What differs from the truth in the null space only fits the data, and its whole error is free."""
    op, truth = built("sr2x"), pictures((2, 3, 18, 24))
    x = truth + split(op, pictures((2, 3, 18, 24)).flip(0))[1]
    parts = energies(op, x - truth)
    assert parts.determined == pytest.approx([0, 0], abs=1e-14)
    assert parts.free == pytest.approx((x - truth).square().flatten(1).mean(dim=1).tolist(), rel=1e-9)
    assert residual(Problem(op.forward(truth), op), x).rms == pytest.approx([0, 0], abs=1e-9)
    # and what the pseudo-inverse makes has nothing imagined
    assert energies(op, op.pinv(op.forward(truth))).free == pytest.approx([0, 0], abs=1e-14)


def test_single_precision_is_split_in_double():
    op, x = built("blur:sigma=1.5,boundary=circular"), pictures((1, 3, 18, 24))
    seen, _ = split(op, x.float())
    assert seen.dtype == torch.float64
    assert torch.equal(seen, split(op, x.float().double())[0])


def test_no_convergence_is_said():
    op = operators.make("motion:length=9,angle=30", in_shape=(1, 15, 17))
    with pytest.raises(SolveError, match=r"stopped after \d+ iterations"):
        split(op, pictures((1, 1, 15, 17)))


def test_residual_in_closed_form():
    op = built("identity", (1, 3, 4))
    y = torch.full((2, 1, 3, 4), 0.4, dtype=torch.float64)
    x = y + torch.tensor([0.03, -0.1], dtype=torch.float64).view(-1, 1, 1, 1)
    noisy = residual(Problem(y, op, 0.05), x)
    assert noisy.rms == pytest.approx([0.03, 0.1])
    assert noisy.relative == pytest.approx([0.6, 2])
    exact = residual(Problem(y, op), x)
    assert exact.rms == pytest.approx([0.03, 0.1])
    assert exact.relative == pytest.approx([0.075, 0.25])
    assert Problem(y, op, 0.05).residual(x) == noisy.relative


def test_only_observed_pixels_count():
    known = torch.zeros(4, 6, dtype=torch.bool)
    known[1, 2:4] = True
    op = Mask((3, 4, 6), known)
    y = torch.full((1, 3, 4, 6), 0.5, dtype=torch.float64)
    x = y + torch.where(known, 0.2, 0.4)
    assert residual(Problem(y, op, 0.1), x).rms == pytest.approx([0.2])
    assert residual(Problem(y, op, 0.1), x).relative == pytest.approx([2])


def test_one_picture_for_each_observation():
    op = built("identity", (1, 3, 4))
    with pytest.raises(ShapeError, match="1 pictures for 2 observations"):
        residual(Problem(torch.zeros(2, 1, 3, 4), op), torch.zeros(1, 1, 3, 4))
