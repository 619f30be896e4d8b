"""The noise estimate and the check of residuals, both ways."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import warnings
from importlib.resources import as_file, files

import numpy as np
import pytest
import torch
from PIL import Image

from zsir import Problem, operators, pictures, priors, samplers, solve
from zsir.errors import BadInput, ShapeError
from zsir.metrics import contradiction, noise
from zsir.metrics.noise import _noise_floor, doubts, estimate, estimate_noise, estimate_noise_of
from zsir.rng import PictureNoise


def demo() -> torch.Tensor:
    with as_file(files("zsir") / "assets" / "demo.png") as path:
        return pictures.read(path).pixels


def waves(channels: int, height: int, width: int) -> torch.Tensor:
    """Smooth waves and a step, by formula, between 0.2 and 0.8."""
    rows = torch.linspace(0, 3, height)[:, None]
    columns = torch.linspace(0, 4, width)
    planes = [0.5 + 0.2 * torch.sin(rows * (k + 1) + columns) + 0.1 * (columns > 2 + k / 4) for k in range(channels)]
    return torch.stack(planes)[None]


def noisy(y: torch.Tensor, std: float, seed: int = 0) -> torch.Tensor:
    return y + std * PictureNoise(seed, [0], "observation").randn_like(y)


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


def jpeg(y: torch.Tensor, subsampling: int) -> torch.Tensor:
    file = io.BytesIO()
    array = (255 * y.clamp(0, 1)[0].permute(1, 2, 0)).round().byte().numpy()
    Image.fromarray(array).save(file, "JPEG", quality=95, subsampling=subsampling)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize(
    ("level", "tint"), [(2, (1.0, 1.0, 1.0)), (25, (1.0, 1.0, 1.0)), (5, (1.0, 0.95, 0.85)), (25, (1.0, 0.95, 0.85))]
)
def test_grey_saved_as_colour_is_seen_to_depend(level, tint):
    grey = noisy(waves(1, 90, 111), level / 255)
    y = (255 * grey * torch.tensor(tint)[:, None, None]).round() / 255
    with pytest.warns(pictures.PictureWarning, match="not independent"):
        assert 255 * estimate_noise(y) == pytest.approx(level * (0.951 if min(tint) < 1 else 1), rel=0.1)
    assert estimate(y).note == noise.DEPENDENT_NOTE


@pytest.mark.parametrize("level", [5, 15])
def test_jpeg_with_reduced_colour(level):
    x = demo()
    y = jpeg(noisy(x, level / 255), 2)
    left = float((y - x)[:, 1].std())  # what JPEG left of the noise
    operator = operators.make("identity", in_shape=(3, *x.shape[-2:]))
    with pytest.warns(pictures.PictureWarning, match="reduced colour"):
        assert estimate_noise_of(operator, y) == pytest.approx(left, rel=0.12)
    whole = jpeg(noisy(x, level / 255), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 255 * estimate_noise(whole) == pytest.approx(level, rel=0.12)


@pytest.mark.parametrize("level", [0, 1, 25])
def test_independent_channels_are_left_alone(level):
    # with no noise at all the texture of luma is far above the noise of colour, but not white
    y = (255 * noisy(demo(), level / 255).clamp(0, 1)).round() / 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate_noise(y)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dark", [0.0, 0.02, 0.05, 0.1])
def test_noise_that_was_cut_off_is_not_guessed(channels, dark):
    y = noisy(torch.full((1, channels, 80, 91), dark), 25 / 255)
    with pytest.raises(BadInput, match=r"cut off at 0 or 1.* --noise 5/255"):
        estimate_noise(y.clamp(0, 1))
    assert 255 * estimate_noise(y) == pytest.approx(25, rel=0.08)  # as floats nothing is lost
    with pytest.raises(BadInput, match="cut off"):
        estimate_noise((1 - y).clamp(0, 1))


def test_a_black_background_without_noise_is_no_obstacle():
    y = torch.zeros(1, 1, 300, 300)
    y[..., :72, :100] = noisy(torch.full((1, 1, 72, 100), 0.5), 10 / 255)
    assert 255 * estimate_noise(y) == pytest.approx(10, rel=0.15)


def test_what_is_no_single_finite_observation():
    y = noisy(waves(3, 40, 52), 0.1)
    for wrong in (y.expand(2, -1, -1, -1), y[0], y[:0]):
        with pytest.raises(ShapeError, match=r"one observation \(1, channels"):
            estimate_noise(wrong)
    for bad in (float("nan"), float("inf")):
        y[0, 1, 7, 9] = bad
        with pytest.raises(BadInput, match="finite"):
            estimate_noise(y)
    with pytest.raises(BadInput, match="floats"):
        estimate_noise(torch.zeros(1, 3, 40, 40, dtype=torch.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_parts_and_a_share_of_the_patches_give_the_same(channels, monkeypatch):
    y = noisy(waves(channels, 240, 331), 10 / 255)
    whole = estimate_noise(y)
    monkeypatch.setattr(noise, "TOGETHER", 1001)
    assert estimate_noise(y) == pytest.approx(whole, rel=1e-9)
    share = noise.estimate(y, most=20000).std
    assert share == pytest.approx(whole, rel=0.03) and share != whole
    places = noise._places(None, torch.zeros(240, 331), channels, 5, 20000)
    assert 10000 < len(places) <= 20000 and int(places[:, 1].max()) == 326
    assert max(map(len, noise._patches(y[0], places, 5))) <= 1001


MEMORY = """
import resource, torch
from zsir.metrics.noise import estimate_noise
y = 0.5 + 0.1 * torch.randn(1, 3, 768, 768, generator=torch.Generator().manual_seed(0))
estimate_noise(y[..., :64, :64])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
estimate_noise(y)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
def test_memory_is_bounded():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 300  # all patches at a time: 1000 MiB


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


@pytest.mark.parametrize("channels", [1, 3])
def test_doubt_of_the_noise_stated(channels):
    truth = waves(channels, 90, 111)
    operator = operators.make("identity", in_shape=(channels, 90, 111))
    y = torch.cat([noisy(truth, std) for std in (0.0, 0.02, 0.06)])

    def verdicts(std: float) -> list[str]:
        return [text.split()[3] if text else "" for text in doubts(Problem(y, operator, std))]

    assert verdicts(0.0) == ["", "more" if channels == 3 else "", "more"]
    # without any noise left the observation may be one that a file or a blur has taken it from
    assert verdicts(0.02) == ["", "", "more" if channels == 3 else ""]
    assert verdicts(0.06) == ["", "", ""]
    assert verdicts(0.3) == ["less", "less", "less"]
    text = doubts(Problem(y[2:], operator, 0.005))[0]
    assert re.search(r"estimated as 0\.05[89] \(1[45]\.\d/255\), but was given as 0\.005; check --noise", text)


def test_less_is_said_only_where_it_is_sure():
    x = demo()
    operator = operators.make("identity", in_shape=(3, *x.shape[-2:]))
    y = noisy(x, 5 / 255)
    assert "less noisy" in doubts(Problem(y, operator, 0.09))[0]
    # coding and blurs take noise away that a good level must still count
    soft = operators.make("blur:sigma=1.2", in_shape=(3, *x.shape[-2:])).forward(y)
    for lost in (jpeg(y, 2), jpeg(soft, 2), soft):
        assert doubts(Problem(lost, operator, 0.03)) == [""]
    assert "less noisy" in doubts(Problem(soft, operator, 0.3))[0]  # no file takes that much


def test_no_doubt_where_nothing_is_known():
    operator = operators.make("mask:keep=0.3", in_shape=(3, 64, 64))
    assert doubts(Problem(operator.forward(noisy(waves(3, 64, 64), 0.2)), operator, 0.0)) == [""]
    two = operators.make("identity", in_shape=(2, 64, 64))
    assert doubts(Problem(noisy(waves(2, 64, 64), 0.2), two, 0.0)) == [""]


@pytest.mark.parametrize("op", ["identity", "sr2x", "blur:sigma=3", "mask:keep=0.9"])
def test_no_doubt_where_all_is_right(op):
    for x in (demo(), demo().mean(dim=1, keepdim=True)):
        operator = operators.make(op, in_shape=(x.shape[1], *x.shape[-2:]))
        for std in (0.0, 5 / 255, 30 / 255):
            y = operator.forward(noisy(operator.forward(x), std) if "mask" in op else x)
            y = y if "mask" in op else noisy(y, std)
            assert doubts(Problem((255 * y).round().clamp(0, 255) / 255, operator, std)) == [""], std
