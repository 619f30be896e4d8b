"""JPEG as a linear measurement: inverses in both norms, the box of its codes, its level, and the real encoder."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.jpeg.pictures import waves as picture
from zsir import operators
from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.linalg import recorded_cg
from zsir.operators.jpeg import decomposed
from zsir.operators.jpeg.blockwise import JpegOperator
from zsir.operators.jpeg.codec import encoded
from zsir.operators.jpeg.coded import read_jpeg, read_tables
from zsir.operators.jpeg.decomposed import YCBCR
from zsir.operators.jpeg.measurement import SAMPLINGS, jpeg, measurement, of_tables
from zsir.operators.jpeg.quantised import equivalent_noise
from zsir.operators.through_jpeg import ThroughJpeg
from zsir.processes import metric_of, noisy, process_of, project, recorded
from zsir.rng import PictureNoise
from zsir.testing import check_operator

SHAPES = [(3, 16, 32), (3, 37, 53), (3, 5, 3), (1, 31, 47)]


def excess(operator: JpegOperator, x: Tensor, y: Tensor) -> float:
    """How far the worst coefficient lies outside its box, in grey levels of 255."""
    worst = -float("inf")
    for misfit in operator.forward(x) - y:
        for plane, table, s in zip(operator.layout.planes(misfit), operator.tables, operator.spread, strict=True):
            grey = (plane * 255 * s / operator.level).abs() - table.flatten() / 2
            worst = max(worst, float(grey.max()))
    return worst


@pytest.mark.parametrize("norm", ["ycbcr", "rgb"])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_contract_in_both_norms(sampling: str, norm: Any) -> None:
    for shape in SHAPES[:2] if sampling in ("420", "444") else SHAPES[2:]:
        operator = replace(jpeg(shape, q=60, sampling=sampling), norm=norm, level=0.02)
        check_operator(operator)
        check_operator(operator, dtype=torch.float32)


def test_every_colour_space_obeys_the_contract() -> None:
    operator = JpegOperator((3, 19, 21), jpeg((3, 8, 8)).tables, ((1, 1), (1, 1), (2, 1)), "rgb", noise_before=0.02)
    check_operator(operator)


@pytest.mark.parametrize("sampling", ["444", "420"])
def test_prox_in_colours_is_the_closed_form(sampling: str) -> None:
    """v_i = z_i + n_i A^T D^T (q k - d_i) / (1 + rho n_i s^2), plane by plane, computed without the operator."""
    operator = replace(jpeg((3, 16, 16), q=40, sampling=sampling), level=1.0)
    assert operator.balance == pytest.approx(7 / 255) and jpeg((3, 16, 16), q=90).balance == 1
    z, y, rho = picture((3, 16, 16)), operator.forward(picture((3, 16, 16), seed=1)), 0.3
    u, n = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)
    d = torch.cos((2 * n + 1) * u * torch.pi / 16) * torch.where(u == 0, 0.5**0.5, torch.ones_like(u)) / 2
    moved = []
    for i, (fy, fx) in enumerate(operator.factors):
        plane = (z[0] * YCBCR[i].view(3, 1, 1)).sum(0)
        small = plane.view(16 // fy, fy, 16 // fx, fx).mean(dim=(1, 3))
        blocks = d @ small.view(2 // fy, 8, 2 // fx, 8).transpose(1, 2) @ d.T
        s = operator.spread[i].view(8, 8)
        wanted = operator.layout.planes(y[0])[i].view(2 // fy, 2 // fx, 8, 8) * s
        step = d.T @ ((wanted - blocks) / (1 + operator.balance * rho * fy * fx * s**2)) @ d
        moved.append(step.transpose(1, 2).reshape(16 // fy, 16 // fx).repeat_interleave(fy, 0).repeat_interleave(fx, 1))
    expected = z + torch.einsum("ij,jhw->ihw", torch.linalg.inv(YCBCR), torch.stack(moved))
    assert (operator.prox(z, y, rho) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_prox_trusts_zeros_less(sampling: str) -> None:
    """Where y is exactly 0 the variance is ``zeros`` times as large: the gradient of that problem is 0, borders too."""
    operator = jpeg((3, 37, 53), q=60, sampling=sampling)
    z, rho = picture(operator.in_shape, 2, seed=1), torch.tensor([0.05, 0.4])
    y, _ = operator.record(picture(operator.in_shape, 2), PictureNoise(0, [0, 1]))
    x = operator.prox(z, y, rho)
    weights = torch.where(y == 0, 1 / operator.zeros, torch.ones_like(y))
    gradient = operator.adjoint(weights * (operator.forward(x) - y)) + rho.view(2, 1, 1, 1) * operator.metric(x - z)
    assert gradient.norm() < 1e-12 * (y.norm() + z.norm())
    assert (operator.prox(z.float(), y.float(), rho) - x).abs().max() < 1e-5
    plain = replace(operator, zeros=1.0).prox(z, y, rho)
    assert (plain - z - operator.pinv(y - operator.forward(z), rho)).abs().max() < 1e-12


def test_samplers_end_below_the_level() -> None:
    from zsir import Problem
    from zsir.samplers.plug_and_play.hqs import dpir_ladder

    operator = jpeg((3, 16, 16), q=20)
    y, _ = operator.record(picture(operator.in_shape), PictureNoise(0, [0]))
    problem = Problem(y, operator, operator.own_noise)
    assert operator.own_noise > 4 / 255
    assert dpir_ladder(problem, 8)[-1] == pytest.approx(3 / 255)
    assert dpir_ladder(problem, 8, last=0.05)[-1] == pytest.approx(0.05)
    chained, operator = operators.make("noise:std=0.01 | jpeg:q=20", in_shape=(3, 16, 16)), operator.with_noise(0.01)
    assert torch.equal(chained.forward(picture((3, 16, 16))), operator.forward(picture((3, 16, 16))))
    assert (
        chained.prox(picture((3, 16, 16)), y, 0.1) - operator.prox(picture((3, 16, 16)), y, 0.1)
    ).abs().max() < 1e-12


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("q", [10, 50, 95])
def test_the_projection_ends_in_the_box(sampling: str, q: int) -> None:
    operator = jpeg((3, 48, 64), q=q, sampling=sampling)
    x = picture(operator.in_shape, 2)
    y, _ = recorded(operator, x, PictureNoise(0, [0, 1]))
    start = picture(operator.in_shape, 2, seed=1)
    moved = project(operator, start, y)
    assert excess(operator, start, y) > 1 > 1e-9 > excess(operator, moved, y)
    assert (project(operator, moved, y) - moved).abs().max() < 1e-12
    assert project(operator, start.float(), y.float()).dtype == torch.float32


def test_the_projection_is_the_nearest_picture() -> None:
    """Whatever other picture has the codes, the way back to it makes no acute angle, in the colours of the file."""
    operator = jpeg((3, 37, 53), q=20)
    x = picture(operator.in_shape)
    y, _ = recorded(operator, x, PictureNoise(0, [0]))
    start = picture(operator.in_shape, seed=1)
    moved = operator.project(start, y)
    other = operator.project(picture(operator.in_shape, seed=2), y)
    assert excess(operator, moved, y) < 1e-6
    assert float((operator.metric(start - moved) * (other - moved)).sum()) < 1e-9


@pytest.mark.parametrize("size", [(40, 52), (33, 41), (64, 48)], ids=str)
@pytest.mark.parametrize("sampling", ["444", "422", "420"])
def test_codes_of_real_files_lie_near_the_model(sampling: str, size: tuple[int, int]) -> None:
    """libjpeg's own rounding apart, the coefficients of the picture are those of the file, at the edges too."""
    operator = jpeg((3, *size), q=90, sampling=sampling)
    x = (picture(operator.in_shape) * 255).round() / 255
    y, seen = recorded(operator, x, PictureNoise(0, [0]))
    assert excess(operator, x, y) < 4
    misfit = (operator.forward(x) - y) / operator.level
    assert 0.5 < float(misfit.square().mean().sqrt()) < 1.1
    assert float((seen - x).square().mean().sqrt()) < 0.05


def test_tables_of_all_qualities_are_those_of_pillow() -> None:
    for q in range(1, 101):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=q)
        found = Image.open(io.BytesIO(file.getvalue())).quantization  # type: ignore[attr-defined]
        tables = jpeg((3, 8, 8), q=q).tables
        assert [tables[0].flatten().tolist(), tables[1].flatten().tolist()] == [found[0], found[1]], q


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_process_is_that_of_a_file(sampling: str) -> None:
    """What is recorded are the codes of the file that Pillow writes; layouts that it does not write differ in nothing
    but the rounding inside."""
    operator = jpeg((3, 45, 50), q=70, sampling=sampling)
    x = picture(operator.in_shape)
    y, seen = operator.record(x, PictureNoise(0, [0]))
    assert seen.shape == x.shape and float(seen.min()) >= 0 and float(seen.max()) <= 1
    if sampling in ("444", "422", "420"):
        data = encoded(x, 70, ":".join(sampling))
        assert torch.equal(y, of_tables(read_tables(data)).measured(read_jpeg(data)))
        shown = np.asarray(Image.open(io.BytesIO(data)), dtype=np.float64) / 255
        assert np.abs(seen[0].permute(1, 2, 0).numpy() - shown).max() < 1e-6
    assert excess(operator, x, y) < 4


@pytest.mark.parametrize("sampling", ["444", "420"])
@pytest.mark.parametrize("q", [10, 30, 50, 75, 90, 95])
def test_the_level_is_the_error_of_the_decoded_file(q: int, sampling: str) -> None:
    """Over photographs, in the mean: within a fifth."""
    from importlib.resources import files

    ratios = []
    for name in ("farm_animals_animals_cat", "monuments_france_arlesAmphitheater", "monuments_wonders_petra"):
        pixels = np.asarray(
            Image.open(str(files("zsir.experiments") / "data" / "eval34" / f"{name}.png")).convert("RGB")
        )
        x = torch.from_numpy(pixels[:192, :192].copy()).permute(2, 0, 1)[None] / 255
        data = encoded(x, q, ":".join(sampling))
        shown = torch.from_numpy(np.asarray(Image.open(io.BytesIO(data))).copy()).permute(2, 0, 1)[None] / 255
        ratios.append(measurement(read_jpeg(data))[0].level / float((shown - x).square().mean().sqrt()))
    assert 0.8 < float(np.mean(ratios)) < 1.2


def test_levels_without_codes_rise_as_quality_falls() -> None:
    levels = [jpeg((3, 16, 16), q=q).own_noise for q in (95, 75, 50, 30, 10)]
    assert levels == sorted(levels) and levels[0] > 0.01 and levels[-1] < 0.1
    operator = jpeg((3, 16, 16), q=75)
    plain = equivalent_noise(operator.tables, operator.factors)
    assert plain == pytest.approx(operator.level)
    assert plain < equivalent_noise(operator.tables, operator.factors, noise_before=0.05) < plain + 0.05


def test_noise_comes_before_the_encoder() -> None:
    operator = jpeg((3, 16, 32), q=90)
    louder, level = noisy(operator, 0.03)
    assert isinstance(louder, JpegOperator) and louder.noise_before == 0.03
    assert level == louder.own_noise == pytest.approx((operator.level**2 + 0.03**2) ** 0.5)
    # the weights know the noise: white noise of that level has the variance that they add
    gain = (louder.spread[0] ** 2 - operator.spread[0] ** 2) / 0.03**2
    assert torch.allclose(gain, YCBCR[0].square().sum().expand(64))
    x = torch.full((2, 3, 16, 32), 0.5, dtype=torch.float64)
    _, seen = recorded(louder, x, PictureNoise(0, [0, 1]))
    assert 0.005 < float(seen.std()) < 0.03
    assert process_of(louder) is not None


def test_bad_parts_are_refused_in_sentences(tmp_path: Any) -> None:
    with pytest.raises(BadSpec, match="1 to 100"):
        operators.make("jpeg:q=0", in_shape=(3, 8, 8))
    with pytest.raises(BadSpec, match="choose one of"):
        operators.make("jpeg:sampling=430", in_shape=(3, 8, 8))
    with pytest.raises(ShapeError, match="1 or 3 channels"):
        jpeg((2, 8, 8))
    with pytest.raises(ShapeError, match="holds 1 channels"):
        JpegOperator((3, 8, 8), jpeg((1, 8, 8)).tables, ((1, 1),), "grey")
    with pytest.raises(BadSpec, match="3 tables"):
        JpegOperator((3, 8, 8), jpeg((1, 8, 8)).tables, ((1, 1),))
    data = encoded(picture((3, 16, 16)), 50)
    with pytest.raises(ShapeError, match="make the operator of the file itself"):
        jpeg((3, 16, 17), q=50).measured(read_jpeg(data))
    with pytest.raises(ShapeError, match="other tables"):
        jpeg((3, 16, 16), q=51).measured(read_jpeg(data))
    with pytest.raises(BadInput, match="Only the headers"):
        jpeg((3, 16, 16), q=50).measured(read_tables(data))
    inks = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(inks, "JPEG")
    with pytest.raises(BadInput, match="CMYK"):
        measurement(read_jpeg(inks.getvalue()))
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    made = operators.make(f"jpeg:path={path}", in_shape=(3, 24, 40))
    assert isinstance(made, JpegOperator)
    assert made.in_shape == (3, 24, 40) and made.factors[1] == (2, 2)


@pytest.mark.parametrize("norm", ["ycbcr", pytest.param("rgb", marks=pytest.mark.slow)])
@pytest.mark.parametrize("spec", ["blur:sigma=1", "motion:length=5,angle=30,boundary=circular"])
def test_a_blur_before_the_file(spec: str, norm: Any) -> None:
    inner = operators.make(spec, in_shape=(1, 19, 21))
    check_operator(replace(jpeg((1, 19, 21), q=60), norm=norm) @ inner, penrose=False)


@pytest.mark.parametrize("spec", ["blur:sigma=1.6", "motion:length=9,angle=30,boundary=circular", "sr2x"])
def test_few_iterations_after_a_blur(spec: str) -> None:
    """At the weights that hqs uses, and exact."""
    inner = operators.make(spec, in_shape=(3, 64, 96))
    c, h, w = inner.out_shape
    last = jpeg((c, h, w), q=60)
    operator = last @ inner
    assert isinstance(operator, ThroughJpeg)
    x = picture(operator.in_shape)
    y, _ = last.record(inner.forward(x), PictureNoise(0, [0]))
    z = picture(operator.in_shape, seed=1)
    for sigma in (49 / 255, 12 / 255):
        rho = 0.23 * last.own_noise**2 / sigma**2
        with recorded_cg() as reports:
            found = operator.prox(z.float(), y.float(), rho).double()
        assert sum(report.iterations for report in reports) <= 104
        gradient = operator.adjoint(last.trust(y) * (operator.forward(found) - y)) + rho * operator.metric(found - z)
        assert gradient.norm() < 1e-4 * operator.adjoint(last.trust(y) * (operator.forward(z) - y)).norm()


def test_the_preconditioner_knows_the_gain_of_every_frequency() -> None:
    """Waves that wrap around: their mean energy behind A, over all shifts, is what `response` says."""
    operator = replace(jpeg((1, 32, 48), q=50), level=0.04)
    gains = operator.balance * operator.response(torch.ones(operator.out_shape, dtype=torch.float64))
    rows, columns = torch.arange(32, dtype=torch.float64)[:, None], torch.arange(48, dtype=torch.float64)
    for i, j in ((0, 0), (3, 5), (10, 20), (16, 24)):
        wave = torch.exp(2j * torch.pi * (i * rows / 32 + j * columns / 48)).view(1, 1, 32, 48)
        energy = operator.forward(wave.real.contiguous()).square().sum()
        energy += operator.forward(wave.imag.contiguous()).square().sum()
        assert float(energy) / (32 * 48) == pytest.approx(float(gains[0, i, j]), rel=1e-9)


@pytest.mark.parametrize("norm", ["ycbcr", "rgb"])
def test_a_window_before_the_file_needs_no_iteration(norm: Any) -> None:
    """prox is the minimiser of its problem, around the window too, without conjugate gradients."""
    last = replace(jpeg((3, 20, 30), q=60), norm=norm)
    operator = last @ operators.make("crop:left=11,top=5", in_shape=(3, 25, 41))
    y, _ = last.record(picture((3, 20, 30), 2), PictureNoise(0, [0, 1]))
    z, rho = picture((3, 25, 41), 2, seed=1), torch.tensor([0.05, 0.4])
    with recorded_cg() as reports:
        x, back = operator.prox(z, y, rho), operator.pinv(y, 0.1)
    assert not reports
    gradient = operator.adjoint(last.trust(y) * (operator.forward(x) - y)) + rho.view(2, 1, 1, 1) * metric_of(operator)(
        x - z
    )
    assert gradient.norm() < 1e-12 * (y.norm() + z.norm())
    gradient = operator.adjoint(operator.forward(back) - y) + 0.1 * metric_of(operator)(back)
    assert gradient.norm() < 1e-12 * y.norm()


def test_one_observation_of_two_pictures() -> None:
    operator = jpeg((3, 19, 21), q=20)
    z, (y, _) = picture(operator.in_shape, 2), recorded(operator, picture(operator.in_shape), PictureNoise(0, [0]))
    assert bool((y == 0).any())
    for step in (lambda a, b: operator.prox(a, b, 0.1), lambda a, b: operator._expected(a, b, 0.1), operator.project):
        assert torch.equal(step(z, y), step(z, torch.cat([y, y])))


def test_steps_into_the_box_follow_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device of torch that only counts shapes every factor must be on it; the inner step asks for values."""
    operator = jpeg((3, 19, 21), q=20)
    monkeypatch.setattr(
        decomposed, "box_step", lambda found, d, low, high: d.new_zeros(len(d), len(found.v)) + 0 * low.sum()
    )
    monkeypatch.setattr(decomposed, "least_step", lambda found, d: d.new_zeros(len(d), len(found.v)) + 0 * d.sum())
    x, y = (torch.empty(1, *shape, device="meta") for shape in (operator.in_shape, operator.out_shape))
    assert operator.project(x, y).device.type == operator._expected(x, y, 0.1).device.type == "meta"


def test_pictures_too_long_for_a_file() -> None:
    with pytest.raises(BadInput, match="at most 65500 pixels a side, got 65600x8"):
        recorded(jpeg((1, 8, 65600)), torch.zeros(1, 1, 8, 65600), PictureNoise(0, [0]))
