"""What results are judged by, against sums written out in NumPy."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from zsir import Problem, metrics, operators
from zsir.errors import BadSpec, UnknownName
from zsir.operators import Mask
from zsir.rng import PictureNoise
from zsir.tuning import GOALS, find_goal

SHAPE = (2, 9, 13)
SIZE = math.prod(SHAPE)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("spec", ["identity", "blur:sigma=1.3", "mask:keep=0.4", "downsample:factor=2"])
def test_sure_is_steins_sum_for_a_linear_method(spec: str) -> None:
    op = operators.make(spec, in_shape=SHAPE)
    weights = draw(0, SIZE, math.prod(op.out_shape)) / 10
    noise, y = 0.07, 0.5 + 0.2 * draw(1, 1, *op.out_shape)

    def restore(problem: Problem) -> Tensor:
        return (problem.y.flatten(1) @ weights.T).view(1, *SHAPE)

    known = getattr(op, "known", None)
    seen = np.ones(op.out_shape) if known is None else np.broadcast_to(known.double().numpy(), op.out_shape)
    n = seen.sum()
    data = (y[0].numpy() * seen).ravel()
    data_seed = int.from_bytes(hashlib.sha256(torch.from_numpy(data).view_as(y).numpy().tobytes()).digest()[:7], "big")
    probe = np.sign(PictureNoise(data_seed, [0], "divergence").randn_like(y)[0].numpy()).ravel()
    matrix = op.forward(torch.eye(SIZE, dtype=torch.float64).view(SIZE, *SHAPE)).flatten(1).T.numpy() @ weights.numpy()
    # a method is a function of what was measured: a mask hides the rest from it, here by the zeros
    divergence = probe @ (matrix @ probe)
    risk = ((data - matrix @ data) ** 2).sum() / (noise**2 * n) - 1 + 2 * divergence / n
    found = GOALS["sure"].judge(Problem(y, op, noise), restore, None)
    assert found == pytest.approx(risk, rel=1e-9)


def test_sure_estimates_the_error_without_the_truth() -> None:
    """Over 200 draws of the noise its mean is that of the true error, to four standard errors."""
    op, noise = operators.make("identity", in_shape=SHAPE), 0.1
    x = 0.5 + 0.2 * draw(2, 1, *SHAPE)
    estimates, errors = [], []
    for seed in range(200):
        problem = Problem(x + noise * draw(10 + seed, 1, *SHAPE), op, noise)

        def restore(p: Problem) -> Tensor:
            return 0.5 + 0.8 * torch.tanh(p.y - 0.5)

        estimates.append(noise**2 * GOALS["sure"].judge(problem, restore, None))
        errors.append(float((restore(problem) - x).square().mean()))
    gap = np.asarray(estimates) - np.asarray(errors)
    assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(len(gap))
    assert np.mean(errors) > 20 * gap.std() / math.sqrt(len(gap))  # so that the bound above says something


def test_every_observation_has_its_own_probe() -> None:
    """Else the chance of one probe would be the same in all pictures, however many."""
    op, smooth = operators.make("identity", in_shape=SHAPE), operators.make("blur:sigma=1", in_shape=SHAPE)
    divergences = []
    for seed in range(40):
        y = 0.5 + 0.1 * draw(seed, 1, *SHAPE)
        risk = GOALS["sure"].judge(Problem(y, op, 0.1), lambda p: smooth.forward(p.y), None)
        plain = float((y - smooth.forward(y)).square().mean()) / 0.1**2 - 1
        divergences.append((risk - plain) / 2)
    trace = (
        float(smooth.forward(torch.eye(SIZE, dtype=torch.float64).view(SIZE, *SHAPE)).flatten(1).diagonal().sum())
        / SIZE
    )
    assert np.std(divergences) > 0.005
    assert abs(np.mean(divergences) - trace) < 4 * np.std(divergences) / math.sqrt(40)


def test_a_mask_hides_what_its_file_holds() -> None:
    op = operators.make("mask:keep=0.5", in_shape=SHAPE)
    assert isinstance(op, Mask)
    y = 0.5 + 0.1 * draw(3, 1, *SHAPE)
    filled = torch.where(op.known.expand_as(y).bool(), y, torch.full_like(y, 0.9))
    for name in ("sure", "whiteness", "discrepancy"):
        a, b = (GOALS[name].judge(Problem(v, op, 0.1), lambda p: 0.9 * op.adjoint(p.y), None) for v in (y, filled))
        assert a == pytest.approx(b, rel=1e-12)


@pytest.mark.parametrize(("size", "expected"), [(1.0, 0.0), (0.25, 0.75), (1.5, 0.5)])
def test_discrepancy_compares_the_residual_with_the_noise(size: float, expected: float) -> None:
    op, noise = operators.make("identity", in_shape=SHAPE), 0.05
    signs = torch.sign(draw(4, 1, *SHAPE))
    y = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    found = GOALS["discrepancy"].judge(Problem(y, op, noise), lambda p: p.y - size * noise * signs, None)
    assert found == pytest.approx(expected, abs=1e-12)


def test_whiteness_is_the_energy_of_the_autocorrelation() -> None:
    op, r = operators.make("identity", in_shape=SHAPE), 0.05 * draw(5, 1, *SHAPE)
    total = 0.0
    for plane in r[0].numpy():
        lags = [(plane * np.roll(plane, (i, j), (0, 1))).sum() for i in range(SHAPE[1]) for j in range(SHAPE[2])]
        total += sum(c * c for c in lags[1:]) / lags[0] ** 2
    y = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    found = GOALS["whiteness"].judge(Problem(y, op, 0.05), lambda p: p.y - r, None)
    assert found == pytest.approx(total / SHAPE[0], rel=1e-10)
    flat = GOALS["whiteness"].judge(Problem(y, op, 0.05), lambda p: p.y - 0.05, None)
    assert flat == pytest.approx(SHAPE[1] * SHAPE[2] - 1, rel=1e-10)
    with pytest.raises(BadSpec, match="residual is zero"):
        GOALS["whiteness"].judge(Problem(y, op, 0.05), lambda p: p.y, None)


def test_metrics_are_goals() -> None:
    op, truth = operators.make("identity", in_shape=(3, 15, 17)), torch.rand(1, 3, 15, 17).double()
    goal = find_goal("psnr")
    problem = Problem(truth + 0.1 * draw(6, 1, 3, 15, 17), op, 0.1)
    assert goal.reference and goal.judge(problem, lambda p: p.y, truth) == pytest.approx(
        metrics.psnr(problem.y.clamp(0, 1), truth), abs=1e-12
    )
    assert goal.beats(30.0, 29.0) and goal.beats(29.0, math.nan) and not goal.beats(math.nan, 29.0)
    assert find_goal("sure").beats(0.01, 0.02) and not find_goal("sure").reference
    with pytest.raises(UnknownName, match="psnr"):
        find_goal("pnsr")
