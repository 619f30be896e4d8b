"""The loop, the problem and the randomness."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.errors import BadInput, Incompatible, ShapeError, SolveError
from zsir.loop.solver import Event
from zsir.rng import PictureNoise


def small_problem(batch: int = 2, noise_std: float = 0.02, dtype: torch.dtype = torch.float32) -> Problem:
    op = operators.make("sr2x", in_shape=(3, 16, 22))
    x = torch.rand(batch, 3, 16, 22, generator=torch.Generator().manual_seed(0)).to(dtype)
    return Problem(op.forward(x), op, noise_std)


def test_solution_counts_and_provenance() -> None:
    seen: list[Event] = []
    solution = solve(small_problem(), priors.load("gaussian"), samplers.make(nfe=3), seed=5, callbacks=[seen.append])
    stats = solution.stats
    assert stats.nfe == 3 and [e.step for e in seen] == [1, 2, 3] and all(e.steps == 3 for e in seen)
    assert seen[0].sigma > seen[-1].sigma and torch.equal(seen[-1].x0, solution.x)
    assert stats.operator_calls["pinv"] >= 2 and stats.cg_iterations == 0
    assert 0 < stats.seconds_prior + stats.seconds_data <= stats.seconds
    record = json.loads(json.dumps(solution.provenance))
    assert record["seed"] == 5 and record["indices"] == [0, 1] and record["versions"]["torch"] == torch.__version__
    assert record["operator"] == "downsample:factor=2" and record["in_shape"] == [3, 16, 22]
    assert record["prior"] == "gaussian" and record["weights_sha256"] == ""


def test_provenance_repeats_the_run() -> None:
    """Specs are exact: what the record says, built again, gives the same picture; numbers keep all digits."""
    op = operators.make("blur:sigma=1.0123456789", in_shape=(3, 16, 22))
    y = op.forward(torch.rand(1, 3, 16, 22, generator=torch.Generator().manual_seed(0)))
    first = solve(Problem(y, op, 0.01), priors.load("gaussian:std=0.2"), samplers.make("cm4ir:eta=0.4", nfe=3), seed=9)
    record = json.loads(json.dumps(first.provenance))
    assert record["operator"] == "blur:sigma=1.0123456789"
    again = operators.make(record["operator"], in_shape=tuple(record["in_shape"]))
    assert record["sampler"] == "cm4ir:eta=0.4,nfe=3"
    sampler = samplers.make(record["sampler"])
    second = solve(Problem(y, again, record["noise_std"]), priors.load(record["prior"]), sampler, seed=record["seed"])
    assert torch.equal(first.x, second.x)


def test_what_lies_under_a_mask_is_no_data() -> None:
    """A file that still holds a picture where the mask says unknown has the residual of what is known."""
    op = operators.make("mask:keep=0.4", in_shape=(3, 16, 22))
    x = torch.rand(1, 3, 16, 22, generator=torch.Generator().manual_seed(0))
    assert Problem(x, op, 0.05).residual(x) == pytest.approx([0], abs=1e-6)
    prior, sampler = priors.load("gaussian"), samplers.make()
    assert torch.equal(solve(Problem(x, op), prior, sampler).x, solve(Problem(op.forward(x), op), prior, sampler).x)


def test_residual_is_near_one_for_the_truth() -> None:
    """||y - A x|| / (noise_std sqrt(m)) of the clean picture is 1 up to the noise's own spread."""
    for spec in ("sr2x", "mask:keep=0.4", "blur:sigma=2"):
        op = operators.make(spec, in_shape=(3, 64, 64))
        x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        clean = op.forward(x)
        noise = 0.05 * PictureNoise(0, [0, 1], "observation").randn_like(clean)
        observed = (clean != 0) if "mask" in spec else torch.ones_like(clean, dtype=torch.bool)
        residual = Problem(clean + noise * observed, op, 0.05).residual(x)
        assert residual == pytest.approx([1, 1], abs=4 / (2 * op.measurements) ** 0.5)
    assert Problem(clean, op, 0.0).residual(x) == pytest.approx([0, 0], abs=1e-6)


def test_cg_iterations_are_reported() -> None:
    op = operators.make("motion:length=5,angle=30", in_shape=(3, 16, 22))
    y = op.forward(torch.rand(1, 3, 16, 22, generator=torch.Generator().manual_seed(0)))
    stats = solve(Problem(y, op, 0.05), priors.load("gaussian"), samplers.make("hqs", nfe=2)).stats
    assert stats.cg_iterations > 0


def test_seeds() -> None:
    """Zero is a seed, seeds differ, float64 sees the same noise as float32."""
    problem, prior, sampler = small_problem(), priors.load("gaussian"), samplers.make("cm4ir:eta=1")
    a, b, c = (solve(problem, prior, sampler, seed=s).x for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.allclose(a, c, atol=1e-3)
    double = solve(small_problem(dtype=torch.float64), prior, sampler, seed=0).x
    assert (double - a).abs().max() < 1e-4


def test_image_noise_streams() -> None:
    x = torch.zeros(3, 1, 5, 7)
    noise = PictureNoise(0, [0, 1, 2])
    first, second = noise.randn_like(x), noise.randn_like(x)
    assert torch.equal(first, PictureNoise(0, [0, 1, 2]).randn_like(x)) and not torch.equal(first, second)
    assert torch.equal(first[2:], PictureNoise(0, [2]).randn_like(x[2:]))
    for other in (PictureNoise(1, [0]), PictureNoise(0, [1]), PictureNoise(0, [0], "observation")):
        assert not torch.equal(first[:1], other.randn_like(x[:1]))
    many = PictureNoise(3, [0]).randn_like(torch.zeros(1, 1, 400, 400))
    assert abs(float(many.mean())) < 0.01 and abs(float(many.std()) - 1) < 0.01


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(0)
    np_state = str(np.random.get_state())  # noqa: NPY002 (the very thing under test)
    before = torch.random.get_rng_state()
    solve(small_problem(), priors.load("gaussian"), samplers.make(), seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert np_state == str(np.random.get_state())  # noqa: NPY002


@pytest.mark.parametrize(
    ("y", "noise_std", "error", "words"),
    [
        (torch.zeros(1, 3, 8, 11).byte(), 0.0, BadInput, "255"),
        (torch.zeros(1, 3, 8, 12), 0.0, ShapeError, "build the operator for this size"),
        (torch.zeros(3, 8, 11), 0.0, ShapeError, "batch"),
        (torch.full((1, 3, 8, 11), float("nan")), 0.0, BadInput, "NaN"),
        (torch.full((1, 3, 8, 11), 128.0), 0.0, BadInput, "divide 8-bit"),
        (torch.zeros(1, 3, 8, 11), 12.0, BadInput, "12/255"),
        (torch.zeros(1, 3, 8, 11), -0.1, BadInput, "not negative"),
        (torch.zeros(1, 3, 8, 11), float("nan"), BadInput, "not negative"),
        (torch.zeros(1, 3, 8, 11).half(), 0.0, BadInput, "float32 or float64"),
        (torch.zeros(0, 3, 8, 11), 0.0, ShapeError, "batch"),
    ],
)
def test_problem_refuses(y: torch.Tensor, noise_std: float, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Problem(y, operators.make("sr2x", in_shape=(3, 16, 22)), noise_std)


def test_indices_must_fit_the_batch() -> None:
    with pytest.raises(BadInput, match="one per picture"):
        solve(small_problem(2), priors.load("gaussian"), samplers.make("hqs"), indices=[0])


def test_incompatible_and_not_finite() -> None:
    op = operators.make("identity", in_shape=(1, 8, 8))
    problem = Problem(torch.zeros(1, 1, 8, 8), op, 0.1)
    with pytest.raises(Incompatible, match="with 3 channels, this one has 1 channel;"):
        solve(problem, priors.load("photo"), samplers.make())

    class Broken:
        channels, sigma_range, kind, fingerprint = 0, (0.0, 1.0), "denoiser", ""

        def denoise(self, x, sigma):
            return x / 0

    with pytest.raises(SolveError, match="not finite"):
        solve(problem, Broken(), samplers.make())  # type: ignore[arg-type]


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["cm4ir", "hqs"])
def test_cuda_agrees_with_the_cpu(name: str) -> None:
    problem, prior, sampler = small_problem(), priors.load("photo"), samplers.make(name, nfe=3)
    on_gpu = solve(Problem(problem.y.cuda(), problem.operator, 0.02), prior, sampler, seed=1)
    assert on_gpu.x.is_cuda
    on_cpu = solve(problem, priors.load("photo"), sampler, seed=1)
    assert (on_gpu.x.cpu() - on_cpu.x).abs().max() < 1e-3
    again = solve(Problem(problem.y.cuda(), problem.operator, 0.02), prior, sampler, seed=1)
    assert torch.equal(on_gpu.x, again.x)


def test_calls_of_an_inflated_prior_count() -> None:
    """CM4IR tells the network more than the level in one step of three; all three calls are counted."""
    problem, prior = small_problem(), priors.load("photo")
    result = solve(problem, prior, samplers.make("cm4ir:nfe=3,deltas=0+0.3+0"))
    assert result.stats.nfe == 3
    assert not torch.equal(result.x, solve(problem, prior, samplers.make("cm4ir:nfe=3")).x)
