"""Losses against closed forms."""

import math

import pytest
import torch
from torch import nn

from zsir.errors import Incompatible
from zsir.priors import NetworkPrior
from zsir.priors.denoisers.ffdnet import ffdnet
from zsir.priors.parametrisations import ConsistencyEstimate
from zsir.training.batches import Batch
from zsir.training.objectives import Denoising, Distillation
from zsir.training.recipe import Recipe
from zsir.training.session import Run, distill

V = 0.3  # variance of the pictures, native units


def batch(count=5):
    g = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(count, 3, 6, 7, generator=g, dtype=torch.float64) for _ in range(2))
    x0 = (math.sqrt(V) * x0 + 1) / 2
    return Batch(x0, noise, torch.linspace(0.01, 0.6, count, dtype=torch.float64))


class Zero(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, c):
        return self.weight * x


def test_denoising_is_the_weighted_error_of_the_estimate():
    b = batch()
    s = (2 * b.sigma).view(-1, 1, 1, 1)
    x0 = 2 * b.x0 - 1
    # with F = 0 the estimate is c_skip x; its error is weighted by 1/c_out^2
    error = 0.25 / (s**2 + 0.25) * (x0 + s * b.noise) - x0
    expected = (error**2 * (s**2 + 0.25) / (s**2 * 0.25)).mean()
    assert Denoising().loss(Zero(), b).item() == pytest.approx(float(expected), rel=1e-12)


def test_the_logarithm_of_each_crops_error():
    b = batch()
    parts = [Batch(b.x0[k : k + 1], b.noise[k : k + 1], b.sigma[k : k + 1]) for k in range(5)]
    logs = [math.log(Denoising().loss(Zero(), part).item() + 0.005) for part in parts]
    assert Denoising(log=True).loss(Zero(), b).item() == pytest.approx(sum(logs) / 5, rel=1e-12)


def exact_teacher():
    """The denoiser of N(0, V), whose ODE scales: x(r) = x(s) sqrt((V + r^2)/(V + s^2))."""

    def parametrise(net, x, s, told):
        return x * (V / (V + s**2)).view(-1, 1, 1, 1)

    return NetworkPrior(Zero(), parametrise, "exact", 3, (0.002, 1.25))


class Exact(nn.Module):
    """The raw network behind the exact consistency function of `exact_teacher`, times ``wrong``."""

    def __init__(self, lowest, wrong=1.0):
        super().__init__()
        self.lowest, self.wrong = lowest, wrong
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x, c):
        s = (4 * c).exp().view(-1, 1, 1, 1)
        total, above = s**2 + 0.25, s - self.lowest
        f = self.wrong * ((V + self.lowest**2) / (V + s**2)).sqrt()
        c_skip, c_out = 0.25 / (above**2 + 0.25), above * 0.5 / total.sqrt()
        return (f - c_skip) / c_out * x * total.sqrt()


def test_the_end_of_the_ode_has_no_loss_and_anything_else_has():
    b = batch()
    losses = {}
    for jumps in (8, 16, 32):
        objective = Distillation(exact_teacher(), 0.002, 1.25, jumps)
        assert objective.parametrise == ConsistencyEstimate(sigma_min=0.004, told=0.25)
        losses[jumps] = [objective.loss(Exact(0.004, wrong), b).item() for wrong in (1.0, 1.05)]
    # Heun's error falls with the third power of a jump, the loss is divided by the jump
    assert losses[16][0] < losses[8][0] / 3.5 and losses[32][0] < losses[16][0] / 3.5
    # ... and what is left over belongs to the teacher's jumps, not to the function
    assert losses[32][1] > 1.05 * losses[32][0]


def test_the_target_gives_no_gradient():
    net, b = Zero(), batch()
    objective = Distillation(exact_teacher(), 0.002, 1.25)
    objective.loss(net, b).backward()
    s = 2 * b.sigma
    r = (s * (0.002 / 1.25) ** (1 / 18)).view(-1, 1, 1, 1)
    x = 2 * b.x0 - 1 + s.view(-1, 1, 1, 1) * b.noise
    scale = lambda t: (V / (V + t**2)).view(-1, 1, 1, 1)  # noqa: E731
    slope = x * (1 - scale(s)) / s.view(-1, 1, 1, 1)
    end = x + (r - s.view(-1, 1, 1, 1)) * slope
    x_r = x + (r - s.view(-1, 1, 1, 1)) * (slope + end * (1 - scale(r.flatten())) / r) / 2
    f = objective.parametrise
    other = Zero()
    error = (f(other, x, s, s) - f(Zero(), x_r, r.flatten(), r.flatten()).detach()).square().flatten(1).sum(1)
    n = b.x0[0].numel()
    c = 0.00054 * math.sqrt(n)
    (((error + c * c).sqrt() - c) / (s - r.flatten())).mean().div(math.sqrt(n)).backward()
    assert net.weight.grad is not None and other.weight.grad is not None
    assert net.weight.grad.item() == pytest.approx(other.weight.grad.item(), rel=1e-9)


def test_the_teacher_follows_the_batch_to_its_device():
    teacher = exact_teacher()
    b = batch()
    there = Batch(*(t.to("meta") for t in (b.x0, b.noise, b.sigma)))
    Distillation(teacher, 0.002, 1.25).loss(Zero().to("meta"), there)
    assert {p.device.type for p in teacher.net.parameters()} == {"meta"}


def test_only_our_denoisers_are_teachers(tmp_path):
    with pytest.raises(Incompatible, match="Only a denoiser of zsir train"):
        distill(Run(tmp_path, [tmp_path]), Recipe(), ffdnet())
