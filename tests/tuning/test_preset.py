"""The file between ``zsir tune`` and ``zsir solve``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from zsir.errors import BadInput, BadSpec, OutputError
from zsir.tuning import Preset

GOOD = Preset(
    op="blur:sigma=2", noise=5 / 255, prior="photo", sampler="hqs:first=0.1,nfe=8", tile=None,
    precision="float32", dtype="float32", goal="psnr", value=26.5,
    given="hqs:nfe=8", given_value=26.25, pictures=3, trials=40, weights_sha256="ab" * 32, zsir="0.1.0",
)  # fmt: skip


@pytest.mark.parametrize("preset", [GOOD, replace(GOOD, noise=None, goal="whiteness", tile=64)])
def test_what_is_written_is_read(tmp_path: Path, preset: Preset) -> None:
    path = tmp_path / "p.json"
    preset.write(path)
    assert Preset.read(path) == preset
    assert [p.name for p in tmp_path.iterdir()] == ["p.json"]


def test_it_cannot_be_written_into_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        GOOD.write(tmp_path / "none" / "p.json")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"preset": 2}, "no preset of this version"),
        ({"preset": None}, "no preset of this version"),
        ({"samplr": "hqs"}, "no entry 'samplr'; did you mean 'sampler'"),
        ({"op": None}, "entry 'op' of the preset is None, not str"),
        ({"noise": "5/255"}, "entry 'noise'.*not float"),
        ({"noise": 5.0}, "noise of the preset is 5.0"),
        ({"noise": float("nan")}, "noise of the preset is nan"),
        ({"trials": True}, "entry 'trials'"),
        ({"tile": 7}, "multiple of 8"),
        ({"tile": "64"}, "entry 'tile' of the preset is '64', not int"),
        ({"precision": "bf17"}, "precision=bf17"),
        ({"dtype": "float16"}, "dtype of the preset is 'float16'"),
        ({"preset": True}, "no preset of this version"),
        ({"sampler": "hsq"}, "no sampler 'hsq'.*did you mean 'hqs'"),
        ({"prior": "photo:x=1"}, "no option 'x'"),
        ({"op": "blur:sigma=a"}, "'a' is not a number"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, change: dict[str, object], text: str) -> None:
    path = tmp_path / "p.json"
    GOOD.write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadSpec, match=text) as caught:
        Preset.read(path)
    assert str(path) in str(caught.value)


def test_an_entry_that_is_missing_and_files_that_are_no_presets(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    GOOD.write(path)
    data = json.loads(path.read_text())
    del data["sampler"]
    path.write_text(json.dumps(data))
    with pytest.raises(BadSpec, match="lacks the entry 'sampler'"):
        Preset.read(path)
    for text in ("", "[1]", "[" * 100_000, "\x00", "sampler = 1"):
        path.write_text(text)
        with pytest.raises(BadSpec, match="no preset"):
            Preset.read(path)
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        Preset.read(tmp_path / "none.json")
    with pytest.raises(BadInput, match="cannot be read"):
        Preset.read(tmp_path)
