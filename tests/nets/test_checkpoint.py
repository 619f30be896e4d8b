"""Reading research checkpoints: what is accepted, what is refused, and that no file's code ever runs."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zsir.errors import BadInput
from zsir.priors.checkpoints.families import FAMILIES, looks_like
from zsir.priors.checkpoints.tensors import fingerprint, load_into, read_tensors

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([1.0, -2.0], dtype=torch.float16)}


def assert_same(found, expected=STATE):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize(
    "stored",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3, "lr": [1e-4]},
        {"params": {k: v + 1 for k, v in STATE.items()}, "params_ema": STATE},
        {"params": STATE},
        {"model": {"state_dict": STATE}},
        {f"module.{k}": v for k, v in STATE.items()},
        {"state_dict": {f"module._orig_mod.{k}": v for k, v in STATE.items()}},
        {k: nn.Parameter(v) for k, v in STATE.items()},
        {**STATE, "step": 12},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files(tmp_path, stored, zipped):
    path = tmp_path / "net.pth"
    torch.save(stored, path, _use_new_zipfile_serialization=zipped)
    found = read_tensors(path)
    assert_same(found)
    assert not any(tensor.requires_grad for tensor in found.values())


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_safetensors_whatever_the_name(tmp_path, name):
    save_file({f"module.{k}": v for k, v in STATE.items()}, tmp_path / name)
    assert_same(dict(sorted(read_tensors(tmp_path / name).items(), reverse=True)))


def test_prefix_stays_unless_all_have_it(tmp_path):
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    torch.save(mixed, tmp_path / "net.pt")
    assert_same(read_tensors(tmp_path / "net.pt"), mixed)


class Payload:
    """What unpickles to a call of ``os.mkdir``."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def write_payload(path: Path, folder: Path, container: str) -> None:
    bad = {"state_dict": STATE, "extra": Payload(folder)}
    if container == "zip":
        torch.save(bad, path)
    elif container == "legacy":
        torch.save(bad, path, _use_new_zipfile_serialization=False)
    elif container == "pickle":
        path.write_bytes(pickle.dumps(Payload(folder)))
    else:  # the container of PyTorch 0.1, whose parts are pickles of their own
        with tarfile.open(path, "w") as archive:
            data = pickle.dumps(Payload(folder))
            member = tarfile.TarInfo("\x80\x02pickle")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle", "tar"])
def test_code_in_a_checkpoint_does_not_run(tmp_path, container):
    path, folder = tmp_path / "evil.pth", tmp_path / "pwned"
    write_payload(path, folder, container)
    if container in ("zip", "legacy"):
        torch.load(path, weights_only=False)  # the payload is a real one
    elif container == "pickle":
        pickle.loads(path.read_bytes())
    if container != "tar":
        assert folder.is_dir()
        folder.rmdir()
    with pytest.raises(BadInput) as raised:
        read_tensors(path)
    assert not folder.exists()
    text = str(raised.value)
    assert "\n" not in text
    assert ("neither" in text) if container == "tar" else ("runs no code" in text and "posix.mkdir" in text)


def test_whole_pickled_network_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "net.pt")
    with pytest.raises(BadInput, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        read_tensors(tmp_path / "net.pt")


def damaged_files():
    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    zipped = buffer.getvalue()
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=False)
    legacy = buffer.getvalue()
    plain = io.BytesIO()
    torch.save([1, 2], plain)
    empty = io.BytesIO()
    torch.save({"epoch": 3}, empty)
    return {
        "empty": (b"", "is empty"),
        "html": (b"\n <!DOCTYPE html><html>", "web page"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        "text": (b"hello world", "neither a safetensors file nor"),
        "cut zip": (zipped[: len(zipped) // 2], "cut short or damaged"),
        "short zip": (zipped[:40], "cut short or damaged"),
        "cut legacy": (legacy[: len(legacy) // 2], "cut short or damaged"),
        "short legacy": (legacy[:30], "cut short or damaged"),
        "garbage pickle": (b"\x80\x02" + bytes(range(255, -1, -1)), "cut short or damaged"),
        "one byte": (b"\x80", "cut short or damaged"),
        "list": (plain.getvalue(), "holds one list"),
        "no tensors": (empty.getvalue(), "no tensors.*'epoch'"),
        "cut safetensors": ((1000).to_bytes(8, "little") + b'{"a":', "not a readable safetensors"),
        "bad safetensors": ((4).to_bytes(8, "little") + b"{]]}", "not a readable safetensors"),
    }


@pytest.mark.parametrize("case", damaged_files().items(), ids=lambda case: case[0])
def test_unusable_files(tmp_path, case):
    _, (data, sentence) = case
    path = tmp_path / "net.pth"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=sentence) as raised:
        read_tensors(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_truncation_is_a_sentence(tmp_path):
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=False)
    data, path = buffer.getvalue(), tmp_path / "net.pth"
    for length in range(1, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(BadInput, match="cut short or damaged"):
            read_tensors(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(BadInput, match="no weights file at"):
        read_tensors(tmp_path / "none.pt")
    with pytest.raises(BadInput, match="is a folder"):
        read_tensors(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), str(tmp_path / "net.pt"))
    with pytest.raises(BadInput, match="TorchScript"):
        read_tensors(tmp_path / "net.pt")


def test_load_into_copies():
    net = nn.Linear(3, 2)
    load_into(net, {"weight": torch.ones(2, 3, dtype=torch.float16), "bias": torch.tensor([1.0, 2.0])}, "f")
    assert net.weight.dtype == torch.float32
    assert torch.equal(net(torch.ones(1, 3)), torch.tensor([[4.0, 5.0]]))


def test_load_into_a_network_without_storage():
    with torch.device("meta"):
        net = nn.Linear(3, 2).requires_grad_(False)
    load_into(net, {"weight": torch.ones(2, 3, dtype=torch.float16), "bias": torch.tensor([1.0, 2.0])}, "f")
    assert net.weight.dtype == torch.float32 and not net.weight.requires_grad
    assert torch.equal(net(torch.ones(1, 3)), torch.tensor([[4.0, 5.0]]))


GOOD = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"bias": GOOD["bias"]}, r"f lacks the tensor 'weight' of shape \(2, 3\) \(1 tensors, expected 2\)\."),
        ({**GOOD, "weight": torch.ones(3, 2)}, r"'weight' has shape \(3, 2\), expected was \(2, 3\)"),
        ({**GOOD, "more": torch.ones(4)}, r"a tensor 'more' of shape \(4,\), which the network does not have"),
        ({**GOOD, "bias": torch.tensor([1.0, float("nan")])}, "'bias' holds numbers that are not finite"),
        ({"m_head.weight": torch.ones(1), "m_tail.weight": torch.ones(1)}, "looks like a DRUNet"),
    ],
)
def test_load_into_names_the_first_offender(tensors, sentence):
    net = nn.Linear(3, 2)
    before = net.weight.clone()
    with pytest.raises(BadInput, match=sentence):
        load_into(net, tensors, "f")
    assert torch.equal(net.weight, before)


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight", "output_blocks.0.a"],
         "an ADM (guided-diffusion) or consistency-model UNet"),
        (["input_blocks.0.0.weight", "time_embed.0.weight", "out.2.c_proj.weight"],
         "an ADM (guided-diffusion) classifier, not a denoiser"),
        (["conv_in.weight", "time_embedding.linear_1.weight"], "a diffusers UNet2DModel"),
        (["init_conv.weight", "time_mlp.1.weight", "downs.0.0.block1.proj.weight"], "an IR-SDE UNet"),
        (["intro.weight", "ending.weight", "time_mlp.1.weight"], "an IR-SDE NAFNet"),
        (["model.0.weight", "model.0.bias", "model.2.weight"], "a DnCNN"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "a Stable Diffusion (latent diffusion) checkpoint"),
        (["something"], ""),
    ],
)  # fmt: skip
def test_families(names, title):
    assert looks_like({name: torch.ones(8, 4, 3, 3) for name in names}) == title


def test_ffdnet_is_told_by_its_noise_map():
    assert looks_like({"model.0.weight": torch.ones(96, 13, 3, 3), "model.0.bias": torch.ones(96)}) == "an FFDNet"
    assert looks_like({"model.0.weight": torch.ones(64, 5, 3, 3)}) == "an FFDNet"
    assert looks_like({"model.0.weight": torch.ones(64, 3, 3, 3)}) == "a DnCNN"


def test_no_family_fits_nothing():
    assert looks_like({}) == ""
    assert len({family.title for family in FAMILIES}) == len(FAMILIES)


def test_fingerprint(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert fingerprint(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(BadInput, match="cannot be read"):
        fingerprint(tmp_path / "g")


def test_names_that_are_the_same_as_text(tmp_path):
    torch.save({0: torch.zeros(1), "0": torch.ones(1)}, tmp_path / "net.pt")
    with pytest.raises(BadInput, match="two tensors of the name '0'"):
        read_tensors(tmp_path / "net.pt")
    torch.save({0: torch.zeros(1), 1: torch.ones(1)}, tmp_path / "net.pt")
    assert list(read_tensors(tmp_path / "net.pt")) == ["0", "1"]


def test_a_prefix_without_end(tmp_path):
    torch.save({"module." * 3000 + "a": torch.ones(1)}, tmp_path / "net.pt")
    assert list(read_tensors(tmp_path / "net.pt")) == ["a"]


def test_load_into_calls_tensors_as_the_file_does():
    sources = {"weight": "old.w", "bias": "old.b"}
    for tensors, sentence in (
        ({"weight": GOOD["weight"]}, r"f lacks the tensor 'old.b' of shape \(2,\) \(1 tensors, expected 2\)"),
        ({**GOOD, "bias": torch.ones(3)}, r"the tensor 'old.b' has shape \(3,\)"),
        ({**GOOD, "bias": torch.full((2,), float("inf"))}, "the tensor 'old.b' holds numbers that are not finite"),
    ):
        with pytest.raises(BadInput, match=sentence):
            load_into(nn.Linear(3, 2), tensors, "f", sources)
