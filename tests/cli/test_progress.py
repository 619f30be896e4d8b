"""How long a long result will still take, where no bar can show it."""

from __future__ import annotations

import pytest
import torch

from zsir.cli import batch
from zsir.loop.solver import Event


def seen(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pace: float,
    quiet: bool = False,
    attempts: int = 1,
) -> str:
    """What is said of six steps that take ``pace`` seconds each."""
    now = [100.0]
    monkeypatch.setattr(batch, "monotonic", lambda: now[0])
    follow = batch.Batch([], quiet=quiet).follow("photo.png")
    for step in [*range(1, 7)] * attempts:
        # what comes before a first step, such as an inspection, takes its own time
        now[0] += pace if step > 1 else 1000.0
        follow(Event(step, 6, 0.1, torch.zeros(1)))
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_long_result_says_when_it_ends(monkeypatch, capsys):
    said = seen(monkeypatch, capsys, 30.0).splitlines()
    assert said[0] == "zsir: photo.png: step 2 of 6, about 2 min left"
    assert said[-1] == "zsir: photo.png: step 4 of 6, about 60 s left" and len(said) == 3
    assert seen(monkeypatch, capsys, 30.0, attempts=2).splitlines() == said * 2


def test_not_at_every_step(monkeypatch, capsys):
    """One line in 20 seconds, while at least a minute is left."""
    said = seen(monkeypatch, capsys, 19.0).splitlines()
    assert [line.partition(",")[0] for line in said] == ["zsir: photo.png: step 2 of 6"]


def test_a_short_result_and_a_quiet_one_say_nothing(monkeypatch, capsys):
    assert seen(monkeypatch, capsys, 0.5) == ""
    assert seen(monkeypatch, capsys, 60.0, quiet=True) == ""
