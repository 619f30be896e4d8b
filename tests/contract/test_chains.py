"""Chains of stages: shapes from either end, closed forms kept, noise between stages."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zsir import operators
from zsir.capabilities import (
    cut,
    decompose,
    known_numbers,
    makes_pictures,
    margins_of,
    seen_pixels,
)
from zsir.errors import BadSpec, ShapeError, UnknownName
from zsir.extent import reduction, steps_of
from zsir.names.parsed import spec_of
from zsir.observation_units import unit_of
from zsir.operators import Separable, StageChain
from zsir.processes import finish_of, metric_of, noisy, own_noise, project, recorded
from zsir.rng import PictureNoise
from zsir.workflow.pose import observe

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
        ("blur | ", BadSpec, "a stage is empty"),
        ("blur | noise:std=0", BadSpec, "std=0"),
        ("sr16x | sr4x", ShapeError, "Stage 2"),
    ],
)
def test_a_bad_stage_is_named(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        operators.make(spec, in_shape=SHAPE)


@pytest.mark.parametrize("spec", ["mask:keep=0.3", "blur:sigma=2", "box:size=0.4", "blur:sigma=1 | sr2x"])
def test_noise_at_the_end_keeps_the_closed_form(spec: str) -> None:
    plain, chained = (operators.make(text, in_shape=SHAPE) for text in (spec, f"{spec} | noise:std=0.02"))
    assert isinstance(chained, StageChain) and own_noise(chained) == 0.02
    y = pixels(plain.out_shape)
    assert torch.equal(chained.pinv(y, 0.1), plain.pinv(y, 0.1))
    assert torch.equal(decompose(chained, y).s, decompose(plain, y).s)
    for of in (seen_pixels, known_numbers):
        one, other = of(chained), of(plain)
        assert one is other or (one is not None and other is not None and torch.equal(one, other))
    louder = noisy(chained, 0.01)[0]
    assert torch.equal(decompose(louder, y).s, decompose(plain, y).s)


def test_noise_alone_has_a_decomposition() -> None:
    noise = operators.make("noise:std=0.02", in_shape=SHAPE)
    svd, x = decompose(noise, pixels(SHAPE)), pixels(SHAPE)
    assert torch.equal(svd.u(svd.s * svd.vt(x)), x)


@pytest.mark.parametrize(
    "spec", ["blur:sigma=1 | wild:seed=3", "wild:seed=3 | blur:sigma=1", "blur:sigma=1 | wild:seed=3 | noise"]
)
def test_the_linear_stages_of_a_pipeline_count_in_a_chain(spec: str) -> None:
    shape = (3, 24, 32)
    parts = {text: operators.make(text, in_shape=shape) for text in ("blur:sigma=1", "wild:seed=3")}
    x = pixels(shape)
    wanted = x
    for text in spec.split(" | "):
        wanted = parts[text].forward(wanted) if text in parts else wanted
    assert torch.allclose(operators.make(spec, in_shape=shape).forward(x), wanted, atol=1e-12)


def test_noise_before_a_file_is_noise_of_the_file() -> None:
    """The clean picture lies in the box of the codes, which noise before the encoder makes wider."""
    chained = operators.make("noise:std=0.04 | noise:std=0.03 | jpeg:q=95", in_shape=SHAPE)
    wanted = noisy(operators.make("jpeg:q=95", in_shape=SHAPE), 0.05)[0]
    x = pixels(SHAPE)
    assert own_noise(chained) == pytest.approx(own_noise(wanted))
    assert torch.allclose(chained.forward(x), wanted.forward(x), rtol=1e-12)
    blurred = operators.make("blur:sigma=1 | noise:std=0.05 | jpeg:q=95", in_shape=SHAPE)
    assert torch.allclose(blurred.forward(x), wanted.forward(operators.make("blur:sigma=1", in_shape=SHAPE).forward(x)))
    smooth = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (4,) * 4, mode="reflect"), 9, 1)
    y, _ = recorded(chained, smooth, PictureNoise(3, (0, 1), stream="observation"))
    assert float((project(chained, smooth, y) - smooth).square().mean().sqrt()) < 0.005


@pytest.mark.parametrize("spec", ["noise:std=0.05 | identity | jpeg:q=95", "jpeg:q=20 | jpeg:q=95"])
def test_a_last_stage_that_does_not_know_the_noise_projects_nothing(spec: str) -> None:
    chained = operators.make(spec, in_shape=SHAPE)
    x = pixels(SHAPE)
    y, _ = recorded(chained, x, PictureNoise(3, (0, 1), stream="observation"))
    assert torch.equal(project(chained, x, y), x) and finish_of(chained) is None


@pytest.mark.parametrize(
    "spec", ["grey | jpeg:q=60", "mosaic | jpeg:q=60", "channels:rows=0.5+0.5+0;0+1+0;0+0+1 | jpeg:q=60"]
)
def test_a_file_of_mixed_channels(spec: str) -> None:
    """prox is the minimiser: its gradient is 0, in the metric that the operator states."""
    operator = operators.make(spec, in_shape=(3, 16, 24))
    x, z = pixels((3, 16, 24)), pixels((3, 16, 24), seed=1)
    y = operator.forward(x) + 0.01
    found = operator.prox(z, y, 0.3)
    gradient = operator.adjoint(operator.forward(found) - y) + 0.3 * metric_of(operator)(found - z)
    assert float(gradient.norm()) < 1e-9 * float(operator.adjoint(y).norm())


def test_grey_after_an_unknown_border_keeps_the_margins() -> None:
    both = operators.make("blur:sigma=2,boundary=unknown | grey", out_shape=(1, 32, 40))
    margins = margins_of(operators.make("blur:sigma=2,boundary=unknown", out_shape=(3, 32, 40)))
    assert min(margins) > 0 and margins_of(both) == margins
    assert tuple(cut(both, pixels(both.in_shape)).shape[-2:]) == (32, 40)


@pytest.mark.parametrize("spec", ["channels:rows=3+0+0;0+4+0", "blur:sigma=1 | channels:rows=3+0+0;0+4+0"])
def test_mixtures_that_are_no_pictures_have_a_unit(spec: str) -> None:
    """The singular values of diag(3, 4) are 3 and 4; a blur keeps the largest."""
    operator = operators.make(spec, in_shape=(3, 12, 15))
    assert not makes_pictures(operator)
    assert unit_of(operator) == pytest.approx(4)
    assert unit_of(operators.make("blur:sigma=1 | grey", in_shape=(3, 12, 15))) == 1


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        ("crop:top=16,bottom=16", (1, 1)),
        ("blur:sigma=1 | crop:top=16,bottom=16", (1, 1)),
        ("motion:length=5,angle=30 | crop:left=20", (1, 1)),
        ("crop:left=20 | sr2x", (2, 2)),
        ("resize:size=16x64", (1, 4)),
        ("mask:keep=0.5", (1, 1)),
        ("stride:factor=3", (3, 3)),
    ],
)
def test_a_window_is_no_reduction(spec: str, steps: tuple[float, float]) -> None:
    operator = operators.make(spec, in_shape=(1, 64, 64))
    assert steps_of(operator) == pytest.approx(steps, rel=0.05)
    assert reduction(operator) == pytest.approx(max(steps), rel=0.05)


def test_margins_behind_a_window_are_pixels_of_the_picture() -> None:
    alone = operators.make("blur:sigma=1,boundary=unknown", in_shape=(1, 32, 64))
    both = operators.make("crop:top=16,bottom=16 | blur:sigma=1,boundary=unknown", in_shape=(1, 64, 64))
    assert margins_of(both) == margins_of(alone)


@pytest.mark.parametrize("spec", ["wild:seed=3", "blur:sigma=1 | wild:seed=3"])
def test_noise_that_a_pipeline_cannot_take_is_refused(spec: str) -> None:
    operator = operators.make(spec, in_shape=(3, 24, 32))
    source = PictureNoise(3, (0, 1), stream="observation")
    with pytest.raises(BadSpec, match="adds its own noise"):
        observe(operator, pixels((3, 24, 32)), 0.2, source)
    assert observe(operator, pixels((3, 24, 32)), 0.0, source).noise_std == own_noise(operator)
