"""ST-LPIPS against values of the published implementation, on pictures that formulas make."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from zsir.errors import BadInput, BadSpec, ShapeError
from zsir.metrics import find, measure, stlpips

#: by the authors' stlpips_pytorch 0.0.2, torch 2.13.0 on a CPU; (height, width) -> comparison -> value
RECORDED = {
    (21, 21): {"grain": 0.0039059, "shift": 0.0033974, "negative": 0.2117184, "flat": 1.0599808},
    (37, 53): {"grain": 0.0010666, "shift": 0.0040595, "negative": 0.0957197, "flat": 1.1434171},
    (64, 96): {"grain": 0.0061669, "shift": 0.0037004, "negative": 0.0792017, "flat": 1.115822},
}


def grid(*sides):
    return torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in sides), indexing="ij")


def picture(height, width):
    k, i, j = grid(3, height, width)
    waves = torch.sin(0.31 * i + 0.17 * j + k) + torch.sin(0.05 * i * j / (1 + 0.1 * i) - 0.7 * k)
    return (0.5 + (waves + torch.cos(0.9 * j - 0.4 * i)) / 6)[None].float()


def grain(height, width):
    k, i, j = grid(3, height, width)
    return (torch.sin(12.9898 * i + 78.233 * j + 37.719 * k) * 43.7585).frac()[None].float()


def compared(size):
    """The true picture, and what it is compared with by name."""
    height, width = size
    wide = picture(height, width + 1)
    truth = wide[..., :-1]
    return truth, {
        "grain": (truth + 0.1 * grain(height, width)).clamp(0, 1),
        "shift": wide[..., 1:],
        "negative": 1 - truth,
        "flat": torch.full_like(truth, 0.5),
    }


@pytest.mark.parametrize("size", RECORDED, ids=str)
def test_values_of_the_published_implementation(size):
    truth, others = compared(size)
    x = torch.cat(list(others.values()))
    values = measure(["stlpips"], x, truth.expand_as(x))["stlpips"]
    assert values == pytest.approx(list(RECORDED[size].values()), abs=1e-6)


def test_each_picture_by_itself():
    truth, others = compared((37, 53))
    x = torch.cat([others["flat"], truth, others["shift"]])
    values = stlpips.stlpips(x, truth.expand_as(x))
    assert values == [stlpips.stlpips(x[k : k + 1], truth)[0] for k in range(3)]
    assert values[1] == 0
    assert values[0] > 100 * values[2]
    assert values == pytest.approx(stlpips.stlpips(truth.expand_as(x), x), abs=1e-7)


def test_grey_is_equal_channels_and_float64_is_read():
    truth, others = compared((24, 35))
    a, b = truth[:, :1], others["negative"][:, :1]
    expected = stlpips.stlpips(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1))
    assert stlpips.stlpips(a, b) == expected
    assert stlpips.stlpips(a.double(), b.double()) == expected
    assert expected[0] > 0.01


def test_crop_comes_first():
    truth, others = compared((37, 53))
    x = others["grain"]
    inner = stlpips.stlpips(x[..., 4:-4, 4:-4], truth[..., 4:-4, 4:-4])
    assert measure(["stlpips"], x, truth, crop=4)["stlpips"] == inner


def test_gradient_mode_and_inputs_stay_as_they_are():
    truth, others = compared((21, 30))
    x, y = truth.clone().requires_grad_(), others["grain"]
    assert isinstance(stlpips.stlpips(x, y)[0], float)
    assert torch.is_grad_enabled()
    assert torch.equal(x.detach(), truth)


def test_weights_from_a_file_or_a_wheel(tmp_path):
    truth, others = compared((21, 21))
    file = stlpips._installed()
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(file, f"{stlpips.PACKAGE}/{stlpips.MEMBER}")
    for path in (file, wheel):
        name = f"stlpips:path={path}"
        values = measure([name], others["flat"], truth)
        assert values[name] == pytest.approx([RECORDED[21, 21]["flat"]], abs=1e-6)
        assert find(name).better == "lower"


@pytest.mark.slow
def test_the_package_is_not_imported():
    code = (
        "import sys, torch; from zsir.metrics import measure; x = torch.zeros(1, 3, 21, 21)\n"
        "assert measure(['stlpips'], x, x) == {'stlpips': [0.0]}\n"
        "print({'stlpips_pytorch', 'torchvision', 'pyiqa', 'PIL'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr


def test_missing_or_other_weights(tmp_path, monkeypatch):
    x = torch.zeros(1, 3, 21, 21)
    for content, message in ((b"abc", "is not the published alex_shift_tolerant.pth"), (None, "cannot be read")):
        file = tmp_path / "w.pth"
        file.unlink(missing_ok=True)
        if content:
            file.write_bytes(content)
        with pytest.raises(BadInput, match=f"w.pth {message}"):
            measure([f"stlpips:path={file}"], x, x)
    changed = bytearray(Path(stlpips._installed()).read_bytes())
    changed[-1] ^= 1
    (tmp_path / "changed.pth").write_bytes(changed)
    with pytest.raises(BadInput, match="SHA-256 differs"):
        measure([f"stlpips:path={tmp_path}/changed.pth"], x, x)
    wheel = tmp_path / "empty.whl"
    zipfile.ZipFile(wheel, "w").close()
    with pytest.raises(BadInput, match="does not hold stlpips_pytorch/weights"):
        measure([f"stlpips:path={wheel}"], x, x)
    wheel.write_bytes(b"no archive")
    with pytest.raises(BadInput, match="give the wheel of stlpips_pytorch"):
        measure([f"stlpips:path={wheel}"], x, x)
    monkeypatch.setattr(stlpips, "find_spec", lambda name: None)
    stlpips._weights.cache_clear()
    with pytest.raises(BadInput, match=r"pip install 'zsir\[metrics\]', or give stlpips:path=FILE"):
        measure(["stlpips"], x, x)


@pytest.mark.parametrize("name", ["stlpips:", "stlpips:net=vgg", "stlpips:path="])
def test_spec_that_is_not_understood(name):
    with pytest.raises(BadSpec, match="write stlpips or stlpips:path=FILE"):
        find(name)


def test_shapes():
    with pytest.raises(ShapeError, match=r"at least 21x21 pixels, got 3 channels of 40x20"):
        measure(["stlpips"], torch.zeros(1, 3, 20, 40), torch.zeros(1, 3, 20, 40))
    with pytest.raises(ShapeError, match="got 2 channels"):
        measure(["stlpips"], torch.zeros(1, 2, 30, 40), torch.zeros(1, 2, 30, 40))
