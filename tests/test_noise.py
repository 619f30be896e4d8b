"""The noise estimate and the check of residuals, both ways."""

from __future__ import annotations

from importlib.resources import as_file, files

import pytest
import torch

from zsir import Problem, images, operators, priors, samplers, solve
from zsir.errors import BadInput
from zsir.metrics import contradiction
from zsir.noise import _noise_floor, estimate_noise, estimate_noise_of
from zsir.rng import ImageNoise


def demo() -> torch.Tensor:
    with as_file(files("zsir") / "assets" / "demo.png") as path:
        return images.read(path).pixels


def waves(channels: int, height: int, width: int) -> torch.Tensor:
    """Smooth waves and a step, by formula, between 0.2 and 0.8."""
    rows = torch.linspace(0, 3, height)[:, None]
    columns = torch.linspace(0, 4, width)
    planes = [0.5 + 0.2 * torch.sin(rows * (k + 1) + columns) + 0.1 * (columns > 2 + k / 4) for k in range(channels)]
    return torch.stack(planes)[None]


def noisy(y: torch.Tensor, std: float, seed: int = 0) -> torch.Tensor:
    return y + std * ImageNoise(seed, [0], "observation").randn_like(y)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("level", [2, 5, 10, 25])
def test_formula_pictures(channels, level):
    y = noisy(waves(channels, 83, 120), level / 255)
    assert 255 * estimate_noise(y) == pytest.approx(level, rel=0.08)


@pytest.mark.parametrize("op", ["identity", "blur:sigma=3", "box", "mask:keep=0.9"])
@pytest.mark.parametrize("level", [5, 25])
def test_photograph_through_operators(op, level):
    x = demo()
    operator = operators.make(op, in_shape=(3, *x.shape[-2:]))
    y = noisy(operator.forward(x), level / 255)
    known = getattr(operator, "known", None)
    y = y if known is None else torch.where(known, y, torch.tensor(0.5))
    assert 255 * estimate_noise_of(operator, y) == pytest.approx(level, rel=0.12 if op.startswith("mask") else 0.08)
    if op == "box":  # a flat hole would be the flattest place of all
        assert 255 * estimate_noise(y) != pytest.approx(level, rel=0.08)


def test_units_and_determinism():
    y = noisy(waves(3, 60, 71), 0.03)
    assert estimate_noise(y) == estimate_noise(y.clone())
    assert estimate_noise(0.5 * y) == pytest.approx(0.5 * estimate_noise(y), rel=1e-6)
    assert estimate_noise(y.flip(1)) == pytest.approx(estimate_noise(y), rel=1e-9)


def test_what_a_file_clipped_does_not_count():
    x = waves(3, 90, 90)
    x[..., :45] = 0.0
    assert 255 * estimate_noise(noisy(x, 10 / 255).clamp(0, 1)) == pytest.approx(10, rel=0.1)


def test_too_little_to_go_by():
    with pytest.raises(BadInput, match="--noise 5/255"):
        estimate_noise(torch.zeros(1, 3, 4, 40))
    operator = operators.make("mask:keep=0.3", in_shape=(3, 64, 64))
    with pytest.raises(BadInput, match="0 whole patches"):
        estimate_noise_of(operator, operator.forward(waves(3, 64, 64)))


def test_noise_floor():
    assert _noise_floor(torch.tensor([2.0, 2.0, 2.0])) == 2.0
    assert _noise_floor(torch.tensor([0.9, 1.0, 1.1, 1.0, 50.0]).sort().values) == pytest.approx(1.0)


RIGHT = ["cm4ir:nfe=4", "hqs:nfe=8", "admm:nfe=10", "red:nfe=40", "diffpir:nfe=10"]


@pytest.mark.parametrize("sampler", RIGHT)
@pytest.mark.parametrize("op", ["sr2x", "blur:sigma=1,boundary=circular", "mask:keep=0.4"])
def test_no_alarm_where_all_is_right(op, sampler):
    x = waves(3, 40, 56)
    operator = operators.make(op, in_shape=(3, 40, 56))
    for std in (0.0, 0.02, 0.1):
        problem = Problem(noisy(operator.forward(x), std), operator, std)
        assert contradiction(problem, solve(problem, priors.load("gaussian"), samplers.make(sampler)).x) == [""], std


def test_alarm_where_noise_or_operator_is_wrong():
    operator = operators.make("identity", in_shape=(3, 40, 56))
    truth = waves(3, 40, 56)
    problem = Problem(torch.cat([noisy(truth, 0.1), noisy(truth, 0.02)]), operator, 0.02)
    first, second = contradiction(problem, truth.expand(2, -1, -1, -1))
    assert "misses the observation by 0.0999" in first and "given as 0.02" in first and second == ""
    # blur undone as if it were stronger, by a sampler with a strong prior
    y = demo()[..., 60:124, 60:140]
    wrong = operators.make("blur:sigma=4", in_shape=(3, 64, 80))
    problem = Problem(y, wrong, 0.005)
    assert contradiction(problem, solve(problem, priors.load("gaussian"), samplers.make("hqs:nfe=4")).x)[0]
