"""A run that goes on: with the same files behind its specs, or not at all; what it finds in its folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.cli.conftest import run as run
from zsir import priors
from zsir.experiments.manifest import RunFolder

ONE = ("--set", "data.pictures=2", "--set", "method.0.sampler=cm4ir:nfe=1", "--set", "task=[{op='identity'}]")


def save_kernel(path: Path, width: int) -> None:
    np.save(path, np.pad(np.ones((width, width)), (5 - width) // 2))


def test_another_file_of_the_same_name_is_refused(run: Run, tiny: Path):
    (tiny / "k").mkdir()
    save_kernel(tiny / "k" / "k.npy", 3)
    blurred = (*ONE, "--set", "task.0.op=kernel:path=k/k.npy,boundary=circular")
    assert run("run", "tiny.toml", "-o", "r", *blurred).code == 0
    before = RunFolder(tiny / "r").records()
    assert run("run", "tiny.toml", "-o", "r", *blurred).code == 0 == run("run", "r/spec.toml", "-o", "r").code
    save_kernel(tiny / "k" / "k.npy", 5)
    done = run("run", "tiny.toml", "-o", "r", *blurred)
    assert (
        done.code == 1 and "r holds the run of another spec: the file k/k.npy is another one (SHA-256" in done.message
    )
    done = run("run", "r/spec.toml", "-o", "r")
    assert done.code == 2 and "[digests] k/k.npy: the file is not the one" in done.message
    assert RunFolder(tiny / "r").records() == before
    (tiny / "k" / "k.npy").unlink()
    done = run("run", "tiny.toml", "-o", "new", *blurred)
    assert done.code == 1 and "operator kernel:path=k/k.npy" in done.message and not (tiny / "new").exists()


def test_a_folder_of_weights_is_known_by_what_it_holds(tiny: Path):
    from zsir.experiments.named_files import digests

    (tiny / "w" / "unet").mkdir(parents=True)
    (tiny / "w" / "unet" / "net.bin").write_bytes(b"1")
    first = digests({"w": "prior folder:path=w", "gone": "prior folder:path=gone"}, {})
    assert list(first) == ["w"] and digests({"w": ""}, first) == first
    (tiny / "w" / "unet" / "net.bin").write_bytes(b"2")
    second = digests({"w": ""}, {})
    (tiny / "w" / "unet" / "net.bin").rename(tiny / "w" / "unet" / "other.bin")
    assert len({first["w"], second["w"], digests({"w": ""}, {})["w"]}) == 3


def test_other_weights_under_the_same_name_are_refused(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    one = (*ONE, "--set", "method.0.prior=photo")
    assert run("run", "tiny.toml", "-o", "r", *one).code == 0
    manifest = tiny / "r" / "manifest.0.jsonl"
    first, _ = manifest.read_text().splitlines()
    manifest.write_text(first + "\n")
    photo, known = priors.load("photo"), json.loads(first)["fingerprint"]
    assert isinstance(photo, priors.NetworkPrior)
    other = replace(photo, fingerprint="f" * 64)
    monkeypatch.setattr(priors, "load", lambda spec: other)
    done = run("run", "tiny.toml", "-o", "r", *one)
    assert done.code == 1 and manifest.read_text() == first + "\n"
    assert done.message.startswith("The prior photo has other weights (SHA-256 fff") and known in done.message
    monkeypatch.undo()
    monkeypatch.chdir(tiny)
    assert run("run", "tiny.toml", "-o", "r", *one).code == 0 and len(RunFolder(tiny / "r").records()) == 2


HASH = "# spec hash 0\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "r/spec.toml is not the spec of a run but a file of your own; choose another folder as --out."),
        ("", "r/spec.toml is not the spec of a run but a file of your own; choose another folder as --out."),
        (HASH, "r/spec.toml is not as 'zsir run' wrote it (The spec has no [data];"),
        (HASH + "[data]\nfolder='a'\n[[task]]\nop='sr2x'\n[[method]]\nsampler='hqs'\n", "not as 'zsir run' wrote it"),
    ],
)
def test_a_spec_in_the_folder_that_no_run_wrote(run: Run, tiny: Path, text: str | None, words: str):
    (tiny / "r").mkdir()
    own = (tiny / "tiny.toml").read_text() if text is None else text
    (tiny / "r" / "spec.toml").write_text(own)
    done = run("run", "tiny.toml", "-o", "r")
    assert done.code == 1 and words in done.message
    assert (tiny / "r" / "spec.toml").read_text() == own and len(list((tiny / "r").glob("[!.]*"))) == 1


@pytest.mark.parametrize("line", ["{}", "3", "[]", '{"cell": "c", "picture": "p", "sample": 0, "status": "ok"}'])
def test_lines_that_are_no_records(run: Run, tiny: Path, line: str):
    assert run("run", "tiny.toml", "-o", "r", *ONE).code == 0
    manifest = tiny / "r" / "manifest.0.jsonl"
    manifest.write_text(manifest.read_text() + line + "\n")
    for command in (("run", "tiny.toml", "-o", "r", *ONE), ("report", "r")):
        done = run(*command)
        assert done.code == 1 and "r/manifest.0.jsonl: line 3 is damaged; delete it" in done.message


def test_sessions_that_are_none(run: Run, tiny: Path):
    assert run("run", "tiny.toml", "-o", "r", *ONE).code == 0
    sessions = tiny / "r" / "sessions.jsonl"
    sessions.write_text("[1]\n3\n" + sessions.read_text())
    assert run("report", "r").code == 0 and len(RunFolder(tiny / "r").sessions()) == 1
