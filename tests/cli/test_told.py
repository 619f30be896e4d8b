"""What the command tells of its own decisions, and of parts of a command that have no effect."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from zsir import operators
from zsir.pictures import read, write

QUICK = ("--prior", "gaussian", "--nfe", 2)


@pytest.fixture
def photo(folder: Path) -> Image.Image:
    """A window of 96x96 of the demo photograph, as ``photo.jpg`` of quality 40 and as ``photo.png``."""
    with Image.open(str(files("zsir") / "assets" / "demo.png")) as image:
        made = image.convert("RGB").crop((60, 60, 156, 156))
    made.save("photo.jpg", quality=40)
    made.save("photo.png")
    return made


def entry_of(record: str) -> dict[str, object]:
    (entry,) = json.loads(Path(record).read_text())["results"]
    assert isinstance(entry, dict)
    return entry


def test_the_record_says_what_was_decided(run: Run, photo: Image.Image) -> None:
    done = run("solve", "photo.jpg", *QUICK, "-o", "x.png", "--record", "x.json", "--force")
    entry = entry_of("x.json")
    assert done.code == 0 and f'Restored as --op "{entry["op_found"]}"' in done.err
    assert str(entry["op_found"]).split(" | ")[-1] == "jpeg"
    assert "noise_estimated" not in entry and "by auto" not in done.out


def test_the_record_of_a_blur_says_its_width(run: Run, photo: Image.Image) -> None:
    soft = operators.make("blur:sigma=2,boundary=reflect", in_shape=(3, 96, 96)).forward(read("photo.png").pixels)
    write("soft.png", soft)
    run("solve", "soft.png", *QUICK, "-o", "x.png", "--record", "x.json", "--force", "-q")
    name, _, width = str(entry_of("x.json")["op_found"]).partition("=")
    assert name == "blur:sigma" and abs(float(width) - 2) < 0.4


def test_a_picture_that_stays_is_called_unchanged(run: Run, photo: Image.Image) -> None:
    rows, columns = np.mgrid[0:64, 0:64]
    drawn = np.where((rows - 32) ** 2 + (columns - 32) ** 2 < 400, 255, 0).astype(np.uint8)
    Image.fromarray(drawn).save("drawn.png")
    done = run("solve", "drawn.png", *QUICK, "-o", "x.png", "--record", "x.json")
    assert done.code == 0 and "(unchanged)" in done.out and "by auto" not in done.out
    entry = entry_of("x.json")
    assert entry["op_found"] == "identity" and "noise_estimated" not in entry


@pytest.mark.parametrize(
    ("name", "op", "sentence"),
    [
        ("photo.jpg", "jpeg:q=75", "holds quality 40 4:2:0 and is taken as that; 'jpeg:q=75' has no effect"),
        ("photo.jpg", "blur:sigma=1 | jpeg:q=75", "'jpeg:q=75' has no effect"),
        ("photo.jpg", "jpeg:q=40", ""),
        ("photo.jpg", "jpeg", ""),
        ("photo.png", "jpeg", "is no JPEG file, so jpeg has no effect"),
    ],
)
def test_a_stage_without_effect_is_named(run: Run, photo: Image.Image, name: str, op: str, sentence: str) -> None:
    done = run("solve", "--op", op, *QUICK, "--noise", "0.02", name, "-o", "x.png", "--force")
    assert done.code == 0, done.err
    assert sentence in done.err if sentence else "no effect" not in done.err


def test_ignored_codes_need_no_quality(run: Run, photo: Image.Image) -> None:
    done = run("solve", "--op", "jpeg:q=40", "--ignore-jpeg", *QUICK, "photo.jpg", "-o", "x.png", "--force")
    assert done.code == 0 and "no effect with --ignore-jpeg" in done.err


@pytest.mark.parametrize("name", ["my,mask.png", "my|mask.png", " mask.png"])
def test_a_mask_that_no_spec_can_name(run: Run, photo: Image.Image, name: str) -> None:
    Image.new("L", (96, 96), 255).save(name)
    done = run("solve", "--mask", name, *QUICK, "photo.png")
    assert done.code == 2 and "rename the file" in done.message


def test_help_says_what_is_done(run: Run, folder: Path) -> None:
    told = " ".join(run("solve", "--help").out.split())
    assert "hqs:nfe=8 for --op auto without --nfe" in told
    assert "worse than its observation or does not fit it is not written" in told
    assert "of several files with different faults it is 1" in told
    assert "what wild draws if --op states none" in " ".join(run("degrade", "--help").out.split())


def test_a_batch_with_different_faults_ends_with_1(run: Run, photo: Image.Image) -> None:
    Path("broken.png").write_text("no picture")
    bad = ("--op", "blur:sigma=4", "--noise", 0, "--nfe", 2, "--prior", "gaussian")
    assert run("solve", *bad, "photo.png", "-o", "out", "-q").code == 3
    photo.save("other.png")
    assert run("solve", *bad, "photo.png", "other.png", "-o", "out", "-q").code == 3
    assert run("solve", *bad, "photo.png", "broken.png", "-o", "out", "-q").code == 1


@pytest.mark.parametrize(("arguments", "sampler"), [((), "hqs"), (("--nfe", 4), "cm4ir")])
def test_default_samplers_of_auto(run: Run, photo: Image.Image, arguments: tuple[object, ...], sampler: str) -> None:
    run("solve", "photo.jpg", "--prior", "gaussian", *arguments, "-o", "x.png", "--record", "x.json", "--force", "-q")
    settings = entry_of("x.json")["settings"]
    assert isinstance(settings, dict) and str(settings["sampler"]).startswith(sampler)
