"""Numbers of blurs from the spectrum of pictures that obey the model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zsir.blind import motion_of, width_of
from zsir.blind.resolve import has_auto, resolve_auto
from zsir.errors import BadInput, BadSpec
from zsir.operators import make

SHAPE = (1, 96, 112)


def texture(seed: int = 0) -> Tensor:
    """A Gaussian field with the spectrum of photographs, (1, *SHAPE)."""
    noise = torch.randn(1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rows = torch.fft.fftfreq(SHAPE[1], dtype=torch.float64)[:, None]
    radius = (rows**2 + torch.fft.rfftfreq(SHAPE[2], dtype=torch.float64) ** 2).sqrt().clamp_min(1 / 96)
    x = torch.fft.irfft2(torch.fft.rfft2(noise) * radius**-1.3, s=SHAPE[1:])
    return 0.5 + 0.2 * (x - x.mean()) / x.std()


def seen(spec: str, noise: float = 0.0) -> Tensor:
    x = texture()
    y = make(f"{spec},boundary=circular", in_shape=SHAPE).forward(x)
    return y + noise * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(9))


@pytest.mark.slow
@pytest.mark.parametrize(("length", "angle", "noise"), [(9, 40, 0.0), (15, 110, 0.02)])
def test_motion_is_found(length: float, angle: float, noise: float) -> None:
    found = motion_of(seen(f"motion:length={length},angle={angle}", noise), noise)
    assert abs(found.values[0] - length) < 0.6
    assert abs((found.values[1] - angle + 90) % 180 - 90) < 3
    assert found.gain > 100
    assert 0 < found.errors[0] < 0.5 and 0 < found.errors[1] < 2


@pytest.mark.parametrize("sigma", [0.8, 2.5])
def test_width_is_found(sigma: float) -> None:
    found = width_of(seen(f"blur:sigma={sigma}", 0.01), 0.01)
    assert abs(found.values[0] / sigma - 1) < 0.1
    assert 0.06 * found.values[0] <= found.errors[0] < 0.2


def test_a_stated_number_is_kept() -> None:
    y = seen("motion:length=15,angle=110")
    found = resolve_auto("motion:length=auto,angle=110,boundary=circular", y, 0.0)
    assert found.spec.startswith("motion:length=") and found.spec.endswith(",angle=110,boundary=circular")
    assert abs(float(found.spec.split("=")[1].split(",")[0]) - 15) < 0.6
    assert "±" in found.remark


def test_chains_keep_their_other_stages() -> None:
    levy = resolve_auto("blur:sigma=auto,power=1.5", seen("blur:sigma=1.5,power=1.5", 0.01), 0.01)
    assert levy.spec.endswith(",power=1.5") and float(levy.spec[11:].split(",")[0]) == pytest.approx(1.5, rel=0.1)
    found = resolve_auto("blur:sigma=auto | jpeg:q=60", seen("blur:sigma=1.5", 0.01), 0.01)
    first, second = found.spec.split(" | ")
    assert second == "jpeg:q=60"
    assert abs(float(first.removeprefix("blur:sigma=")) / 1.5 - 1) < 0.1


def test_a_width_at_the_end_of_the_search_is_none() -> None:
    with pytest.raises(BadInput, match=r"blurred by more than 6.9 pixels"):
        resolve_auto("blur:sigma=auto", seen("blur:sigma=11"), 0.001)


def test_specs_without_auto_stay() -> None:
    assert not has_auto("blur:sigma=2 | sr2x") and has_auto("sr2x | motion:length=auto") and has_auto("kernel:auto")
    assert resolve_auto("blur:sigma=2", texture(), 0.0).spec == "blur:sigma=2"


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("blur:sigma=auto | motion:length=auto", BadSpec, "only one stage"),
        ("kernel:auto,size=21", BadSpec, "denoiser"),
        ("motion:length=long,angle=auto", BadSpec, "long"),
    ],
)
def test_specs_that_cannot_be_resolved(spec: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        resolve_auto(spec, texture(), 0.0)


@pytest.mark.parametrize("y", [torch.full((1, 3, 64, 64), 0.5), torch.rand(1, 3, 1, 1), texture() * float("nan")])
def test_nothing_to_see(y: Tensor) -> None:
    with pytest.raises(BadInput, match="No blur can be estimated"):
        motion_of(y, 0.01)


@pytest.mark.slow
def test_noise_alone_shows_no_motion() -> None:
    noise = 0.5 + 0.1 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(3))
    with pytest.raises(BadInput, match="shows no such blur"):
        resolve_auto("motion:length=auto,angle=auto", noise, 0.1)
