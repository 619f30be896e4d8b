"""Methods that are told nothing, and the draws of ``wild`` in a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.runner import runner
from zsir import operators, pictures
from zsir.cli import main
from zsir.errors import BadInput, BadSpec
from zsir.experiments.grid import cells
from zsir.experiments.plan import make_plan
from zsir.experiments.spec import parse
from zsir.experiments.told_nothing import blind_methods, restorers
from zsir.experiments.told_nothing.restorers import RESTORERS, Restorer
from zsir.metrics import psnr
from zsir.rng import generator

TASK = [{"op": "wild"}]


def noisy(sigma: float, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.linspace(0.2, 0.8, 48).view(1, 1, 48, 1).expand(1, channels, 48, 57)
    return rows, (rows + sigma * torch.randn(rows.shape, generator=generator(0, 0, "test"))).clamp(0, 1)


@pytest.mark.parametrize("name", ["nlm", "tv", "wiener"])
@pytest.mark.parametrize("channels", [1, 3])
def test_classics_remove_noise(name: str, channels: int) -> None:
    x, y = noisy(0.05, channels)
    made = RESTORERS[name].restore(y)
    assert made.shape == y.shape and made.dtype == y.dtype
    # the Wiener filter undoes a blur that is not there
    assert psnr(made.clamp(0, 1), x) > psnr(y, x) + (3 if name != "wiener" else -3)
    assert torch.equal(made, RESTORERS[name].restore(y))


def test_the_level_is_the_noise() -> None:
    assert restorers.level(noisy(0.05)[1]) == pytest.approx(0.05, rel=0.05)
    assert restorers.level(noisy(0.0)[0]) == restorers.LEAST
    assert sum(restorers.DB2) == pytest.approx(0) and np.square(restorers.DB2).sum() == pytest.approx(1)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RESTORERS, "nlm", Restorer(restorers.nothing, 0, "no_such_package", "nothing-at-all"))
    with pytest.raises(BadInput, match="pip install nothing-at-all"):
        restorers.check("nlm")
    plan = make_plan("wild", ["data.pictures=1"])
    assert "nlm" not in {cell.restorer for cell in plan.cells} and "no_such_package" in " ".join(plan.left_out)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ({"restorer": "nml"}, "did you mean 'nlm'"),
        ({"restorer": "nlm", "sampler": "hqs"}, "does not use sampler"),
        ({"restorer": "nlm", "tile": 64}, "does not use tile"),
        ({"prior": "photo"}, "needs sampler"),
    ],
)
def test_bad_methods(method: dict[str, object], words: str) -> None:
    with pytest.raises(BadSpec, match=words):
        cells(parse({"data": {"folder": "demo"}, "task": TASK, "method": [method]}))


def test_joined_sets() -> None:
    plan = make_plan("wild", [])
    assert len(plan.pictures) == 39 and plan.spec.data.folder == "eval34+scikit-image"
    assert {picture.path.suffix for picture in plan.pictures} == {".png", ".jpg"}
    assert len(plan.pictures) * len(plan.spec.run.seeds) == 117


def test_a_run(tmp_path: Path) -> None:
    """Every picture and seed has its own draw, which its operator and the record's pictures agree on."""
    spec = tmp_path / "spec.toml"
    spec.write_text(
        '[data]\nfolder = "scikit-image"\npictures = 2\nsize = 32\n[[task]]\nop = "wild"\n'
        '[[method]]\nrestorer = "nothing"\n[[method]]\nrestorer = "tv"\n'
        "[run]\nseeds = [0, 1]\n",
        encoding="utf-8",
    )
    done = runner().invoke(main, ["run", str(spec), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in (tmp_path / "run" / "manifest.0.jsonl").read_text().splitlines()]
    assert len(records) == 8 and {record["method"] for record in records} == {"nothing", "tv"}
    for record in (record for record in records if record["method"] == "nothing"):
        truth, seen, made = (
            pictures.read(tmp_path / "run" / record["outputs"][key]).pixels for key in ("truth", "observed", "estimate")
        )
        spec_of_draw = f"wild:seed={record['seed']},number={record['index']}"
        operator = operators.make(spec_of_draw, in_shape=(truth.shape[1], 32, 32))
        assert isinstance(operator, operators.Traced)
        assert torch.equal(operator.trace.apply(truth), seen) and torch.equal(seen, made)
        assert record["metrics"]["psnr"] == pytest.approx(psnr(seen, truth), abs=1e-4)
    assert "| wild | 0 | nothing | 0 | 2 |" in (tmp_path / "run" / "table.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_kernels_are_found_for_the_blind_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blind_methods, "SIZE", 5)
    monkeypatch.setattr(blind_methods, "PRIOR", "gaussian")
    x = noisy(0.0)[0].clone()
    x[..., 10:30, 12:40] += 0.2
    y = operators.make("motion:length=5,angle=0", in_shape=(3, 48, 57)).forward(x)
    y = (y + 0.01 * torch.randn(y.shape, generator=generator(0, 0, "test"))).clamp(0, 1)
    by_edges, by_auto = (RESTORERS[name].restore(y) for name in ("kernel-edges", "kernel-auto"))
    assert by_edges.shape == by_auto.shape == y.shape
    assert psnr(by_auto, x) > psnr(y, x)
    assert not torch.equal(by_edges, by_auto)
