"""Recorded runs of the published code, replayed through the public API in float64."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity.replay import LIMIT, REPLAYS, main, replay
from zsir.samplers.initial import median_fill

DATA = Path(__file__).parent / "data"


#: recordings agree to rounding, but where inputs are stored in float32 or a run begins near pure noise, which the toy
#: network amplifies
EXACT = {"cm4ir_sr4_noisy": 1e-12, "cm4ir_blur_noisy": 1e-12, "diffpir_mask": 1e-12, "rdmd_blur": 1e-12}


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.npz")))
def test_recording(name: str) -> None:
    assert replay(DATA / f"{name}.npz") < EXACT.get(name, LIMIT)


def test_every_method_is_recorded() -> None:
    assert {path.stem.partition("_")[0] for path in DATA.glob("*.npz")} == set(REPLAYS)


def test_median_fill_is_the_recorded_one() -> None:
    with np.load(DATA / "cm4ir_mask_noiseless.npz") as recording:
        y = torch.from_numpy(recording["y_image"])
        known = torch.from_numpy(recording["mask"]) == 1
        expected = torch.from_numpy(recording["init"]).double()
    assert (median_fill(y, known) - expected).abs().max() < 1e-6
    pair = median_fill(torch.cat([y, y.flip(1)]), known)
    assert torch.equal(pair[:1], median_fill(y, known))


def test_script_reports_a_changed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(DATA / "cm4ir_sr4_noisy.npz") as recording:
        arrays = dict(recording)
    meta = json.loads(str(arrays["meta"]))
    meta["gamma"] += 0.01
    np.savez(tmp_path / "changed.npz", **{**arrays, "meta": json.dumps(meta)})
    assert main([str(tmp_path / "changed.npz")]) == 1
    meta["method"] = "dps"
    np.savez(tmp_path / "other.npz", **{**arrays, "meta": json.dumps(meta)})
    assert main([str(tmp_path / "other.npz")]) == 1
    assert "no replay for method 'dps'" in capsys.readouterr().out


def test_script_runs_from_the_command_line() -> None:
    script = Path(__file__).parent / "replay.py"
    done = subprocess.run(
        [sys.executable, str(script), str(DATA / "cm4ir_blur_noisy.npz")], capture_output=True, text=True, check=True
    )
    name, error = done.stdout.split()
    assert name == "cm4ir_blur_noisy" and float(error) < 1e-12
