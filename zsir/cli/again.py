"""``zsir solve --again RECORD``: repeat what a JSON record tells of, and say what is not as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zsir import files
from zsir.cli.batch import Batch
from zsir.cli.exits import say
from zsir.cli.outputs import Job, Result, check_clashes, checked, map_paths
from zsir.cli.results import write_result
from zsir.errors import BadInput, BadSpec
from zsir.files import digest, make_folder
from zsir.loop.provenance import versions
from zsir.pictures import read
from zsir.priors.wrappers.settings import Wrapping
from zsir.workflow.method import Method, load_method
from zsir.workflow.record import summary
from zsir.workflow.restore import restored

#: settings that `load_method` takes, and those of the wrapping
PARTS, AROUND = ("op", "noise", "prior", "sampler"), ("tile", "precision", "ensemble", "compiled")


def repeat(record: Path, output: str | None, *, overwrite: bool, quiet: bool) -> None:
    """Repeat every result of a record, at its old place or in the folder ``output``.

    An error names an input, a file of a spec, or weights that differ from the record. Other versions of zsir, torch or
    Python give a note, because the result may then differ in its last digits. Raises `BadInput` or `BadSpec`.
    """
    entries = {Path(entry["output"]): entry for entry in read_entries(record)}
    jobs = []
    for target, entry in entries.items():
        place = target if output is None else Path(output) / target.name
        maps = map_paths(place) if entry["settings"]["samples"] > 1 else ()
        jobs.append(Job(Path(entry["input"]), (Result(entry["settings"]["seed"], place, maps=maps),)))
    check_clashes(jobs)
    if output is not None:
        make_folder(output)
    waiting = iter(entries.values())
    batch = Batch(checked(jobs, overwrite), quiet=quiet)
    pairs = {id(job): next(waiting) for job in batch.jobs}
    batch.run(lambda job: _repeat_job(job, pairs[id(job)], record, batch))


def read_entries(record: Path) -> list[dict[str, Any]]:
    """The results of a record that `zsir solve`, `demo` or `trace` wrote; raises `BadInput`."""
    try:
        entries = json.loads(record.read_text(encoding="utf-8"))["results"]
        complete = bool(entries) and all({"input", "output", "settings", "files"} <= set(entry) for entry in entries)
    except OSError as error:
        raise BadInput(f"{record} cannot be read: {files.reason(error)}.") from None
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{record} is not a record that zsir solve --record writes.") from None
    if not complete:
        raise BadInput(
            f"{record} does not hold the settings of its results; records of zsir solve, trace and demo do, none "
            "of an older zsir or of zsir compare."
        )
    found: list[dict[str, Any]] = entries
    return found


def _repeat_job(job: Job, entry: Mapping[str, Any], record: Path, batch: Batch) -> None:
    (planned,) = job.results
    _check_files(entry["files"], record)
    settings = entry["settings"]
    method = _method(settings)
    _check_weights(method, entry, record)
    for name, then, now in _other_versions(entry["provenance"]["versions"]):
        say(f"note: {record} was written with {name} {then}, this is {now}: the result may differ in its last digits")
    result = restored(
        *(read(job.source), method),
        seed=settings["seed"],
        samples=settings["samples"],
        size=None if settings["size"] is None else (settings["size"][0], settings["size"][1]),
        simulate=settings["simulate"],
        callbacks=[batch.follow(job.source.name)],
    )
    written = write_result(result, planned)
    same = digest(planned.target) == entry["output_sha256"]
    verdict = "the same file as recorded" if same else "NOT the file that was recorded"
    batch.done(f"{summary(written)}  {verdict}")


def _method(settings: Mapping[str, Any]) -> Method:
    """The method that the settings name; raises `BadSpec` where a part was made by hand."""
    for name in PARTS:
        if isinstance(settings[name], str) and "(" in settings[name]:
            made = settings[name]
            raise BadSpec(f"The {name} of this record was made in Python ({made}); only specs can be repeated.")
    return load_method(
        *(settings[name] for name in PARTS),
        device=settings["device"],
        dtype=settings["dtype"],
        wrapping=Wrapping(*(settings[name] for name in AROUND)),
    )


def _check_files(expected: Mapping[str, str], record: Path) -> None:
    for path, total in expected.items():
        if not Path(path).exists():
            raise BadInput(f"{path}, which {record} was made from, is not there; run from the folder of that command.")
        if digest(Path(path)) != total:
            raise BadInput(f"{path} is not the file that {record} was made from (another SHA-256); bring that one.")


def _check_weights(method: Method, entry: Mapping[str, Any], record: Path) -> None:
    then = entry["provenance"]["weights_sha256"]
    if method.prior.fingerprint != then:
        raise BadInput(
            f"The prior {entry['settings']['prior']} has other weights than {record} was made with "
            f"(SHA-256 {method.prior.fingerprint[:12]}, then {then[:12]}); bring those."
        )


def _other_versions(then: Mapping[str, str]) -> list[tuple[str, str, str]]:
    now = versions()
    return [(name, then[name], now[name]) for name in now if then.get(name) != now[name] and name in then]
