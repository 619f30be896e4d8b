"""``zsir solve --again RECORD``: repeat what a JSON record tells of, and say what is not as it was."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zsir import files
from zsir.blind import finds_kernel
from zsir.cli.batch import Batch
from zsir.cli.exits import say
from zsir.cli.outputs import Job, ResultFiles, check_clashes, checked, map_paths
from zsir.cli.results import write_result
from zsir.errors import BadInput, BadSpec, SolveError, UnknownName
from zsir.files import digest, make_folder
from zsir.loop.provenance import versions
from zsir.pictures import WRITABLE, read
from zsir.priors.wrappers.settings import Wrapping
from zsir.workflow.blending import load_blend
from zsir.workflow.degradation import parsed_op
from zsir.workflow.method import Method, load_method
from zsir.workflow.record import REGISTRIES, kernel_paths, summary
from zsir.workflow.restore import restored
from zsir.workflow.spread import about_sampler

#: settings that `load_method` takes, and those of the wrapping
PARTS, AROUND = ("op", "noise", "prior", "sampler"), ("tile", "precision", "ensemble", "compiled")
#: settings of the blend, which older records lack
BLEND = ("strength", "grain", "protect")


def repeat(record: Path, output: str | None, *, overwrite: bool, quiet: bool) -> None:
    """Repeat every result of a record, at its old place or in the folder ``output``.

    An error names an input, a file of a spec, or weights that differ from the record. Other versions of zsir, torch or
    Python give a note, because the result may then differ in its last digits. Raises `BadInput` or `BadSpec`.
    """
    every = read_entries(record)
    entries = {Path(entry["output"]): entry for entry in every if not entry.get("refused")}
    for entry in every:
        if entry.get("refused"):
            say(f"note: {entry['output']} was not written then and is not repeated: {entry.get('harm', '')}")
    if not entries:
        raise BadInput(f"{record} holds no result that was written; there is nothing to repeat.")
    if output is not None and Path(output).suffix.lower() in WRITABLE and not Path(output).is_dir():
        raise BadSpec(f"-o {output}: --again writes into a folder; name one, as in -o again/.")
    jobs, wanted = list[Job](), dict[Path, dict[str, Any]]()
    for target, entry in entries.items():
        place = target if output is None else Path(output) / target.name
        wanted[place] = entry
        maps = map_paths(place) if entry["settings"]["samples"] > 1 else ()
        kernel = kernel_paths(place) if finds_kernel(entry["settings"]["op"]) else ()
        planned = ResultFiles(entry["settings"]["seed"], place, maps=maps, kernel=kernel)
        jobs.append(Job(Path(entry["input"]), (planned,)))
    reads = [record, *(Path(path) for entry in entries.values() for path in entry["files"])]
    check_clashes(jobs, reads=reads)
    if output is not None:
        make_folder(output)
    for sentence in dict.fromkeys(_other_versions(entry, record) for entry in entries.values()):
        if sentence:
            say(f"note: {sentence}")
    batch = Batch(checked(jobs, overwrite), quiet=quiet)
    batch.run(lambda job: _repeat_job(job, wanted[job.results[0].target], record, batch, overwrite))


def read_entries(record: Path) -> list[dict[str, Any]]:
    """The results of a record that `zsir solve`, `demo` or `trace` wrote; raises `BadInput`."""
    try:
        entries = json.loads(record.read_text(encoding="utf-8"))["results"]
        kinds = [_kind(entry) for entry in entries]
    except OSError as error:
        raise BadInput(f"{record} cannot be read: {files.reason(error)}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{record} is not a record that zsir solve --record writes, or it is damaged.") from None
    if not kinds or "other" in kinds:
        raise BadInput(
            f"{record} does not hold the settings of its results; records of zsir solve, trace and demo do, none "
            "of an older zsir or of zsir compare."
        )
    found: list[dict[str, Any]] = entries
    return found


def _kind(entry: Mapping[str, Any]) -> str:
    """``other`` for an entry without settings; raises `KeyError`, `TypeError` or `ValueError` for a damaged one."""
    written = set() if entry.get("refused") else {"files", "output_sha256"}
    if not {"settings", *written} <= set(entry):
        return "other"
    settings = entry["settings"]
    for name in (*PARTS, *AROUND, "device", "dtype", "seed", "samples", "size", "simulate", "ignore_jpeg"):
        settings[name]
    numbers = (settings["seed"], settings["samples"], *(settings["size"] or ()))
    texts = (*(settings[name] for name in REGISTRIES), entry["input"], entry["output"])
    wrong = [value for value in numbers if type(value) is not int or value < 0]
    wrong += [value for value in texts if not isinstance(value, str)]
    provenance = entry["provenance"]
    if wrong or not isinstance(provenance["versions"], dict) or not isinstance(provenance["weights_sha256"], str):
        raise ValueError(f"{wrong} in a record")
    dict(entry["files"] if written else {})
    return "ours"


def _repeat_job(job: Job, entry: Mapping[str, Any], record: Path, batch: Batch, overwrite: bool) -> None:
    (planned,) = job.results
    _check_files(entry["files"], record)
    settings = entry["settings"]
    method = _method(settings)
    _check_weights(method, entry, record)
    if settings["samples"] > 1 and (said := about_sampler(method.sampler)):
        say(f"note: {said}")
    result = restored(
        *(read(job.source), method),
        seed=settings["seed"],
        samples=settings["samples"],
        size=None if settings["size"] is None else (settings["size"][0], settings["size"][1]),
        simulate=settings["simulate"],
        blend=load_blend(**{name: settings[name] for name in BLEND if name in settings}),
        callbacks=[batch.follow(job.source.name)],
    )
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / planned.target.name
        result.save(trial)
        same = digest(trial) == entry["output_sha256"]
    if not same and planned.target.exists():
        raise SolveError(
            f"The repetition of {planned.target} is not the file that was recorded; the file was left as it is. Give "
            "-o FOLDER to look at the repetition."
        )
    written = write_result(result, planned, overwrite=overwrite)
    if not same:
        raise SolveError(f"{planned.target} was written, but it is NOT the file that was recorded.")
    batch.done(f"{summary(written)}  the same file as recorded")


def _method(settings: Mapping[str, Any]) -> Method:
    """The method that the settings name; raises `BadSpec` where a part was made by hand."""
    for name, registry in REGISTRIES.items():
        try:
            parsed_op(settings[name]) if name == "op" else registry.parse(settings[name])
        except (BadSpec, UnknownName):
            raise BadSpec(
                f"The {name} of this record is no spec of this zsir ({settings[name]}): it was made in Python, or its "
                "plug-in is not installed. Only specs can be repeated."
            ) from None
    return load_method(
        *(settings[name] for name in PARTS),
        device=settings["device"],
        dtype=settings["dtype"],
        wrapping=Wrapping(*(settings[name] for name in AROUND)),
        ignore_jpeg=settings["ignore_jpeg"],
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


def _other_versions(entry: Mapping[str, Any], record: Path) -> str:
    """A sentence where other versions made the result than those here, else ""."""
    then, now = entry["provenance"]["versions"], versions()
    other = [f"{name} {then[name]} (here {now[name]})" for name in now if then.get(name, now[name]) != now[name]]
    if not other:
        return ""
    return f"{record} was written with {', '.join(other)}: results may differ in their last digits."
