"""``zsir run``: what it writes, what it refuses, what it says."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.cli.conftest import Outcome, Run
from tests.experiments.conftest import content
from tests.experiments.conftest import tiny as tiny
from zsir import metrics, operators, pictures, priors, samplers
from zsir.errors import SolveError
from zsir.experiments import engine, measures
from zsir.experiments.manifest import Record, RunFolder
from zsir.experiments.sets import SETS, PictureFile, digest
from zsir.experiments.spec import shipped
from zsir.loop.solver import solve
from zsir.priors.wrappers.settings import Wrapping
from zsir.problem import Problem
from zsir.rng import PictureNoise

ROOT = Path(__file__).resolve().parents[2]


def records(run: Path) -> list[Record]:
    return RunFolder(run).records()


def test_a_run(run: Run, tiny: Path):
    done = run("run", "tiny.toml", "--out", "r", "--device", "cpu")
    assert done.code == 0 and done.err == ""
    assert "tiny: 45 solves; 1 process(es) on cpu, 1 thread(s) each" in done.out
    assert "| sr2x | 5/255 | hqs:nfe=3 | 3 | 5 | " in done.out and "r/table.md" in done.out
    found = records(tiny / "r")
    assert len(found) == 45 and {r["status"] for r in found} == {"ok"}
    assert len(list((tiny / "r").glob("pictures/*/*.png"))) == 45
    assert len(list((tiny / "r").glob("observed/*/*.png"))) == 15 and len(list((tiny / "r").glob("truth/*.png"))) == 5
    assert (tiny / "r" / "spec.toml").read_text().startswith(f"# spec hash {found[0]['spec']}\n")
    assert not list((tiny / "r").rglob("*.part"))
    (session,) = RunFolder(tiny / "r").sessions()
    assert session["command"] == "zsir run tiny.toml --out r --device cpu"
    assert (session["items"], session["rank"], session["device"]) == (45, 0, "cpu") and session["began"].endswith("UTC")
    before = content(tiny / "r")
    again = run("run", "tiny.toml", "--out", "r", "-q")
    assert (again.code, again.out, again.err) == (0, "", "")
    assert content(tiny / "r") == before and len(records(tiny / "r")) == 45


def test_records_hold_what_the_library_computes(run: Run, tiny: Path):
    assert run("run", "tiny.toml", "--out", "r", "--set", "run.seeds=[3]").code == 0
    (record,) = (
        r for r in records(tiny / "r") if (r["picture"], r["sampler"], r["noise"]) == ("p4", "diffpir:nfe=2", "0.02")
    )
    x = pictures.read("photos/p4.png").pixels
    op = operators.make("mask:keep=0.5", in_shape=(3, 17, 20))
    y = op.forward(x) + 0.02 * op.forward(PictureNoise(3, [4], "observation").randn_like(x))
    solution = solve(Problem(y, op, 0.02), priors.load("gaussian"), samplers.make("diffpir:nfe=2"), seed=3, indices=[4])
    estimate = solution.x.clamp(0, 1)
    assert record["metrics"]["psnr"] == metrics.psnr(estimate, x)
    assert record["metrics"]["ssim"] == metrics.ssim(estimate, x)
    assert record["residual"] == solution.stats.residual[0] and record["nfe"] == 2 and record["index"] == 4
    pictures.write("expected.png", estimate)
    pictures.write("y.png", y)
    assert (tiny / "r" / record["outputs"]["estimate"]).read_bytes() == Path("expected.png").read_bytes()
    assert (tiny / "r" / record["outputs"]["observed"]).read_bytes() == Path("y.png").read_bytes()
    assert torch.equal(pictures.read(tiny / "r" / record["outputs"]["truth"]).pixels, x)


def test_metrics_of_the_catalogue(run: Run, tiny: Path):
    names = ["ssim-y", "psnr", "stlpips", "psnr-y"]
    changes = ("--set", f"run.metrics={json.dumps(names)}", "--set", "data.pictures=1", "--set", "data.size=27")
    (tiny / "photos" / "p0.png").write_bytes((ROOT / "zsir" / "assets" / "demo.png").read_bytes())
    task = ("--set", "task=[{op='blur:sigma=1', noise=0.1}]")
    assert run("run", "tiny.toml", "-o", "r", *changes, *task, "--set", "run.crop=2").code == 0
    record = records(tiny / "r")[0]
    folder = tiny / "r"
    estimate, truth = (pictures.read(folder / record["outputs"][key]).pixels for key in ("estimate", "truth"))
    expected = metrics.measure(names, estimate, truth, crop=2)
    assert record["metric_names"] == names == list(expected)
    for name in names:  # of the 8-bit picture, hence not to the last digit
        assert record["metrics"][name] == pytest.approx(expected[name][0], rel=5e-3), name
    assert record["better"] == {"ssim-y": "higher", "psnr": "higher", "stlpips": "lower", "psnr-y": "higher"}
    head, _, row, *_ = (folder / "table.md").read_text().splitlines()
    assert head.endswith("| ssim-y | psnr | stlpips | psnr-y |")
    assert [len(cell.strip().partition(".")[2]) for cell in row.split("|")[-5:-1]] == [3, 2, 3, 2]
    assert "run.crop is missing here and 2 there" in run("run", "tiny.toml", "-o", "r", *changes, *task).message


@pytest.mark.slow
def test_metrics_against_the_observation(run: Run, tiny: Path):
    names = ["free", "psnr", "residual", "determined"]
    changes = ("--set", f"run.metrics={json.dumps(names)}", "--set", "data.pictures=2", "--set", "run.crop=3")
    assert run("run", "tiny.toml", "-o", "r", *changes).code == 0
    for record in records(tiny / "r"):
        x, y, truth = (
            pictures.read(tiny / "r" / record["outputs"][key]).pixels for key in ("estimate", "observed", "truth")
        )
        op = operators.make(record["op"], in_shape=(3, 17, 20))
        expected = metrics.energies(op, x - truth)
        found = record["metrics"]
        assert found["determined"] + found["free"] == pytest.approx(float((x - truth).square().mean()), rel=2e-2)
        assert found["free"] == pytest.approx(expected.free[0], rel=2e-2)  # of the 8-bit picture
        assert found["residual"] == record["residual"]
        if record["noise"] == "5/255":  # of 8-bit pictures, clipped
            told = metrics.residual(Problem(y, op, 5 / 255), x).relative[0]
            assert found["residual"] == pytest.approx(told, rel=0.2)
        assert record["better"] == {"free": "lower", "psnr": "higher", "residual": None, "determined": "lower"}
    head, _, row, *_ = (tiny / "r" / "table.md").read_text().splitlines()
    assert head.endswith("| free | psnr | residual | determined |")
    assert [len(cell.split()[0].partition(".")[2]) for cell in row.split("|")[-5:-1]] == [6, 2, 4, 6]
    assert (
        (tiny / "r" / "table.csv")
        .read_text()
        .splitlines()[0]
        .endswith("residual_n,determined,determined_half,determined_n")
    )
    assert run("report", "r").code == 0
    page = (tiny / "r" / "report.html").read_text()
    assert page.count("lower is better") == 2 and page.count("higher is better") == 1
    assert "measured too few metrics" in page  # the error's parts are no measure of perception
    wrong = run("run", "tiny.toml", "-o", "s", "--set", "run.metrics=['determind']").message
    assert wrong.endswith("A run also knows residual, determined, free.")


def test_parts_of_an_error_where_the_pseudo_inverse_does_not_converge(monkeypatch: pytest.MonkeyPatch):
    def fails(operator, x):
        raise SolveError("no")

    monkeypatch.setattr(metrics, "energies", fails)
    op = operators.make("sr2x", in_shape=(1, 6, 8))
    found, unmeasured = measures.against_data(["free", "residual"], torch.zeros(1, 1, 6, 8), op, 0.5)
    assert found == {"residual": 0.5} and unmeasured == {"free": "no"}


@pytest.mark.parametrize(
    ("metric", "words"),
    [("stlpips:path=gone.pth", "gone.pth cannot be read"), ("pyiqa:lpips", "needs the package pyiqa")],
)
def test_metrics_that_are_missing(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch, metric: str, words: str):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    monkeypatch.setattr(measures, "_installed", lambda package: False)
    changes = ("--set", f"run.metrics=['psnr', '{metric}']")
    survey = run("run", "tiny.toml", "--dry-run", *changes)
    assert survey.code == 0 and words in survey.out.partition("\nmissing\n")[2]
    assert words in run("run", "tiny.toml", "-o", "r", *changes).message
    assert not (tiny / "r").exists()


@pytest.mark.slow
def test_what_is_around_the_prior_is_what_solve_puts_there(run: Run, tiny: Path):
    method = (
        "method=[{prior='photo', sampler='cm4ir:nfe=1', tile=[0, 16], precision='bf16', ensemble=true},"
        " {prior='photo', sampler='cm4ir:nfe=1', label='plain'}]"
    )
    more = ("--set", "data.pictures=1", "--set", "task=[{op='identity', noise=0.1}]")
    survey = run("run", "tiny.toml", "--dry-run", *more, "--set", method).out
    assert "; prior photo with tile=16, precision=bf16, ensemble; " in survey and "; prior photo; " in survey
    assert run("run", "tiny.toml", "-o", "r", *more, "--set", method).code == 0
    found = {r["method"]: r for r in records(tiny / "r")}
    whole, tiled = (found[f"cm4ir:nfe=1 (tile={tile})"] for tile in (0, 16))
    assert tiled["values"] == {"tile": "16", "precision": "bf16", "ensemble": "true"} and tiled["prior"] == "photo"
    assert found["plain"]["values"] == {} and len({r["fingerprint"] for r in found.values()}) == 1
    estimates = {name: pictures.read(tiny / "r" / r["outputs"]["estimate"]).pixels for name, r in found.items()}
    op = operators.make("identity", in_shape=(3, 17, 20))
    x = pictures.read("photos/p0.png").pixels
    problem = Problem(x + 0.1 * PictureNoise(0, [0], "observation").randn_like(x), op, 0.1)
    for record, tile in ((whole, None), (tiled, 16), (found["plain"], None)):
        around = Wrapping() if record["method"] == "plain" else Wrapping(tile, "bf16", True)
        prior = priors.wrap(priors.load("photo"), around)
        estimate = solve(problem, prior, samplers.make("cm4ir:nfe=1"), seed=0).x.clamp(0, 1)
        pictures.write("expected.png", estimate)
        assert torch.equal(estimates[record["method"]], pictures.read("expected.png").pixels), around
        assert record["metrics"]["psnr"] == metrics.psnr(estimate, x)
    assert len({r["metrics"]["psnr"] for r in found.values()}) == 3
    refused = ("--set", "method.0.prior=gaussian", "--set", "method.0.precision=bf16", *more)
    done = run("run", "tiny.toml", "-o", "q", *refused)
    assert done.code == 2 and "no network to run in half precision" in done.err and records(tiny / "q") == []


def test_told_noise_and_samples(run: Run, tiny: Path):
    changes = ("--set", "run.noise_told=[0.02, 0.2]", "--set", "run.samples=2", "--set", "data.pictures=2")
    assert run("run", "tiny.toml", "-o", "r", *changes, "--set", 'method.0.sampler="diffpir:nfe=2"').code == 0
    found = {(r["noise"], r["told"], r["picture"], r["sample"]): r for r in records(tiny / "r") if r["task"] == "holes"}
    assert len(found) == 2 * 2 * 2
    scores = {key: r["metrics"]["psnr"] for key, r in found.items()}
    assert len(set(scores.values())) == 8
    seen = {r["outputs"]["observed"] for key, r in found.items() if key[2] == "p0"}
    assert len(seen) == 1
    assert {Path(r["outputs"]["estimate"]).name for r in found.values()} >= {"000-p0.png", "000-p0.s1.png"}
    assert "| told |" in (tiny / "r" / "table.md").read_text()


@pytest.mark.parametrize(("save", "count"), [("all", 15), ("first:2", 6), ("none", 0)])
def test_what_is_kept(run: Run, tiny: Path, save: str, count: int):
    changes = ("--set", f"run.save={save}", "--set", "task=[{op='sr2x'}]")
    assert run("run", "tiny.toml", "-o", "r", *changes).code == 0
    assert len(list((tiny / "r").glob("pictures/*/*.png"))) == count
    assert sum(bool(r["outputs"]) for r in records(tiny / "r")) == count
    assert len(list((tiny / "r").glob("truth/*.png"))) == count // 3


@pytest.mark.slow
def test_batches_change_nothing(run: Run, tiny: Path):
    Image.fromarray(images_of(tiny)).save(tiny / "photos" / "p2.png")  # another size among them
    assert run("run", "tiny.toml", "-o", "one").code == 0
    assert run("run", "tiny.toml", "-o", "many", "--set", "run.batch=4").code == 0
    assert content(tiny / "one") == content(tiny / "many")


def images_of(folder: Path):
    import numpy as np

    return np.random.default_rng(9).integers(0, 256, (23, 14, 3), dtype=np.uint8)


def test_memory_that_does_not_suffice(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    assert run("run", "tiny.toml", "-o", "one").code == 0
    sizes: list[int] = []

    def small(problem, *args, **options):
        sizes.append(len(problem.y))
        if len(problem.y) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return solve(problem, *args, **options)

    monkeypatch.setattr(engine, "solve", small)
    assert run("run", "tiny.toml", "-o", "small", "--set", "run.batch=5").code == 0
    assert content(tiny / "one") == content(tiny / "small")
    # each pair of sampler and operator is tried in full once, whatever the pair before it did
    first, known = [5, 3, 2, 1, 2], [2, 2, 1]
    assert sizes == 3 * first + 3 * known + 3 * first


def test_a_picture_that_fails(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    def sometimes(problem, prior, sampler, *, indices, **options):
        if 3 in indices and type(sampler).__name__ == "HQS":
            raise SolveError("It diverged; try another sampler.")
        return solve(problem, prior, sampler, indices=indices, **options)

    assert run("run", "tiny.toml", "-o", "good").code == 0
    monkeypatch.setattr(engine, "solve", sometimes)
    done = run("run", "tiny.toml", "-o", "r", "--set", "run.batch=2")
    assert done.code == 1
    first, last = done.err.splitlines()  # one cause is told once
    assert "hqs:nfe=3" in first and first.endswith("p3: It diverged; try another sampler.")
    assert last == "zsir: 3 of 45 failed; give the same command to try them again"
    failed = [r for r in records(tiny / "r") if r["status"] == "failed"]
    assert len(failed) == 3 and {r["error"] for r in failed} == {"It diverged; try another sampler."}
    assert "| 4 | 1 |" in (tiny / "r" / "table.md").read_text()
    monkeypatch.undo()
    monkeypatch.chdir(tiny)
    assert run("run", "tiny.toml", "-o", "r", "--set", "run.batch=2").code == 0
    assert content(tiny / "r") == content(tiny / "good")


def test_a_picture_that_cannot_be_used(run: Run, tiny: Path):
    (tiny / "photos" / "p1.png").write_bytes(b"no picture")
    done = run("run", "tiny.toml", "-o", "r", "-q")
    assert done.code == 1 and "p1.png" in done.err and done.out == ""
    assert len([r for r in records(tiny / "r") if r["status"] == "ok"]) == 36
    done = run("run", "tiny.toml", "-o", "s", "--set", "data.size=18", "-q")
    assert "20x17 pixels, less than [data] size = 18" in done.err


def test_grey_pictures_and_real_observations(run: Run, tiny: Path):
    for name in ("photos", "rain"):
        (tiny / name).mkdir(exist_ok=True)
        for k in range(5):
            Image.open(tiny / "photos" / f"p{k}.png").convert("L").save(tiny / name / f"p{k}.png")
    changes = (
        "--set",
        "data.observed=rain",
        "--set",
        "task=[{op='identity', noise=0.1}]",
        "--set",
        "method.0.prior=photo",
    )
    done = run("run", "tiny.toml", "-o", "r", *changes, "--set", "method.0.sampler=cm4ir:nfe=1")
    assert done.code == 0, done.err
    assert {r["residual"] > 0 for r in records(tiny / "r")} == {True}
    assert pictures.read(tiny / "r" / records(tiny / "r")[0]["outputs"]["estimate"]).mode == "L"
    (tiny / "rain" / "p0.png").unlink()
    assert "holds 4 pictures for 5 clean ones" in run("run", "tiny.toml", "-o", "q", *changes).err


def test_cut_pictures_and_their_real_observations(run: Run, tiny: Path):
    (tiny / "seen").mkdir()
    for k in range(5):
        x = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(k))
        pictures.write(tiny / "photos" / f"p{k}.png", x)
        pictures.write(tiny / "seen" / f"p{k}.png", operators.make("sr2x", in_shape=(3, 24, 40)).forward(x))
    changes = (
        "--set",
        "data.observed=seen",
        "--set",
        "data.size=12",
        "--set",
        "task=[{op='sr2x'}, {op='sr2x', noise=0.1}]",
    )
    done = run("run", "tiny.toml", "-o", "r", *changes)
    assert done.code == 0, done.err
    outputs = records(tiny / "r")[0]["outputs"]
    shapes = [pictures.read(tiny / "r" / outputs[kind]).pixels.shape[-2:] for kind in ("truth", "observed", "estimate")]
    assert shapes == [(12, 12), (6, 6), (12, 12)]
    done = run("run", "tiny.toml", "-o", "q", *changes[:2], "--set", "data.size=13", *changes[4:])
    assert done.code == 2 and "[data] size = 13: for sr2x" in done.message and not (tiny / "q").exists()


def test_grey_pictures_go_through_colour_networks_as_in_solve(run: Run, tiny: Path):
    """FFDNet takes three equal noises for texture; `zsir solve` knows that, and so must a run."""
    (tiny / "grey").mkdir()
    Image.open(tiny / "photos" / "p0.png").convert("L").save(tiny / "grey" / "a.png")
    method = "method=[{prior='ffdnet', sampler='hqs:nfe=2'}]"
    task = "task=[{op='identity', noise=0.1}]"
    done = run("run", "tiny.toml", "--set", "data.folder=grey", "--set", method, "--set", task, "--out", "r")
    assert done.code == 0, done.err
    solved = run("solve", "--op", "identity", "--noise", "0.1", "--prior", "ffdnet", "--sampler", "hqs:nfe=2",
                 "--simulate", "grey/a.png", "-o", "a.png", "--record", "r.json")  # fmt: skip
    assert solved.code == 0, solved.err
    (record,) = records(tiny / "r")
    (entry,) = json.loads((tiny / "r.json").read_text())["results"]
    assert record["metrics"]["psnr"] == pytest.approx(entry["psnr"], abs=1e-5)
    paths = (tiny / "r" / record["outputs"]["estimate"], tiny / "a.png")
    estimate, solved_picture = (pictures.read(path).pixels for path in paths)
    assert estimate.shape[1] == 1 and torch.equal(estimate, solved_picture)


def test_two_specs_refuse_each_other(run: Run, tiny: Path):
    assert run("run", "tiny.toml", "-o", "r", "--set", "data.pictures=1").code == 0
    before = content(tiny / "r")
    done = run("run", "tiny.toml", "-o", "r", "--set", "data.pictures=1", "--set", "task.1.noise=0.3")
    assert done.code == 1
    assert done.message.startswith("r holds the run of another spec: task.1.noise is 0.3 here and 0.02 there;")
    assert content(tiny / "r") == before
    # the copy in the folder is the spec: it may go on, from elsewhere too
    assert run("run", "r/spec.toml", "-o", "r").code == 0 and len(records(tiny / "r")) == 9
    (tiny / "other").mkdir()
    (tiny / "other" / "thesis.tex").write_text("dear")
    assert "other holds other files" in run("run", "tiny.toml", "-o", "other").message


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tiny.toml"], 2, "--out RUN is needed"),
        (["tiny.toml", "-o", "r", "--device", "tpu"], 2, "--device tpu"),
        (["tiny.toml", "-o", "r", "--set", "data.folder=gone"], 1, "there is no folder gone"),
        (["tiny.toml", "-o", "r", "--set", "method.0.sampler=rdmd:nfe=3"], 2, "a multiple"),
        (["tiny.toml", "-o", "tiny.toml"], 1, "cannot be made"),
    ],
)
def test_wrong_commands(run: Run, tiny: Path, arguments: list[str], code: int, words: str):
    done = run("run", *arguments)
    assert done.code == code and words in done.err and "Traceback" not in done.err
    assert not (tiny / "r").exists() or not list((tiny / "r").glob("manifest.*"))


def test_missing_weights_end_the_run(run: Run, tiny: Path):
    done = run("run", "tiny.toml", "-o", "r", "--set", "method.0.prior=adm:path=no.pt")
    assert done.code == 1 and "no.pt" in done.err and records(tiny / "r") == []


def test_dry_run(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tiny / "cache"))
    changes = ("--set", 'method.0.prior=["cm-cat", "adm:path=no.pt", "gaussian"]', "--set", "run.samples=2")
    paths = ("--set", "task.0.op=kernel:path=k.png")
    done = run("run", "tiny.toml", "--dry-run", *changes, *paths, "--set", "provenance.source=paper, table 1")
    assert done.code == 0 and not (tiny / "r").exists()
    lines = done.out.splitlines()
    assert lines[0] == "tiny: 27 cells, 5 pictures, 2 sample(s) each"
    assert "  source: paper, table 1" in lines
    assert "for each picture: 54 solves, 126 network calls" in lines
    assert "in all: 270 solves, 630 network calls" in lines
    assert "output: at most 290 pictures, 0.3 MB, in the folder of --out" in lines
    missing = "\n".join(lines[lines.index("missing") + 1 :])
    assert "openai/diffusers-cd_cat256_l2 would be downloaded" in missing and "2110 MB, licence MIT" in missing
    assert "there is no no.pt" in missing and "there is no file k.png" in missing and "gaussian" not in missing
    assert run("run", "tiny.toml", "--dry-run", "-o", "r").out.endswith("in r\nmissing: nothing\n")


def test_the_size_of_the_output_counts_all_pictures(run: Run, tiny: Path):
    (tiny / "photos" / "p0.png").write_bytes(b"no picture")
    Image.new("RGB", (1000, 700)).save(tiny / "photos" / "p3.png")

    def size(*changes: str) -> str:
        words = [word for change in changes for word in ("--set", change)]
        return run("run", "tiny.toml", "--dry-run", *words).out.partition("output: at most ")[2].partition(", in")[0]

    # 9 estimates, 3 observations and the truth, of 1000x700 and three times 20x17 pixels
    assert size() == "65 pictures, 27 MB"
    assert size("run.save='first:3'") == "39 pictures, 0.0 MB"
    assert size("run.save='first:4'") == "52 pictures, 27 MB"
    assert size("run.save='none'") == "0 pictures, 0.0 MB"
    assert size("data.size=200") == "65 pictures, 7.8 MB"


@pytest.mark.parametrize("name", shipped())
def test_shipped_specs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    done: Outcome = run("run", name, "--dry-run")
    assert done.code == 0, done.err
    papers = name.startswith(("cm4ir", "rdmd", "irsde"))
    for word in ("source:", "weights:", "data:", "unknown:", "there is no folder"):
        assert (word in done.out) == papers, word
    # the only other thing that may be missing is a package that no extra brings
    without_opencv = name == "wild" and find_spec("cv2") is None
    assert done.out.endswith("missing: nothing\n") != (papers or without_opencv)
    if without_opencv:
        (gap,) = done.out.partition("\nmissing\n")[2].splitlines()
        assert gap.startswith("  restorer opencv-nlm is left out: the package cv2 is not installed;")
    assert name in run("list", "specs").out


@pytest.mark.parametrize("name", shipped())
def test_the_first_line_of_a_shipped_spec_is_a_sentence(name: str):
    first = shipped()[name].read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and first.endswith(".") and len(first) < 120


def test_everything_that_is_missing_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = run("run", "irsde-derain", "--dry-run").out
    assert found.startswith("irsde-derain: 2 cells, no pictures, 1 sample(s) each\n")
    assert "in all: as many times that as there are pictures" in found and "output:" not in found
    folder, observed, weights = (line.strip() for line in found.partition("\nmissing\n")[2].splitlines())
    assert folder.startswith("[data] folder: there is no folder Rain100H/GT; --set data.folder=")
    assert observed.startswith(
        "[data] observed: there is no folder Rain100H/LQ; --set data.observed=... names another;"
    )
    assert folder.endswith("'data' above says what belongs there.") and folder[-10:] == observed[-10:]
    assert weights.startswith("prior irsde-net:path=ir-sde-derain.pth,")
    assert weights.endswith("no ir-sde-derain.pth in the working folder; 'weights' above says what belongs there.")
    for place in ("GT", "LQ"):
        (tmp_path / "Rain100H" / place).mkdir(parents=True)
    pictures.write("Rain100H/GT/a.png", torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    gaps = run("run", "irsde-derain", "--dry-run").out.partition("\nmissing\n")[2].splitlines()
    assert len(gaps) == 2 and "[data] observed: Rain100H/LQ holds no pictures" in gaps[0]
    for name in "ab":
        pictures.write(f"Rain100H/LQ/{name}.png", torch.zeros(1, 3, 8, 8))
    assert "holds 2 pictures for 1 clean ones" in run("run", "irsde-derain", "--dry-run").out


def test_a_folder_with_the_name_of_a_set(run: Run, tiny: Path):
    (tiny / "demo").mkdir()
    (tiny / "demo" / "mine.png").write_bytes((tiny / "photos" / "p0.png").read_bytes())
    changes = ("--set", "task=[{op='sr2x'}]", "--set", "method.0.sampler=cm4ir:nfe=1")
    done = run("run", "tiny.toml", "-o", "r", "--set", "data.folder=demo", "--set", "data.size=16", *changes)
    assert done.code == 0 and {r["picture"] for r in records(tiny / "r")} == {"demo"}
    assert done.message == (
        'note: [data] folder = "demo" is the set that ships, not the folder demo; write "./demo" for that.'
    )
    done = run("run", "tiny.toml", "-o", "s", "--set", "data.folder=./demo", *changes)
    assert done.err == "" and {r["picture"] for r in records(tiny / "s")} == {"mine"}
    assert run("run", "smoke", "--dry-run").err == ""  # means the set
    assert "not the folder demo" in run("run", "smoke", "--dry-run", "--set", "data.folder=demo").message


def test_names_of_shipped_specs_are_said_once(run: Run, tiny: Path):
    message = run("run", "nothing").message
    assert message.endswith(f" {max(shipped())}.") and [message.count(f" {name}") for name in shipped()] == [
        sum(other.startswith(name) for other in shipped()) for name in shipped()
    ]
    assert run("run", "smok").message.endswith("no shipped spec of that name; did you mean 'smoke'?")


def test_smoke(run: Run, tmp_path: Path):
    done = run("run", "smoke", "-o", tmp_path / "r")
    assert done.code == 0 and len(records(tmp_path / "r")) == 8
    assert json.loads((tmp_path / "r" / "table.json").read_text())["rows"][0]["pictures"] == 1


def test_held_out_pictures_have_their_attribution():
    files = sorted(SETS["eval34"].glob("*.png"))
    assert len(files) == 34 and {pictures.read(file).pixels.shape for file in files} == {(1, 3, 256, 256)}
    lines = (SETS["eval34"] / "ATTRIBUTION.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    assert len(rows) == 34 and {row[2] for row in rows} == {"Public Domain"} and all(row[1] and row[3] for row in rows)
    named = {
        row[0].removeprefix("explore_").replace("/resource", "").removesuffix(".webp").replace("/", "_") for row in rows
    }
    assert named == {file.stem for file in files}
    some = [PictureFile(k, file.stem, file) for k, file in enumerate(files[:2])]
    assert digest(some) != digest(some[::-1]) and len(digest(some)) == 64
