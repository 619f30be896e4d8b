"""Wrappers: the same prior, seen through windows, in half precision, compiled, turned and counted."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.priors.stand_ins import FAMILIES, REACH, LocalNet, WindowMean, local_prior, picture
from zsir import operators, priors, samplers
from zsir.capabilities import inflated
from zsir.errors import BadSpec, Incompatible, ShapeError
from zsir.loop.solver import solve
from zsir.priors import (
    Cast,
    Compiled,
    Counted,
    IRSDEPrior,
    NetworkPrior,
    SelfEnsemble,
    Tiled,
    Wrapping,
    edm_estimate,
    from_callable,
)
from zsir.priors.wrappers import tiled as tiled_windows
from zsir.problem import Problem
from zsir.testing import check_prior

LEVELS = torch.tensor([0.1, 0.3])
COMPILING = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.mark.parametrize("size", [(200, 152), (64, 64), (136, 72)])
def test_windows_of_a_local_network_cannot_be_seen(size):
    prior = local_prior()
    x = picture(*size, batch=2)
    tiled = Tiled(prior, tile=64, overlap=16).denoise(x, LEVELS)  # 16 / 4 >= REACH
    assert float((tiled - prior.denoise(x, LEVELS)).abs().max()) < 1e-6


@pytest.mark.parametrize(("size", "tile", "overlap"), [((97, 131), 64, 32), ((70, 203), 32, 16), ((41, 67), 64, None)])
def test_sizes_off_the_grid_agree_in_the_interior(size, tile, overlap):
    prior = local_prior()
    x = picture(*size)
    a, b = Tiled(prior, tile, overlap).denoise(x, LEVELS[:1]), prior.denoise(x, LEVELS[:1])
    inside = (..., slice(0, size[0] - REACH), slice(0, size[1] - REACH))
    assert a.shape == x.shape
    assert float((a - b)[inside].abs().max()) < 1e-6
    assert float((a - b).abs().max()) > 1e-4  # at the border reflection and zeros differ


def conditional(size: tuple[int, int], batch: int) -> IRSDEPrior:
    """A local network of x, mu and the time, conditioned on other pictures for each of a batch."""
    net = LocalNet(6).requires_grad_(False)

    class Noise(nn.Module):
        def forward(self, x, mu, t):
            return net(torch.cat([x, mu], 1), t / 100)[:, :3]

    prior = IRSDEPrior(Noise())
    return prior.conditioned_on(picture(*size, batch=batch, seed=7))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("size", "tile", "overlap"), [((97, 131), 64, 32), ((70, 203), 32, 16), ((41, 67), 64, None)])
def test_windows_of_a_conditional_prior_see_their_part_of_its_picture(size, tile, overlap, batch):
    prior, mu = conditional(size, batch), picture(*size, batch=batch, seed=7)
    x = picture(*size, batch=2)
    straight = prior.denoise(x, LEVELS)
    inside = (..., slice(0, size[0] - REACH), slice(0, size[1] - REACH))
    for tiled in (Tiled(prior, tile, overlap), Tiled(IRSDEPrior(prior.net), tile, overlap).conditioned_on(mu)):
        made = tiled.denoise(x, LEVELS)
        assert made.shape == x.shape and float((made - straight)[inside].abs().max()) < 3e-6
    other = Tiled(prior.conditioned_on(mu.flip(-1)), tile, overlap).denoise(x, LEVELS)
    assert float((other - straight).abs().max()) > 1e-3  # mu matters
    half = Cast(Tiled(prior, tile, overlap))
    assert len(half._made) == 0
    assert float((half.denoise(x, LEVELS) - straight)[inside].abs().max()) < 0.03
    assert len(half._made) == 1  # one autocasting network for all windows


def test_a_conditional_prior_without_its_picture_or_with_a_wrong_one():
    x = picture(24, 40)
    prior = conditional((24, 40), 1)
    with pytest.raises(Incompatible, match="conditional on the degraded picture"):
        Tiled(IRSDEPrior(prior.net), 16).denoise(x, LEVELS[:1])
    with pytest.raises(ShapeError, match="enlarge mu"):
        Tiled(prior.conditioned_on(picture(24, 48)), 16).denoise(x, LEVELS[:1])


def test_a_conditional_prior_is_solved_in_windows():
    size = (33, 46)
    operator = operators.make("identity", in_shape=(3, *size))
    problem = Problem(picture(*size, seed=2), operator, 0.05)
    prior = IRSDEPrior(conditional(size, 1).net)
    sampler = samplers.make("irsde", nfe=3)
    whole, parts = (solve(problem, p, sampler, seed=0).x for p in (prior, Tiled(prior, 32, 16)))
    far = (..., slice(0, size[0] - 4 * REACH), slice(0, size[1] - 4 * REACH))
    assert float((whole - parts)[far].abs().max()) < 1e-5 * float(whole.abs().max())


def test_gradients_keep_no_more_than_the_windows():
    """What autograd keeps of the network's insides between forward and backward: nothing; untiled it keeps all."""
    prior = local_prior()
    x = picture(96, 96).requires_grad_()
    kept: list[int] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    sizes = {}
    for name, wrapped in (("whole", prior), ("tiled", Tiled(prior, 32, 16))):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            made = wrapped.denoise(x, LEVELS[:1])
        sizes[name] = sum(kept)
        first, again = (torch.autograd.grad(made.square().sum(), x, retain_graph=True)[0] for _ in range(2))
        assert torch.equal(first, again)  # a solver may ask more than once
    pixels = x.numel()
    assert sizes["whole"] > 10 * pixels and sizes["tiled"] < 6 * pixels


def test_second_derivatives_flow_through():
    prior = local_prior(dtype=torch.float64)
    x, v = picture(24, 40).double().requires_grad_(), picture(24, 40, seed=5).double()

    def slope(p):
        (first,) = torch.autograd.grad(p.denoise(x, LEVELS[:1].double()).square().sum(), x, create_graph=True)
        return torch.autograd.grad((first * v).sum(), x)[0]

    whole, parts = slope(prior), slope(Tiled(prior, 32, 16))
    reach = (..., slice(0, 24 - 2 * REACH), slice(0, 40 - 2 * REACH))
    assert float(whole.abs().max()) > 0.1 and float((whole - parts)[reach].abs().max()) < 1e-10


def test_too_little_overlap_can_be_seen():
    prior = local_prior()
    x = picture(64, 112)
    a, b = Tiled(prior, 64, 8).denoise(x, LEVELS[:1]), prior.denoise(x, LEVELS[:1])
    assert float((a - b).abs().max()) > 1e-5


def test_photo_on_its_grid():
    """The U-Net reaches further than the margin; where windows overlap generously little of it is left."""
    prior = priors.load("photo")
    x = picture(96, 144).clamp(0, 1)
    a = Tiled(prior, tile=64, overlap=32).denoise(x, LEVELS[:1])
    b = prior.denoise(x, LEVELS[:1])
    assert float((a - b).square().mean().sqrt()) < 2e-3
    tile_only = Tiled(prior, tile=144).denoise(x, LEVELS[:1])  # one window, reflected at the bottom
    assert float((tile_only - b)[..., :48, :].abs().max()) < 5e-3


def test_weights_add_up_to_one():
    tiled = Tiled(local_prior(), tile=48, overlap=16)
    for n in (48, 56, 80, 88, 200, 1000):
        total = torch.zeros(n, dtype=torch.float64)
        for window in tiled._windows(n, total):
            assert window.part.start % 8 == 0
            total[window.part] += window.weight
        assert torch.allclose(total, torch.ones(n, dtype=torch.float64), atol=1e-14)


def test_no_seam():
    """On a ramp, every window takes its own mean off; steps between neighbouring columns stay near the ramp's."""
    width, tile, overlap = 512, 128, 64
    ramp = torch.linspace(0, 1, width).expand(1, 1, tile, width)
    result = Tiled(WindowMean(), tile, overlap).denoise(ramp, LEVELS[:1])
    step = 1 / (width - 1)
    jumps = (result[0, 0, 0, 1:] - result[0, 0, 0, :-1] - step).abs()
    # means of neighbours differ by 64 steps; a fifth of that is spread over sin^2 of 32 pixels
    total = 0.2 * (tile - overlap) * step
    assert float(jumps.max()) == pytest.approx(total * math.sin(math.pi / 2 / 32), rel=0.02)  # abrupt: total itself
    borders = torch.tensor([start + edge for start in range(64, 384, 64) for edge in (-1, 127)])
    assert float(jumps[borders].mean()) <= float(jumps.mean())


@pytest.mark.slow
def test_a_large_restoration_in_bounded_memory():
    """1024 x 1536 pixels through 64-pixel windows: no tensor in the network is larger than 8 windows."""
    width, batch, tile = 4, 8, 64
    inner = local_prior(width)
    largest = []
    for layer in inner.net.modules():
        layer.register_forward_hook(lambda module, given, made: largest.append(made.numel()))
    x = picture(1024, 1536)
    operator = operators.make("blur:sigma=2", in_shape=(3, 1024, 1536))
    problem = Problem(operator.forward(x), operator, 0.02)
    counted = Counted(inner)
    result = solve(problem, Tiled(counted, tile, batch=batch), samplers.make("hqs:nfe=1", nfe=None))
    assert result.x.shape == x.shape and result.stats.nfe == 1
    rows, columns = math.ceil((1024 - 16) / 48), math.ceil((1536 - 16) / 48)
    assert counted.pictures == rows * columns
    assert max(largest) <= batch * width * tile**2


def test_batch_and_repetition():
    tiled = Tiled(local_prior(), 32, 16, batch=3)
    x = picture(72, 56, batch=2)
    both = tiled.denoise(x, LEVELS)
    assert torch.equal(both, tiled.denoise(x, LEVELS))
    assert torch.equal(both[1:], tiled.denoise(x[1:], LEVELS[1:]))
    told = inflated(tiled, 2).denoise(x, LEVELS)
    expected = inflated(local_prior(), 2).denoise(x, LEVELS)
    assert torch.allclose(told, expected, atol=1e-6)
    assert not torch.allclose(told, both, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (63, 65)])
def test_small_pictures(size):
    x = picture(*size, channels=1)
    result = Tiled(WindowMean(channels=1), 64).denoise(x, LEVELS[:1])
    assert result.shape == x.shape and bool(torch.isfinite(result).all())


def test_reflection():
    row = torch.arange(4.0).view(1, 1, 1, 4)
    extended = tiled_windows.mirrored(row, 12, -1)
    assert extended.flatten().tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1]


def test_gradients_flow_through():
    prior = local_prior(dtype=torch.float64)
    for wrapped in (Tiled(prior, 32), SelfEnsemble(prior), Counted(prior)):
        x = picture(40, 48).double().requires_grad_()
        direction = picture(40, 48, seed=3).double()
        wrapped.denoise(x, LEVELS[:1].double()).sum().backward()
        h = 1e-6
        with torch.no_grad():
            ahead, behind = (wrapped.denoise(x + s * direction, LEVELS[:1].double()).sum() for s in (h, -h))
        assert x.grad is not None
        assert float((x.grad * direction).sum()) == pytest.approx(float(ahead - behind) / (2 * h), rel=1e-6)


@pytest.mark.parametrize(
    "wrap", [lambda p: Tiled(p, 32), SelfEnsemble, Counted, Cast, lambda p: Tiled(SelfEnsemble(p), 64, 32)]
)
def test_contract(wrap):
    wrapped = wrap(local_prior())
    check_prior(wrapped, shape=(3, 40, 24))
    assert wrapped.kind == "denoiser" and wrapped.fingerprint == "f" * 64
    assert wrapped.sigma_range == (0.0, 2.0) and wrapped.channels == 3 and wrapped.differentiable is True


def test_bfloat16():
    prior = local_prior()
    x = picture(40, 24, batch=2)
    exact, low = prior.denoise(x, LEVELS), Cast(prior).denoise(x, LEVELS)
    assert low.dtype == torch.float32
    # D = x - s net(x), |net| <= 1: one rounding of the last layer is 2^-9, three layers add up to a few
    error = (low - exact).abs().amax((1, 2, 3)) / LEVELS
    assert float(error.min()) > 1e-5 and float(error.max()) < 8 * 2**-8
    assert Cast(prior).denoise(x.double(), LEVELS.double()).dtype == torch.float64


class Silent(nn.Module):
    """Says 0 and remembers the dtypes that it saw and whether autocast was on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.seen: list[tuple[torch.dtype, bool]] = []

    def forward(self, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        self.seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
        return x[:, :3] * self.weight


def heeding(net, x, s, told):
    """An estimate whose own arithmetic autocast would spoil: a matrix product outside of the network."""
    assert not torch.is_autocast_enabled("cpu")
    return x - s.view(-1, 1, 1, 1) * net(x, told) + 0.1 * x @ x.mT @ x


ALL = {"own": heeding, **FAMILIES}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", ALL)
def test_half_precision_stays_inside_the_network(family, dtype):
    """A network that says 0: what is left is the arithmetic around it, bit for bit that of float32 or of float64."""
    net = Silent()
    prior = NetworkPrior(net, ALL[family], family, 3, (0.001, 40.0))
    x = picture(9, 14, batch=2).to(dtype)
    for wrap in (Cast, lambda p: Cast(SelfEnsemble(p), torch.float16), lambda p: SelfEnsemble(Cast(Counted(p)))):
        wrapped = wrap(prior)
        plain = SelfEnsemble(prior) if "SelfEnsemble" in repr(wrapped) else prior
        expected = plain.denoise(x, LEVELS.to(dtype))
        net.seen.clear()
        made = wrapped.denoise(x, LEVELS.to(dtype))
        assert made.dtype == dtype and torch.equal(made, expected)
        assert set(net.seen) == {(torch.float32, True)}  # the dtype of the weights comes in


def test_the_arithmetic_around_a_network_follows_the_picture():
    """In float64 the network's float32 is all that is rounded: where it says 0, nothing is."""
    x = picture(9, 14).double()
    level = torch.tensor([0.3], dtype=torch.float64)
    made = NetworkPrior(Silent(), edm_estimate, "edm", 3, (0.001, 40.0)).denoise(x, level)
    s = 2 * level
    expected = ((0.25 / (s**2 + 0.25)) * (2 * x - 1) + 1) / 2
    assert float((made - expected).abs().max()) < 1e-15
    low = NetworkPrior(Silent(), edm_estimate, "edm", 3, (0.001, 40.0)).denoise(x.bfloat16(), level)
    assert low.dtype == torch.bfloat16 and float((low - expected).abs().max()) < 0.01


def test_half_precision_of_a_function_that_is_a_module():
    net = Silent()
    cast = Cast(from_callable(net, channels=0, sigma_range=(0, 1)))
    assert torch.equal(cast.denoise(picture(5, 4), LEVELS[:1]), torch.zeros(1, 3, 5, 4))
    assert net.seen == [(torch.float32, True)]


@pytest.mark.parametrize("name", ["gaussian", "mixture", "wavelet", "tv", "nlm"])
def test_half_precision_needs_a_network(name):
    for prior in (priors.load(name), Tiled(priors.load(name), 64)):
        with pytest.raises(Incompatible, match="has no network to run in half precision"):
            Cast(prior)
    with pytest.raises(Incompatible, match="no network"):
        Cast(from_callable(lambda x, sigma: x, channels=0, sigma_range=(0, 1)))


def test_self_ensemble_is_equivariant():
    prior = local_prior(dtype=torch.float64)
    x, level = picture(19, 26).double(), LEVELS[:1].double()
    ensemble = SelfEnsemble(prior)
    straight = ensemble.denoise(x, level)
    for turns in range(4):
        for flip in ([], [-1]):
            turned = ensemble.denoise(torch.rot90(x.flip(flip), turns, (-2, -1)), level)
            assert float((torch.rot90(turned, -turns, (-2, -1)).flip(flip) - straight).abs().max()) < 1e-14
    plain = prior.denoise(x.flip(-1), level).flip(-1)
    assert float((plain - prior.denoise(x, level)).abs().max()) > 1e-3  # the network itself is not


def test_counted():
    counted = Counted(local_prior())
    SelfEnsemble(counted).denoise(picture(8, 8, batch=2), LEVELS)
    assert (counted.calls, counted.pictures) == (8, 16)
    Tiled(counted, 16, 8).denoise(picture(24, 32), LEVELS[:1])
    assert counted.pictures == 16 + 2 * 3


@pytest.mark.slow
@COMPILING
def test_compiled():
    prior = local_prior()
    compiled = Compiled(prior, backend="eager")
    x = picture(16, 24, batch=2)
    assert torch.allclose(compiled.denoise(x, LEVELS), prior.denoise(x, LEVELS), atol=1e-6)
    assert type(getattr(compiled._changed, "net", None)).__name__ == "OptimizedModule"
    assert type(prior.net).__name__ == "LocalNet"


@pytest.mark.slow
@COMPILING
def test_an_inflated_prior_is_not_compiled_again():
    compiled_graphs = []

    def backend(graph, inputs):
        compiled_graphs.append(graph)
        return graph.forward

    compiled, x = Compiled(local_prior(), backend=backend), picture(16, 24, batch=2)  # type: ignore[arg-type]
    compiled.denoise(x, LEVELS)
    first = len(compiled_graphs)
    for ratio in (1.5, 2.0):
        expected = inflated(local_prior(), ratio).denoise(x, LEVELS)
        assert torch.allclose(inflated(compiled, ratio).denoise(x, LEVELS), expected, atol=1e-6)
    assert len(compiled_graphs) == first > 0


def test_every_wrapper_can_be_inflated():
    """Also around a prior with one level only, and with a network inside."""
    net = LocalNet().requires_grad_(False)
    function = from_callable(lambda x, s: x - s.view(-1, 1, 1, 1) * net(x, s), channels=3, sigma_range=(0.0, 2.0))
    x = picture(16, 24, batch=2)
    network = from_callable(net, channels=3, sigma_range=(0.0, 2.0))
    for inner in (local_prior(), function, network):
        for wrapper in (Counted, SelfEnsemble, Tiled):
            made = inflated(wrapper(inner), 1.5).denoise(x, LEVELS)
            assert torch.equal(made, wrapper(inflated(inner, 1.5)).denoise(x, LEVELS))
            assert not torch.allclose(made, wrapper(inner).denoise(x, LEVELS), atol=1e-4)
    half = inflated(Cast(network), 1.5).denoise(x, LEVELS)
    assert torch.allclose(half, inflated(network, 1.5).denoise(x, LEVELS), atol=0.05)


@COMPILING
def test_a_compiler_that_fails_is_a_sentence(monkeypatch):
    from zsir.errors import SolveError

    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    compiled = Compiled(local_prior(), backend=broken)  # type: ignore[arg-type]
    with pytest.raises(SolveError, match="do without Compiled"):
        compiled.denoise(picture(8, 8), LEVELS[:1])


@pytest.mark.cuda
@COMPILING
def test_cuda_graphs_and_half_precision():
    x, levels = picture(256, 384, batch=2).clamp(0, 1).cuda(), LEVELS.cuda()
    prior = priors.load("photo")
    expected = prior.denoise(x, levels)
    compiled = Compiled(prior, mode="reduce-overhead")
    for _ in range(3):  # the third call replays the graph
        assert float((compiled.denoise(x, levels) - expected).abs().max()) < 1e-3
    assert float((Cast(prior).denoise(x, levels) - expected).abs().max()) < 0.05
    assert float((Tiled(prior, 128, 64).denoise(x, levels) - expected).square().mean().sqrt()) < 2e-3


def test_names():
    tiled = Tiled(Cast(priors.load("photo")), tile=64)
    assert repr(tiled) == "Tiled(Cast(photo, dtype=torch.bfloat16), tile=64, overlap=None, batch=4)"


def test_wrapping_order():
    prior = priors.load("photo")
    assert priors.wrap(prior, Wrapping()) is prior and str(Wrapping()) == ""
    everything = Wrapping(tile=64, precision="fp16", ensemble=True, compiled=True)
    assert str(everything) == "tile=64, precision=fp16, ensemble, compiled"
    wrapped = priors.wrap(prior, everything)
    assert repr(wrapped).startswith("SelfEnsemble(Tiled(Cast(Compiled(photo, mode=default, backend=inductor)")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Tiled(WindowMean(), 100), "multiple of 8 from 16 on is needed, such as 96"),
        (lambda: Tiled(WindowMean(), 8), "such as 16"),
        (lambda: Tiled(WindowMean(), 64, 40), "8 to half a tile"),
        (lambda: Tiled(WindowMean(), 64, 12), "multiple of 8"),
        (lambda: Tiled(WindowMean(), 64, batch=0), "at least one"),
        (lambda: Cast(local_prior(), torch.float64), "bfloat16 and torch.float16"),
        (lambda: Wrapping(precision="half"), "precision=half: choose float32, bf16 or fp16"),
        (lambda: Wrapping(tile=100), "tile=100: a multiple of 8 from 16 on is needed, such as 96"),
    ],
)
def test_refused_settings(make, says):
    with pytest.raises(BadSpec, match=says):
        make()


def test_refused_priors():
    with pytest.raises(Incompatible, match="no network to compile"):
        Compiled(WindowMean())

    class Conditioned(WindowMean):
        mu = None

        def conditioned_on(self, mu):
            return WindowMean()

    with pytest.raises(Incompatible, match="second picture"):
        SelfEnsemble(Conditioned())
    given = Counted(Conditioned())
    assert repr(given.conditioned_on(torch.zeros(1))).startswith("Counted(WindowMean(")
    given.conditioned_on(torch.zeros(1)).denoise(picture(4, 4), LEVELS[:1])
    assert given.calls == 1  # the conditioned copy counts here, too
    assert not hasattr(Counted(WindowMean()), "conditioned_on")
