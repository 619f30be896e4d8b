"""One damaged tensor in a checkpoint of each family: the error is one sentence that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.nets.adm_reference import Plan, randomised
from zsir.errors import BadInput
from zsir.priors import load
from zsir.priors.checkpoints.irsde.nafnet import ConditionalNAFNet
from zsir.priors.checkpoints.irsde.networks import ConditionalUNet
from zsir.priors.checkpoints.tensors import metadata
from zsir.priors.denoisers.drunet import DRUNet
from zsir.priors.denoisers.ffdnet import FFDNet
from zsir.priors.embedded import NOTES

#: network, spec, every how many tensors one is damaged
FAMILIES: dict[str, tuple[Callable[[], nn.Module], str, int]] = {
    "adm": (
        lambda: randomised(Plan(mult=(1, 2), attention=(2,), head_width=16)), "adm:path={},config={}/config.json", 17
    ),
    "planar": (
        lambda: randomised(Plan(mult=(1, 1), attention=(1,), planar=True, outputs=3, scale_shift=False, updown=False)),
        "adm:path={},config={}/config.json",
        19,
    ),
    "irsde-unet": (lambda: ConditionalUNet(3, 8, 2), "irsde-net:path={},max_sigma=50/255", 11),
    "irsde-nafnet": (lambda: ConditionalNAFNet(3, 8, 1, (1, 1), (1, 1)), "irsde-net:path={}", 11),
    "drunet": (lambda: DRUNet(3, (8, 12, 16), 1), "drunet:path={}", 3),
    "ffdnet": (lambda: FFDNet(3, 8, 4), "ffdnet:path={}", 2),
}  # fmt: skip

#: tensors that decide about the whole network, so that their damage may be seen at another one only
ENDS = {
    *(
        "input_blocks.0.0.weight",
        "time_embed.0.weight",
        "middle_block.0.in_layers.0.weight",
        "middle_block.1.qkv.weight",
    ),
    *("out.2.weight", "out.2.bias", "init_conv.weight", "final_conv.weight", "time_mlp.1.weight", "intro.weight"),
    *("downs.0.0.block1.proj.weight", "ending.weight", "m_head.weight", "m_tail.weight", "m_down1.0.res.0.weight"),
    *("m_body.0.res.0.weight", "model.0.weight", "model.0.bias", "model.6.weight", "model.6.bias"),
}

DAMAGES: dict[str, Callable[[Tensor], object]] = {
    "missing": lambda t: None,
    "scalar": lambda t: t.flatten()[0],
    "flat": lambda t: t.flatten() if t.ndim > 1 else t[None],
    "doubled": lambda t: torch.cat([t, t]),
    "halved": lambda t: t[: len(t) // 2].clone(),
    "empty": lambda t: t[:0].clone(),
    "no tensor": lambda t: 3,
    "not a number": lambda t: t * float("nan"),
    "float8": lambda t: t.to(torch.float8_e4m3fn),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_damaged_tensor_is_named(tmp_path: Path, family: str) -> None:
    make, spec, every = FAMILIES[family]
    whole, file = make().state_dict(), tmp_path / "net.pt"
    (tmp_path / "config.json").write_text(json.dumps({"num_head_channels": 16}))
    spec = spec.format(file, tmp_path)
    torch.save(whole, file)
    load(spec)
    names = list(whole)
    damages = list(DAMAGES.items())
    wrong = []
    for number, name in enumerate(names):
        if name not in ENDS and number % every:
            continue
        # every third damage at the ends, one after the other elsewhere: all of all take minutes
        for kind, damage in damages[number % 3 :: 3] if name in ENDS else [damages[number // every % len(damages)]]:
            changed = damage(whole[name])
            torch.save({k: v for k, v in {**whole, name: changed}.items() if v is not None}, file)
            try:
                load(spec)
                wrong.append(f"{name} {kind}: loads")
            except BadInput as error:
                text = str(error)
                if f"'{name}'" not in text or "\n" in text or "diffusers" in text:
                    wrong.append(f"{name} {kind}: {text}")
    assert not wrong


SPECIAL: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "float8": (lambda t: t.to(torch.float8_e5m2), "of dtype float8_e5m2"),
    "complex": (lambda t: t.to(torch.complex64), "of dtype complex64"),
    "sparse": (lambda t: t.to_sparse(), r"sparse \(float32\)"),
    "rows": (lambda t: t.to_sparse_csr(), r"sparse \(float32\)"),
    "quantised": (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), r"quantised \(qint8\)"),
    "meta": (lambda t: t.to("meta"), "without numbers"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", SPECIAL)
def test_tensors_that_are_no_plain_numbers(tmp_path: Path, kind: str) -> None:
    make, what = SPECIAL[kind]
    torch.save({"state_dict": {"a": torch.ones(1), "module.odd": make(torch.ones(2, 3))}}, tmp_path / "net.pt")
    with pytest.raises(BadInput, match=f"the tensor 'module.odd' is {what}.*save it as float32"):
        load(f"drunet:path={tmp_path / 'net.pt'}")


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_embedded_format(tmp_path: Path, kind: str) -> None:
    shipped = Path(str(files("zsir.priors") / "weights" / "photo.safetensors"))
    whole, notes = load_file(shipped), {NOTES: metadata(shipped)[NOTES]}
    changed = DAMAGES[kind](whole["reduce.0.bias"])
    tensors = {name: tensor for name, tensor in whole.items() if name != "reduce.0.bias"}
    if isinstance(changed, Tensor):
        tensors["reduce.0.bias"] = changed
    save_file(tensors, tmp_path / "net.safetensors", notes)
    with pytest.raises(BadInput, match=r"'reduce\.0\.bias'"):
        load(f"trained:path={tmp_path / 'net.safetensors'}")


ABOUT = {"kind": "denoiser", "sigma_range": [0.002, 1], "grey": False}
CONFIGS = ({"widths": 3}, {"widths": ["a"]}, {"widths": [8], "depth": 2})
WRONG = [json.dumps({**ABOUT, "config": config}) for config in CONFIGS]


@pytest.mark.parametrize("config", ["", "[]", "{", "{}", *WRONG])
def test_a_config_that_describes_nothing(tmp_path: Path, config: str) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "net.safetensors", {NOTES: config})
    with pytest.raises(BadInput, match="was not written by zsir train"):
        load(f"trained:path={tmp_path / 'net.safetensors'}")
