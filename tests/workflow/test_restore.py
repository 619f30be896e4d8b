"""`zsir.restore`: the command's result, whatever the picture comes as, with everything that is known of it."""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zsir
from tests.cli.conftest import pattern
from zsir import operators, pictures, priors, samplers
from zsir.errors import BadInput, BadSpec, PictureWarning, ShapeError, UnknownName

FAST: dict[str, Any] = {"prior": "gaussian", "nfe": 1}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.png"
    Image.fromarray(pattern(19, 26)).save(path)
    return path


def test_one_line_is_what_the_command_does(run, folder):
    done = run("solve", "--op", "sr2x", "--noise", "0.02", "--prior", "gaussian", "--nfe", "2", "--seed", "3",
               "colour.png", "-o", "command.png", "--record", "r.json")  # fmt: skip
    assert done.code == 0, done.err
    result = zsir.restore("colour.png", "sr2x", noise=0.02, prior="gaussian", nfe=2, seed=3)
    result.save("python.png")
    assert Path("python.png").read_bytes() == Path("command.png").read_bytes()
    (entry,) = json.loads(Path("r.json").read_text())["results"]
    assert entry["provenance"] == result.provenance and entry["settings"] == result.settings
    assert entry["stats"]["residual"] == result.stats.residual == [result.residual]


def test_defaults_are_those_of_the_command():
    from zsir.cli.commands.solve import solve as command

    options = {option.name: option for option in command.params}
    renamed = {"seed": "seeds"}
    for name, parameter in inspect.signature(zsir.restore).parameters.items():
        if name in ("picture", "op", "callbacks"):
            continue
        default = options[renamed.get(name, name)].default
        shown = {"seed": "0"}.get(name, parameter.default)
        unset = default is None or repr(default).endswith("UNSET")
        assert not shown if unset else default == shown, name
    only_files = {
        "inputs",
        "again",
        "preset",
        "seeds",
        "output",
        "sheet",
        "record",
        "overwrite",
        "quiet",
        "op",
        "force",
        "mask",
    }
    assert options.keys() - only_files <= inspect.signature(zsir.restore).parameters.keys()


def test_every_kind_of_picture_is_the_same_picture(small):
    array = np.asarray(Image.open(small)).copy()
    floats = torch.from_numpy(array / np.float32(255))
    forms: dict[str, Any] = {
        "path": small,
        "text": str(small),
        "uint8 array": array,
        "float array": array / np.float32(255),
        "double array": (array / np.float32(255)).astype(np.float64),
        "uint16 array": (array.astype(np.uint16) * 257),
        "tensor": floats.permute(2, 0, 1),
        "uint8 tensor": torch.from_numpy(array).permute(2, 0, 1),
        "batch of one": floats.permute(2, 0, 1)[None],
        "pillow": Image.open(small),
        "picture": zsir.read(small),
    }
    expected = zsir.restore(small, "sr2x", noise=0.02, **FAST).x
    for name, form in forms.items():
        result = zsir.restore(form, "sr2x", noise=0.02, **FAST)
        assert torch.allclose(result.x, expected, rtol=0, atol=1e-6), name
        assert result.x.shape == (1, 3, 38, 52) and result.numpy().shape == (38, 52, 3)


def test_grey_and_transparency():
    grey = pattern(18, 23)[:, :, 0]
    result = zsir.restore(grey, "sr2x", noise=0.02, prior="photo", nfe=1)
    assert result.x.shape == (1, 1, 36, 46) and result.numpy().shape == (36, 46) and result.pil().mode == "L"
    assert result.provenance["prior"].startswith("Grey(photo")
    rgba = np.dstack([pattern(18, 23), np.full((18, 23), 128, np.uint8)])
    made = zsir.restore(rgba, "sr2x", noise=0.02, **FAST).pil()
    assert made.mode == "RGBA" and made.size == (46, 36) and np.asarray(made)[:, :, 3].min() == 128


def test_bits_of_the_source_are_kept(tmp_path):
    deep = pattern(16, 20).astype(np.uint16) * 257
    zsir.restore(deep, "identity", noise=0.02, **FAST).save(tmp_path / "deep.png")
    assert zsir.read(tmp_path / "deep.png").bits == 16
    zsir.restore(pattern(16, 20), "identity", noise=0.02, **FAST).save(tmp_path / "flat.png")
    assert zsir.read(tmp_path / "flat.png").bits == 8
    zsir.restore(deep[:, :, 0], "identity", noise=0.02, **FAST).save(tmp_path / "deep.tif")
    assert zsir.read(tmp_path / "deep.tif").bits == 16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zsir.restore(pattern(16, 20) / 255.0, "identity", noise=0.02, **FAST).save(tmp_path / "float.jpg")


def test_parts_made_by_hand(small):
    op = operators.make("sr2x", in_shape=(3, 38, 52))
    by_hand = zsir.restore(small, op, prior=priors.load("gaussian"), sampler=samplers.HQS(nfe=2), noise="5/255")
    by_spec = zsir.restore(small, "sr2x", prior="gaussian", sampler="hqs:nfe=2", noise=5 / 255)
    assert torch.equal(by_hand.x, by_spec.x)
    assert by_spec.settings["sampler"] == "hqs:nfe=2" and by_hand.settings["sampler"].startswith("HQS(")


def test_verdict_and_warnings():
    noisy = zsir.restore(pattern(64, 96), "identity", noise=0.2, simulate=True, **FAST).observation
    with pytest.warns(PictureWarning, match="more noisy than stated"):
        result = zsir.restore(noisy, "identity", noise=0.01, **FAST)
    assert result.doubt in result.verdict and "--noise auto" in result.doubt
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert zsir.restore(noisy, "identity", noise="auto", **FAST).verdict == ()
    found = zsir.restore(noisy, "identity", noise="auto", **FAST).provenance["noise_std"]
    assert found == pytest.approx(0.2, rel=0.25)


def test_what_is_warned_of_is_the_verdict(tmp_path):
    """One set of sentences: the verdict, and the warnings, which point at the caller's line."""
    clean = tmp_path / "clean.png"
    Image.fromarray(pattern(64, 96)).save(clean)
    noted, written = tmp_path / "noted.png", {"zsir:op": "identity", "zsir:noise": "0.1"}
    noisy = zsir.restore(clean, "identity", noise=0.1, simulate=True, **FAST).observation
    pictures.write(noted, noisy, text=written)
    for picture, noise in ((noted, 0.0), (noisy, 0.001), (noisy.mean(1, keepdim=True).expand(-1, 3, -1, -1), "auto")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = zsir.restore(picture, "identity", noise=noise, **FAST)
        assert result.verdict
        assert {w.filename for w in caught} == {__file__}
        assert [any(sentence in str(w.message) for sentence in result.verdict) for w in caught] == [True] * len(caught)
        assert len(caught) == len(result.verdict)


def test_draws_that_are_no_posterior_are_said():
    with pytest.warns(PictureWarning, match="does not draw from the posterior"):
        zsir.restore(pattern(16, 20), "sr2x", noise=0.05, prior="gaussian", samples=2, sampler="diffpir:nfe=2")


def test_a_result_shares_no_memory():
    result = zsir.restore(pattern(16, 20), "identity", noise=0.1, **FAST)
    result.numpy()[:] = 0
    assert float(result.x.mean()) > 0.1


def test_samples():
    result = zsir.restore(pattern(16, 20), "sr2x", noise=0.05, prior="gaussian", samples=3, nfe=4)
    assert result.spread is not None and result.spread.samples.shape == (3, 3, 32, 40)
    assert torch.equal(result.x, result.spread.mean)
    assert result.provenance["sampler"] == "mmps:nfe=4,inner=3"


def test_simulation_knows_the_truth():
    result = zsir.restore(pattern(20, 24), "blur:sigma=1", noise=0.02, simulate=True, **FAST)
    assert result.truth is not None and result.quality() is not None
    assert torch.equal(result.truth, pictures.as_picture(pattern(20, 24)).pixels)
    assert result.sheet().shape[1] == 3


WRONG: list[Any] = [
    ({"op": "sr9x"}, UnknownName, "sr9x"),
    ({"op": "blur:sigma=x"}, BadSpec, "x"),
    ({"op": "identity", "noise": 5}, BadSpec, "5/255"),
    ({"op": "identity", "noise": -0.1}, BadSpec, "not negative"),
    ({"op": "identity", "noise": float("nan")}, BadSpec, "not negative"),
    ({"op": "identity", "noise": "much"}, BadSpec, "number"),
    ({"op": "identity", "samples": 0}, BadSpec, "samples=0"),
    ({"op": "identity", "samples": 2.5}, BadSpec, "samples=2.5"),
    ({"op": "identity", "seed": -1}, BadSpec, "seed=-1"),
    ({"op": "identity", "size": (9, 9), "simulate": True}, BadSpec, "--size"),
    ({"op": "identity", "tile": 3}, BadSpec, "tile=3"),
    ({"op": "identity", "precision": "fp8"}, BadSpec, "fp8"),
    ({"op": "identity", "dtype": "float16"}, BadSpec, "float16"),
    ({"op": "identity", "device": "tpu"}, BadSpec, "tpu"),
    ({"op": "identity", "simulate": True, "noise": "auto"}, BadSpec, "stated"),
    ({"op": operators.make("sr2x", in_shape=(3, 8, 8))}, ShapeError, "observations of shape"),
]


@pytest.mark.parametrize(("arguments", "error", "word"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_arguments_are_one_sentence(arguments, error, word):
    with pytest.raises(error, match=word):
        zsir.restore(pattern(16, 20), prior="gaussian", **arguments)


NO_PICTURES: dict[str, Any] = {
    "missing file": ("nowhere.png", BadInput, "no such file"),
    "batch": (torch.zeros(2, 3, 8, 8), ShapeError, "once for each"),
    "channels first": (np.zeros((3, 8, 9), np.float32), ShapeError, "height, width, channels"),
    "channels last": (torch.zeros(8, 9, 3), ShapeError, "channels, height, width"),
    "integers": (np.zeros((8, 8), np.int64), BadInput, "int64"),
    "beyond the scale": (np.full((8, 8), 200.0), BadInput, "divide"),
    "not finite": (np.full((8, 8), np.nan), BadInput, "NaN"),
    "empty": (np.zeros((0, 8, 3)), ShapeError, "shape"),
    "a list": ([[0.0]], BadInput, "list"),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture(name):
    picture, error, word = NO_PICTURES[name]
    with pytest.raises(error, match=word):
        zsir.restore(picture, "identity", **FAST)
