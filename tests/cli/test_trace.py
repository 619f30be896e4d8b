"""``zsir trace``: what it writes is what the loop's callbacks saw."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image

from zsir import operators, pictures, priors, samplers, solve
from zsir.capabilities import cut
from zsir.cli.commands.trace import kept_steps
from zsir.errors import OutputError
from zsir.loop.solver import Event
from zsir.pictures.curves import log_curves
from zsir.problem import Problem

FAST = ("--prior", "gaussian", "-q")


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_step_is_the_loop_s(run, folder):
    done = run(
        "trace", "--op", "blur:sigma=1", "--noise", "0.03", *FAST, "--nfe", 3, "--seed", 4, "colour.png", "-o", "t"
    )
    assert done.code == 0, done.err
    events: list[Event] = []
    y = pictures.read("colour.png").pixels
    blur = operators.make("blur:sigma=1,boundary=unknown", out_shape=(3, 22, 31))  # as of every file
    problem = Problem(y, blur, 0.03)
    solution = solve(problem, priors.load("gaussian"), samplers.make(nfe=3), seed=4, callbacks=[events.append])
    found = rows(folder / "t" / "trace.csv")
    assert list(found[0]) == ["step", "sigma", "residual", "change"] and found[0]["change"] == ""
    for row, event, before in zip(found, events, [None, *events], strict=False):
        assert float(row["sigma"]) == event.sigma
        assert float(row["residual"]) == problem.residual(event.x0)[0]
        if before is not None:
            assert float(row["change"]) == pytest.approx(float((event.x0 - before.x0).square().mean().sqrt()), rel=1e-5)
    assert len(found) == 3
    pictures.write("expected.png", cut(blur, solution.x))
    assert torch.equal(pictures.read("t/restored.png").pixels, pictures.read("expected.png").pixels)
    assert {p.name for p in (folder / "t").iterdir()} == {
        *("strip.png", "steps.gif", "trace.csv", "curves.svg", "restored.png", "record.json")
    }


def test_frames_and_simulation(run, folder):
    done = run(
        *("trace", "--op", "sr2x", *FAST, "--sampler", "hqs:nfe=9", "--simulate", "grey.png", "-o", "t"),
        *("--frames", 3, "--animation", "webp", "--duration", 40, "--device", "cpu", "--dtype", "float64"),
    )
    assert done.code == 0, done.err
    with Image.open(folder / "t" / "steps.webp") as film:
        assert film.n_frames == 3 and film.size == (24, 16)
        film.seek(2)
        last = torch.from_numpy(np.array(film.convert("L"))) / 255
    assert torch.allclose(last, pictures.read("t/restored.png").pixels[0, 0], atol=1e-6)
    found = rows(folder / "t" / "trace.csv")
    assert len(found) == 9 and float(found[-1]["psnr"]) > 15
    strip = pictures.read(folder / "t" / "strip.png").pixels
    assert strip.shape[-2] == 26 + 16 + 8
    (entry,) = json.loads((folder / "t" / "record.json").read_text())["results"]
    assert (entry["provenance"]["dtype"], entry["provenance"]["device"]) == ("float64", "cpu")


def test_overwriting_is_asked_for(run, folder):
    task = ("trace", "--op", "identity", "--noise", "0.1", *FAST, "--nfe", 1, "--size", "24x16", "other.png", "-o", "t")
    assert run(*task).code == 0
    assert "add --overwrite" in run(*task).message
    assert run(*task, "--overwrite").code == 0
    (folder / "t" / "restored.png").rename(folder / "t" / "strip.png")
    again = run("trace", "--op", "identity", *FAST, "t/strip.png", "-o", "t", "--overwrite")
    assert again.code == 2 and "is an input or a result already" in again.message


def test_a_misfit_is_told(run, folder):
    sharp = torch.full((1, 3, 48, 60), 0.1)
    sharp[..., 12:36, 14:44] = 0.9
    pictures.write("rough.png", sharp)
    done = run("trace", "--op", "blur:sigma=3", *FAST, "--noise", "0.01", "rough.png", "-o", "t")
    assert done.code == 0 and done.message.startswith("note: rough.png: The result has")


def test_wrappers_are_those_of_solve(run, folder):
    task = ("--op", "sr2x", "--noise", "0.02", "--nfe", 1, "-q", "colour.png")
    wrapped = (*task, "--tile", 32, "--precision", "bf16")
    assert run("trace", *wrapped, "-o", "t").code == 0 and run("trace", *task, "-o", "plain").code == 0
    assert run("solve", *wrapped, "-o", "s.png").code == 0
    traced, solved, plain = (pictures.read(name).pixels for name in ("t/restored.png", "s.png", "plain/restored.png"))
    assert torch.equal(traced, solved) and not torch.equal(traced, plain)
    (entry,) = json.loads((folder / "t" / "record.json").read_text())["results"]
    assert entry["provenance"]["prior"].startswith("Tiled(Cast(photo, dtype=torch.bfloat16), tile=32")
    wrong = run("trace", *task, "--tile", 30, "-o", "t2")
    assert wrong.code == 2 and "tile=30" in wrong.message


def test_mistakes(run, folder):
    assert "one picture" in run("trace", "--op", "sr2x", *FAST, ".", "-o", "t").message
    wrong = run("trace", "--op", "sr2x", *FAST, "--device", "tpu", "other.png", "-o", "t")
    assert wrong.code == 2 and "--device tpu" in wrong.message
    assert (
        "--size is for" in run("trace", "--op", "sr2x", "--simulate", "--size", "8x8", "other.png", "-o", "t").message
    )


def test_kept_steps():
    assert sorted(kept_steps(5, 24)) == [1, 2, 3, 4, 5]
    assert kept_steps(7, 1) == {7}
    assert sorted(kept_steps(1000, 3)) == [1, 500, 1000] or sorted(kept_steps(1000, 3)) == [1, 501, 1000]


def test_curves_are_drawn_to_scale():
    text = log_curves({"a & b": [1.0, 0.1, 0.0, 0.01]}, "step")
    root = ET.fromstring(text)
    (line,) = root.iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, p.split(","))) for p in (line.get("points") or "").split()]
    assert len(points) == 3  # zero has no logarithm
    (x0, y0), (x1, y1), (x3, y3) = points
    assert (
        x3 - x0 == pytest.approx(3 * (x1 - x0), abs=0.2)
        and y3 - y0 == pytest.approx(2 * (y1 - y0), abs=0.2)
        and y1 > y0
    )
    ET.fromstring(log_curves({"none": [0.0], "one": [2.0]}, "step"))


def test_animations_are_gif_or_webp(tmp_path):
    with pytest.raises(OutputError, match=r"\.gif or \.webp"):
        pictures.write_animation(tmp_path / "a.mp4", [torch.zeros(1, 1, 4, 4)], 100)
