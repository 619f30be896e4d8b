"""``zsir report``: the page's structure, what it escapes, what it refuses; in a browser where there is one."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.experiments.conftest import tiny as tiny
from tests.runner import runner
from zsir import operators, pictures
from zsir.cli import main
from zsir.experiments.manifest import RunFolder
from zsir.experiments.report import facts, gallery, plots
from zsir.experiments.report.page import build
from zsir.experiments.summary import Mean

ROOT = Path(__file__).resolve().parents[2]

#: texts that break out of a page, of a template or of matplotlib where they are not taken as texts
EVIL = '<script>alert(1)</script> & \\"q\\" $name'
SPEC = f"""
name = "{EVIL}"

[data]
folder = "photos"

[[task]]
label = "</td> $a_$ | x"
op = "sr2x"
noise = 0.1

[[task]]
op = "mask:keep=0.5"

[[method]]
label = "_<b>gibbs</b> {{nfe}}"
prior = "gaussian"
sampler = "gibbs:nfe={{nfe}},inner=1,first=0.2"
nfe = [2, 12]

[run]
samples = 2
metrics = ["ssim", "psnr", "psnr-y"]

[provenance]
note = "<img src=x onerror=alert(2)>"
"""


class Page(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.bold: set[tuple[int, int]] = set()
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.tags.append((tag, held))
        self.addresses += [held[key] or "" for key in ("src", "href", "xlink:href", "srcset", "action") if key in held]
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append(held["data-value"] or "")
        if tag == "strong":  # row and column of the table
            self.bold.add((len(self.rows) - 2, len(self.rows[-1]) - 1))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [held for name, held in self.tags if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three pictures of 26x20, two samples each, and its report, in the folder ``r``."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "photos").mkdir()
    photo = Image.open(ROOT / "zsir" / "assets" / "demo.png").convert("RGB")
    for k in range(3):
        photo.crop((40 * k, 60, 40 * k + 26, 80)).save(folder / "photos" / f"p{k}.png")
    (folder / "spec.toml").write_text(SPEC)
    before = os.getcwd()
    os.chdir(folder)
    try:
        for arguments in (["run", "spec.toml", "-o", "r", "-q"], ["report", "r"]):
            done = runner().invoke(main, arguments)
            assert done.exit_code == 0, done.output
    finally:
        os.chdir(before)
    assert done.stdout.startswith("r/report.html (0.") and len(done.stdout.splitlines()) == 1
    return folder / "r"


@pytest.fixture
def copy(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run without its report, as ``r`` in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, "r")
    (tmp_path / "r" / "report.html").unlink()
    return tmp_path / "r"


@pytest.mark.slow
def test_the_page_loads_nothing(made: Path):
    text = (made / "report.html").read_text()
    page = Page(text)
    assert page.addresses and all(address.startswith(("data:image/", "data:,", "#")) for address in page.addresses)
    assert not re.findall(r"(?i)https?:|//[a-z]|@import|url\((?!#)", re.sub(r'"data:[^"]*"', '""', text))
    (policy,) = (held["content"] for held in page.all("meta") if held.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")
    names = [held["id"] for _, held in page.tags if "id" in held]
    assert len(names) == len(set(names))
    links = {address[1:] for address in page.addresses if address.startswith("#")}
    assert links <= set(names)
    assert len(text) < 1_000_000


def test_texts_are_escaped(made: Path):
    page = Page((made / "report.html").read_text())
    assert len(page.all("script")) == 1 and "onerror" not in str(page.tags)
    shown = "".join(page.texts)
    assert '<script>alert(1)</script> & "q" $name' in shown and "<img src=x onerror=alert(2)>" in shown
    assert "_<b>gibbs</b> 12" in shown and "</td> $a_$ | x, noise 0.1" in shown


def test_the_table_is_that_of_the_run(made: Path):
    page = Page((made / "report.html").read_text())
    expected = json.loads((made / "table.json").read_text())["rows"]
    rows = [row for row in page.rows if row]
    assert len(rows) == len(expected) == 4
    for row, told in zip(rows, expected, strict=True):
        assert [row[0], float(row[1]), row[2]] == [told["task"], float(told["noise"]), told["method"]]
        numbers = [
            told["nfe"],
            told["pictures"],
            *(told["metrics"][name]["mean"] for name in ("ssim", "psnr", "psnr-y")),
        ]
        assert [float(value) for value in row[3:-1]] == numbers
        assert float(row[-1]) > 0
    assert page.texts.count("higher is better") == 3


def rewritten(run: Path, psnr: dict[tuple[str, str], float | None]) -> None:
    """Make a manifest of the run's first task: method's calls and picture -> PSNR of all seeds and samples, with
    psnr-y = -PSNR, of which lower is better, and an SSIM that is the same everywhere."""
    lines = (run / "manifest.0.jsonl").read_text().splitlines()
    kept = []
    for record in map(json.loads, lines):
        key = record["values"]["nfe"], record["picture"]
        if key in psnr and record["op"] == "sr2x":
            value = psnr[key]
            record["metrics"] = {"ssim": 0.5, "psnr": value, "psnr-y": None if value is None else -value}
            record["better"] = {"ssim": "higher", "psnr": "higher", "psnr-y": "lower"}
            kept.append(json.dumps(record) + "\n")
    (run / "manifest.0.jsonl").write_text("".join(kept))


@pytest.mark.parametrize(
    ("psnr", "bold"),
    [
        # columns: task, noise, method, calls, pictures, ssim, psnr, psnr-y
        ({("2", "p0"): 20.0, ("2", "p1"): 30.0, ("12", "p0"): 24.0, ("12", "p1"): 25.0},
         {(0, 5), (0, 6), (0, 7), (1, 5)}),
        ({("2", "p0"): 20.0, ("2", "p1"): 30.0, ("12", "p0"): 24.0, ("12", "p1"): 27.0},
         {(1, 5), (1, 6), (1, 7), (0, 5)}),
        # done with the easiest picture only, as many pictures but others, and one exact result
        ({("2", "p0"): 20.0, ("2", "p1"): 30.0, ("12", "p1"): 29.0}, set()),
        ({("2", "p0"): 20.0, ("12", "p1"): 29.0}, set()),
        ({("2", "p0"): 20.0, ("2", "p1"): 30.0, ("12", "p0"): None, ("12", "p1"): 21.0}, {(0, 5), (1, 5)}),
    ],
)  # fmt: skip
def test_bold_is_the_best_of_what_can_be_compared(
    run: Run, copy: Path, psnr: dict[tuple[str, str], float | None], bold: set[tuple[int, int]]
):
    rewritten(copy, psnr)
    assert run("report", "r").code == 0
    page = Page((copy / "report.html").read_text())
    assert page.bold == bold
    shown = "".join(page.texts)
    assert "among methods that are done with all its pictures" in shown
    assert ("21.00 (2 of 4)" in shown) == (None in psnr.values()) == ("exact results have an infinite PSNR" in shown)


def test_a_method_that_lacks_pictures_leaves_the_others_comparable(made: Path):
    known = facts.read(made)
    done = frozenset((name, 0, 0) for name in "abc")
    rows = [
        replace(
            known.rows[0],
            place=k,
            done=held,
            counted={"psnr": len(held)},
            metrics={"psnr": Mean(mean, None, len(held))},
        )
        for k, (held, mean) in enumerate([(done, 20.0), (frozenset([("a", 0, 0)]), 30.0), (done, 25.0)])
    ]
    page = Page(build(replace(known, rows=rows), gallery.Gallery([], [])))
    assert page.bold == {(2, 5)}


def test_axes_of_the_plots(made: Path):
    """Where points lie, in the drawing itself: three methods, no two of which are in the same order on two axes."""
    known = facts.read(made)
    numbers = {"a": (4, 20.0, 0.3), "b": (8, 30.0, 0.1), "c": (5, 28.0, 0.7)}
    rows = [
        replace(
            known.rows[0], method=name, nfe=nfe, metrics={"psnr": Mean(psnr, None, 1), "stlpips": Mean(far, None, 1)}
        )
        for name, (nfe, psnr, far) in numbers.items()
    ]
    for make, first, second, labels in (
        (plots.quality_by_calls, 0, 1, ("network calls", "PSNR (dB)")),
        (plots.perception, 1, 2, ("PSNR (dB)", "stlpips")),
    ):
        ((panel,), _) = make(replace(known, rows=rows))
        spots = {}
        for x, y, style in re.findall(r'<use href="#[^"]*" x="([\d.]+)" y="([\d.]+)" style="([^"]*)"', panel.svg):
            for colour in plots.COLOURS[:3]:
                if f"fill: {colour}" in style:
                    spots[colour] = float(x), -float(y)  # in a drawing y grows downwards
        across, up = zip(*(spots[colour] for colour in plots.COLOURS[:3]), strict=True)
        for place, held in ((across, first), (up, second)):
            values = [triple[held] for triple in numbers.values()]
            share = (values[2] - values[0]) / (values[1] - values[0])
            assert (place[2] - place[0]) / (place[1] - place[0]) == pytest.approx(share, abs=1e-3)
            assert (place[1] > place[0]) == (values[1] > values[0])
        turned = re.findall(r"<text[^>]*rotate\(-90[^>]*>([^<]*)</text>", panel.svg)
        assert turned == [labels[1]] and f">{labels[0]}</text>" in panel.svg
        assert panel.words.startswith(f"{labels[1]} over {labels[0]}")


def test_the_pictures_are_those_of_the_run(made: Path):
    found = gallery.collect(facts.read(made))
    assert len(found.scenes) == 6 and found.notes == []
    scene = found.scenes[0]
    assert [shot.label for shot in scene.shots] == [
        "observation, enlarged",
        "truth",
        "_<b>gibbs</b> 2",
        "_<b>gibbs</b> 12",
    ]
    assert [m.kind for m in scene.shots[2].maps] == ["error", "misfit", "spread"] and set(scene.scales) == {
        "error",
        "misfit",
        "spread",
    }
    truth = Image.open(io.BytesIO(base64.b64decode(scene.shots[1].whole.partition(",")[2])))
    assert truth.size == (26, 20)
    # the scale of the misfit, by hand, from the files
    worst = []
    for record in RunFolder(made).records():
        if (record["picture"], record["sample"], record["op"]) == ("p0", 0, "sr2x"):
            x, y = (pictures.read(made / record["outputs"][key]).pixels for key in ("estimate", "observed"))
            op = operators.make("sr2x", in_shape=(3, 20, 26))
            worst.append(float((op.forward(x) - y).abs().mean(dim=(0, 1)).flatten().quantile(0.99)))
    assert scene.scales["misfit"] == pytest.approx(max(worst), rel=1e-6)
    brightest = []
    for nfe in ("2", "12"):
        samples = [
            pictures.read(made / record["outputs"]["estimate"]).pixels.double()
            for record in RunFolder(made).records()
            if (record["picture"], record["op"], record["values"]["nfe"]) == ("p0", "sr2x", nfe)
        ]
        assert len(samples) == 2
        # of two samples the standard deviation is the distance over the root of 2; over channels, the root mean square
        spread = ((samples[0] - samples[1]).square() / 2).mean(dim=1).sqrt()
        brightest.append(float(spread.flatten().quantile(0.99)))
    assert scene.scales["spread"] == pytest.approx(max(brightest), rel=1e-5)
    page = Page((made / "report.html").read_text())
    assert all(held.get("alt") is not None for held in page.all("img"))
    assert len(page.all("input")) == 6 + 3 and len(page.all("select")) == 12 and len(page.all("svg")) == 4


def test_a_budget(made: Path):
    found = gallery.collect(facts.read(made), budget=40_000)
    whole = gallery.collect(facts.read(made))
    assert 1 <= len(found.scenes) < len(whole.scenes)
    (note,) = found.notes
    assert re.fullmatch(
        r"The gallery shows \d+ of 12 results, to keep the page small; all are in the run folder.", note
    )


def test_a_run_that_is_not_finished(run: Run, copy: Path):
    path = copy / "manifest.0.jsonl"
    lines = path.read_text().splitlines()
    broken = json.loads(lines[0])
    broken.update(status="failed", error="It <diverged>; try another.", metrics={}, outputs={}, nfe=0)
    path.write_text("\n".join([json.dumps(broken), *lines[1:20]]) + "\n")
    done = run("report", "r", "-o", "page.html")
    assert done.code == 0 and done.err == ""
    assert done.out.splitlines()[:2] == [
        "The run is not finished: 4 of 24 results are missing.",
        "1 of 24 results are failures.",
    ]
    shown = "".join(Page(Path("page.html").read_text()).texts)
    assert "4 of 24 results are missing" in shown and ": It <diverged>; try another." in shown
    assert "of 6 done" in shown and not (copy / "report.html").exists()
    shutil.rmtree(copy / "pictures")
    (note,) = gallery.collect(facts.read(copy)).notes
    assert note.endswith("observations with their results are not shown: their pictures cannot be read any more.")
    # the clean pictures lie elsewhere: the number of results is remembered
    text = (copy / "spec.toml").read_text()
    (copy / "spec.toml").write_text(re.sub(r'folder = ".*"', 'folder = "gone"', text))
    assert "4 of 24 results are missing" in " ".join(facts.read(copy).gaps)
    (copy / "sessions.jsonl").unlink()
    assert "it is not known whether results are missing" in " ".join(facts.read(copy).gaps)


def test_without_pictures_and_metrics(run: Run, copy: Path):
    records = [json.loads(line) for line in (copy / "manifest.0.jsonl").read_text().splitlines()]
    for record in records:
        record.update(outputs={}, metric_names=["stlpips"], metrics={"stlpips": 0.1}, better={"stlpips": "lower"})
    (copy / "manifest.0.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done = run("report", "r")
    assert done.code == 0 and "the run kept no pictures" in done.out
    page = Page((copy / "report.html").read_text())
    shown = "".join(page.texts)
    assert not page.all("svg") and "did not measure PSNR" in shown and "measured too few metrics" in shown
    assert "lower is better" in shown


def test_where_everything_failed(run: Run, copy: Path):
    records = [json.loads(line) for line in (copy / "manifest.0.jsonl").read_text().splitlines()]
    for record in records:
        record.update(status="failed", error="It diverged.", outputs={}, metrics={}, nfe=0)
    (copy / "manifest.0.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done = run("report", "r")
    assert done.code == 0 and done.out.splitlines()[1] == "There is no gallery: every result is a failure."


def test_an_operator_that_cannot_be_made_here(run: Run, copy: Path):
    records = [json.loads(line) for line in (copy / "manifest.0.jsonl").read_text().splitlines()]
    for record in records:
        record["op"] = "kernel:path=k.png" if record["op"] == "sr2x" else record["op"]
    (copy / "manifest.0.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done = run("report", "r")
    note, last = done.out.splitlines()
    assert note.startswith("Maps of |A estimate - observation| are missing for kernel:path=k.png, which cannot be made")
    assert "k.png" in note.partition("(")[2] and note.endswith("in the folder that 'zsir run' was given in makes them.")
    assert last.startswith("r/report.html") and note in "".join(Page((copy / "report.html").read_text()).texts)


def test_noise_levels_are_sorted_by_their_value(made: Path):
    known = facts.read(made)
    rows = [
        replace(known.rows[0], noise=noise, told=told)
        for noise, told in (("0.05", "0.1"), ("5/255", "5/255"), ("0", "0"))
    ]
    text = build(replace(known, rows=rows), gallery.Gallery([], []))
    page = Page(text)
    columns = [[float(row[k]) for row in page.rows if row] for k in (1, 2)]
    assert columns == [[0.05, 5 / 255, 0.0], [0.1, 5 / 255, 0.0]] and ">5/255</td>" in text
    kinds = [held["class"] for held in page.all("th")]
    assert kinds[:4] == ["text", "number", "number", "text"] and set(kinds[4:]) == {"number"}


def test_options(run: Run, copy: Path):
    done = run("report", "r", "-q", "--out", "a.html")
    assert (done.code, done.out, done.err) == (0, "", "") and Path("a.html").is_file()
    assert run("report", "r", "-o", "b.html", "--quiet").out == ""
    dated = re.compile(r"\d\d:\d\d:\d\d UTC</dd></dl>")
    assert dated.sub("", Path("a.html").read_text()) == dated.sub("", Path("b.html").read_text())
    assert not list(Path().rglob("*.part"))


def test_mistakes(run: Run, copy: Path, monkeypatch: pytest.MonkeyPatch):
    assert run("report").code == 2
    assert run("report", "gone").message.startswith("There is no folder gone; give the folder")
    Path("other").mkdir()
    assert "it holds no spec.toml" in run("report", "other").message
    shutil.copy("r/spec.toml", "other")
    assert run("report", "other").message.startswith("other holds no results yet; 'zsir run other/spec.toml")
    Path("other/spec.toml").write_text("name = 3")
    assert "other/spec.toml is not as 'zsir run' wrote it" in run("report", "other").message
    assert "a name that ends in .html" in run("report", "r", "-o", "photo.png").message
    assert "there is no folder" in run("report", "r", "-o", "no/a.html").message
    Path("folder.html").mkdir()
    assert "it is a folder" in run("report", "r", "-o", "folder.html").message
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run("report", "r")
    assert done.code == 2 and "pip install 'zsir[report]'" in done.message
    assert not (copy / "report.html").exists()


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")

#: does what a reader does, and writes what came of it into the page
SCRIPT = """
const seen = {errors: []};
window.addEventListener("error", event => seen.errors.push(event.message));
document.addEventListener("securitypolicyviolation", event => seen.errors.push(event.violatedDirective));
window.addEventListener("load", async () => {
  const scene = document.querySelector(".scene"), frame = scene.querySelector(".frame");
  const range = scene.querySelector("input[type=range]"), wait = () => new Promise(done => setTimeout(done, 50));
  const seam = () => getComputedStyle(frame.querySelector(".before")).clipPath;
  const column = k => Array.from(document.getElementById("table").tBodies[0].rows, row => row.cells[k].dataset.value);
  const heads = document.querySelectorAll("th button");
  await wait();
  seen.start = seam();
  range.value = 80; range.dispatchEvent(new Event("input"));
  seen.moved = seam();
  const edge = frame.getBoundingClientRect();
  frame.setPointerCapture = () => {};
  frame.dispatchEvent(new PointerEvent("pointerdown", {clientX: edge.left + edge.width / 4, pointerId: 1}));
  seen.dragged = range.value;
  const select = scene.querySelector("select[data-side=after]"), shots = scene.querySelectorAll(".shots img.whole");
  select.value = "1"; select.dispatchEvent(new Event("change"));
  seen.truth = frame.querySelector(".after").src === shots[1].src && frame.querySelector(".after").alt === shots[1].alt;
  heads[3].click(); seen.up = column(3); seen.sign = heads[3].parentNode.ariaSort;
  heads[3].click(); seen.down = column(3);
  heads[2].click(); seen.methods = column(2);
  const map = document.querySelector("img.map"), box = document.querySelector("input[value=maps]");
  seen.hidden = getComputedStyle(map).display; box.click(); seen.shown = getComputedStyle(map).display;
  seen.width = [innerWidth, document.documentElement.scrollWidth];
  seen.decoded = Array.from(document.images).every(image => image.naturalWidth > 0);
  const out = document.createElement("pre");
  out.id = "outcome"; out.textContent = JSON.stringify(seen); document.body.append(out);
});
"""


def browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    flags = ["--headless", "--disable-gpu", f"--user-data-dir={profile}", "--enable-logging=stderr", "--log-level=0"]
    flags += ["--virtual-time-budget=4000", *["--no-sandbox"] * (os.geteuid() == 0)]
    command = [str(BROWSER), *flags, *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@browser
def test_in_a_browser(made: Path, tmp_path: Path):
    text = (made / "report.html").read_text()
    page = tmp_path / "page.html"
    allowed = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", text)
    page.write_text(allowed.replace("<script>", f"<script>{SCRIPT}</script><script>", 1))
    done = browse(page, tmp_path / "profile", "--window-size=360,800", "--dump-dom")
    (outcome,) = re.findall(r'<pre id="outcome">(.*?)</pre>', done.stdout)
    seen = json.loads(unescape(outcome))
    assert seen["errors"] == [] and "CONSOLE" not in done.stderr
    assert (seen["start"], seen["moved"]) == ("inset(0px 50% 0px 0px)", "inset(0px 20% 0px 0px)")
    assert seen["dragged"] == "25" and seen["truth"] is True and seen["decoded"] is True
    assert (seen["up"], seen["down"]) == (["2.0", "2.0", "12.0", "12.0"], ["12.0", "12.0", "2.0", "2.0"])
    assert seen["sign"] == "ascending" and seen["methods"][0] == "_<b>gibbs</b> 2"  # numbers inside texts count as such
    assert (seen["hidden"], seen["shown"]) == ("none", "block")
    assert seen["width"][0] <= 500 and seen["width"][1] <= seen["width"][0], "the page is wider than its window"


@browser
def test_its_own_policy_lets_its_script_run(made: Path, tmp_path: Path):
    done = browse(made / "report.html", tmp_path / "profile", "--dump-dom")
    assert "CONSOLE" not in done.stderr and '<div class="stage">' in done.stdout


def test_maps_are_not_made_with_another_kernel(run, tiny):
    for name, side in (("k.png", 3), ("other.png", 5)):
        Image.fromarray(np.full((side, side), 255, dtype=np.uint8)).save(name)
    task = "task=[{op='kernel:path=k.png', noise=0.02}]"
    assert run("run", "tiny.toml", "-o", "r", "--set", task, "--set", "data.pictures=1").code == 0
    missing = "Maps of |A estimate - observation| are missing"
    assert run("report", "r").code == 0 and missing not in (tiny / "r" / "report.html").read_text()
    Path("k.png").write_bytes(Path("other.png").read_bytes())
    assert run("report", "r").code == 0
    assert "k.png is not the file that the run had" in (tiny / "r" / "report.html").read_text()
