"""The run folder: the resolved spec, what is done as lines that only ever grow, pictures beside them. See README.md."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from zsir.errors import BadInput, OutputError, ZsirError
from zsir.experiments import toml
from zsir.experiments.spec import Spec, first_difference, identity, parse, spec_hash
from zsir.files import make_folder, opened, reason, sweep, write_bytes

Record: TypeAlias = dict[str, Any]

#: what a record must have to count in a table
NAMES = {"cell", "task", "op", "noise", "told", "method", "prior", "sampler", "values", "picture"}
FIELDS = NAMES | {"place", "sample", "index", "status", "error", "nfe", "seconds", "metric_names", "metrics"}
#: how a run's own spec begins
HEAD = "# spec hash "
SPEC, LOCK, SESSIONS = "spec.toml", ".lock", "sessions.jsonl"


def item_key(record: Record) -> tuple[str, str, int]:
    """What a record is about: cell, picture and sample."""
    return record["cell"], record["picture"], record["sample"]


class RunFolder:
    """The folder of one run, shared by all its processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, spec: Spec) -> str:
        """Make the folder this spec's own, or find that it is already; returns the spec's hash.

        Raises `BadInput`, naming the first key that differs, where it is another spec's, or holds other things.
        """
        resolved = spec.resolved()
        make_folder(self.path)
        with self.locked():
            target = self.path / SPEC
            if target.exists():
                difference = first_difference(resolved, _written(target))
                if difference is not None:
                    advice = "choose another --out, or undo the change"
                    raise BadInput(f"{self.path} holds the run of another spec: {difference}; {advice}.")
            elif any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise BadInput(f"{self.path} holds other files and no {SPEC}; choose an empty or a new folder.")
            else:
                text = f"{HEAD}{spec_hash(resolved)}\n{toml.dumps(resolved)}"
                write_bytes(target, text.encode())
        return spec_hash(resolved)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time; the lock goes with its process, however that ends."""
        with opened(self.path / LOCK, os.O_RDWR | os.O_CREAT) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def records(self) -> list[Record]:
        """All records of all manifests. A torn last line, the trace of a process that was killed, is left out.

        Raises `BadInput` for a manifest that is damaged elsewhere.
        """
        found: list[Record] = []
        for path in sorted(self.path.glob("manifest.*.jsonl")):
            # what follows the last newline is being written, or was when its writer was killed
            lines = path.read_bytes().split(b"\n")[:-1]
            for number, line in enumerate(lines, start=1):
                try:
                    found.append(_checked(json.loads(line)))
                except ValueError:
                    raise BadInput(
                        f"{path}: line {number} is damaged; delete it, and what it held is done again."
                    ) from None
        return found

    def done(self) -> set[tuple[str, str, int]]:
        """What need not be done again: all that did not fail."""
        return {item_key(record) for record in self.records() if record["status"] == "ok"}

    def weights(self) -> dict[str, str]:
        """Prior -> fingerprint of the weights that its results, failures left out, were made with."""
        fine = (record for record in self.records() if record["status"] == "ok")
        return {record["prior"]: record["fingerprint"] for record in fine if record.get("fingerprint")}

    def begun(self, session: Mapping[str, Any]) -> None:
        """Add a line to the list of commands that worked in this folder."""
        line = json.dumps(session, sort_keys=True).encode() + b"\n"
        with self.locked(), opened(self.path / SESSIONS, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
            try:
                os.write(file, line)
            except OSError as error:
                raise OutputError(f"{self.path / SESSIONS} cannot be written: {reason(error)}.") from None

    def sessions(self) -> list[Record]:
        """The commands that worked in this folder, in order; lines that are damaged are left out."""
        found: list[Record] = []
        try:
            lines = (self.path / SESSIONS).read_bytes().splitlines()
        except FileNotFoundError:
            return found
        for line in lines:
            with suppress(ValueError):
                found += [session for session in [json.loads(line)] if isinstance(session, dict)]
        return found

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder, and the folders above it, in one stroke."""
        make_folder((self.path / name).parent)
        write_bytes(self.path / name, data)

    def sweep(self) -> None:
        """Remove what killed processes left half-written; what living ones are writing stays."""
        sweep(self.path)


def _written(path: Path) -> dict[str, Any]:
    """The tables of a run's own spec; raises `BadInput` for a file that no run wrote, or that was cut since."""
    tables = toml.read(path)
    text = path.read_text(encoding="utf-8")
    if not text.startswith(HEAD):
        raise BadInput(f"{path} is not the spec of a run but a file of your own; choose another folder as --out.")
    try:
        parse(tables)
        identity(tables)
    except (ZsirError, KeyError) as error:
        raise BadInput(
            f"{path} is not as 'zsir run' wrote it ({error}); put it back, or choose another --out."
        ) from None
    return tables


def _checked(record: object) -> Record:
    """``record`` if it is one; raises `ValueError`."""
    if not isinstance(record, dict) or not record.keys() >= FIELDS:
        raise ValueError("no record")
    return record


class Manifest:
    """One process's own list of what it has done. Locked as long as it is open, so that no second process of the same
    rank works in the folder; the lock goes with the process, however that ends."""

    def __init__(self, folder: RunFolder, rank: int) -> None:
        self._path = folder.path / f"manifest.{rank}.jsonl"
        self._context = opened(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._file = self._context.__enter__()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise BadInput(f"Another run of process {rank} works in {folder.path}; wait for it, or stop it.") from None
        self._mend()

    def _mend(self) -> None:
        """Cut off a line that a killed process left torn."""
        content = self._path.read_bytes()
        if content and not content.endswith(b"\n"):
            os.ftruncate(self._file, content.rfind(b"\n") + 1)

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns. Raises `OutputError`."""
        line = json.dumps(record, sort_keys=True, allow_nan=False).encode() + b"\n"
        try:
            while line:  # a signal or a full disk may cut a write short
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {reason(error)}.") from None

    def close(self) -> None:
        """Let go of the file and its lock."""
        self._context.__exit__(None, None, None)
