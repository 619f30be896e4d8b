"""What the algebra makes of optional methods and properties: a scaled, composed or stacked mask stays a mask."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zsir import Problem, operators, priors, restore, samplers, solve
from zsir.capabilities import decompose, known_numbers, offers, seen_pixels, separate
from zsir.metrics import contradiction, residual
from zsir.metrics.noise import estimate_noise_of
from zsir.rng import generator
from zsir.samplers.initial import expected_start, initial_estimate

SHAPE = (3, 33, 46)
NOISE = 0.05


def picture() -> torch.Tensor:
    rows, columns = torch.linspace(0, 3, 33)[:, None], torch.linspace(0, 4, 46)
    wave = 0.5 + 0.3 * torch.sin(rows + columns) * torch.cos(2 * rows)
    return wave.expand(1, *SHAPE).double()


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return NOISE * torch.randn(1, *shape, generator=generator(seed), dtype=torch.float64)


def mask(seed: int = 0) -> operators.Operator:
    return operators.make(f"mask:keep=0.4,seed={seed}", in_shape=SHAPE)


SAME = {
    "1.0 * mask": lambda m: 1.0 * m,
    "2 * (0.5 * mask)": lambda m: 2 * (0.5 * m),
    "identity @ mask": lambda m: operators.identity(SHAPE) @ m,
    "mask @ identity": lambda m: m @ operators.identity(SHAPE),
    "(1.0 * identity) @ mask": lambda m: (1.0 * operators.identity(SHAPE)) @ m,
    "mask.T.T": lambda m: (1.0 * m).T.T,
    "stack of one": lambda m: operators.stack(m),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_mask_in_other_words(name: str) -> None:
    """Residual, start, noise estimate, misfit and results do not depend on how a mask is written."""
    plain, other = mask(), SAME[name](mask())
    y = plain.forward(picture()) + noise(SHAPE)  # what the file holds where nothing was seen is no data
    a, b = Problem(y, plain, NOISE), Problem(y, other, NOISE)
    assert residual(b, picture()) == residual(a, picture())
    assert residual(a, picture()).relative[0] == pytest.approx(1, abs=0.05)
    assert torch.equal(initial_estimate(b), initial_estimate(a))
    assert expected_start(other, NOISE, y) == expected_start(plain, NOISE, y)
    assert contradiction(b, picture()) == contradiction(a, picture()) == [""]
    prior = priors.load("gaussian")
    for spec in ("cm4ir", "hqs:nfe=2", "ddrm:nfe=2", "ddnm:nfe=2", "dps:nfe=2"):
        sampler = samplers.make(spec)
        assert torch.allclose(solve(b, prior, sampler).x, solve(a, prior, sampler).x, rtol=0, atol=1e-12), spec


@pytest.mark.parametrize("name", SAME)
def test_noise_between_the_gaps(name: str) -> None:
    box = operators.make("box:size=0.3", in_shape=SHAPE)
    y = box.forward(picture() + noise(SHAPE)) + 0.7 * (1 - box.forward(torch.ones(1, *SHAPE, dtype=torch.float64)))
    assert estimate_noise_of(SAME[name](box), y) == estimate_noise_of(box, y)


def test_a_scaled_mask_shows_scaled_pixels() -> None:
    op, plain = 2.0 * mask(), mask()
    y = op.forward(picture())
    assert residual(Problem(y, op, NOISE), picture()).rms == [0.0]
    assert torch.equal(initial_estimate(Problem(y, op)), initial_estimate(Problem(plain.forward(picture()), plain)))


def test_stacked_masks() -> None:
    """Each observation keeps its own gaps, and the start fills what none of them saw."""
    first, second = mask(0), mask(1)
    op = operators.stack(first, 0.5 * second)
    y = op.forward(picture())
    junk = torch.full_like(y, 0.9)
    known = known_numbers(op)
    assert known is not None and known.shape == op.out_shape
    assert op.measurements == int(known.sum())
    y = torch.where(known, y, junk)  # whatever a file holds in the gaps
    assert residual(Problem(y, op, NOISE), picture()).rms == [0.0]
    seen = seen_pixels(op)
    assert seen is not None
    assert torch.equal(seen, (first.known | second.known).expand(SHAPE))  # type: ignore[attr-defined]
    start = initial_estimate(Problem(y, op))
    assert torch.allclose(start[0][seen], picture()[0][seen], rtol=0, atol=1e-10)
    assert [piece.shape[1] for _, piece in separate(op, y)] == [3, 3]


@pytest.mark.parametrize("rounded", [False, True])
def test_stacked_masks_with_noise(rounded: bool) -> None:
    """Pixels that two observations share are averaged, weighed by their factors; every sampler goes through."""
    first, second = mask(0), mask(1)
    op = operators.stack(first, -0.5 * second)
    y = op.forward(picture() + (0 if rounded else noise(SHAPE, 1))) + (0 if rounded else noise(op.out_shape, 2))
    y = (255 * y).round() / 255 if rounded else y
    m1, m2 = (m.known.double() for m in (first, second))  # type: ignore[attr-defined]
    for ridge in (0.0, 0.3):
        weight = m1 + 0.25 * m2 + ridge
        expected = (m1 * y[:, :3] - 0.5 * m2 * y[:, 3:]) / torch.where(weight > 0, weight, 1.0)
        assert torch.allclose(op.pinv(y, ridge), expected, rtol=0, atol=1e-12)
    problem = Problem(y, op, 0.0 if rounded else NOISE)
    prior = priors.load("gaussian")
    for spec in ("cm4ir", "hqs:nfe=2", "ddnm:nfe=2", "diffpir:nfe=2", "mmps:nfe=2", "dps:nfe=2"):
        error = solve(problem, prior, samplers.make(spec)).x - picture()
        assert float(error.square().mean().sqrt()) < 0.25, spec
    assert len(zsir_sheet(op).shape) == 4


def zsir_sheet(op: operators.Operator) -> torch.Tensor:
    """The contact sheet of a restoration from two observations."""
    return restore(picture()[0].float(), op, prior="gaussian", nfe=1, simulate=True, noise=0.02).sheet()


def test_a_transposed_product_hides_what_its_last_factor_hides() -> None:
    blur, hiding = operators.make("blur:sigma=1", in_shape=SHAPE), mask()
    op = (blur @ hiding).T
    known = known_numbers(op)
    assert known is not None and torch.equal(known, hiding.known)  # type: ignore[attr-defined]
    assert op.measurements == hiding.measurements
    assert known_numbers(hiding @ blur) is not None and known_numbers(blur @ hiding) is None


def test_parts_that_offer_the_contract_alone() -> None:
    class Plain:
        def __init__(self, inner: operators.Operator) -> None:
            self.inner, self.in_shape, self.out_shape = inner, inner.in_shape, inner.out_shape
            self.measurements, self.forward, self.adjoint = inner.measurements, inner.forward, inner.adjoint
            self.pinv, self.prox = inner.pinv, inner.prox

    oblique = operators.make("motion:length=7", in_shape=SHAPE)
    plain: Any = Plain(operators.make("blur:sigma=1", in_shape=SHAPE))
    assert operators.Stacked((oblique, plain)).twin is not None
    assert operators.Scaled(2.0, plain).twin is None


def test_noise_of_a_stack_is_that_of_its_parts() -> None:
    shape = (3, 96, 128)
    op = operators.stack(operators.identity(shape), operators.make("blur:sigma=1", in_shape=shape))
    y = op.forward(torch.full((1, *shape), 0.5, dtype=torch.float64)) + noise(op.out_shape)
    parts = [estimate_noise_of(part, piece) for part, piece in separate(op, y)]
    assert estimate_noise_of(op, y) == pytest.approx((sum(p**2 for p in parts) / 2) ** 0.5, abs=1e-12)
    assert estimate_noise_of(op, y) == pytest.approx(NOISE, rel=0.1)


def test_the_algebra_keeps_closed_forms() -> None:
    """A number in front, or a stack, does not turn a closed form into an iteration."""
    blur, sr = operators.make("blur:sigma=1,boundary=zero", in_shape=SHAPE), operators.make("sr2x", in_shape=SHAPE)
    assert "Separable" in repr((2.0 * sr) @ blur) and "Composed" not in repr(sr @ (3.0 * blur))
    assert "Composed" not in repr(operators.stack(sr, 2.0 * sr) @ blur)
    assert offers(2.0 * blur, "svd")
    oblique = operators.make("motion:length=7", in_shape=SHAPE)
    assert not offers(2.0 * oblique, "svd")
    assert (2.0 * oblique).twin is not None and operators.stack(oblique, blur).twin is not None


def test_svd_of_a_scaled_operator() -> None:
    op = -1.5 * operators.make("blur:sigma=1", in_shape=SHAPE)
    x = noise(SHAPE, 3)
    svd = decompose(op, x)
    assert bool((svd.s >= 0).all())
    assert torch.allclose(svd.u(svd.s * svd.vt(x)), op.forward(x), rtol=0, atol=1e-12)
