"""Every error that zsir raises on purpose. Each message is a sentence that says what to change.

ZsirError
├── BadSpec        a spec string or an option value does not parse       (ValueError)
├── UnknownName    no operator, prior, sampler or option of that name    (LookupError)
├── ShapeError     a tensor or kernel has the wrong shape                (ValueError)
├── BadInput       a file or tensor that cannot be used                  (ValueError)
├── Incompatible   parts that cannot work together                       (TypeError)
├── SolveError     the numbers went wrong: no convergence, not finite    (RuntimeError)
└── OutputError    a result that cannot be written                       (OSError)
"""

from __future__ import annotations

import os

__all__ = [
    "BadInput",
    "BadSpec",
    "Incompatible",
    "OutputError",
    "PictureWarning",
    "ShapeError",
    "SolveError",
    "UnknownName",
    "ZsirError",
]


class ZsirError(Exception):
    """Base of all errors below: catching it catches every mistake a user can make."""


class PictureWarning(UserWarning):
    """Something about a picture that its owner should know, and that does not stop the work."""


class BadSpec(ZsirError, ValueError):
    """A spec string or an option value does not parse or lies outside its range."""


class UnknownName(ZsirError, LookupError):
    """No operator, prior, sampler or option has the given name."""


class ShapeError(ZsirError, ValueError):
    """A tensor, mask or kernel has the wrong shape."""


class BadInput(ZsirError, ValueError):
    """A file or tensor that cannot be used: unreadable, not finite, wrong type or range."""


class Incompatible(ZsirError, TypeError):
    """An operator, prior and sampler that cannot work together; the text names the missing capability."""


class SolveError(ZsirError, RuntimeError):
    """The computation itself failed: an iteration did not converge or a value is not finite.

    Args:
        message: The sentence for the user.
        step: Number of the step in the middle of a solve, 0 for the start; None outside one.
        x0: The last finite estimate of every picture, a tensor; None if there was none.
    """

    def __init__(self, message: str, *, step: int | None = None, x0: object = None) -> None:
        super().__init__(message)
        self.step = step
        self.x0 = x0


class OutputError(ZsirError, OSError):
    """A result could not be written. Nothing is left half-written."""


def debugging() -> bool:
    """Whether the user wants tracebacks."""
    return os.environ.get("ZSIR_DEBUG", "") not in ("", "0")


def bug(error: Exception) -> str:
    """What to say of an error that should not have happened."""
    what = " ".join(str(error).split())
    text = f"{type(error).__name__}: {what}" if what else type(error).__name__
    return f"internal error: {text[:300]} (please report; run with ZSIR_DEBUG=1 for the traceback)"


def out_of_memory(error: Exception, advice: str = "cut it into parts") -> SolveError | None:
    """The sentence for an ``error`` by which torch, numpy or Python say that memory is short, on any device; None for
    all other errors."""
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "unable to allocate")
    if isinstance(error, MemoryError) or any(sign in text for sign in signs):
        return SolveError(f"There is not enough memory for a picture of this size; {advice}.")
    return None


def failure(error: Exception, advice: str = "cut it into parts") -> ZsirError:
    """Any ``error`` as one to be noted while the work goes on; raises it instead where the user wants tracebacks."""
    if isinstance(error, ZsirError):
        return error
    short = out_of_memory(error, advice)
    if short is None and debugging():
        raise error
    return short or SolveError(bug(error))
