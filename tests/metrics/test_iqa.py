"""pyiqa's metrics, with a stand-in for pyiqa that has its interface."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from zsir.errors import BadInput, ShapeError, UnknownName
from zsir.metrics import find, iqa, measure


class Model:
    """A metric as pyiqa.create_metric makes it."""

    def __init__(self, name, device, as_loss):
        assert isinstance(device, torch.device)
        assert as_loss is False
        self.name = name
        self.metric_mode = {"lpips": "FR"}.get(name, "NR")
        self.lower_better = name in ("lpips", "niqe")

    def __call__(self, target, ref=None):
        assert target.dtype == torch.float32
        assert len(target) == 1
        torch.set_grad_enabled(False)  # as some versions of pyiqa do
        if self.name == "musiq" and min(target.shape[-2:]) < 16:
            raise AssertionError("too small\nand a second line")
        if self.name == "maps":
            return target
        if self.metric_mode == "FR":
            return (target - ref).abs().mean(dim=(1, 2, 3), keepdim=True)
        assert ref is None
        return target.mean(dim=(1, 2, 3))


@pytest.fixture
def pyiqa(monkeypatch):
    made: list[str] = []

    def create_metric(metric_name, as_loss=False, device=None):
        if metric_name == "dists":
            raise OSError("HTTP Error 404\nmore")
        made.append(metric_name)
        return Model(metric_name, device, as_loss)

    names = ["lpips", "niqe", "musiq", "maps", "dists", "fid", "inception_score"]
    module = ModuleType("pyiqa")
    module.__dict__.update(create_metric=create_metric, list_models=lambda: names, made=made)
    monkeypatch.setitem(sys.modules, "pyiqa", module)
    iqa._metric.cache_clear()
    yield module
    iqa._metric.cache_clear()


@pytest.fixture
def pair():
    x = torch.linspace(0, 1, 2 * 3 * 17 * 25, dtype=torch.float64).view(2, 3, 17, 25)
    return x, x.flip(0)


def test_values(pyiqa, pair):
    x, truth = pair
    values = measure(["pyiqa:lpips", "pyiqa:niqe", "psnr"], x, truth)
    assert list(values) == ["pyiqa:lpips", "pyiqa:niqe", "psnr"]
    assert values["pyiqa:lpips"] == pytest.approx((x - truth).abs().mean(dim=(1, 2, 3)).tolist(), abs=1e-6)
    assert values["pyiqa:niqe"] == pytest.approx(x.mean(dim=(1, 2, 3)).tolist(), abs=1e-6)
    assert torch.is_grad_enabled()


def test_no_truth_where_none_is_needed(pyiqa, pair):
    x, _ = pair
    cropped = measure(["pyiqa:niqe"], x, crop=3)["pyiqa:niqe"]
    assert cropped == pytest.approx(x[..., 3:-3, 3:-3].mean(dim=(1, 2, 3)).tolist(), abs=1e-6)
    with pytest.raises(BadInput, match="pyiqa:lpips compare with the true picture"):
        measure(["pyiqa:lpips"], x)


def test_networks_are_made_once(pyiqa, pair):
    for _ in range(3):
        measure(["pyiqa:niqe"], pair[0])
    assert pyiqa.made == ["niqe"]


def test_facts(pyiqa):
    assert (find("pyiqa:lpips").better, find("pyiqa:lpips").reference) == ("lower", True)
    assert (find("pyiqa:musiq").better, find("pyiqa:musiq").reference) == ("higher", False)


def test_refusals(pyiqa, pair):
    x, _ = pair
    with pytest.raises(UnknownName, match=r"no metric 'lpip'; did you mean pyiqa:lpips"):
        find("pyiqa:lpip")
    with pytest.raises(UnknownName, match=r"see pyiqa.list_models\(\)"):
        find("pyiqa:zzz")
    for name in ("fid", "inception_score"):
        with pytest.raises(BadInput, match=f"pyiqa:{name} compares sets of pictures"):
            find(f"pyiqa:{name}")
    with pytest.raises(BadInput, match=r"pyiqa:dists cannot be set up \(HTTP Error 404\).*downloaded.*TORCH_HOME"):
        find("pyiqa:dists")
    with pytest.raises(BadInput, match="gives 1275 numbers for a picture"):
        measure(["pyiqa:maps"], x)
    with pytest.raises(ShapeError, match=r"pyiqa:musiq fails on a picture of 3x15x23: too small$"):
        measure(["pyiqa:musiq"], x, crop=1)
    with pytest.raises(UnknownName, match="no metric 'pyiqa:'"):
        find("pyiqa:")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'pyiqa'", name="pyiqa"), "not installed; see zsir/metrics/README.md"),
        (ModuleNotFoundError("No module named 'timm'", name="timm"), r"cannot be imported \(No module named 'timm'\)"),
        (RuntimeError("operator torchvision::nms does not exist"), r"nms does not exist\): its torchvision must match"),
    ],
)
def test_pyiqa_that_is_missing_or_broken(error, message, monkeypatch):
    def fails(name):
        raise error

    monkeypatch.setattr(iqa, "import_module", fails)
    iqa._metric.cache_clear()
    with pytest.raises(BadInput, match=message):
        find("pyiqa:lpips")
