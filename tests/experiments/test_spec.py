"""Specs: what is read, how grids unfold, and one sentence for every mistake."""

from __future__ import annotations

import pytest
import torch

from tests.experiments.conftest import TINY
from tests.sources import ROOT
from zsir import operators
from zsir.errors import BadInput, BadSpec, UnknownName, ZsirError
from zsir.experiments import cropping, named_files, toml
from zsir.experiments.grid import cells
from zsir.experiments.plan import make_plan
from zsir.experiments.sets import load, pictures
from zsir.experiments.spec import (
    DATA_KEYS,
    METHOD_KEYS,
    RUN_KEYS,
    TASK_KEYS,
    first_difference,
    identity,
    parse,
    read_spec,
    spec_hash,
)
from zsir.pictures import read, write
from zsir.priors.wrappers.settings import Wrapping

DATA = '[data]\nfolder = "eval34"\n'
TASK = '[[task]]\nop = "sr2x"\n'
METHOD = '[[method]]\nsampler = "cm4ir"\n'


def spec_of(text: str):
    return parse(toml.loads(text))


def test_defaults_are_written_out():
    spec = spec_of(DATA + TASK + METHOD)
    (cell,) = cells(spec)
    assert (cell.task, cell.op, cell.noise, cell.told, cell.method) == ("sr2x", "sr2x", 0.0, 0.0, "cm4ir")
    assert (cell.prior, cell.sampler, cell.seed) == ("photo", "cm4ir", 0)
    assert spec.resolved()["run"]["metrics"] == ["psnr", "ssim"]


@pytest.mark.parametrize(
    "text", [TINY, DATA + TASK + METHOD + '[run]\nnoise_told = [0.1]\n[provenance]\ndata = "a \\" b"\n']
)
def test_the_resolved_copy_is_the_same_spec(text):
    spec = spec_of(text)
    again = parse(toml.loads(toml.dumps(spec.resolved())))
    assert again == spec
    assert spec_hash(again.resolved()) == spec_hash(spec.resolved())


def test_grids():
    text = """
[data]
folder = "eval34"
[[task]]
label = "x{f}"
op = "sr{f}x"
f = [2, 4]
noise = [0.0, "5/255"]
tail = "3"
[[method]]
label = "M{nfe}"
prior = ["photo", "gaussian"]
sampler = "cm4ir:nfe={nfe},eta=0.{tail}"
nfe = [1, 8]
[run]
seeds = [0, 7]
noise_told = [0.5, "1/2"]
"""
    found = cells(spec_of(text))
    assert len(found) == 4 * 4 * 2 * 2
    assert [cell.number for cell in found] == list(range(64)) and len({cell.key for cell in found}) == 64
    last = found[-1]
    assert (last.task, last.op, last.noise_text, last.noise) == ("x4", "sr4x", "5/255", 5 / 255)
    assert (last.method, last.sampler) == ("M8 (prior=gaussian)", "cm4ir:nfe=8,eta=0.3")
    assert (last.told_text, last.told, last.seed) == ("1/2", 0.5, 7)
    assert last.values == {"f": "4", "tail": "3", "nfe": "8"}
    assert last.key == "x4 | noise 5/255 | told 1/2 | M8 (prior=gaussian) | seed 7"


def test_what_goes_around_the_prior():
    text = DATA + TASK + METHOD + 'tile = [0, 64]\nprecision = ["float32", "bf16"]\nensemble = true\n'
    found = cells(spec_of(text))
    assert [str(cell.wrapping) for cell in found] == [
        "ensemble",
        "precision=bf16, ensemble",
        "tile=64, ensemble",
        "tile=64, precision=bf16, ensemble",
    ]
    assert found[3].wrapping == Wrapping(64, "bf16", True) and found[0].wrapping == Wrapping(ensemble=True)
    assert found[3].method == "cm4ir (tile=64, precision=bf16)"
    assert found[3].values == {"tile": "64", "precision": "bf16", "ensemble": "true"}
    named = cells(spec_of(text + 'label = "M {precision} {ensemble}"\n'))
    assert named[3].method == "M bf16 true (tile=64)" and len({cell.key for cell in named}) == 4
    (plain,) = cells(spec_of(DATA + TASK + METHOD))
    assert plain.wrapping == Wrapping() and plain.values == {}
    again = parse(toml.loads(toml.dumps(spec_of(text).resolved())))
    assert again == spec_of(text)


def test_what_goes_around_the_prior_is_part_of_the_hash():
    plain = spec_of(DATA + TASK + METHOD).resolved()
    for line in ("tile = 64", 'precision = "bf16"', "ensemble = true", "tile = [0]"):
        other = spec_of(DATA + TASK + METHOD + line + "\n").resolved()
        assert spec_hash(other) != spec_hash(plain), line
        assert str(first_difference(plain, other)).startswith(f"method.0.{line.partition(' ')[0]} is missing here and")
    idle = spec_of(DATA + TASK + METHOD + 'tile = 0\nprecision = "float32"\nensemble = false\n').resolved()
    assert spec_hash(idle) == spec_hash(plain) and first_difference(plain, idle) is None


def test_methods_see_task_and_noise():
    text = DATA + '[[task]]\nlabel = "sr4x"\nop = "sr4x"\nnoise = [0.025, 0.05]\n'
    text += '[[method]]\nsampler = "cm4ir-published:task=cat-{task}-{noise}"\n'
    names = [cell.sampler for cell in cells(spec_of(text))]
    assert names == ["cm4ir-published:task=cat-sr4x-0.025", "cm4ir-published:task=cat-sr4x-0.05"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nme = 1\n" + DATA + TASK + METHOD, "no key 'nme'; did you mean 'name'?"),
        ("name = 3\n" + DATA + TASK + METHOD, "name = 3 must be text"),
        (TASK + METHOD, r"no \[data\]"),
        (DATA + METHOD, r"no \[\[task\]\]"),
        (DATA + TASK, r"no \[\[method\]\]"),
        (DATA + "pictres = 3\n" + TASK + METHOD, r"\[data\] has no key 'pictres'; did you mean 'pictures'"),
        (DATA + "pictures = 0\n" + TASK + METHOD, r"\[data\] pictures = 0 must be a whole number of at least 1"),
        (DATA + "size = true\n" + TASK + METHOD, r"\[data\] size = True must be a whole number"),
        (DATA + 'files = ["a.png"]\n' + TASK + METHOD, "either folder"),
        ("[data]\nsize = 3\n" + TASK + METHOD, "either folder"),
        ("data = 3\n" + TASK + METHOD, r"\[data\] must be a table"),
        (DATA + '[task]\nop = "sr2x"\n' + METHOD, r"each headed \[\[task\]\]"),
        (DATA + "[[task]]\nnoise = 0.1\n" + METHOD, r"\[\[task\]\] needs op"),
        (DATA + TASK + "noise = 5\n" + METHOD, "5/255"),
        (DATA + TASK + 'noise = "much"\n' + METHOD, "'much' is not a number"),
        (DATA + TASK + "noise = []\n" + METHOD, "must be a text or number"),
        (DATA + "[[task]]\nop = 3\n" + METHOD, "op = 3 must be text"),
        (DATA + TASK + METHOD + "smapler = 3\n", r"nothing uses smapler: write \{smapler\}.*did you mean 'sampler'"),
        (DATA + TASK + METHOD + "tiel = 64\n", r"nothing uses tiel: .*did you mean 'tile'"),
        (DATA + TASK + METHOD + "tile = 100\n", r"\[\[method\]\] tile=100: a multiple of 8 .* such as 96"),
        (DATA + TASK + METHOD + "tile = [64, true]\n", r"tile = \[64, True\] must be the side of the windows"),
        (DATA + TASK + METHOD + 'tile = "64"\n', "tile = '64' must be the side of the windows"),
        (DATA + TASK + METHOD + 'precision = "half"\n', 'precision = \'half\' must be "float32", "bf16" or "fp16"'),
        (DATA + TASK + METHOD + "ensemble = 1\n", "ensemble = 1 must be true or false"),
        (DATA + TASK + '[[method]]\nsampler = "cm4ir:nfe={nfr}"\nnfe = 3\n', r"nothing is called \{nfr\}"),
        (DATA + TASK + METHOD + METHOD, "Two cells .* another label"),
        (DATA + TASK + METHOD + 'label = ["a", "b"]\n', "must be one text"),
        (DATA + TASK + METHOD + '[run]\nmetrics = ["pnsr"]\n', "no metric 'pnsr'; did you mean psnr"),
        (DATA + TASK + METHOD + '[run]\nmetrics = ["stlpips:file=x"]\n', "write stlpips or stlpips:path=FILE"),
        (DATA + TASK + METHOD + "[run]\ncrop = -1\n", "crop = -1 must be a whole number of pixels"),
        (DATA + "size = 8\n" + TASK + METHOD + "[run]\ncrop = 4\n", "crop = 4 leaves nothing of pictures of"),
        (DATA + TASK + METHOD + '[run]\nmetrics = ["psnr", "psnr"]\n', "one metric twice"),
        (DATA + TASK + METHOD + '[run]\nsave = "some"\n', r"\[run\] save = 'some' must be \"all\""),
        (DATA + TASK + METHOD + "[run]\nseeds = 0\n", r"seeds = 0 must be a list"),
        (DATA + TASK + METHOD + "[run]\nseeds = [-1]\n", r"seeds = \[-1\] must be a list"),
        (DATA + TASK + METHOD + '[run]\nbatch = "big"\n', r'batch = \'big\' must be "auto"'),
        (DATA + TASK + METHOD + "[provenance]\ndata = 3\n", "holds texts"),
    ],
)
def test_mistakes(text, words):
    with pytest.raises(BadSpec, match=words):
        cells(spec_of(text))


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ("data.pictures", BadSpec, "write table.key=value"),
        ("dat.pictures=2", BadSpec, "no table 'dat'; did you mean 'data'"),
        ("method.nfe=2", BadSpec, "method.0.nfe=2"),
        ("method.1.nfe=2", BadSpec, "method counts from 0 to 0"),
        ("data.size=x", BadSpec, "size = 'x' must be"),
        ("name.x=3", BadSpec, "name is a value and has no keys; write --set name=..."),
        ("name.x.y=3", BadSpec, "name is a value and has no keys; write --set name=..."),
        ("data.folder.x=3", BadSpec, "data.folder is a value and has no keys; write --set data.folder=..."),
        ("data.folder.x.y=3", BadSpec, "data.folder is a value and has no keys; write --set data.folder=..."),
        ("task.0.noise.1=3", BadSpec, "task.0.noise is a value and has no keys; write --set task.0.noise=..."),
        ("task.0.noise.1.x=3", BadSpec, "task.0.noise is a value and has no keys; write --set task.0.noise=..."),
        ("task.0=3", BadSpec, "task.0 is a table; name a key of it, as in task.0.label=3"),
        ("task.0.op=sr9y", UnknownName, "no operator 'sr9y'"),
        ("method.0.prior=foto", UnknownName, "no prior 'foto'; did you mean 'photo'"),
        ("method.0.sampler=cm4ir:nef=2", UnknownName, "no option 'nef'"),
        ("data.digest=abc", BadSpec, r"\[data\] digest: the 5 pictures are not those"),
    ],
)
def test_wrong_changes(tiny, change, kind, words):
    with pytest.raises(kind, match=words):
        make_plan("tiny.toml", [change])


def test_changes(tiny):
    changes = ["data.pictures=2", "method.0.sampler=hqs:nfe={n}", "method.0.n=[1, 2]", "run.seeds=[3]", "name=other"]
    plan = make_plan("tiny.toml", changes)
    assert [cell.sampler for cell in plan.cells[:2]] == ["hqs:nfe=1", "hqs:nfe=2"]
    assert (plan.spec.name, plan.cells[0].seed, len(plan.pictures), plan.solves) == ("other", 3, 2, 12)


@pytest.mark.parametrize(
    ("name", "content", "kind", "words"),
    [
        ("no.toml", None, UnknownName, "no file no.toml.*shipped are blind-motion, cm4ir-imagenet64"),
        ("smok", None, UnknownName, "did you mean 'smoke'"),
        ("a.toml", b"a = [", BadSpec, "a.toml is not TOML"),
        ("a.toml", b"\xff", BadInput, "not UTF-8"),
    ],
)
def test_wrong_files(tmp_path, monkeypatch, name, content, kind, words):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=words):
        read_spec(name)


def test_the_hash_follows_what_decides_results(tiny):
    plain = make_plan("tiny.toml").spec.resolved()
    same = make_plan("tiny.toml", ["run.batch=3", "provenance.data=elsewhere"]).spec.resolved()
    assert spec_hash(plain) == spec_hash(same) and first_difference(plain, same) is None
    (tiny / "photos").rename(tiny / "moved")
    assert spec_hash(make_plan("tiny.toml", ["data.folder=moved"]).spec.resolved()) == spec_hash(plain)
    (tiny / "moved" / "p3.png").write_bytes((tiny / "moved" / "p2.png").read_bytes())
    other = make_plan("tiny.toml", ["data.folder=moved"]).spec.resolved()
    assert str(first_difference(plain, other)).startswith("data.digest is '")
    for change in ("run.threads=2", "task.0.noise=0.1", "data.size=16", "run.save=none"):
        changed = make_plan("tiny.toml", ["data.folder=moved", change]).spec.resolved()
        assert spec_hash(changed) != spec_hash(other), change
    assert "run.batch" not in identity(plain) and "data.folder" not in identity(plain)


def test_picture_lists(tiny):
    plan = make_plan("tiny.toml", ["data.pictures=3"])
    assert [(p.index, p.name) for p in plan.pictures] == [(0, "p0"), (1, "p1"), (2, "p2")]
    text = (tiny / "tiny.toml").read_text()
    (tiny / "tiny.toml").write_text(text.replace('folder = "photos"', 'files = ["photos/p4.png", "photos/p1.png"]'))
    assert [p.name for p in make_plan("tiny.toml").pictures] == ["p4", "p1"]
    gone = make_plan("tiny.toml", ['data.files=["x.png"]']).gone
    assert isinstance(gone, ZsirError) and "no file x.png" in str(gone)


@pytest.mark.parametrize(
    ("size", "op", "words"),
    [
        (15, "sr2x", r"\[data\] size = 15: for sr2x the centre of .*p0.png \(20x18\) begins or ends .*; leave it out"),
        (8, "sr4x", r"p0.png has 20x18 pixels and its observation 10x9, which for sr4x should be 4 times smaller"),
        (8, "identity", r"p0.png has 20x18 pixels and its observation 10x9, which for identity should be 1 times"),
        (8, "box:size=0.5", "box:size=0.5 is placed in whole pictures"),
    ],
)
def test_observations_that_cannot_be_cut(tiny, size, op, words):
    pairs(tiny, 18, 20, 2)
    with pytest.raises(BadSpec, match=words):
        make_plan("tiny.toml", [f"data.size={size}", "data.observed=seen", f"task=[{{op='{op}'}}]"])


def test_the_nearest_size_that_can_be_cut(tiny):
    pairs(tiny, 24, 40, 2)
    with pytest.raises(BadSpec, match="inside a pixel of its observation; take 12, or leave it out"):
        make_plan("tiny.toml", ["data.size=14", "data.observed=seen", "task=[{op='sr2x'}]"])
    assert make_plan("tiny.toml", ["data.size=12", "data.observed=seen", "task=[{op='sr2x'}]"]).solves == 15


def pairs(folder, height, width, factor):
    """Five pictures and their reductions by plain means, in photos/ and seen/."""
    (folder / "seen").mkdir()
    for k in range(5):
        x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(k))
        write(folder / "photos" / f"p{k}.png", x)
        write(folder / "seen" / f"p{k}.png", torch.nn.functional.avg_pool2d(x, factor))


def test_the_part_of_an_observation_that_belongs_to_the_centre(tiny):
    pairs(tiny, 24, 40, 2)
    seen = read("seen/p1.png").pixels
    sr, same = (operators.make(op, in_shape=(3, 12, 12)) for op in ("sr2x", "identity"))
    part = cropping.observation(tiny / "seen" / "p1.png", 12, sr)
    # rows 6 to 18 and columns 14 to 26 of the picture
    assert torch.equal(part, seen[:, :, 3:9, 7:13])
    reduced = torch.nn.functional.avg_pool2d(load(tiny / "photos" / "p1.png", 12), 2)
    assert float((reduced - part).abs().max()) < 1 / 255
    assert torch.equal(cropping.observation(tiny / "photos" / "p1.png", 12, same), load(tiny / "photos" / "p1.png", 12))
    assert torch.equal(cropping.observation(tiny / "seen" / "p1.png", None, sr), seen)
    with pytest.raises(BadInput, match="less than 24x24"):
        cropping.observation(tiny / "seen" / "p1.png", 48, operators.make("sr2x", in_shape=(3, 48, 48)))


def test_every_observation_has_a_folder_of_its_own(tiny):
    long = "a label that says much more of its task than the name of a folder has room for, and then goes on and on"
    tasks = f"task=[{{op='identity', noise=[0.01, 0.3], label='{long}'}}, {{op='identity', label='{long}!'}}]"
    found = make_plan("tiny.toml", [tasks, "run.seeds=[0, 1]"]).cells
    assert len({cell.observation for cell in found}) == 6 == len({(c.task, c.noise_text, c.seed) for c in found})
    assert all(len(cell.observation) < 100 for cell in found)


@pytest.mark.parametrize(("name", "count"), [("scikit-image", 5), ("eval34", 34), ("demo", 1)])
def test_sets_keep_their_names(tiny, name, count):
    plan = make_plan("tiny.toml", [f"data.folder={name}"])
    assert len(plan.pictures) == count and plan.spec.data.folder == name
    (tiny / "r").mkdir()
    (tiny / "r" / "spec.toml").write_text(toml.dumps(plan.spec.resolved()))
    again = make_plan("r/spec.toml")
    assert again.pictures == plan.pictures and spec_hash(again.spec.resolved()) == spec_hash(plan.spec.resolved())
    assert make_plan("tiny.toml").spec.data.folder == str((tiny / "photos").resolve())


def test_the_pictures_of_scikit_image(monkeypatch):
    spec = spec_of('[data]\nfolder = "scikit-image"\nsize = 64\n' + TASK + METHOD)
    found = pictures(spec)
    assert [file.name for file in found] == ["astronaut", "camera", "chelsea", "coffee", "rocket"]
    assert [load(file.path, 64).shape[1] for file in found] == [3, 1, 3, 3, 3]
    monkeypatch.setattr("zsir.experiments.sets.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="scikit-image is not installed; pip install"):
        pictures(spec)


def test_every_key_is_on_the_page():
    page = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    tables = {"[data]": DATA_KEYS, "[[task]]": TASK_KEYS, "[[method]]": METHOD_KEYS, "[run]": RUN_KEYS}
    missing = [f"{table} {key}" for table, keys in tables.items() for key in keys if f"| `{table} {key}` |" not in page]
    assert not missing


def test_digests_are_of_files_that_are_named():
    text = DATA + '[[task]]\nop = "kernel:path=k.png"\n' + METHOD + '[digests]\n"./k.png" = "00"\n'
    spec = spec_of(text)
    with pytest.raises(
        BadSpec, match=r"\[digests\] ./k.png: nothing in the spec names this file; did you mean 'k.png'"
    ):
        named_files.digests(named_files.named(cells(spec), spec.run.metrics), spec.digests)
