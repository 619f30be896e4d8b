"""``zsir solve --again RECORD``: a record alone repeats a run, or says what is not as it was."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TASK = ("--op", "sr2x", "--noise", "0.1", "--prior", "gaussian", "--sampler", "mmps:nfe=4", "--quiet")


def recorded(run, *more):
    done = run("solve", *TASK, "--record", "r.json", *more)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "more",
    [
        ("colour.png", "-o", "a.png"),
        ("colour.png", "-o", "a.png", "--seed", "4", "--dtype", "float64"),
        ("colour.png", "-o", "a.png", "--samples", "3"),
        ("colour.png", "-o", "a.png", "--simulate"),
        pytest.param(
            ("colour.png", "-o", "a.png", "--size", "61x43", "--tile", "16", "--ensemble"), marks=pytest.mark.slow
        ),
    ],
    ids=lambda more: " ".join(more[3:]) or "plain",
)
def test_it_repeats_what_was_done(run, folder, more):
    recorded(run, *more)
    done = run("solve", "--again", "r.json", "-o", "again")
    assert done.code == 0, done.err
    assert done.out.rstrip().endswith("the same file as recorded")
    assert Path("again/a.png").read_bytes() == Path("a.png").read_bytes()
    over = run("solve", "--again", "r.json")
    assert over.code == 1 and "a.png exists: add --overwrite" in over.err
    assert run("solve", "--again", "r.json", "--overwrite").code == 0


def test_many_results(run, folder):
    recorded(run, "colour.png", "other.png", "-o", "out", "--seed", "0,1")
    done = run("solve", "--again", "r.json", "-o", "again")
    assert done.code == 0 and done.out.count("the same file") == 4


def test_another_input_is_named(run, folder):
    recorded(run, "colour.png", "-o", "a.png")
    Path("colour.png").write_bytes(Path("other.png").read_bytes())
    done = run("solve", "--again", "r.json", "-o", "again")
    assert done.code == 1 and "colour.png is not the file that r.json was made from" in done.message
    Path("colour.png").unlink()
    assert "is not there" in run("solve", "--again", "r.json", "-o", "again").message


def test_another_kernel_is_named(run, folder):
    np.save("k.npy", np.ones((3, 3)))
    done = run("solve", "--op", "kernel:path=k.npy", "--noise", "0.02", "--prior", "gaussian", "--record", "r.json",
               "colour.png", "-o", "a.png")  # fmt: skip
    assert done.code == 0, done.err
    np.save("k.npy", np.ones((5, 5)))
    assert "k.npy is not the file" in run("solve", "--again", "r.json", "-o", "again").message


def edited(change):
    record = json.loads(Path("r.json").read_text())
    change(record["results"][0])
    Path("r.json").write_text(json.dumps(record))


def test_other_versions_are_a_note(run, folder):
    recorded(run, "colour.png", "-o", "a.png")
    edited(lambda entry: entry["provenance"]["versions"].update(torch="1.0"))
    done = run("solve", "--again", "r.json", "-o", "again")
    assert done.code == 0 and "was written with torch 1.0" in done.err


def test_other_weights_are_an_error(run, folder):
    done = run("solve", "--op", "sr2x", "--nfe", "1", "--record", "r.json", "colour.png", "-o", "a.png")
    assert done.code == 0, done.err
    edited(lambda entry: entry["provenance"].update(weights_sha256="0" * 64))
    assert "other weights" in run("solve", "--again", "r.json", "-o", "again").message


def test_a_result_that_is_not_the_same_is_said(run, folder):
    """It is an error, and never takes the place of the recorded file."""
    recorded(run, "colour.png", "-o", "a.png")
    edited(lambda entry: entry.update(output_sha256="0" * 64))
    before = Path("a.png").read_bytes()
    done = run("solve", "--again", "r.json", "-o", "again")
    assert done.code == 1 and "NOT the file that was recorded" in done.err and Path("again/a.png").exists()
    Path("a.png").write_bytes(before + b" ")
    done = run("solve", "--again", "r.json", "--overwrite")
    assert done.code == 1 and "was left as it is" in done.err
    assert Path("a.png").read_bytes() == before + b" "


def test_names_with_brackets_are_specs(run, folder):
    Image.fromarray(np.full((22, 31), 255, np.uint8)).save("m(1).png")
    done = run("solve", "--op", "mask-file:path=m(1).png", "--noise", "0.1", "--prior", "gaussian", "colour.png", "-o",
               "a.png", "--record", "r.json")  # fmt: skip
    assert done.code == 0, done.err
    assert run("solve", "--again", "r.json", "-o", "again").code == 0


def test_parts_made_by_hand_are_said(run, folder):
    recorded(run, "colour.png", "-o", "a.png")
    edited(lambda entry: entry["settings"].update(sampler="HQS(nfe=2)"))
    assert "it was made in Python" in run("solve", "--again", "r.json", "-o", "again").message


def test_what_the_command_reads_is_never_overwritten(run, folder):
    """Neither by a result nor by a record: the digests of a record are those of what was read."""
    Image.fromarray(np.full((22, 31), 255, np.uint8)).save("m.png")
    task = ("--op", "mask-file:path=m.png", "--prior", "gaussian", "colour.png", "--overwrite")
    for more in (("-o", "m.png"), ("-o", "a.png", "--record", "m.png")):
        done = run("solve", *task, *more)
        assert done.code == 2 and "m.png is an input" in done.message
    recorded(run, "colour.png", "-o", "a.png")
    (entry,) = json.loads(Path("r.json").read_text())["results"]
    assert entry["files"] == {"colour.png": hashlib.sha256(Path("colour.png").read_bytes()).hexdigest()}
    assert entry["output_sha256"] == hashlib.sha256(Path("a.png").read_bytes()).hexdigest()


@pytest.mark.parametrize("command", ["demo", "trace"])
def test_records_of_other_commands(run, folder, command):
    done = run("demo", "d") if command == "demo" else run("trace", *TASK, "colour.png", "-o", "d")
    assert done.code == 0, done.err
    again = run("solve", "--again", "d/record.json", "-o", "again")
    assert again.code == 0, again.err
    assert Path("again/restored.png").read_bytes() == Path("d/restored.png").read_bytes()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"results": [{"settings": {}, "files": {}, "output_sha256": ""}]}', "damaged"),
        ("{", "not a record"),
        ("[]", "not a record"),
        ('{"results": []}', "older zsir"),
        ('{"results": [{}]}', "older"),
    ],
)
def test_what_is_no_record(run, folder, text, word):
    Path("r.json").write_text(text)
    done = run("solve", "--again", "r.json")
    assert done.code == 1 and word in done.message


def test_it_stands_alone(run, folder):
    recorded(run, "colour.png", "-o", "a.png")
    for more in (("colour.png",), ("--op", "sr2x"), ("--seed", "0"), ("--sheet",), ("--noise", "auto")):
        done = run("solve", "--again", "r.json", *more)
        assert done.code == 2 and "give it alone" in done.message
    assert "writes into a folder" in run("solve", "--again", "r.json", "-o", "b.png").message
    assert run("solve", "--again", "none.json").code == 1
    assert "INPUT" in run("solve", "--op", "sr2x").message
    # without --op the picture is inspected; this one is too small to need anything
    assert "needs nothing" in run("solve", "colour.png", "--overwrite").message


@pytest.mark.slow
def test_a_decision_is_repeated(run, folder):
    with Image.open(str(files("zsir") / "assets" / "demo.png")) as image:
        clean = np.asarray(image.convert("RGB").crop((0, 0, 96, 96)), dtype=np.float64)
    noisy = clean + 12 * np.random.default_rng(0).standard_normal(clean.shape)
    Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save("noisy.png")
    done = run("solve", "noisy.png", "--prior", "gaussian", "-o", "auto.png", "--record", "r.json", "--force")
    assert done.code == 0 and "Restored as --op" in done.err
    (entry,) = json.loads(Path("r.json").read_text())["results"]
    assert entry["settings"]["op"] == "auto"
    assert f'Restored as --op "{entry["op_found"]}"' in done.err
    again = run("solve", "--again", "r.json", "--overwrite")
    assert again.code == 0 and "the same file as recorded" in again.out
