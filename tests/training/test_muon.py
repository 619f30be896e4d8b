"""The optimisers against singular value decompositions and against AdamW itself."""

import copy

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


def test_a_layer_without_gradient_stays():
    assert torch.equal(orthogonal(torch.zeros(3, 9)), torch.zeros(3, 9))


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


def test_a_step_is_as_long_as_one_of_adamw():
    p = torch.nn.Parameter(torch.zeros(16, 144, dtype=torch.float64))
    p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(0), dtype=p.dtype)
    Muon([p], [torch.nn.Parameter(torch.zeros(1))], lr=1.0).step()
    assert p.detach().square().mean().sqrt().item() == pytest.approx(RMS, rel=0.2)


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
