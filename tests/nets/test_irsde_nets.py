"""The networks of IR-SDE: sizes of the released ones, and values against the formulas written out tensor by tensor."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zsir.errors import BadInput, BadSpec
from zsir.priors import Cast, load
from zsir.priors.checkpoints.irsde.mean_reverting import irsde
from zsir.priors.checkpoints.irsde.nafnet import ConditionalNAFNet
from zsir.priors.checkpoints.irsde.networks import ChannelNorm, ConditionalUNet, LinearAttention
from zsir.priors.checkpoints.irsde.recognised import network_of
from zsir.testing import check_prior


def drawn(net: torch.nn.Module, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in net.state_dict().items():
        if name.endswith(".g"):
            state[name] = 1 + 0.3 * torch.randn(tensor.shape, generator=g)
        else:
            fan = math.prod(tensor.shape[1:]) if tensor.ndim > 1 and "eta" not in name else 4
            state[name] = torch.randn(tensor.shape, generator=g) / math.sqrt(fan)
    return state


@pytest.mark.parametrize(
    ("make", "parameters", "names"),
    [
        (lambda: ConditionalUNet(3, 64, 4), 137_147_523, 151),
        (lambda: ConditionalUNet(3, 32, 4), 34_799_171, 151),
        (lambda: ConditionalUNet(3, 32, 5), 135_346_755, 183),
        (ConditionalNAFNet, 76_608_387, 668),
    ],
)
def test_released_sizes(make, parameters, names):
    with torch.device("meta"):
        state = make().state_dict()
    assert (sum(v.numel() for v in state.values()), len(state)) == (parameters, names)


class Formula:
    """The networks, from the names and shapes of their tensors alone."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def conv(self, name: str, x: Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
        return F.conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), stride, padding, 1, groups)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        return centred / torch.sqrt((centred**2).mean(1, keepdim=True) + 1e-5) * self.state[f"{name}.g"]

    def waves(self, t: Tensor, width: int) -> Tensor:
        rows = []
        for k in range(width // 2):
            rows.append(t * 10000.0 ** (-k / (width // 2 - 1)))
        angles = torch.stack(rows, 1)
        return torch.cat([torch.sin(angles), torch.cos(angles)], 1)

    def res(self, name: str, x: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.linear(f"{name}.mlp.1", e * torch.sigmoid(e))[:, :, None, None].chunk(2, 1)
        h = F.silu(self.conv(f"{name}.block1.proj", x, padding=1) * (1 + scale) + shift)
        h = F.silu(self.conv(f"{name}.block2.proj", h, padding=1))
        return h + (self.conv(f"{name}.res_conv", x) if f"{name}.res_conv.weight" in self.state else x)

    def attend(self, name: str, x: Tensor) -> Tensor:
        b, _, height, width = x.shape
        qkv = self.conv(f"{name}.fn.fn.to_qkv", self.norm(f"{name}.fn.norm", x)).flatten(2)
        out = torch.zeros(b, 128, height * width)
        for head in range(4):
            q, k, v = (qkv[:, 128 * part + 32 * head : 128 * part + 32 * head + 32] for part in range(3))
            q, k, v = torch.softmax(q, 1) / math.sqrt(32), torch.softmax(k, 2), v / (height * width)
            context = torch.einsum("bdn,ben->bde", k, v)
            out[:, 32 * head : 32 * head + 32] = torch.einsum("bde,bdn->ben", context, q)
        out = self.conv(f"{name}.fn.fn.to_out.0", out.view(b, 128, height, width))
        return x + self.norm(f"{name}.fn.fn.to_out.1", out)

    def unet(self, x: Tensor, mu: Tensor, t: Tensor, nf: int, depth: int) -> Tensor:
        height, width = x.shape[-2:]
        multiple = 2**depth
        both = F.pad(torch.cat([x - mu, mu], 1), (0, -width % multiple, 0, -height % multiple), mode="reflect")
        e = self.linear("time_mlp.3", F.gelu(self.linear("time_mlp.1", self.waves(t, nf))))
        h = first = self.conv("init_conv", both, padding=3)
        skips = []
        for k in range(depth):
            h = self.res(f"downs.{k}.0", h, e)
            skips.append(h)
            h = self.attend(f"downs.{k}.2", self.res(f"downs.{k}.1", h, e))
            skips.append(h)
            last = k == depth - 1
            h = self.conv(f"downs.{k}.3", h, 1, 1) if last else self.conv(f"downs.{k}.3", h, stride=2, padding=1)
        h = self.res("mid_block2", self.attend("mid_attn", self.res("mid_block1", h, e)), e)
        for k in range(depth):
            h = self.res(f"ups.{k}.0", torch.cat([h, skips.pop()], 1), e)
            h = self.attend(f"ups.{k}.2", self.res(f"ups.{k}.1", torch.cat([h, skips.pop()], 1), e))
            if k == depth - 1:
                h = self.conv(f"ups.{k}.3", h, padding=1)
            else:
                h = self.conv(f"ups.{k}.3.1", h.repeat_interleave(2, -1).repeat_interleave(2, -2), padding=1)
        h = self.res("final_res_block", torch.cat([h, first], 1), e)
        return self.conv("final_conv", h, padding=1)[..., :height, :width]

    def block(self, name: str, x: Tensor, e: Tensor) -> Tensor:
        c, half = x.shape[1], e.shape[1] // 2
        m = self.linear(f"{name}.mlp.1", e[:, :half] * e[:, half:])[:, :, None, None]
        h = self.norm(f"{name}.norm1", x) * (1 + m[:, c : 2 * c]) + m[:, :c]
        h = self.conv(f"{name}.conv2", self.conv(f"{name}.conv1", h), padding=1, groups=2 * c)
        h = h[:, :c] * h[:, c:]
        h = h * self.conv(f"{name}.sca.1", h.mean((2, 3), keepdim=True))
        x = x + self.conv(f"{name}.conv3", h) * self.state[f"{name}.beta"]
        h = self.norm(f"{name}.norm2", x) * (1 + m[:, 3 * c :]) + m[:, 2 * c : 3 * c]
        h = self.conv(f"{name}.conv4", h)
        return x + self.conv(f"{name}.conv5", h[:, :c] * h[:, c:]) * self.state[f"{name}.gamma"]

    def nafnet(self, x: Tensor, mu: Tensor, t: Tensor, w: int, plan: tuple[list[int], int, list[int]]) -> Tensor:
        down, middle, up = plan
        height, width = x.shape[-2:]
        multiple = 2 ** len(down)
        both = F.pad(torch.cat([x - mu, mu], 1), (0, -width % multiple, 0, -height % multiple))
        e = self.linear("time_mlp.1", self.waves(t, w))
        e = self.linear("time_mlp.3", e[:, : 4 * w] * e[:, 4 * w :])
        h = self.conv("intro", both, padding=1)
        skips = []
        for level, count in enumerate(down):
            for k in range(count):
                h = self.block(f"encoders.{level}.{k}", h, e)
            skips.append(h)
            h = self.conv(f"downs.{level}", h, stride=2)
        for k in range(middle):
            h = self.block(f"middle_blks.{k}", h, e)
        for level, count in enumerate(up):
            h = F.pixel_shuffle(self.conv(f"ups.{level}.0", h), 2) + skips.pop()
            for k in range(count):
                h = self.block(f"decoders.{level}.{k}", h, e)
        return self.conv("ending", h, padding=1)[..., :height, :width]


def inputs(channels: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(5)
    x, mu = torch.rand(2, 2, channels, 21, 18, generator=g).unbind(0)
    return x, mu, torch.tensor([3.0, 61.5])


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.1  # nothing vanishes
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()


@pytest.mark.parametrize(("channels", "nf", "depth"), [(3, 8, 3), (1, 16, 2)])
def test_unet_is_the_formula(channels, nf, depth):
    state = drawn(ConditionalUNet(channels, nf, depth))
    net = network_of(state, "f")
    assert isinstance(net, ConditionalUNet)
    x, mu, t = inputs(channels)
    assert_close(net(x, mu, t), Formula(state).unet(x, mu, t, nf, depth))


def test_nafnet_is_the_formula():
    state = drawn(ConditionalNAFNet(3, 8, 2, (1, 0, 2), (2, 1, 1)))
    net = network_of(state, "f")
    assert isinstance(net, ConditionalNAFNet)
    x, mu, t = inputs()
    assert_close(net(x, mu, t), Formula(state).nafnet(x, mu, t, 8, ([1, 0, 2], 2, [2, 1, 1])))


@pytest.mark.parametrize("size", [1e-3, 1.0, 5e3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norm_and_attention_do_not_follow_autocast(dtype, size):
    """The floor of the norm is that of the weights; sums over 4096 pixels neither vanish nor overflow."""
    norm, attention = ChannelNorm(16).requires_grad_(False), LinearAttention(16).requires_grad_(False)
    attention.load_state_dict(drawn(attention))
    attention.to_qkv.weight[256:] *= size  # the values; queries and keys of that size would be another attention
    x = torch.randn(1, 16, 64, 64, generator=torch.Generator().manual_seed(3))
    low = (size * x).to(dtype)
    with torch.autocast("cpu", dtype):
        normed, attended = norm(low), attention(x)
    assert torch.equal(normed, norm(low.float()))
    expected = attention(x)
    error = (attended - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert float(error) < (0.02 if dtype == torch.bfloat16 else 0.0025)


def test_weights_in_half_precision_have_the_wide_floor():
    x = 0.01 * torch.randn(1, 16, 5, 7, generator=torch.Generator().manual_seed(3))
    half = ChannelNorm(16).bfloat16().requires_grad_(False)(x)
    variance = x.var(1, correction=0, keepdim=True)
    expected = (x - x.mean(1, keepdim=True)) / (variance + 1e-3).sqrt()
    assert half.dtype == torch.bfloat16 and float((half - expected).abs().max()) < 0.02 * float(expected.abs().max())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["unet", "nafnet"])
def test_half_precision_is_close(files, name, dtype):
    prior = irsde(f"{files}/{name}.pth", 50 / 255)
    x, mu, _ = inputs()
    sigma = torch.tensor([0.1, 0.4])
    exact = prior.conditioned_on(mu).denoise(x, sigma)
    low = Cast(prior, dtype).conditioned_on(mu).denoise(x, sigma)
    error = (low - exact).square().mean().sqrt() / (exact - x).square().mean().sqrt()
    assert bool(torch.isfinite(low).all())
    assert 1e-5 < float(error) < (0.06 if dtype == torch.bfloat16 else 0.008)


@pytest.fixture
def files(tmp_path):
    for name, net in (("unet", ConditionalUNet(3, 8, 2)), ("nafnet", ConditionalNAFNet(3, 8, 1, (1, 1), (1, 1)))):
        torch.save({f"module.{k}": v for k, v in drawn(net).items()}, tmp_path / f"{name}.pth")
    return tmp_path


def test_prior_from_a_file(files):
    prior = load(f"irsde-net:path={files}/unet.pth,max_sigma=10/255,steps=50,eps=0.01,schedule=linear,debias=false")
    other = irsde(f"{files}/unet.pth", 10 / 255, "linear", 0.01, 50, debias=False)
    assert (other.schedule.steps, other.schedule.eps, other.schedule.kind, other.debias) == (50, 0.01, "linear", False)
    assert prior.sigma_range == pytest.approx((other.schedule.sigma[1], 10 / 255 * math.sqrt(1e4 - 1)))
    x, mu, _ = inputs()
    sigma = torch.tensor([other.schedule.sigma[30]] * 2, dtype=torch.float32)
    m = (1 + (sigma[0] * 25.5) ** 2) ** -0.5
    eps = Formula(drawn(ConditionalUNet(3, 8, 2))).unet(mu + m * (x - mu), mu, torch.tensor([30.0] * 2), 8, 2)
    found = other.conditioned_on(mu).denoise(x, sigma)
    assert (found - (x - sigma[0] * eps)).abs().max() < 1e-4 * float(sigma[0] * eps.abs().max())
    assert len(prior.fingerprint) == 64


@pytest.mark.parametrize("name", ["unet", "nafnet"])
def test_contract(files, name):
    prior = irsde(f"{files}/{name}.pth", 50 / 255)
    check_prior(prior.conditioned_on(torch.full((1, 3, 31, 46), 0.5)))


def test_max_sigma_where_the_family_tells_it(files):
    assert irsde(f"{files}/nafnet.pth").schedule.max_sigma == 50 / 255
    with pytest.raises(BadSpec, match="does not tell max_sigma"):
        irsde(f"{files}/unet.pth")
    with pytest.raises(BadSpec, match="write 50/255"):
        irsde(f"{files}/unet.pth", 50.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("ups.1.3.weight"), r"lacks the tensor 'ups.1.3.weight' of shape \(8, 16, 3, 3\)"),
        (lambda s: s.update({"mid_attn.fn.norm.g": torch.ones(3)}), r"has shape \(3,\), expected was \(1, 32, 1, 1\)"),
        (lambda s: s.update({"cam": torch.ones(3)}), "holds a tensor 'cam'.*looks like an IR-SDE UNet"),
        (
            lambda s: s.pop("init_conv.weight"),
            "lacks the tensor 'init_conv.weight'; by its other names it is an IR-SDE UNet",
        ),
        (
            lambda s: s.update(drawn(ConditionalUNet(8, 8, 2))),
            "works on 8 channels: a network for latents",
        ),
        (lambda s: s.update({"downs.0.2.x.attn2.to_k.weight": torch.ones(3)}), "holds a DA-CLIP UNet"),
    ],
)
def test_broken_checkpoints(change, sentence):
    state = drawn(ConditionalUNet(3, 8, 2))
    change(state)
    with pytest.raises(BadInput, match=sentence):
        network_of(state, "f")


def test_missing_levels_are_a_sentence():
    state = {k: v for k, v in drawn(ConditionalUNet(3, 8, 2)).items() if "downs.1" not in k}
    with pytest.raises(BadInput, match=r"f: the tensor|f lacks|f holds"):
        network_of(state, "f")
    state = {k: v for k, v in drawn(ConditionalNAFNet(3, 8, 1, (1,), (1,))).items() if "downs" not in k}
    with pytest.raises(BadInput, match=r"f: the tensor|f lacks|f holds"):
        network_of(state, "f")
