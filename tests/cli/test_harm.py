"""``zsir solve`` does not write what is worse than its observation, and mixes results with it as it is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zsir
from tests.cli.conftest import pattern
from zsir import pictures
from zsir.errors import BadSpec, ShapeError

FAST = ("--prior", "gaussian", "--nfe", "2")
#: a sharp picture that is taken for a blurred one
WRONG = ("solve", "--op", "blur:sigma=3", "--noise", "0.02", *FAST)


@pytest.fixture
def shots(folder: Path) -> Path:
    """A folder with a sharp picture of dots, which WRONG ruins, and a soft one, which it does not."""
    place = Path("shots")  # in the working folder
    place.mkdir()
    dots = np.full((60, 66, 3), 40, np.uint8)
    dots[4::9, 5::11] = 220
    Image.fromarray(dots).save(place / "dots.png")
    waves = torch.sin(torch.arange(60)[:, None] / 9) + torch.cos(torch.arange(66) / 7)
    noise = 0.02 * torch.randn(1, 3, 60, 66, generator=torch.Generator().manual_seed(0))
    pictures.write(place / "soft.png", 0.5 + 0.1 * waves + noise)
    return place


def test_it_is_not_written_and_the_others_go_on(run, shots):
    done = run(*WRONG, shots, "-o", "out", "--record", "r.json", "--seed", "0,1")
    assert done.code == 3 and sorted(p.name for p in Path("out").iterdir()) == ["soft_seed0.png", "soft_seed1.png"]
    refused = [line for line in done.err.splitlines() if "was not written; --force writes it" in line]
    assert len(refused) == 2 and all("dots.png: The result" in line for line in refused)
    assert done.err.splitlines()[-1] == "zsir: 1 of 2 failed: shots/dots.png"
    entries = json.loads(Path("r.json").read_text())["results"]
    assert [entry.get("refused", False) for entry in entries] == [True, True, False, False]
    assert all(("harm" in entry) == ("refused" in entry) for entry in entries)
    again = run("solve", "--again", "r.json", "-o", "again")
    assert again.code == 0 and again.err.count("was not written then and is not repeated") == 2
    assert len(list(Path("again").iterdir())) == 2


def test_force_writes_it_with_the_note(run, shots):
    done = run(*WRONG, shots / "dots.png", "-o", "a.png", "--force", "--record", "r.json")
    assert done.code == 0 and Path("a.png").exists()
    (entry,) = json.loads(Path("r.json").read_text())["results"]
    assert f"note: shots/dots.png: {entry['harm']}" in done.err and "refused" not in entry
    assert run("solve", "--again", "r.json", "-o", "again").code == 0


def test_a_record_of_refused_results_alone_cannot_be_repeated(run, shots):
    assert run(*WRONG, shots / "dots.png", "--record", "r.json", "-q").code == 3
    assert not (shots / "dots_restored.png").exists()
    assert "holds no result that was written" in run("solve", "--again", "r.json", "-o", "again").err.splitlines()[-1]


def test_another_failure_is_not_hidden(run, shots):
    (shots / "torn.png").write_bytes(b"no picture")
    assert run(*WRONG, shots, "-o", "out").code == 1


def test_strength_leads_from_the_observation_to_the_result(run, folder):
    task = ("solve", "--op", "blur:sigma=1", "--noise", "0.02", *FAST, "colour.png", "-q")
    for strength in ("0", "0.5", "1"):
        assert run(*task, "--strength", strength, "-o", f"s{strength}.png", "--record", f"{strength}.json").code == 0
    none, half, full = (np.asarray(Image.open(f"s{s}.png")).astype(int) for s in ("0", "0.5", "1"))
    assert np.array_equal(none, np.asarray(Image.open("colour.png")))
    assert np.abs(half - (none + full) / 2).max() <= 1 and np.abs(full - none).max() > 5
    again = run("solve", "--again", "0.5.json", "-o", "again")
    assert again.code == 0 and "the same file as recorded" in again.out


def test_no_strength_at_all_enlarges_by_bicubic_interpolation(run, folder):
    assert run("solve", "--op", "sr2x", *FAST, "--strength", "0", "other.png", "-o", "big.png", "-q").code == 0
    y = pictures.read("other.png").pixels
    pictures.write("bicubic.png", pictures.enlarge(y, (32, 48)))
    assert Path("big.png").read_bytes() == Path("bicubic.png").read_bytes()


def test_grain_comes_back(run, folder):
    noise = 0.05 * torch.randn(1, 3, 48, 56, generator=torch.Generator().manual_seed(0))
    pictures.write("noisy.png", torch.full((1, 3, 48, 56), 0.5) + noise)
    task = ("solve", "--op", "identity", "--noise", "0.05", *FAST, "noisy.png", "-q")
    for grain in ("0", "0.5", "1"):
        assert run(*task, "--grain", grain, "-o", f"g{grain}.png").code == 0
    without, half, whole = (pictures.read(f"g{g}.png").pixels.double().std() for g in ("0", "0.5", "1"))
    assert without < half < whole and 0.04 < float(whole) < 0.055
    done = run("solve", "--op", "sr2x", *FAST, "--grain", "0.5", "noisy.png", "-o", "x.png")
    assert done.code == 2 and "--grain 0.5 is for observations of the size of the result" in done.message


def test_a_protected_region_stays(run, folder):
    mask = np.zeros((22, 31), np.uint8)
    mask[4:15, 6:20] = 255
    mask[15:18, 6:20] = 128
    Image.fromarray(mask).save("keep.png")
    task = ("solve", "--op", "blur:sigma=1", "--noise", "0.02", *FAST, "colour.png", "-q")
    assert run(*task, "-o", "free.png").code == 0
    assert run(*task, "--protect", "keep.png", "-o", "kept.png", "--record", "r.json").code == 0
    before, free, kept = (np.asarray(Image.open(f"{n}.png")).astype(int) for n in ("colour", "free", "kept"))
    assert np.array_equal(kept[mask == 255], before[mask == 255])
    assert np.array_equal(kept[mask == 0], free[mask == 0])
    assert np.abs(kept - (before + free) / 2)[mask == 128].max() <= 1
    assert run("solve", "--again", "r.json", "-o", "again").code == 0
    Image.fromarray(255 - mask).save("keep.png")  # the record knows the mask by its digest
    assert "keep.png is not the file" in run("solve", "--again", "r.json", "-o", "more").message
    Image.fromarray(mask[1:]).save("small.png")
    assert "--protect small.png has 31x21 pixels" in run(*task, "--protect", "small.png", "-o", "x.png").message
    assert "no such file" in run(*task, "--protect", "nowhere.png", "-o", "x.png").message


def test_wrong_shares():
    for wrong in ({"strength": 1.5}, {"grain": -0.1}, {"strength": float("nan")}, {"grain": "much"}):
        with pytest.raises(BadSpec, match="from 0 to 1"):
            zsir.restore(pattern(16, 20), "identity", prior="gaussian", **wrong)
    with pytest.raises(ShapeError, match="mask of the size of the result"):
        zsir.restore(pattern(16, 20), "identity", prior="gaussian", noise=0.1, protect=np.zeros((9, 9), np.uint8))


def test_shares_are_checked_on_the_command_line(run, folder):
    for option in ("--strength", "--grain"):
        assert run("solve", "--op", "identity", *FAST, option, "2", "colour.png").code == 2
