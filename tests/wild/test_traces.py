"""Draws of the published pipelines: their statistics, their traces, the composed operator and its noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zsir import operators
from zsir.capabilities import offers
from zsir.errors import BadInput, BadSpec, ShapeError, ZsirError
from zsir.operators.wild.dice import Dice
from zsir.operators.wild.history import Trace, read_trace, text
from zsir.operators.wild.pipelines import PIPELINES, degrade, draw
from zsir.operators.wild.stages import (
    ROUNDING,
    Display,
    Filter,
    Gaussian,
    Jpeg,
    Poisson,
    Resize,
    Ringing,
    Round,
    Sharpen,
    Stage,
)
from zsir.operators.wild.taps import Kernel
from zsir.operators.wild.traced import Traced
from zsir.processes import own_noise, recorded
from zsir.rng import PictureNoise, generator
from zsir.testing import check_operator

SHAPES = [(3, 33, 46), (1, 40, 31)]
DRAWS = 5000


def picture(shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    """A smooth picture with detail, (1, *shape)."""
    coarse = torch.rand(1, shape[0], 6, 7, generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.interpolate(coarse, size=shape[1:], mode="bicubic").clamp(0, 1)
    return (x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))).clamp(0, 1)


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    return [draw((3, 999, 999), generator(0, k, "test"), "wild-ir") for k in range(DRAWS)]


def share(traces: list[Trace], holds: Callable[[tuple[Stage, ...]], bool]) -> float:
    return sum(holds(trace.stages) for trace in traces) / len(traces)


def near(p: float, draws: int = DRAWS) -> object:
    """Within three standard errors of a probability."""
    return pytest.approx(p, abs=3 * (p * (1 - p) / draws) ** 0.5)


def count(stages: tuple[Stage, ...], kind: type[Stage]) -> int:
    return sum(isinstance(stage, kind) for stage in stages)


@pytest.mark.slow
def test_marginals_of_wild_ir(traces: list[Trace]) -> None:
    assert share(traces, lambda s: count(s, Resize) == 2) == near(0.8)
    assert share(traces, lambda s: count(s, Resize) == 0) == near(0.2)
    assert share(traces, lambda s: count(s, Gaussian) > 0) == near(0.331)
    for blurs, p in enumerate((0.024, 0.208, 0.512, 0.256)):
        assert sum(count(trace.stages, Filter) == blurs for trace in traces) / DRAWS == near(p), blurs
    assert share(traces, lambda s: count(s, Jpeg) == 0) == near(0.36)
    assert share(traces, lambda s: count(s, Poisson) == 0) == near(0.773)
    assert share(traces, lambda s: count(s, Jpeg) == count(s, Poisson) == 0) == near(0.278)
    ringing = sum(count(trace.stages, Ringing) for trace in traces) / DRAWS
    assert ringing == pytest.approx(0.018 + 0.024 + 0.004, abs=3 * (0.046 / DRAWS) ** 0.5)
    displays = sum(count(trace.stages, Display) for trace in traces) / DRAWS
    assert displays == pytest.approx(0.04 + 0.12, abs=3 * (0.16 / DRAWS) ** 0.5)


def test_choices_of_wild_ir(traces: list[Trace]) -> None:
    stages = [stage for trace in traces for stage in trace.stages]
    kernels = [stage.kernel for stage in stages if isinstance(stage, Filter)]
    sincs = sum(kernel.family == "sinc" for kernel in kernels)
    expected = (0.8 * 0.1 + 0.4 * 0.1 + 0.8 * 0.8) / 2
    assert sincs / len(kernels) == near(expected, len(kernels))
    others = [kernel for kernel in kernels if kernel.family != "sinc"]
    for family, p in {"gaussian": 0.55, "generalised": 0.13, "plateau": 0.13, "defocus": 0.1, "line": 0.03}.items():
        assert sum(kernel.family == family for kernel in others) / len(others) == near(p, len(others)), family
    assert {kernel.size for kernel in kernels if kernel.family == "gaussian"} == set(range(5, 20, 2))
    assert max(kernel.size for kernel in kernels if kernel.family == "line") == 15
    assert all(kernel.jitter is None for kernel in kernels if kernel.family not in ("gaussian", "generalised"))
    qualities = {stage.quality for stage in stages if isinstance(stage, Jpeg)}
    assert qualities == set(range(60, 100))
    sizes = [stage.height for stage in stages if isinstance(stage, Resize)]
    enlarged = sum(size > 999 for size in sizes) / (len(sizes) / 2)
    assert enlarged == near(0.5 / 0.9, len(sizes) // 2)
    grey = [stage.grey for stage in stages if isinstance(stage, Gaussian | Poisson)]
    assert sum(grey) / len(grey) == near(0.4, len(grey))


def test_marginals_of_esrgan() -> None:
    n = 1500
    traces = [draw((3, 64, 64), generator(0, k, "test"), "esrgan") for k in range(n)]
    first = [next((s for s in trace.stages[2:3] if isinstance(s, Resize)), None) for trace in traces]
    assert sum(stage is None for stage in first) / n == near(0.1, n)
    assert sum(stage is not None and (stage.scale or 0) > 1 for stage in first) / n == near(0.2, n)
    assert share(traces, lambda s: count(s, Gaussian) == 2) == near(0.25, n)
    assert share(traces, lambda s: isinstance(s[-2], Jpeg)) == near(0.5, n)
    assert share(traces, lambda s: count(s, Filter) == 3) == near(0.8, n)
    last = [next(s for s in reversed(trace.stages) if isinstance(s, Filter)).kernel for trace in traces]
    assert sum(kernel.family == "sinc" for kernel in last) / n == near(0.8, n)
    assert all(count(trace.stages, Jpeg) == 2 and isinstance(trace.stages[0], Sharpen) for trace in traces)
    assert {trace.out_shape for trace in traces[:20]} == {(3, 16, 16)}


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_traces_replay_to_the_last_bit(pipeline: str, shape: tuple[int, int, int], tmp_path: Path) -> None:
    for seed in range(4):
        x = picture(shape, seed)
        drawn = draw(shape, generator(seed, 0, "test"), pipeline)
        assert drawn == draw(shape, generator(seed, 0, "test"), pipeline)
        y, trace = drawn.observe(x)
        (tmp_path / "t.json").write_text(text(trace), encoding="utf-8")
        again = read_trace(tmp_path / "t.json")
        assert again == trace
        assert torch.equal(again.apply(x), y) and torch.equal(drawn.apply(x), y)
        assert y.dtype == x.dtype and tuple(y.shape[1:]) == trace.out_shape
        assert torch.equal((255 * y).round() / 255, y)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_picture_does_not_depend_on_its_batch(pipeline: str) -> None:
    x = torch.cat([picture((3, 36, 29), seed) for seed in range(3)])
    sources = [generator(5, k, "test") for k in range(3)]
    together, traces = degrade(x, sources, pipeline)
    for k in range(3):
        alone, (trace,) = degrade(x[k : k + 1], [generator(5, k, "test")], pipeline)
        assert torch.equal(alone, together[k : k + 1]) and trace == traces[k]
    assert len({text(trace) for trace in traces}) == 3
    twice = traces[0].apply(torch.cat([x[:1], x[:1]]))
    assert torch.equal(twice[:1], twice[1:]) and torch.equal(twice[:1], together[:1])


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_composed_operator(pipeline: str) -> None:
    """Adjoint to 1e-10, and each linear stage is what the picture goes through."""
    for seed in range(10):
        shape = SHAPES[seed % 2]
        trace = draw(shape, generator(seed, 0, "test"), pipeline)
        operator = trace.linear()
        x = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        y = torch.randn(2, *trace.out_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        forward, adjoint = operator.forward(x), operator.adjoint(y)
        difference = abs(float((forward * y).sum() - (x * adjoint).sum()))
        assert difference < 1e-10 * float(forward.norm() * y.norm())
        linear = Trace(pipeline, shape, tuple(s for s in trace.stages if s.operator(trace.in_shape) is not None))
        assert (linear.apply(x) - forward).abs().max() < 1e-12


@pytest.mark.parametrize(
    "stage",
    [
        Filter(Kernel("gaussian", 5, {"sx": 1.0, "sy": 0.5, "angle": 0.3}, jitter=1)),
        Ringing(Kernel("gaussian", 5, {"sx": 0.5, "sy": 0.5, "angle": 0.0}), 0.2),
        Display(21, 1.5, 0.4),
        Resize(20, 11, "area", "opencv"),
        Resize(17, 21, "cubic", "torch", 1.1),
    ],
    ids=lambda stage: stage.kind,
)
def test_contract_of_linear_stages(stage: Stage) -> None:
    for shape in ((3, 9, 12), (1, 12, 7)):
        operator = stage.operator(shape)
        assert operator is not None
        check_operator(operator, penrose=False)
        check_operator(operator, dtype=torch.float32)


def test_noise_is_pushed_through_the_later_stages() -> None:
    """Against the Frobenius norm of the explicit matrix, and against the error of a real observation."""
    shape = (1, 24, 20)
    blur, grow = Filter(Kernel("box", 3)), Resize(30, 27, "linear", "opencv")
    trace = Trace("", shape, (Gaussian(0.02, False, 1), blur, Gaussian(0.01, False, 2), grow, Round()))
    b, g = (stage.operator((1, 24, 20)) for stage in (blur, grow))
    assert b is not None and g is not None
    eye = torch.eye(480, dtype=torch.float64).view(480, 1, 24, 20)
    after, last = g.forward(b.forward(eye)), g.forward(eye)
    variance = (0.02**2 * after.square().sum() + 0.01**2 * last.square().sum()) / (30 * 27) + ROUNDING**2
    assert trace.noise() == pytest.approx(float(variance.sqrt()), rel=3 * (2 / 810) ** 0.5)
    x = 0.3 + 0.4 * picture(shape).double()
    error = trace.apply(x) - trace.linear().forward(x)
    assert float(error.std()) == pytest.approx(trace.noise(), rel=0.1)


def test_levels_follow_from_the_picture() -> None:
    trace = Trace("", (3, 33, 46), (Jpeg(60, "pillow"), Poisson(0.5, False, 3)))
    x = picture(trace.in_shape)
    _, seen = trace.observe(x)
    jpeg, poisson = seen.stages
    assert isinstance(jpeg, Jpeg) and isinstance(poisson, Poisson)
    assert jpeg.std == pytest.approx(float((jpeg.apply(x.double()) - x).square().mean().sqrt()))
    assert poisson.peak == 256 and poisson.std is not None and jpeg.std is not None
    assert seen.noise() == pytest.approx((jpeg.std**2 + poisson.std**2) ** 0.5, rel=0.1)
    assert trace.noise() > 0  # of a typical picture


def test_operators_by_name(tmp_path: Path) -> None:
    x = picture((3, 13, 18))
    y, trace = draw((3, 13, 18), generator(7, 2, "wild")).observe(x)
    (tmp_path / "t.json").write_text(text(trace), encoding="utf-8")
    by_seed = operators.make("wild:seed=7,number=2", in_shape=(3, 13, 18))
    by_file = operators.make(f"trace:path={tmp_path / 't.json'}", out_shape=(3, 13, 18))
    for operator in (by_seed, by_file):
        assert torch.equal(operator.forward(x), trace.linear().forward(x))
        assert torch.equal(recorded(operator, x, PictureNoise(0, [0]))[0], y)
        check_operator(operator, penrose=False)
    assert own_noise(by_file) == trace.noise()
    small = operators.make("wild:seed=1,pipeline=esrgan", out_shape=(3, 8, 10))
    assert small.in_shape == (3, 32, 40)


def test_closed_forms_survive() -> None:
    """A trace of two resizes is separable, and one of noise alone is the identity."""
    resizes = (Resize(20, 30, "area", "opencv"), Resize(33, 46, "cubic", "opencv"))
    separable = Traced(Trace("", (3, 33, 46), resizes))
    assert offers(separable, "svd") and separable.seen is None
    check_operator(separable, penrose=False)
    noisy = Traced(Trace("", (3, 33, 46), (Gaussian(0.02, False, 1), Round())))
    assert offers(noisy, "svd") and noisy.own_noise > 0.02
    blurred = Traced(Trace("", (3, 33, 46), (Filter(Kernel("box", 3)),)))
    assert not offers(blurred, "svd") and blurred.twin is not None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("wild", "trace:path=t.json"),
        ("wild:seed=-1", "not negative"),
        ("wild:pipeline=bsrgan,seed=1", "wild-ir"),
        ("trace", "needs path"),
        ("trace:path=gone.json", "no such file"),
    ],
)
def test_what_no_operator_is_made_of(spec: str, words: str) -> None:
    with pytest.raises(ZsirError, match=words):
        operators.make(spec, in_shape=(3, 16, 16))


def test_four_channels_have_no_pipeline() -> None:
    with pytest.raises(BadSpec, match="4 channels"):
        draw((4, 16, 16), torch.Generator())
    with pytest.raises(BadSpec, match="one for each"):
        degrade(picture((3, 16, 16)), [])


def edited(**changes: object) -> str:
    return json.dumps({**draw((3, 16, 16), generator(0, 0, "test")).as_json(), **changes})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "zsir-trace"),
        (edited(in_shape=[16, 16]), "in_shape"),
        (edited(stages=[{"stage": "fog"}]), "no stage 'fog'"),
        (edited(stages=[{"stage": "gaussian", "sigma": 0.1}]), "does not hold"),
        (edited(stages=[{"stage": "round", "bits": 8}]), "no 'bits'"),
        (edited(stages=[{"stage": "filter", "kernel": {"family": "disc", "size": 5}}]), "no kernel family 'disc'"),
        (edited(stages=[{"stage": "filter", "kernel": {"family": "box", "size": 4}}]), "odd"),
        (edited(stages=[{"stage": "filter", "kernel": {"family": "sinc", "size": 5, "cutoff": 0}}]), "cutoff > 0"),
        (edited(stages=[{"stage": "filter", "kernel": {"family": "sinc", "size": 5}}]), "takes cutoff"),
        (edited(stages=[{"stage": "resize", "height": 0, "width": 5, "method": "area", "rule": "torch"}]), "5x0"),
        (edited(stages=[{"stage": "resize", "height": 4, "width": 5, "method": "box", "rule": "torch"}]), "box"),
        (edited(stages=[{"stage": "jpeg", "quality": 100, "encoder": "pillow"}]), "1 to 99"),
    ],
)
def test_a_file_that_is_no_trace(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match=words):
        read_trace(tmp_path / "t.json")


def test_a_trace_is_for_its_own_picture(tmp_path: Path) -> None:
    trace = draw((3, 16, 20), generator(0, 0, "test"))
    (tmp_path / "t.json").write_text(text(trace), encoding="utf-8")
    for shapes in ({"in_shape": (3, 16, 16)}, {"out_shape": (3, 16, 16)}):
        with pytest.raises(ShapeError, match="own picture"):
            operators.make(f"trace:path={tmp_path / 't.json'}", **shapes)
    with pytest.raises(ShapeError, match="of pictures"):
        trace.apply(torch.rand(1, 3, 16, 16))
    with pytest.raises(ShapeError, match="one by one"):
        trace.observe(torch.rand(2, 3, 16, 20))
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not a text file"):
        read_trace(tmp_path / "b.json")


def test_dice() -> None:
    dice = Dice(torch.Generator().manual_seed(0))
    assert dice.weighted({"a": 0.0, "b": 1.0}) == "b"
    assert sorted(dice.shuffled("abcd")) == list("abcd")
    assert json.loads(json.dumps(seed := dice.seed())) == seed < 2**53
