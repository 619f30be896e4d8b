"""Runs that are killed, and runs of several processes: the same bytes as one run of one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.conftest import content
from tests.runner import runner
from zsir import files
from zsir.cli import main
from zsir.errors import BadSpec
from zsir.experiments.grid import cells
from zsir.experiments.manifest import RunFolder
from zsir.experiments.observing import Item, remaining
from zsir.experiments.plan import make_plan
from zsir.experiments.workers import started_alone, worker

ROOT = Path(__file__).resolve().parents[2]


def python(*arguments: str, folder: Path, **environment: str) -> str:
    command = [sys.executable, *arguments]
    full = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=folder, env=full, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def whole(tiny: Path) -> dict[str, bytes]:
    """What a run of one process, never interrupted, ends with."""
    result = runner().invoke(main, ["run", "tiny.toml", "-o", "whole"])
    assert result.exit_code == 0, result.output
    return content(tiny / "whole")


@pytest.mark.slow
def test_killed_ten_times(tiny: Path, whole: dict[str, bytes]):
    killed, code = python("-m", "tests.experiments.forks", "kill", "tiny.toml", "r", folder=tiny).split()
    assert (int(killed), code) == (10, "0")
    progress = [int(line) for line in (tiny / "r.log").read_text().split()]
    assert progress == sorted(progress) and 0 < progress[-1] < 45  # nothing lost, and not done before the last
    assert content(tiny / "r") == whole
    assert len(RunFolder(tiny / "r").records()) == 45  # nothing done twice
    assert not list((tiny / "r").rglob("*.part"))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_work(tiny: Path, whole: dict[str, bytes], count: int):
    out = python("-m", "tests.experiments.forks", "share", "tiny.toml", "r", str(count), folder=tiny)
    assert out.split() == ["0"] * count
    assert content(tiny / "r") == whole
    shares = [path.read_bytes().count(b"\n") for path in (tiny / "r").glob("manifest.*.jsonl")]
    assert len(shares) == count and sum(shares) == 45 and max(shares) - min(shares) <= 1


def test_what_other_processes_are_writing_stays(tiny: Path, whole: dict[str, bytes]):
    """The end of one process comes in the middle of the others' work."""
    place = files._place()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f".zsir-{place}-{os.getppid()}-00.part", f".zsir-{place}-{dead.pid}-00.part"):
        (tiny / "whole" / "truth" / name).write_bytes(b"half")
    assert runner().invoke(main, ["run", "tiny.toml", "-o", "whole"]).exit_code == 0
    assert [path.name for path in (tiny / "whole").rglob("*.part")] == [f".zsir-{place}-{os.getppid()}-00.part"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_accelerate_launch(tiny: Path, whole: dict[str, bytes], count: int):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = [*["--multi_gpu"] * (count > 1), "--num_processes", str(count), "--num_machines", "1"]
    options += ["--main_process_port", port, "--mixed_precision", "no", "--dynamo_backend", "no"]
    command = ["-m", "accelerate.commands.launch", *options, "-m", "zsir", "run", "tiny.toml", "-o", "r"]
    out = python(*command, folder=tiny, CUDA_VISIBLE_DEVICES="")
    assert "45 solves" in out and f"; {count} process(es) on cpu" in out
    assert out.count("r/table.md") == 1  # the first process speaks
    assert content(tiny / "r") == whole
    assert len(list((tiny / "r").glob("manifest.*.jsonl"))) == count


@pytest.mark.slow
def test_accelerate_starts_fewer_processes_than_it_was_asked_for(tiny: Path):
    options = ["--num_processes", "3", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    changes = ["--set", "data.pictures=1"]
    command = ["-m", "accelerate.commands.launch", *options, "-m", "zsir", "run", "tiny.toml", "-o", "r", *changes]
    full = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, *command], cwd=tiny, env=full, capture_output=True, text=True, check=True)
    assert "zsir: note: accelerate was asked for several processes and started one" in done.stderr
    assert "1 process(es)" in done.stdout


def test_a_launcher_that_started_one_process(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert started_alone({}) == started_alone({"MASTER_ADDR": "a"}) == started_alone({"ACCELERATE_USE_CPU": "1"}) == ""
    assert started_alone({"MASTER_ADDR": "a", "ACCELERATE_USE_CPU": "1", "WORLD_SIZE": "2"}) == ""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "False")
    done = runner().invoke(main, ["run", "tiny.toml", "-o", "r", "--set", "data.pictures=1", "-q"])
    assert (
        done.exit_code == 0
        and done.stderr.startswith("zsir: note: accelerate was asked")
        and "--multi_gpu" in done.stderr
    )
    assert "accelerate launch --multi_gpu" in " ".join(runner().invoke(main, ["run", "--help"]).stdout.split())


def test_shares(tiny: Path):
    plan = make_plan("tiny.toml")
    items = [Item(cell, picture) for cell in cells(plan.spec) for picture in plan.pictures]
    done = {items[4].key}
    shares = [remaining(items, worker({"RANK": str(r), "WORLD_SIZE": "4"}).mine, done) for r in range(4)]
    assert sorted(item.key for share in shares for item in share) == sorted(i.key for i in items if i.key not in done)


@pytest.mark.parametrize(
    ("environment", "words"),
    [({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 of WORLD_SIZE=2"), ({"RANK": "x"}, "RANK=x must be a whole number")],
)
def test_wrong_environments(environment, words):
    with pytest.raises(BadSpec, match=words):
        worker(environment)


def test_workers():
    assert (worker({}).rank, worker({}).count, worker({}).launched) == (0, 1, False)
    launched = worker({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost"})
    assert (launched.rank, launched.local, launched.launched) == (1, 1, True)
