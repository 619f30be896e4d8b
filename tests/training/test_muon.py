"""The optimisers against singular value decompositions and against AdamW itself."""

import copy
import math

import pytest
import torch

from zsir.priors.unet import UNet, UNetConfig
from zsir.training.muon import ITERATIONS, MOMENTUM, QUINTIC, RMS, Muon, optimiser_of, orthogonal


@pytest.mark.parametrize("shape", [(5, 27), (27, 5), (8, 8)])
def test_the_iteration_acts_on_singular_values_only(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        s = a * s + b * s**3 + c * s**5
    assert torch.allclose(orthogonal(matrix), u @ torch.diag(s) @ vh, rtol=0, atol=1e-10)
    assert bool(((s > 0.68) & (s < 1.21)).all()), s


def test_nothing_has_no_direction():
    assert torch.equal(orthogonal(torch.zeros(3, 9)), torch.zeros(3, 9))


@pytest.mark.parametrize("smallest", [1e-1, 1e-3, 1e-6])
def test_single_precision_is_enough(smallest):
    g = torch.Generator().manual_seed(2)
    u, _, vh = torch.linalg.svd(torch.randn(48, 432, generator=g, dtype=torch.float64), full_matrices=False)
    matrix = u @ torch.diag(torch.logspace(0, math.log10(smallest), 48, dtype=torch.float64)) @ vh
    exact = orthogonal(matrix)
    assert (orthogonal(matrix.float()) - exact).norm() < 1e-3 * exact.norm()


def network():
    return UNet(UNetConfig(3, (8, 16), 1)).initialise(torch.Generator().manual_seed(0)).double()


def gradients(net, count):
    g = torch.Generator().manual_seed(5)
    return [[torch.randn(p.shape, generator=g, dtype=p.dtype) for p in net.parameters()] for _ in range(count)]


def stepped(net, optimiser, all_gradients):
    for each in all_gradients:
        for p, gradient in zip(net.parameters(), each, strict=True):
            p.grad = gradient.clone()
        optimiser.step()


def test_inner_convolutions_take_orthogonal_steps_and_the_rest_those_of_adamw():
    net = network()
    before, adamw = copy.deepcopy(net), copy.deepcopy(net)
    given = gradients(net, 2)
    stepped(net, optimiser_of(net, "muon", 0.01), given)
    stepped(adamw, optimiser_of(adamw, "adamw", 0.01), given)
    turned = set()
    for k, (name, p) in enumerate(net.named_parameters()):
        if torch.equal(p, adamw.get_parameter(name)):
            continue
        turned.add(name)
        expected, momentum = before.get_parameter(name).detach(), torch.zeros_like(p)
        for each in given:
            momentum = MOMENTUM * momentum + (1 - MOMENTUM) * each[k]
            ahead = MOMENTUM * momentum + (1 - MOMENTUM) * each[k]
            rows = ahead.reshape(len(ahead), -1)
            step = RMS * max(rows.shape) ** 0.5 * orthogonal(rows)
            expected = expected * (1 - 0.01 * 0.01) - 0.01 * step.reshape(p.shape)
        assert torch.allclose(p, expected, rtol=0, atol=1e-12), name
    convolutions = {name for name, p in net.named_parameters() if p.ndim == 4}
    assert turned == convolutions - {"head.weight", "tail.weight"} and len(turned) > 4


def test_a_step_is_about_as_long_as_one_of_adamw():
    """On gradients of white noise AdamW's steps have size lr sqrt((1 - b1)/(1 + b1)) = 0.23 lr."""
    g = torch.Generator().manual_seed(0)
    turned, rest = (torch.nn.Parameter(torch.zeros(16, 144, dtype=torch.float64)) for _ in range(2))
    optimiser = Muon([turned], [rest], lr=1.0)
    for _ in range(40):
        before = [p.detach().clone() for p in (turned, rest)]
        for p in (turned, rest):
            p.grad = torch.randn(p.shape, generator=g, dtype=p.dtype)
        optimiser.param_groups[0]["weight_decay"] = 0.0
        optimiser.step()
    lengths = [(p.detach() - b).square().mean().sqrt().item() for p, b in zip((turned, rest), before, strict=True)]
    assert lengths[1] == pytest.approx((0.1 / 1.9) ** 0.5, rel=0.1)
    assert lengths[0] == pytest.approx(lengths[1], rel=0.35)


def test_a_layer_that_was_not_used_stays():
    used, unused = (torch.nn.Parameter(torch.ones(4, 9)) for _ in range(2))
    optimiser = Muon([used, unused], [torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    used.grad = torch.ones(4, 9)
    optimiser.step()
    assert torch.equal(unused, torch.ones(4, 9)) and not torch.equal(used, torch.ones(4, 9))


def test_its_state_goes_through_a_file(tmp_path):
    given = gradients(network(), 4)
    whole, half = network(), network()
    stepped(whole, optimiser_of(whole, "muon", 0.01), given)
    first = optimiser_of(half, "muon", 0.01)
    stepped(half, first, given[:2])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = optimiser_of(half, "muon", 0.01)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    stepped(half, second, given[2:])
    for p, q in zip(whole.parameters(), half.parameters(), strict=True):
        assert torch.equal(p, q)


def test_no_closure():
    net = network()
    with pytest.raises(TypeError, match="closure"):
        optimiser_of(net, "muon", 0.01).step(lambda: 0.0)
