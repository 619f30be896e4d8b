"""Chains of stages: shapes from either end, closed forms kept, noise between stages."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zsir import operators
from zsir.capabilities import cut, margins_of
from zsir.errors import BadSpec, ShapeError, UnknownName
from zsir.names.parsed import spec_of
from zsir.operators import Separable, StageChain
from zsir.processes import noisy, own_noise, recorded
from zsir.rng import PictureNoise

SHAPE = (3, 18, 22)


def pixels(shape: tuple[int, ...], seed: int = 0, batch: int = 2) -> Tensor:
    return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(operator: operators.Operator) -> Tensor:
    basis = torch.eye(math.prod(operator.in_shape), dtype=torch.float64).view(-1, *operator.in_shape)
    return operator.forward(basis).flatten(1).T


@pytest.mark.parametrize("spec", ["blur:sigma=1.2 | sr2x", "sr2x | blur:sigma=0.7", "uniform:size=3|sr2x-matlab"])
def test_a_separable_chain_is_one_separable_operator(spec: str) -> None:
    chained = operators.make(spec, in_shape=SHAPE)
    assert isinstance(chained, Separable)
    first, second = spec.split("|")
    a = operators.make(first, in_shape=SHAPE)
    b = operators.make(second, in_shape=a.in_shape if a.out_shape == SHAPE else (3, 9, 11))
    x = pixels(SHAPE)
    assert torch.allclose(chained.forward(x), b.forward(a.forward(x)), atol=1e-12)


@pytest.mark.parametrize("spec", ["motion:length=5,angle=30 | sr2x", "mask:keep=0.6 | blur:sigma=0.8"])
def test_a_chain_without_closed_form_inverts_by_iteration(spec: str) -> None:
    shape = (1, 8, 10)
    operator = operators.make(spec, in_shape=shape)
    y = pixels(operator.out_shape)
    matrix = dense(operator)
    wanted = matrix.T @ torch.linalg.solve(matrix @ matrix.T + 0.1 * torch.eye(len(matrix)), y.flatten(1).T)
    assert torch.allclose(operator.pinv(y, 0.1).flatten(1).T, wanted, atol=1e-9)


def test_shapes_follow_from_the_observation() -> None:
    operator = operators.make("blur:sigma=1 | sr2x | sr3x", out_shape=(3, 5, 7))
    assert operator.in_shape == (3, 30, 42)
    assert operator.out_shape == (3, 5, 7)


def test_the_spec_is_canonical() -> None:
    operator = operators.make("blur:sigma=1|noise:std=0.02 |sr2x", in_shape=SHAPE)
    assert spec_of(operator) == "blur:sigma=1.0 | noise:std=0.02 | downsample:factor=2"


def test_noise_between_stages_is_damped_by_the_later_ones() -> None:
    """White noise behind a blur keeps ||B||_F^2 / m of its variance, which is the sum of the squared kernel."""
    chained = operators.make("noise:std=0.05 | blur:sigma=1,boundary=circular", in_shape=(1, 64, 64))
    assert isinstance(chained, StageChain)
    kernel = torch.exp(-0.5 * torch.arange(-4, 5, dtype=torch.float64) ** 2)
    kernel = kernel / kernel.sum()
    assert own_noise(chained) == pytest.approx(0.05 * float((kernel**2).sum()), rel=0.05)


def test_noise_stages_act_where_an_observation_is_made() -> None:
    chained = operators.make("blur:sigma=1 | noise:std=0.05", in_shape=(1, 64, 64))
    x = torch.full((2, 1, 64, 64), 0.5, dtype=torch.float64)
    y, seen = recorded(chained, x, PictureNoise(3, (0, 1), stream="observation"))
    assert y is seen
    assert float((y - chained.forward(x)).std()) == pytest.approx(0.05, rel=0.05)
    alone, _ = recorded(chained, x[1:], PictureNoise(3, (1,), stream="observation"))
    assert torch.equal(alone[0], y[1])
    assert own_noise(chained) == 0.05


def test_noise_adds_in_squares() -> None:
    chained = operators.make("blur:sigma=1 | noise:std=0.03", in_shape=SHAPE)
    operator, level = noisy(chained, 0.04)
    assert level == pytest.approx(0.05)
    assert own_noise(operator) == pytest.approx(0.05)
    assert noisy(operators.make("blur", in_shape=SHAPE), 0.04)[1] == 0.04


def test_a_chain_without_margins_is_not_cut() -> None:
    operator = operators.make("blur:sigma=1 | sr2x", in_shape=SHAPE)
    x = pixels(SHAPE)
    assert margins_of(operator) == (0, 0, 0, 0)
    assert torch.equal(cut(operator, x), x)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("blur | sr9x", UnknownName, "sr9x"),
        ("blur | ", UnknownName, "no operator ''"),
        ("blur | noise:std=0", BadSpec, "std=0"),
        ("sr16x | sr4x", ShapeError, "Stage 2"),
    ],
)
def test_a_bad_stage_is_named(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        operators.make(spec, in_shape=SHAPE)
