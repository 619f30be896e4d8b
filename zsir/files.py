"""Writing files so that nothing is ever left half-written and nothing is lost when a write fails."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from zsir.errors import BadInput, Incompatible, OutputError


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` in one stroke: into a new file beside it, which then takes its place.

    Until the last moment an existing file stays as it is. Raises `OutputError` when the disk is full, the folder is
    missing or not writable, or ``path`` is something else than a regular file (a folder, a device).
    """
    # a symbolic link stays a link: what it points at is replaced
    target = Path(os.path.realpath(path))
    check_target(path)
    temporary = target.with_name(f".zsir-{_place()}-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could leave the new name with nothing in it
            temporary.replace(target)
        finally:
            # gone already after success; after a failure or Ctrl-C this is what keeps the folder clean
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}.") from None


@contextmanager
def opened(path: str | Path, flags: int) -> Iterator[int]:
    """A file descriptor for writing, closed in the end; raises `OutputError`."""
    try:
        file = os.open(path, flags, 0o666)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}.") from None
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def held(path: str | Path, otherwise: str) -> Iterator[None]:
    """Hold the lock that is the file ``path``, made where it is missing; it goes with its process, however that ends.

    Raises `Incompatible` with the sentence ``otherwise`` where another process holds it, and `OutputError`.
    """
    with opened(path, os.O_RDWR | os.O_CREAT) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Incompatible(otherwise) from None
        _LOCKS.add(file)
        try:
            yield
        finally:
            _LOCKS.discard(file)


#: descriptors of locks that are held
_LOCKS = set[int]()


def _without_locks() -> None:
    """In a forked child, whose copies would hold the locks on when this process is killed."""
    for file in _LOCKS:
        os.close(file)
    _LOCKS.clear()


os.register_at_fork(after_in_child=_without_locks)


def remove(path: str | Path) -> None:
    """Delete a file if it exists; raises `OutputError`."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be deleted: {reason(error)}.") from None


def sweep(folder: Path) -> None:
    """Remove, at any depth of ``folder``, what processes that were killed left of `write_bytes`.

    What a living process, or one of another machine or container, may still be writing stays.
    """
    for path in folder.rglob(f".zsir-{_place()}-*.part"):
        number = path.name.split("-")[2]
        if number.isdecimal() and not _alive(int(number)):
            path.unlink(missing_ok=True)


def _place() -> str:
    """Where the numbers of processes mean the same: this machine, or the container in it."""
    container = ""
    with suppress(OSError):
        container = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {container}".encode()).hexdigest()[:8]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it is there, and not ours
    return True


def check_target(path: str | Path) -> None:
    """Raise `OutputError` if ``path`` can be seen beforehand not to be writable: before hours of work, say."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise OutputError(f"{path} cannot be written: it is a folder; give the name of a file.")
    if target.exists() and not target.is_file():
        raise OutputError(f"{path} cannot be written: it is a device or pipe, not a regular file.")
    if not target.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {target.parent}.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: no permission to write in {target.parent}.")


def make_folder(path: str | Path) -> None:
    """Make the folder ``path`` with its parents if it does not exist; raises `OutputError`."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {path} cannot be made: {reason(error)}.") from None


def reason(error: OSError) -> str:
    """What the operating system says, in small letters: ``no space left on device``."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def digest(path: str | Path) -> str:
    """SHA-256 of a file, or of the names and contents in a folder; raises `BadInput` for what cannot be read."""
    path = Path(path)
    if path.is_file():
        return _content_of(path)
    total = hashlib.sha256()
    for file in sorted(found for found in path.rglob("*") if found.is_file()):
        total.update(f"{file.relative_to(path).as_posix()} {_content_of(file)}\n".encode())
    return total.hexdigest()


def _content_of(path: Path) -> str:
    """The digest of one file, computed again only when the file has changed."""
    try:
        now = path.stat()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {reason(error)}.") from None
    return _content(path.resolve(), now.st_mtime_ns, now.st_size, now.st_ino)


@lru_cache(maxsize=1024)
def _content(path: Path, *version: int) -> str:
    total = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {reason(error)}.") from None
    return total.hexdigest()
