"""``zsir compare``: every method sees the same observation, and each is what ``zsir solve`` gives."""

from __future__ import annotations

import json

import pytest
import torch

from zsir import pictures
from zsir.cli.commands.compare import _table
from zsir.cli.tables import aligned, markdown
from zsir.metrics.noise import Estimate
from zsir.workflow import noise_levels

FAST = ("--prior", "gaussian", "--simulate", "-q")


def record(folder, name="out"):
    return json.loads((folder / name / "record.json").read_text())["results"]


def test_table_sheet_and_record(run, folder):
    done = run(
        *("compare", "--op", "sr2x", "--noise", "0.02", "--simulate", "--prior", "gaussian", "--seed", 3),
        *("-m", "cm4ir:nfe=2", "--method", "hqs:nfe=3@wavelet", "colour.png", "other.png", "-o", "out"),
    )
    assert done.code == 0 and done.err == ""
    first, second, heading, *rows = done.out.splitlines()
    assert (first, second) == ("out/colour_sheet.png", "out/other_sheet.png")
    assert heading.split() == ["method", "psnr", "ssim", "residual", "nfe", "seconds"]
    assert [row.split()[0] for row in rows] == ["cm4ir:nfe=2@gaussian", "hqs:nfe=3@wavelet"]
    entries = record(folder)
    assert [(e["input"], e["nfe"]) for e in entries] == [
        *(("colour.png", 2), ("colour.png", 3)),
        *(("other.png", 2), ("other.png", 3)),
    ]
    assert {e["provenance"]["seed"] for e in entries} == {3}
    mean = (entries[0]["psnr"] + entries[2]["psnr"]) / 2
    assert rows[0].split()[1] == f"{mean:.2f}" and f"| {mean:.2f} |" in (folder / "out" / "table.md").read_text()
    # observation, two results and the truth in one row
    assert pictures.read(folder / "out" / "colour_sheet.png").pixels.shape[-1] > 4 * 31


def test_numbers_are_those_of_solve(run, folder):
    task = ("--op", "mask:keep=0.4", "--noise", "0.05", *FAST, "--seed", 5, "other.png")
    assert run("compare", *task, "-m", "cm4ir:nfe=2", "-m", "hqs:nfe=3", "-o", "out").code == 0
    for entry, sampler in zip(record(folder), ("cm4ir:nfe=2", "hqs:nfe=3"), strict=True):
        assert run("solve", *task, "--sampler", sampler, "--record", f"{entry['nfe']}.json", "--overwrite").code == 0
        (alone,) = json.loads((folder / f"{entry['nfe']}.json").read_text())["results"]
        assert entry["method"] == sampler
        assert (entry["psnr"], entry["ssim"]) == (alone["psnr"], alone["ssim"])
        assert [entry["residual"]] == alone["stats"]["residual"]


def test_the_same_seed_gives_the_same_sheet(run, folder):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = run(
            "compare", "--op", "sr2x", "--noise", "0.1", *FAST, "--seed", seed, "-m", "cm4ir", "grey.png", "-o", out
        )
        assert done.code == 0, done.err
    a, b, c = (pictures.read(folder / out / "grey_sheet.png").pixels for out in "abc")
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_real_observations_have_no_truth(run, folder):
    done = run(
        "compare", "--op", "sr2x", "--prior", "gaussian", "--size", "60x32", "-m", "hqs:nfe=1", "other.png", "-o", "o"
    )
    assert done.code == 1 and "60x32" in done.message  # that would be 30x16
    done = run(
        "compare", "--op", "sr2x", "--prior", "gaussian", "--size", "48x32", "-m", "hqs:nfe=1", "other.png", "-o", "o"
    )
    assert done.code == 0
    assert done.out.splitlines()[1].split() == ["method", "residual", "nfe", "seconds"]


def test_metrics_and_other_options(run, folder):
    more = ("--device", "cpu", "--dtype", "float64", "--tile", 64, "--precision", "float32")
    done = run(
        "compare",
        "--op",
        "identity",
        "--noise",
        "0.1",
        *FAST,
        *more,
        "--metrics",
        "psnr-y, psnr",
        "-m",
        "hqs",
        "other.png",
        "-o",
        "o",
    )
    assert done.code == 0, done.err
    (entry,) = record(folder, "o")
    assert list(entry)[2:4] == ["psnr-y", "psnr"] and entry["provenance"]["dtype"] == "float64"
    again = ("compare", "--op", "identity", *FAST, "-m", "hqs:nfe=1", "other.png", "-o", "o")
    assert "--overwrite" in run(*again).message
    assert run(*again, "--overwrite").code == 0


def test_devices(run, folder):
    command = ("compare", "--op", "identity", *FAST, "-m", "cm4ir:nfe=1", "other.png", "-o", "o")
    wrong = run(*command, "--device", "tpu")
    assert wrong.code == 2 and "--device tpu" in wrong.message and not (folder / "o").exists()
    assert run(*command, "--device", "cpu", "--dtype", "float32").code == 0
    (entry,) = record(folder, "o")
    assert (entry["provenance"]["dtype"], entry["provenance"]["device"]) == ("float32", "cpu")


def test_a_perfect_result_is_recorded(run, folder):
    assert run("compare", "--op", "identity", *FAST, "-m", "ddnm:nfe=2", "other.png", "-o", "o").code == 0
    (entry,) = record(folder, "o")
    assert entry["psnr"] is None or entry["psnr"] > 60  # infinite PSNR is no JSON


def test_a_method_that_fails_is_named_and_the_others_go_on(run, folder):
    done = run("compare", "--op", "sr2x", *FAST, "-m", "tds", "-m", "cm4ir:nfe=1", "other.png", "-o", "out")
    assert done.code == 1 and done.message.startswith("other.png: tds: TDS divides by the noise")
    bad, good = record(folder)
    assert "divides by the noise" in bad["error"] and good["nfe"] == 1
    assert "| tds | failed | failed |" in (folder / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-m", "hqs", "-m", "hqs"), "hqs is given twice"),
        (("-m", "hqs", "-m", "hqs@photo"), "hqs@photo is the same as hqs"),
        (("-m", "cm4ir", "-m", "@gaussian", "--prior", "gaussian"), "@gaussian is the same as cm4ir"),
        (("-m", "cm4ir:nfe=2", "-m", "cm4ir: nfe=2"), "cm4ir: nfe=2 is the same as cm4ir:nfe=2"),
        (("-m", "cm4ir:nfe=2", "-m", "cm4ir:nfe=2,"), "cm4ir:nfe=2, is the same as"),
        (("-m", "hqs:nfe=8,lam=0.3", "-m", "dpir:lam=0.30"), "dpir:lam=0.30 is the same as"),
        (("-m", "hqs@gaussian:std=0.2,slope=2", "-m", "hqs@gaussian:slope=2.0,std=0.2"), "is the same as"),
        (("-m", "hqss"), "did you mean 'hqs'"),
        (("-m", "hqs@gausian"), "did you mean 'gaussian'"),
        (("-m", "hqs", "--metrics", "psnr"), "--simulate"),
        (("-m", "hqs", "--metrics", "psnrr"), "did you mean psnr"),
        (("-m", "hqs", "--simulate", "--size", "8x8"), "--size is for real observations"),
        ((), "--method"),
    ],
)
def test_mistakes(run, folder, arguments, words):
    done = run("compare", "--op", "sr2x", *arguments, "other.png", "-o", "out")
    assert done.code == 2 and words in done.message


def test_tables():
    rows = [["a", "b"], ["x|y", "1.50"]]
    assert aligned(rows) == ["a       b", "x|y  1.50"]
    assert markdown(rows) == "| a | b |\n|---|---:|\n| x\\|y | 1.50 |\n"


def test_sheets_break_into_rows():
    cells = [(f"picture {k}", torch.full((1, 1, 40, 90), k / 4)) for k in range(5)]
    wide, tall = pictures.contact_sheet(cells), pictures.contact_sheet(cells, 2)
    assert tall.shape[-2] == 3 * wide.shape[-2] and tall.shape[-1] < wide.shape[-1] / 2
    assert torch.equal(pictures.contact_sheet(cells, 5), wide)
    assert torch.equal(tall[..., : wide.shape[-2], :], pictures.contact_sheet(cells[:2]))
    assert float(tall[..., -1, -1].min()) == 1.0  # the empty place is white


def test_a_note_on_the_picture_is_said_once(run, folder, monkeypatch):
    x = 0.5 + 0.06 * torch.randn(1, 1, 60, 70, generator=torch.Generator().manual_seed(0))
    pictures.write("scan.png", x.expand(1, 3, -1, -1))
    task = ("compare", "--op", "identity", "--prior", "gaussian", "-q", "scan.png", "-o", "o", "--overwrite")
    methods = ("-m", "hqs:nfe=1", "-m", "hqs:nfe=2", "-m", "hqs:nfe=2@wavelet")
    done = run(*task, *methods, "--noise", "0.5")
    assert done.message.startswith("note: scan.png: The observation looks less noisy")
    assert [f"note: scan.png: {entry['doubt']}" for entry in record(folder, "o")] == [done.message] * 3
    calls = []

    def estimated(operator, y):
        calls.append(y)
        return Estimate(0.06)

    monkeypatch.setattr(noise_levels, "estimate_of", estimated)
    assert run(*task, *methods, "--noise", "auto").err == "" and len(calls) == 1
    # and so is what the file itself says
    run("degrade", "--op", "identity", "--noise", "0.02", "scan.png", "-o", "noted.png")
    done = run(*task[:-4], "noted.png", "-o", "p", *methods, "--noise", "0")
    assert sum("says that it holds noise" in line for line in done.err.splitlines()) == 1


def test_a_misfit_is_named_with_its_method(run, folder):
    sharp = torch.full((1, 3, 48, 60), 0.1)
    sharp[..., 12:36, 14:44] = 0.9
    pictures.write("rough.png", sharp)
    task = ("--op", "blur:sigma=3", "--prior", "gaussian", "-q", "-m", "hqs:nfe=2", "rough.png", "-o", "o")
    done = run("compare", *task, "--noise", "0.01")
    assert done.code == 0 and done.message.startswith("note: rough.png: hqs:nfe=2: The result misses")
    (entry,) = record(folder, "o")
    assert done.message.endswith(entry["misfit"])


def test_a_method_that_restored_nothing_does_not_count(run, folder):
    done = run(
        *("compare", "--op", "sr2x", "--simulate", "--prior", "gaussian", "-m", "cm4ir:nfe=1", "-m", "hqs:nfe=2"),
        *("-m", "tds", "colour.png", "other.png", "-o", "out"),
    )
    assert done.code == 1 and "| tds | failed | failed |" in (folder / "out" / "table.md").read_text()
    assert "mean over 2 pictures;" in (folder / "out" / "table.md").read_text()


def entry(method, name, **values):
    return {"input": name, "method": method, "residual": 1.0, "nfe": 2, "seconds": 0.5, **values}


def test_a_picture_that_one_method_failed_on_counts_for_none():
    results = [
        *(entry("a", "easy", psnr=30.0, ssim=None), entry("a", "hard", psnr=20.0, ssim=0.5)),
        *(entry("b", "easy", psnr=29.0, ssim=None), {"input": "hard", "method": "b", "error": "diverged"}),
        *({"input": name, "method": "c", "error": "cannot"} for name in ("easy", "hard")),
    ]
    _, a, b, c = _table(["a", "b", "c"], ["psnr", "ssim"], results)
    assert a == ["a", "30.00", "", "1", "2", "0.50"] and b[:3] == ["b", "29.00", ""] and set(c[1:]) == {"failed"}
    apart = [entry("a", "x", psnr=1.0), entry("b", "y", psnr=2.0)]
    assert _table(["a", "b"], ["psnr"], apart)[1:] == [["a", *[""] * 4], ["b", *[""] * 4]]


def test_a_broken_file_is_not_counted_and_the_table_is_printed(run, folder):
    (folder / "broken.png").write_bytes(b"no picture")
    done = run(
        *("compare", "--op", "sr2x", "--simulate", "--prior", "gaussian", "-m", "cm4ir:nfe=1"),
        *("broken.png", "colour.png", "other.png", "-o", "out"),
    )
    assert done.code == 1 and "broken.png" in done.err
    assert [line.split()[0] for line in done.out.splitlines()[-2:]] == ["method", "cm4ir:nfe=1"]
    assert "mean over 2 pictures that every method restored, of 3;" in (folder / "out" / "table.md").read_text()


def test_a_metric_that_cannot_be_computed_is_left_empty(run, folder):
    pictures.write("small.png", torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    methods = ("-m", "cm4ir:nfe=1", "-m", "hqs:nfe=2")
    done = run("compare", "--op", "identity", "--noise", "0.1", *FAST, *methods, "small.png", "other.png", "-o", "o")
    assert done.code == 0 and done.message.startswith("note: small.png: ssim is left out: ")
    small, _, large, _ = record(folder, "o")
    assert small["ssim"] is None and small["psnr"] > 10 and "ssim" in small["unmeasured"]
    assert f"| {large['ssim']:.4f} |" in (folder / "o" / "table.md").read_text()
    done = run("compare", "--op", "identity", *FAST, "--metrics", "ssim", *methods, "small.png", "-o", "p")
    assert done.code == 0 and (folder / "p" / "small_sheet.png").exists()
    assert "| cm4ir:nfe=1 |  |" in (folder / "p" / "table.md").read_text()
