"""Whatever goes wrong with one picture or metric is noted, and the work goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Run
from tests.cli.conftest import run as run
from zsir import pictures
from zsir.errors import SolveError, failure, out_of_memory
from zsir.experiments import engine
from zsir.experiments.manifest import RunFolder
from zsir.experiments.sets import load
from zsir.loop.solver import solve

ONE = ("--set", "method.0.sampler=cm4ir:nfe=1", "--set", "task=[{op='identity', noise=0.1}]")
ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError(ALLOCATOR), "There is not enough memory for a picture of this size; --set data.size=... cuts"),
        (MemoryError(), "There is not enough memory for a picture of this size; --set data.size=... cuts"),
        (RuntimeError("sizes do not match"), "internal error: RuntimeError: sizes do not match (please report"),
        (IndexError("of a plug-in"), "internal error: IndexError: of a plug-in (please report"),
    ],
)
@pytest.mark.parametrize("stage", ["solve", "load", "pictures.write"])
def test_one_picture_fails(
    run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch, stage: str, error: Exception, words: str
):
    write = pictures.write

    def sometimes(problem, prior, sampler, *, indices, **options):
        if 3 in indices:
            raise error
        return solve(problem, prior, sampler, indices=indices, **options)

    def reading(path, *rest):
        if path.name == "p3.png":
            raise error
        return load(path, *rest)

    def writing(path, *rest):
        if "003-p3" in path.name:
            raise error
        write(path, *rest)

    with monkeypatch.context() as patched:
        if stage != "pictures.write":
            patched.setattr(engine, stage, {"solve": sometimes, "load": reading}[stage])
        else:
            patched.setattr(pictures, "write", writing)
        done = run("run", "tiny.toml", "-o", "r", *ONE)
    assert done.code == 1, done.err
    first, last = done.err.splitlines()
    assert f" | p3: {words}" in first and last.startswith("zsir: 1 of 5 failed")
    found = {r["picture"]: r for r in RunFolder(tiny / "r").records()}
    assert [name for name, r in found.items() if r["status"] == "failed"] == ["p3"] and len(found) == 5
    assert found["p3"]["error"].startswith(words) and found["p3"]["metrics"] == found["p3"]["outputs"] == {}
    assert run("run", "tiny.toml", "-o", "r", *ONE).code == 0


def test_errors_as_failures(monkeypatch: pytest.MonkeyPatch):
    ours, bug = SolveError("It diverged."), ValueError("x")
    assert failure(ours) is ours and out_of_memory(bug) is None
    assert str(failure(torch.cuda.OutOfMemoryError("CUDA out of memory"))).endswith("this size; cut it into parts.")
    monkeypatch.setenv("ZSIR_DEBUG", "1")
    assert failure(ours) is ours and isinstance(failure(MemoryError()), SolveError)
    with pytest.raises(ValueError, match="x"):
        failure(bug)


def test_a_batch_that_fails_is_tried_picture_by_picture(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []

    def never(problem, *args, **options):
        sizes.append(len(problem.y))
        raise SolveError("It diverged.")

    monkeypatch.setattr(engine, "solve", never)
    assert run("run", "tiny.toml", "-o", "r", *ONE, "--set", "run.batch=5").code == 1
    assert sizes == [5, 1, 1, 1, 1, 1]


def test_a_metric_that_cannot_be_computed_is_left_out(run: Run, tiny: Path):
    for name in ("p1", "p3"):  # SSIM needs 11x11
        small = torch.rand(1, 3, 3, 5, generator=torch.Generator().manual_seed(1))
        pictures.write(tiny / "photos" / f"{name}.png", small)
    done = run("run", "tiny.toml", "-o", "r", *ONE)
    assert done.code == 0
    (note,) = done.err.splitlines()
    assert note.startswith("zsir: note: identity | noise 0.1 | cm4ir:nfe=1 | seed 0 | p1: no ssim: ")
    found = {r["picture"]: r for r in RunFolder(tiny / "r").records()}
    assert {r["status"] for r in found.values()} == {"ok"} and found["p0"]["unmeasured"] == {}
    for name in ("p1", "p3"):
        assert found[name]["metrics"]["ssim"] is None and found[name]["metrics"]["psnr"] > 10
        assert list(found[name]["unmeasured"]) == ["ssim"] and found[name]["unmeasured"]["ssim"] in note
        assert (tiny / "r" / found[name]["outputs"]["estimate"]).is_file()
    (row,) = json.loads((tiny / "r" / "table.json").read_text())["rows"]
    assert (row["metrics"]["psnr"]["n"], row["metrics"]["ssim"]["n"], row["failed"]) == (5, 3, 0)
    again = run("run", "tiny.toml", "-o", "r", *ONE)
    assert (again.code, again.err) == (0, "") and len(RunFolder(tiny / "r").records()) == 5
