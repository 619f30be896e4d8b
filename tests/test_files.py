"""What killed processes leave half-written, and whose it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zsir import files
from zsir.files import sweep, write_bytes


def test_only_what_dead_processes_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names: list[str] = []

    def note(self: Path, target: Path) -> Path:
        names.append(self.name)
        return target

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", note)
        write_bytes(tmp_path / "table.md", b"x")
    zsir, place, _, token = names[0].rsplit("-", 3)
    assert (zsir, len(place), len(files._place())) == (".zsir", 8, 8) and place == files._place()
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        left = {
            "own": names[0],
            "living": f".zsir-{place}-{living.pid}-{token}",
            "init": f".zsir-{place}-1-{token}",
            "elsewhere": f".zsir-{place[::-1]}x-{dead.pid}-{token}",
            "other": f".zsir-{dead.pid}-{token}",
            "dead": f".zsir-{place}-{dead.pid}-{token}",
        }
        for name in left.values():
            (tmp_path / "pictures" / "a" / name).write_bytes(b"half")
        sweep(tmp_path)
        living.communicate(b"\n")
    assert {path.name for path in tmp_path.rglob("*.part")} == {name for key, name in left.items() if key != "dead"}
