"""Tables from records: statistics, and the same bytes whatever the order."""

from __future__ import annotations

import json
import random

import pytest
from scipy import stats

from zsir.errors import BadInput
from zsir.experiments import summary
from zsir.experiments.manifest import Manifest, RunFolder


def record(place=0, picture="a", psnr=20.0, **changes):
    names = {
        "task": "x2",
        "op": "sr2x",
        "noise": "0.1",
        "told": "0.1",
        "method": f"m{place}",
        "prior": "p",
        "sampler": "s",
    }
    base = {
        **names,
        "cell": f"c{place}",
        "place": place,
        "values": {},
        "seed": 0,
        "sample": 0,
        "picture": picture,
        "index": "abcdef".index(picture),
        "status": "ok",
        "error": None,
        "nfe": 4,
        "seconds": 1.0,
        "metric_names": ["psnr", "ssim"],
        "metrics": {"psnr": psnr, "ssim": None},
    }
    return {**base, **changes}


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 10, 33, 34, 299, 4999])
def test_student(degrees):
    assert summary.student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_summary():
    values = [20.0, 21.5, 19.0, 26.0]
    found = summary.summary(values)
    low, high = stats.t.interval(0.95, 3, loc=found.mean, scale=stats.sem(values))
    assert found.mean == pytest.approx(21.625) and found.n == 4 and found.half is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high), rel=1e-9)
    assert summary.summary([3.0]) == summary.Mean(3.0, None, 1)


def test_seeds_and_samples_are_averaged_before_pictures():
    records = [record(picture="a", psnr=10.0), record(picture="a", psnr=20.0, sample=1), record(picture="b", psnr=25.0)]
    (row,) = summary.rows(records)
    assert row.metrics["psnr"].mean == 20.0 and row.metrics["psnr"].n == 2 and row.pictures == 2


def test_order_does_not_matter():
    generator = random.Random(0)
    records = [record(k, name, generator.uniform(15, 40)) for k in range(12) for name in "abcdef"]
    records += [record(3, "b", status="failed", error="no", metrics={}), record(5, "c", 17.0, seconds=9.0)]
    expected = summary.files(records, "h")
    for _ in range(5):
        generator.shuffle(records)
        assert summary.files(records, "h") == expected
    methods = [row["method"] for row in json.loads(expected["table.json"])["rows"]]
    assert methods == [f"m{k}" for k in range(12)]


def test_times_are_not_in_the_tables():
    quick, slow = (summary.files([record(seconds=s)], "h") for s in (1.0, 2.0))
    assert {name for name in quick if quick[name] != slow[name]} == {"timings.csv"}


def test_a_success_outdoes_a_failure():
    failure = record(picture="b", status="failed", error="no", metrics={}, nfe=0)
    (row,) = summary.rows([record(), failure])
    assert (row.pictures, row.failed) == (1, 1) and "| failed |" in summary.markdown([row])
    (row,) = summary.rows([failure, record(), record(picture="b", psnr=30.0)])
    assert (row.pictures, row.failed, row.metrics["psnr"].mean) == (2, 0, 25.0)
    assert "failed" not in summary.markdown([row]) and "ssim" not in row.metrics
    (row,) = summary.rows([failure])
    text = summary.files([failure], "h")
    assert row.pictures == 0 and "NaN" not in text["table.json"] and "nan" not in text["table.csv"]


def test_markdown():
    rows = summary.rows([record(psnr=20.0), record(picture="b", psnr=22.0), record(1, told="0.2", method="a|b")])
    first, _, second, third, *_ = summary.markdown(rows).splitlines()
    assert first == "| task | noise | told | method | calls | pictures | psnr | ssim |"
    assert second == "| x2 | 0.1 | 0.1 | m0 | 4 | 2 | 21.00 ± 12.71 | none of 2 |"
    assert third == "| x2 | 0.1 | 0.2 | a\\|b | 4 | 1 | 20.00 | none of 1 |"


def test_a_label_of_several_lines_stays_in_its_row():
    rows = summary.rows([record(method="one\ntwo\r\n| three", task="x\n\n2")])
    third = summary.markdown(rows).splitlines()[2]
    assert third.startswith("| x  2 | 0.1 | one two \\| three | 4 |") and third.endswith("|")


def test_exact_results_do_not_drop_out_of_a_mean_silently():
    records = [record(picture=name, psnr=value) for name, value in (("a", None), ("b", None), ("c", 30.0))]
    failure = record(1, status="failed", error="no", metrics={}, metric_names=["psnr"])
    records += [record(2, name, metrics={"psnr": 20.0}, metric_names=["psnr"]) for name in "ab"] + [failure]
    lines = summary.markdown(summary.rows(records)).splitlines()
    assert [line.split("|", 7)[7] for line in lines[2:5]] == [
        " 30.00 (1 of 3) | none of 3 |",
        "  |  |",
        " 20.00 ± 0.00 |  |",
    ]
    assert "exact results have an infinite PSNR" in lines[-1]
    assert "infinite" not in summary.markdown(summary.rows(records[3:])), "said where there is nothing to say"
    held = json.loads(summary.files(records, "h")["table.json"])["rows"][0]
    assert held["pictures"] == 3 and held["metrics"]["psnr"] == {"mean": 30.0, "half": None, "n": 1}


def test_torn_lines(tmp_path):
    folder, whole = RunFolder(tmp_path), json.dumps(record()).encode()
    path = tmp_path / "manifest.0.jsonl"
    path.write_bytes(whole + b"\n" + whole[:40])
    assert folder.records() == [record()]
    manifest = Manifest(folder, 0)  # takes the torn line away, so that the next one begins a line
    manifest.append(record(1))
    manifest.close()
    assert folder.records() == [record(), record(1)]
    path.write_bytes(whole[:40] + b"\n" + whole + b"\n")
    with pytest.raises(BadInput, match="line 1 is damaged"):
        folder.records()


def test_one_process_of_a_rank(tmp_path):
    manifest = Manifest(RunFolder(tmp_path), 2)
    with pytest.raises(BadInput, match="process 2 works in"):
        Manifest(RunFolder(tmp_path), 2)
    Manifest(RunFolder(tmp_path), 1).close()
    manifest.close()
    Manifest(RunFolder(tmp_path), 2).close()
