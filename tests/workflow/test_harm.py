"""Results that are worse than their observation are told, the cause with them; good ones are left alone."""

from __future__ import annotations

import io
import warnings
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zsir
from tests.cli.conftest import pattern
from zsir import operators, pictures
from zsir.errors import PictureWarning
from zsir.metrics.blocks import blockiness, has_blocks
from zsir.problem import Problem
from zsir.workflow.harm import harm, signs_of, unseen_power
from zsir.workflow.record import fit_in_words


def demo(side: int = 128) -> torch.Tensor:
    with as_file(files("zsir") / "assets" / "demo.png") as path:
        return pictures.read(path).pixels[..., 40 : 40 + side, 60 : 60 + side]


def rounded(y: torch.Tensor) -> torch.Tensor:
    return (255 * y.clamp(0, 1)).round() / 255


def jpeg(y: torch.Tensor, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    array = (255 * y.clamp(0, 1)[0].permute(1, 2, 0)).round().byte().numpy()
    Image.fromarray(array).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 255


def seen_through(op: str, x: torch.Tensor) -> torch.Tensor:
    return operators.make(op, in_shape=(x.shape[1], x.shape[2], x.shape[3])).forward(x)


def restored(y: torch.Tensor, op: str, noise: float) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zsir.restore(y, op, noise=noise, device="cpu")


def test_a_blurred_jpeg_with_too_little_noise():
    y = jpeg(seen_through("blur:sigma=1.2", demo()), 75)
    bad = restored(y, "blur:sigma=1.2", 0.0007)
    assert "coded as JPEG" in bad.harm and "--noise 0.02" in bad.harm and bad.harm in bad.verdict
    good = restored(y, "blur:sigma=1.2", 0.02)
    assert good.harm == "" == good.misfit
    assert zsir.metrics.psnr(good.x, demo()) > zsir.metrics.psnr(y, demo()) > zsir.metrics.psnr(bad.x, demo()) + 3


def test_noise_that_was_stated_too_low():
    noise = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    y = rounded(seen_through("motion:length=15,angle=0", demo()) + 5 / 255 * noise)
    text = restored(y, "motion:length=15,angle=0", 0.001).harm
    assert "more noise than the 0.001 that was taken" in text
    level = float(text.partition("--noise ")[2].rstrip("."))
    assert level == pytest.approx(5 / 255, rel=0.2)
    assert restored(y, "motion:length=15,angle=0", level).harm == ""


def test_a_border_that_is_assumed_to_go_on():
    y = rounded(seen_through("blur:sigma=3", demo(192))[..., 32:-32, 32:-32])
    text = restored(y, "blur:sigma=3,boundary=circular", 0.003).harm
    assert "along its border" in text and text.endswith("--op blur:sigma=3,boundary=unknown.")


def test_a_kernel_that_is_too_wide():
    y = rounded(seen_through("blur:sigma=1.5", demo()))
    text = restored(y, "blur:sigma=3", 0.004).harm
    assert "too wide" in text and "--op" in text
    assert restored(y, "blur:sigma=1.5", 0.004).harm == ""


GOOD = [
    ("blur:sigma=3", 0),
    ("sr4x", 0),
    *(
        pytest.param(op, level, marks=pytest.mark.slow)
        for op, level in [
            *(("identity", 10), ("blur:sigma=1.2", 2), ("motion:length=9,angle=0", 2), ("uniform:size=7", 0)),
            *(("sr2x", 5), ("mask:keep=0.3", 5)),
        ]
    ),
]


@pytest.mark.parametrize(("op", "level"), GOOD)
def test_what_is_right_is_left_alone(op, level):
    """Nothing that came through the operator with the noise that is told."""
    y = seen_through(op, demo())
    operator = operators.make(op, in_shape=(3, 128, 128))
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)) * level / 255
    noisy = operator.forward(demo()) + (noise * operator.forward(torch.ones_like(demo())) if "mask" in op else noise)
    assert restored(rounded(noisy), op, max(level / 255, 0.0012)).harm == ""


def test_simulations_and_small_pictures_are_not_judged():
    sharp = pattern(44, 60)
    assert restored(pictures.as_picture(sharp).pixels, "blur:sigma=2", 0.02).harm == ""
    bad = zsir.restore(demo(), "motion:length=15,angle=0", noise=0.001, simulate=True, device="cpu")
    assert bad.harm == ""


def test_the_power_of_what_is_hardly_seen():
    """White gradients have equal power everywhere; a checkerboard has all of it where a blur sees nothing."""
    operator = operators.make("blur:sigma=2,boundary=circular", in_shape=(1, 64, 96))
    rows, columns = torch.arange(64)[:, None], torch.arange(96)
    board = 0.5 + 0.4 * (1 - 2 * ((rows + columns) % 2)).float()[None, None]
    ramp = 0.5 + 0.4 * torch.sin(rows / 64 * 2 * torch.pi + 0 * columns)[None, None]
    assert unseen_power(operator, board) > 1000
    assert unseen_power(operator, ramp.float()) < 0.01
    assert unseen_power(operator, ramp + 0.2 * (board - 0.5)) > 2
    assert unseen_power(operators.make("mask:keep=0.5", in_shape=(1, 64, 96)), board) == 0
    assert unseen_power(operators.make("identity", in_shape=(1, 64, 96)), board) == 0
    # a factor in front of the operator changes nothing
    assert unseen_power(0.5 * operator, board) == pytest.approx(unseen_power(operator, board), rel=1e-3)


def test_signs_count_what_lies_outside():
    operator = operators.make("identity", in_shape=(1, 80, 80))
    x = torch.full((1, 1, 80, 80), 0.5)
    x[..., :10, :] = 1.2
    x[..., 40, 40] = 1.04
    found = signs_of(Problem(x.clamp(0, 1), operator, 0.01), x)
    assert found.outside == 10 / 80 and found.inside == 0 and found.edge == pytest.approx(800 / (80 * 80 - 60 * 60))
    assert not found.harmful  # nothing was magnified
    # low contrast: all within [0, 1], and still a checkerboard
    blur = operators.make("blur:sigma=2,boundary=circular", in_shape=(1, 80, 80))
    board = 0.5 + 0.1 * (1 - 2 * ((torch.arange(80)[:, None] + torch.arange(80)) % 2)).float()[None, None]
    text = harm(Problem(blur.forward(board), blur, 0.01), board)
    assert "times the power where the operator sees hardly anything" in text


def test_a_mask_that_means_the_opposite(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[20:32, 10:50] = 255  # white on the damage
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(255 - mask).save(tmp_path / "right.png")
    y = torch.where(torch.from_numpy(mask > 0), torch.tensor(1.0), demo(64))
    fast: dict[str, Any] = {"noise": 0.002, "prior": "gaussian", "nfe": 1}
    with pytest.warns(PictureWarning, match="invert=true"):
        assert "white on the damage" in zsir.restore(y, f"mask-file:path={tmp_path / 'mask.png'}", **fast).harm
    assert restored(y, f"mask-file:path={tmp_path / 'right.png'}", 0.002).harm == ""


def test_blocks_of_jpeg():
    soft = rounded(seen_through("blur:sigma=1.2", demo()))
    assert not has_blocks(soft) and has_blocks(jpeg(soft, 75))
    assert blockiness(soft[..., :31, :]) == 1.0
    assert blockiness(jpeg(soft, 50)[..., 3:, 5:]) > 1.2  # wherever the blocks begin


def test_python_warns_and_saves(tmp_path):
    y = jpeg(seen_through("blur:sigma=1.2", demo()), 75)
    with pytest.warns(PictureWarning, match="coded as JPEG") as caught:
        result = zsir.restore(y, "blur:sigma=1.2", noise=0.0007, device="cpu")
    assert {w.filename for w in caught} == {__file__} and len(caught) == len(result.verdict)
    result.save(tmp_path / "bad.png")
    assert (tmp_path / "bad.png").exists()


@pytest.mark.parametrize(
    ("residual", "noise", "words"),
    [
        (0.2, 0.02, "closer than its noise: detail may be noise"),
        (1.0, 0.02, "as the noise allows"),
        (2.5, 0.02, "roughly"),
        (0.2, 0.0012, "as the file allows"),
        (0.001, 0.0, "fits the observation"),
        (0.2, 0.0, "misses 20.0% of the observation"),
    ],
)
def test_the_residual_in_words(residual, noise, words):
    entry = {"stats": {"residual": [residual], "nfe": 8}, "provenance": {"noise_std": noise}}
    assert words in fit_in_words(entry)
    assert fit_in_words(entry | {"misfit": "x"}) == "contradicts the observation"
