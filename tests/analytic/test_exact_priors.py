"""The exact priors against dense algebra and brute force, and the contract of every registered prior."""

from __future__ import annotations

import math

import pytest
import torch

from zsir import priors
from zsir.capabilities import inflated
from zsir.errors import BadInput, BadSpec
from zsir.priors import Dense, Gaussian, Mixture, NetworkPrior, Stationary, consistency_estimate, edm_estimate
from zsir.priors.catalogue import PRIORS
from zsir.priors.checkpoints.cards import cards
from zsir.testing import check_prior


def covariance(n: int, seed: int = 0) -> torch.Tensor:
    """A symmetric positive definite matrix with a spread spectrum."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(n, n, dtype=torch.float64, generator=g) / n**0.5
    return root @ root.T * 0.1 + 1e-3 * torch.eye(n, dtype=torch.float64)


#: priors that need no file of the user's and no download; tests/nets has those that do
AT_HAND = [
    n
    for n in PRIORS.names()
    # ffdnet at level 0 leaves photographs, but not the white noise of check_prior; tests/priors has its own
    if n not in cards() and n != "ffdnet" and all(p.default != "required" for p in PRIORS.describe(n).parameters)
]


@pytest.mark.parametrize("name", AT_HAND)
def test_contract(name: str) -> None:
    check_prior(priors.load(name))


def test_contract_of_odd_small_pictures() -> None:
    check_prior(priors.load("photo"), shape=(3, 5, 3))
    check_prior(priors.load("gaussian:kind=consistency"), shape=(1, 5, 7))


def test_dense_gaussian_is_the_posterior_mean() -> None:
    c, shape = covariance(2 * 3 * 5), (2, 3, 5)
    g = torch.Generator().manual_seed(1)
    mean, x = (torch.rand(k, *shape, dtype=torch.float64, generator=g) for k in (1, 4))
    sigma = torch.tensor([0.01, 0.1, 0.5, 2.0], dtype=torch.float64)
    prior = Gaussian(Dense(c), mean[0])
    x0 = prior.denoise(x, sigma)
    for k in range(4):
        gain = c @ torch.linalg.inv(c + sigma[k] ** 2 * torch.eye(30, dtype=torch.float64))
        expected = mean.flatten() + gain @ (x[k] - mean[0]).flatten()
        assert (x0[k].flatten() - expected).abs().max() < 1e-10


@pytest.mark.slow
def test_consistency_map_is_the_end_of_the_probability_flow() -> None:
    """Integrate dx/dsigma = (x - D(x, sigma))/sigma from 0.8 down to 0 with classical Runge-Kutta."""
    c, shape = covariance(12), (1, 3, 4)
    denoiser = Gaussian(Dense(c), 0.5)
    start = torch.rand(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = Gaussian(Dense(c), 0.5, kind="consistency").denoise(start, torch.full((2,), 0.8, dtype=torch.float64))

    def slope(x: torch.Tensor, log_sigma: float) -> torch.Tensor:  # in log sigma: x - D
        return x - denoiser.denoise(x, torch.full((2,), math.exp(log_sigma), dtype=torch.float64))

    x, t, n = start, math.log(0.8), 4000
    h = (math.log(1e-7) - t) / n
    for _ in range(n):
        k1 = slope(x, t)
        k2 = slope(x + h / 2 * k1, t + h / 2)
        k3 = slope(x + h / 2 * k2, t + h / 2)
        k4 = slope(x + h * k3, t + h)
        x, t = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), t + h
    assert (x - expected).abs().max() < 1e-7


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 3)], ids=str)
def test_stationary_field_is_a_circulant_gaussian(size: tuple[int, int]) -> None:
    """The FFT filter equals the dense covariance whose columns are shifted autocovariances."""
    h, w = size
    law = Stationary(0.3, 2.5)
    x = torch.rand(1, 1, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    basis = torch.eye(h * w, dtype=torch.float64).view(-1, 1, h, w)
    matrix = law.filter(basis, lambda e: e).flatten(1).T
    assert (matrix - matrix.T).abs().max() < 1e-12
    assert abs(float(matrix.diagonal().mean()) - 0.3**2) < 1e-12  # a pixel has standard deviation 0.3
    assert torch.linalg.eigvalsh(matrix).min() > 0
    sigma = torch.tensor([0.2], dtype=torch.float64)
    a, b = (Gaussian(law).denoise(x, sigma), Gaussian(Dense(matrix)).denoise(x, sigma))
    assert (a - b).abs().max() < 1e-10


def test_mixture_is_bayes_rule() -> None:
    """Posterior mean by brute-force integration over the components, written out in plain numbers."""
    means = torch.tensor([[[[0.1, 0.8]]], [[[0.6, 0.4]]]], dtype=torch.float64)
    weights, stds = torch.tensor([0.3, 0.7]).double(), torch.tensor([0.05, 0.2]).double()
    x = torch.tensor([[[[0.3, 0.5]]], [[[0.0, 0.9]]]], dtype=torch.float64)
    sigma = torch.tensor([0.15, 0.4], dtype=torch.float64)
    x0 = Mixture(weights, means, stds).denoise(x, sigma)
    for image in range(2):
        total, mass = torch.zeros(2, dtype=torch.float64), 0.0
        for k in range(2):
            v = float(stds[k] ** 2 + sigma[image] ** 2)
            d = x[image].flatten() - means[k].flatten()
            p = float(weights[k]) * math.exp(-float(d @ d) / (2 * v)) / (2 * math.pi * v)
            total += p * (means[k].flatten() + float(stds[k]) ** 2 / v * d)
            mass += p
        assert (x0[image].flatten() - total / mass).abs().max() < 1e-12


class Recorder(torch.nn.Module):
    """A network that remembers what it was given and returns a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.25, dtype=torch.float64))
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.seen.append((x, t))
        return self.weight.expand(x.shape)


@pytest.mark.parametrize("kind", ["edm", "consistency"])
def test_units_are_converted_once(kind: str) -> None:
    """D01(x, s) = (D(2x - 1, 2s) + 1)/2 with the tables' coefficients, computed here by hand."""
    net, s = Recorder(), 0.3
    parametrise = edm_estimate if kind == "edm" else consistency_estimate
    prior = NetworkPrior(net, parametrise, "toy", 1, (0.001, 40.0))
    x = torch.full((1, 1, 2, 2), 0.7, dtype=torch.float64)
    x0 = inflated(prior, 0.45 / s).denoise(x, torch.tensor([s], dtype=torch.float64))
    native, level = 2 * 0.7 - 1, 2 * s
    root = math.sqrt(level**2 + 0.25)
    if kind == "edm":
        skip, out, told = 0.25 / root**2, level * 0.5 / root, math.log(0.9) / 4
    else:
        skip, out, told = 0.25 / ((level - 0.002) ** 2 + 0.25), (level - 0.002) * 0.5 / root, 250 * math.log(0.9)
    assert abs(float(net.seen[0][1]) - told) < 1e-10
    assert abs(float(net.seen[0][0][0, 0, 0, 0]) - native / root) < 1e-12
    expected = (skip * native + out * 0.25 + 1) / 2
    assert (x0 - expected).abs().max() < 1e-12


def test_photo_denoises_and_is_the_shipped_file() -> None:
    """On a synthetic picture it removes most of the noise; its fingerprint is the hash in the model card."""
    import hashlib
    from pathlib import Path

    prior = priors.load("photo")
    rows = torch.linspace(0.2, 0.8, 64)
    clean = (rows[:, None] + 0.2 * (rows[None] > 0.5)).expand(1, 3, 64, 64).clamp(0, 1)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    x0 = prior.denoise(clean + 0.1 * noise, torch.tensor([0.1]))
    assert (x0 - clean).square().mean() < 0.02 * 0.1**2 / 0.2  # at least ten times less error than noise
    weights = Path(priors.__file__).parent / "weights"
    digest = hashlib.sha256((weights / "photo.safetensors").read_bytes()).hexdigest()
    assert prior.fingerprint == digest
    card = (weights / "photo.md").read_text()
    assert digest in card
    for section in ("## Data", "## Recipe", "## Limits", "CC-BY-4.0", "Aitzol Berasategi"):
        assert section in card


def test_bad_weights_are_refused(tmp_path) -> None:
    import json

    from safetensors.torch import save_file

    (tmp_path / "broken.safetensors").write_bytes(b"not a safetensors file")
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    config = {"channels": 3, "widths": [8], "blocks": 1, "embedding": 8}
    about = {"config": config, "kind": "denoiser", "sigma_range": [0.002, 1], "grey": False}
    save_file({"a": torch.zeros(1)}, tmp_path / "wrong.safetensors", {"zsir-prior": json.dumps(about)})
    for name, words in (("none", "no weights file"), ("broken", "neither a safetensors file"),
                        ("plain", "was not written by zsir train"), ("wrong", "lacks the tensor")):  # fmt: skip
        with pytest.raises(BadInput, match=words):
            priors.load(f"trained:path={tmp_path / name}.safetensors")
    with pytest.raises(BadSpec):
        priors.load("mixture:levels=0")
