"""Research checkpoints: reading their tensors without running their code, and filling networks with them.

A file is judged by its first bytes, not by its name. Nothing of it is executed: safetensors holds numbers only, and
PyTorch's own files are read by its restricted unpickler, which refuses everything but tensors and plain containers.
"""

from __future__ import annotations

import hashlib
import io
import pickletools
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from zsir.errors import BadInput, ZsirError
from zsir.priors.checkpoints.families import looks_like

#: names under which training code stores the weights inside a checkpoint, preferred ones first
WRAPPERS = ("params_ema", "ema_state_dict", "state_dict", "model_state_dict", "params", "model", "ema")

#: what wrappers of networks put before every name
PREFIXES = ("module.", "_orig_mod.")

#: modules whose names occur in every file of tensors, and which the restricted unpickler knows
HARMLESS_MODULES = ("torch", "torch._utils", "torch.storage", "torch._tensor", "torch.nn.parameter", "collections")

#: dtypes that networks are computed or counted in; others (float8, complex, quantised, ...) need code of their own
PLAIN = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)

#: more than the pickled names and shapes of any network take
PICKLE_BYTES = 1 << 26


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, on the CPU, in the dtypes of the file.

    Understands safetensors and the files of ``torch.save`` (.pt, .pth, .ckpt). A wrapping such as
    ``{"state_dict": ...}`` and a ``module.`` before every name are taken off; entries that are not tensors (step
    counts, options) are left out. Raises `BadInput`, one sentence for each way in which a file can be unusable; code
    inside a file is never run.
    """
    file = Path(path)
    head = _head(file)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        tensors = _read_safetensors(file)
    else:
        tensors = _unwrapped(_read_torch(file, head), file)
    for name, tensor in tensors.items():
        if what := _special(tensor):
            raise BadInput(
                f"{file}: the tensor '{name}' is {what}; zsir reads dense tensors of float16, bfloat16, float32, "
                "float64 or whole numbers: save it as float32."
            )
    return _without_prefix(tensors)


def _special(tensor: Tensor) -> str:
    """What keeps a tensor from being read as plain numbers; empty if nothing does."""
    if tensor.is_meta:
        return f"without numbers (on the meta device, {_dtype(tensor)})"
    if tensor.is_quantized:
        return f"quantised ({_dtype(tensor)})"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"{'nested' if tensor.is_nested else 'sparse'} ({_dtype(tensor)})"
    return "" if tensor.dtype in PLAIN else f"of dtype {_dtype(tensor)}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says besides its tensors; empty for other files."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as archive:
            return {name: text for name, text in (archive.metadata() or {}).items() if name != "format"}
    except (SafetensorError, OSError):
        return {}


@contextmanager
def understood(path: str | Path) -> Iterator[None]:
    """A net below the checks: where a damaged file makes reading its sizes fail all the same, `BadInput` says so in one
    sentence."""
    try:
        yield
    except ZsirError:
        raise
    except KeyError as error:
        raise BadInput(f"{path} lacks the tensor {error}; it was cut, or holds another network.") from None
    except (ArithmeticError, AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path}: its tensors do not fit together ({text}); the file is damaged or unknown.") from None


def load_into(
    net: nn.Module, tensors: Mapping[str, Tensor], path: str | Path, sources: Mapping[str, str] | None = None
) -> None:
    """Copy ``tensors`` into ``net``, which must have exactly these names and shapes; ``path`` is for the message.

    ``sources`` says for tensors that were renamed how the file calls them, which is how messages call them then.
    A network on the meta device takes the tensors themselves, in its dtypes, and is then on the CPU.

    Raises `BadInput` that names the first offending tensor, its shape, the expected one and, where it can be told,
    what kind of network the file holds.
    """
    expected = net.state_dict()
    called = {name: (sources or {}).get(name, name) for name in [*expected, *tensors]}
    counts = _counts({called[name]: tensor for name, tensor in tensors.items()}, {called[name] for name in expected})
    for name, own in expected.items():
        if name not in tensors:
            raise BadInput(f"{path} lacks the tensor '{called[name]}' of shape {_shape(own)}{counts}")
        if tensors[name].shape != own.shape:
            raise BadInput(
                f"{path}: the tensor '{called[name]}' has shape {_shape(tensors[name])}, expected was {_shape(own)}"
                f"{counts}"
            )
    for name, tensor in tensors.items():
        if name not in expected:
            raise BadInput(
                f"{path} holds a tensor '{called[name]}' of shape {_shape(tensor)}, which the network does not have"
                f"{counts}"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BadInput(
                f"{path}: the tensor '{called[name]}' holds numbers that are not finite; the file is damaged."
            )
    if any(own.is_meta for own in expected.values()):
        net.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}, assign=True)
    else:
        net.load_state_dict(dict(tensors))


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits; raises `BadInput` if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
    return digest.hexdigest()


def _head(file: Path) -> bytes:
    """The first bytes of a file that looks like a checkpoint at all."""
    if file.is_dir():
        raise BadInput(f"{file} is a folder; give the weights file inside it.")
    if not file.is_file():
        raise BadInput(f"There is no weights file at {file}; check the path.")
    try:
        with file.open("rb") as opened:
            head = opened.read(512)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from None
    if not head:
        raise BadInput(f"{file} is empty; download it again.")
    if head.lstrip()[:1] == b"<":
        raise BadInput(f"{file} is a web page, not weights: open the download link in a browser to see why.")
    if head.startswith(b"version https://git-lfs"):
        raise BadInput(f"{file} is a Git LFS pointer, not the weights themselves; fetch them with 'git lfs pull'.")
    return head


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as archive:
            # copied, so that results do not depend on where in the file a tensor begins (vector instructions do)
            return {name: archive.get_tensor(name).clone() for name in archive.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BadInput(f"{file} is not a readable safetensors file ({error}); download it again.") from None


def _read_torch(file: Path, head: bytes) -> object:
    """What ``torch.save`` wrote, if it consists of tensors and plain containers."""
    # PyTorch before 2.6 ran code from old tar checkpoints even with weights_only (CVE-2025-32434)
    if not head.startswith((b"PK\x03\x04", b"\x80")) or tarfile.is_tarfile(file):
        raise BadInput(f"{file} is neither a safetensors file nor one written by torch.save.")
    pickled = _pickle_inside(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored: object = torch.load(file, map_location="cpu", weights_only=True)
            return stored
    except Exception:
        # a broken pickle can make the unpickler fail in any way: IndexError, struct.error, UnicodeDecodeError, ...
        pass
    foreign = _foreign_globals(pickled)
    if foreign:
        raise BadInput(
            f"{file} holds Python objects or code ('{foreign[0]}'), not only tensors; zsir runs no code from files. "
            "Save the network's state_dict() with safetensors or torch.save and give that file."
        )
    raise _damaged(file)


def _pickle_inside(file: Path) -> bytes:
    """The pickled part of a file of ``torch.save``: of a zip archive the member data.pkl, else the beginning."""
    try:
        if not zipfile.is_zipfile(file):
            with file.open("rb") as opened:
                return opened.read(PICKLE_BYTES)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in names):
                raise BadInput(f"{file} is a TorchScript program, not weights; save its state_dict() with torch.save.")
            member = next((name for name in names if name.endswith("data.pkl")), "")
            if any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist()):
                # torch.save never compresses; unpacking could fill the memory
                raise BadInput(f"{file} is a compressed archive, not a file of torch.save; unpack it first.")
            if not member:
                return b""
            with archive.open(member) as opened:
                return opened.read(PICKLE_BYTES)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        raise _damaged(file) from None


def _foreign_globals(pickled: bytes) -> list[str]:
    """Names of what the pickles at the beginning of ``pickled`` would import, except what tensors need.

    Only reads the instructions, executes none. Empty for pickles that break off: what they ask for is not known.
    """
    found, strings, stream = [], [""] * 2, io.BytesIO(pickled)
    try:
        # a file of PyTorch before 1.6 consists of five pickles, then numbers
        for _ in range(5):
            for instruction, argument, _ in pickletools.genops(stream):
                if instruction.name == "GLOBAL":
                    found.append(str(argument).replace(" ", "."))
                elif instruction.name == "STACK_GLOBAL":
                    found.append(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
            if stream.tell() == len(pickled):
                break
    except Exception:
        return []
    return [name for name in found if name.rpartition(".")[0] not in HARMLESS_MODULES]


def _damaged(file: Path) -> BadInput:
    return BadInput(f"{file} is cut short or damaged: PyTorch cannot read it; download it again.")


def _unwrapped(stored: object, file: Path) -> dict[str, Tensor]:
    """The dictionary of tensors in what was stored."""
    for _ in range(8):  # deeper than any real wrapping, and an end for one that holds itself
        if not isinstance(stored, Mapping):
            break
        inner = next((stored[key] for key in WRAPPERS if isinstance(stored.get(key), Mapping)), None)
        if inner is None:
            break
        stored = inner
    if not isinstance(stored, Mapping):
        raise BadInput(f"{file} holds one {type(stored).__name__}, not a dictionary of named tensors.")
    tensors: dict[str, Tensor] = {}
    for name, value in stored.items():
        if isinstance(value, Tensor):
            if str(name) in tensors:
                raise BadInput(f"{file} holds two tensors of the name '{name}', one of them not as text; rename one.")
            tensors[str(name)] = value.detach()
    if not tensors:
        keys = ", ".join(repr(str(key)) for key in list(stored)[:5]) or "nothing"
        raise BadInput(
            f"{file} holds no tensors at its top level; found {keys}; known wrappings: {', '.join(WRAPPERS)}."
        )
    return tensors


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while True:
        prefix = next((p for p in PREFIXES if tensors and all(name.startswith(p) for name in tensors)), "")
        if not prefix:
            return tensors
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _counts(tensors: Mapping[str, Tensor], expected: Collection[str]) -> str:
    """End of the sentences above: how many tensors there are, and whose they seem to be."""
    family = looks_like(tensors)
    guess = f"; the file looks like {family}" if family else ""
    return f" ({len(tensors)} tensors, expected {len(expected)}){guess}."
