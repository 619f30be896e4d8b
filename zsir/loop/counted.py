"""Stand-ins for a prior and an operator that count and time their calls. The clock never makes the device wait."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from zsir.capabilities import inflated, offers
from zsir.protocols import LinearOperator, Numbers, Prior, Shape

T = TypeVar("T")


class Stopwatch:
    """Adds up the time of calls: by wall clock on the CPU, by events on CUDA, which are read once at the end."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self.calls: Counter[str] = Counter()

    def run(self, name: str, x: Tensor, call: Callable[[], T]) -> T:
        """``call()``, counted under ``name`` and timed on the device of x."""
        self.calls[name] += 1
        if x.is_cuda:
            stream = torch.cuda.current_stream(x.device)
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record(stream)
            result = call()
            end.record(stream)
            self._events.append((start, end))
            return result
        began = time.perf_counter()
        result = call()
        self._seconds += time.perf_counter() - began
        return result

    def seconds(self) -> float:
        """The total so far. Waits for CUDA calls that are still running."""
        for _, end in self._events:
            end.synchronize()
        return self._seconds + float(sum(a.elapsed_time(b) for a, b in self._events)) / 1e3


class TimedOperator:
    """An operator that counts and times its calls. All other attributes are those of the inner operator."""

    def __init__(self, inner: LinearOperator, watch: Stopwatch) -> None:
        self._inner, self._watch = inner, watch
        self.original = inner  # caches of results about an operator use this as their key
        self.in_shape: Shape = inner.in_shape
        self.out_shape: Numbers = inner.out_shape
        self.measurements = inner.measurements
        for name in ("adjoint", "pinv", "prox"):  # the stand-in offers exactly the methods that the operator has
            if not offers(inner, name):
                setattr(self, name, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

    def forward(self, x: Tensor) -> Tensor:
        """A x."""
        return self._watch.run("forward", x, lambda: self._inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        return self._watch.run("adjoint", y, lambda: self._inner.adjoint(y))

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T (A A^T + ridge)^+ y."""
        return self._watch.run("pinv", y, lambda: self._inner.pinv(y, ridge))

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - z||^2."""
        return self._watch.run("prox", z, lambda: self._inner.prox(z, y, rho))


class TimedPrior:
    """A prior that counts and times its calls, and the calls of its inflated versions."""

    def __init__(self, inner: Prior, watch: Stopwatch, whole: TimedPrior | None = None) -> None:
        self._inner, self._watch = inner, watch
        self._whole = self if whole is None else whole  # the stand-in that holds the counts
        self.pictures = 0  # number of pictures given to the network so far
        self.recent: list[tuple[Tensor, Tensor]] = []  # inputs and answers of this step
        self.channels = inner.channels
        self.sigma_range = inner.sigma_range
        self.kind: Literal["denoiser", "consistency"] = inner.kind
        self.fingerprint = inner.fingerprint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x."""
        self._whole.pictures += x.shape[0]
        answer = self._watch.run("denoise", x, lambda: self._inner.denoise(x, sigma))
        self._whole.recent.append((x.detach(), answer.detach()))
        return answer

    def inflated(self, ratio: float) -> TimedPrior:
        """The inner prior inflated (`zsir.capabilities.inflated`); its calls count as calls of this one."""
        return TimedPrior(inflated(self._inner, ratio), self._watch, self._whole)

    def failed(self) -> bool:
        """Whether the network answered finite pictures with values that are not finite in this step."""

        def fine(x: Tensor) -> bool:
            return bool(torch.isfinite(x).all())

        return any(fine(given) and not fine(answer) for given, answer in self.recent)
