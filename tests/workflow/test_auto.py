"""``auto``: what a picture has been through is found out, and what needs nothing stays as it is."""

from __future__ import annotations

import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zsir
from zsir import metrics, operators
from zsir.errors import BadSpec
from zsir.inspection import Hypothesis
from zsir.workflow.auto import _Hidden, _prediction, decide
from zsir.workflow.method import load_method
from zsir.workflow.pose import pose


@pytest.fixture(autouse=True)
def quiet():
    """What is believed is said as a warning; the tests look at it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zsir.PictureWarning)
        yield


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    with Image.open(str(files("zsir") / "assets" / "demo.png")) as image:
        x = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255).permute(2, 0, 1)[None]
    return x[..., :192, :192].contiguous()


def saved(path: Path, x: Tensor, **options: Any) -> Path:
    Image.fromarray((255 * x[0].clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()).save(path, **options)
    return path


def blurred(x: Tensor, sigma: float) -> Tensor:
    return operators.make(f"blur:sigma={sigma}", in_shape=(x.shape[1], x.shape[2], x.shape[3])).forward(x)


def test_a_clean_photograph_comes_back_bit_for_bit(photograph, tmp_path):
    path = saved(tmp_path / "clean.png", photograph)
    result = zsir.restore(path)
    assert torch.equal(result.x, zsir.read(path).pixels) and result.stats.nfe == 0
    assert any("needs nothing" in sentence for sentence in result.verdict)
    result.save(tmp_path / "same.png")
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(tmp_path / "same.png")))


def test_a_screenshot_comes_back_bit_for_bit(tmp_path):
    page = np.full((160, 200, 3), 255, np.uint8)
    page[:24], page[40:60:3, 10:120], page[100:130, 60:90] = (40, 60, 120), (20, 20, 20), (200, 30, 30)
    Image.fromarray(page).save(tmp_path / "page.png")
    result = zsir.restore(tmp_path / "page.png")
    assert np.array_equal(np.rint(255 * result.numpy()).astype(np.uint8), page)


@pytest.mark.slow
def test_a_blurred_photograph_is_sharpened(photograph, tmp_path):
    path = saved(tmp_path / "blurred.png", blurred(photograph, 1.4))
    decision = decide(zsir.read(path), load_method("auto"))
    assert decision.op.startswith("blur:sigma=1.") and "blurred" in decision.sentences[0]
    result = zsir.restore(path)
    assert metrics.psnr(result.x, photograph) > metrics.psnr(zsir.read(path).pixels, photograph) + 1.5


def test_hidden_pixels_tell_the_width(photograph):
    y = blurred(photograph, 1.4)[..., 32:128, 32:128].contiguous()
    method = load_method("auto")
    error = {s: _prediction(y, Hypothesis(f"blur:sigma={s}", 1 / 255, 1.0), 1 / 255, method) for s in (1.0, 1.4, 1.8)}
    assert error[1.4] < 0.99 * min(error[1.0], error[1.8])


@pytest.mark.parametrize("op, found", [("disc:radius=3", "disc:radius=3."), ("blur:sigma=1.9", "blur:sigma=1.")])
def test_a_disc_behind_jpeg(photograph, tmp_path, op, found):
    """The codes hide its zeros, and its spectrum is as good as that of a Gaussian; the hidden pixels know better."""
    y = operators.make(op, in_shape=(3, 192, 192)).forward(photograph)
    path = saved(tmp_path / "soft.jpg", y, quality=85)
    assert zsir.inspect(path).spec.startswith("blur:sigma=1.")
    assert decide(zsir.read(path), load_method("auto")).op.startswith(found)


def test_a_step_with_hidden_pixels_does_not_look_at_them():
    """It is the step of the whole operator for data whose hidden pixels are those of z; and M A has its adjoint."""
    whole = operators.make("blur:sigma=0.8", in_shape=(2, 9, 14))
    shown = torch.arange(9 * 14).reshape(9, 14) % 5 > 0
    op = _Hidden(whole, shown)
    x, y, z = torch.randn(3, 1, 2, 9, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert abs(float((op.forward(x) * y).sum() - (x * op.adjoint(y)).sum())) < 1e-12
    assert torch.equal(op.prox(z, y, 0.1), op.prox(z, torch.where(shown, y, x), 0.1))
    filled = torch.where(shown, y, whole.forward(z))
    assert torch.equal(op.prox(z, y, 0.1), whole.prox(z, filled, 0.1))
    assert op.out_shape == (2, 9, 14) and op.in_shape == (2, 9, 14)


@pytest.mark.slow
def test_a_jpeg_is_solved_by_its_codes(photograph, tmp_path):
    path = saved(tmp_path / "coarse.jpg", photograph, quality=30)
    assert decide(zsir.read(path), load_method("auto")).op == "jpeg"
    result = zsir.restore(path)
    assert metrics.psnr(result.x, photograph) > metrics.psnr(zsir.read(path).pixels, photograph) + 0.5
    assert result.settings["op"] == "auto" and "JpegOperator" in result.provenance["operator"]


def test_scratches_are_found_and_filled(photograph, tmp_path):
    damaged = photograph.clone()
    damaged[..., 60:63, 20:150] = 1
    path = saved(tmp_path / "scratched.png", damaged)
    result = zsir.restore(path)
    assert any("scratches" in sentence for sentence in result.verdict)
    assert metrics.psnr(result.x, photograph) > metrics.psnr(zsir.read(path).pixels, photograph) + 3


@pytest.mark.parametrize("pixels", [torch.full((3, 1, 1), 0.5), torch.full((3, 40, 40), 0.25), torch.rand(1, 9, 9)])
def test_what_says_nothing_stays(pixels):
    result = zsir.restore(pixels)
    assert torch.equal(result.x[0], pixels) and result.verdict


def test_only_a_restoration_is_decided(photograph, tmp_path):
    path = saved(tmp_path / "some.png", photograph)
    with pytest.raises(BadSpec, match="zsir inspect"):
        pose(zsir.read(path), load_method("auto"))


def test_auto_is_for_real_pictures(photograph):
    with pytest.raises(BadSpec, match="real pictures"):
        zsir.restore(photograph[0], "auto", simulate=True)
