"""Find the first step whose values are not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from zsir.errors import SolveError


class FiniteWatch:
    """Finds the first step whose estimate is not finite. On a CPU it raises at once, on a GPU at the end of the run, so
    that the device never waits.

    ``network_failed`` says whether the network was the first to give values that are not finite.
    """

    def __init__(self, network_failed: Callable[[], bool] = lambda: False) -> None:
        self._network_failed = network_failed
        self._first: Tensor | None = None  # per picture: number of the first bad step, 0 if none
        self._good: Tensor | None = None  # per picture: the last finite estimate

    @contextmanager
    def during(self, number: int) -> Iterator[None]:
        """Add the step ``number`` (0: before the first step) and the last estimate to errors of the linear algebra."""
        try:
            yield
        except (SolveError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            if isinstance(error, SolveError) and error.step is not None:
                raise
            where = f"Step {number}" if number else "The start, before the first step,"
            what = (
                f": {error}" if isinstance(error, SolveError) else f" met values that are not finite: {self._cause()}"
            )
            if self._network_failed():
                what = f" met values that are not finite: {self._cause()}"
            raise SolveError(f"{where} failed{what}", step=number, x0=self._good) from error

    def see(self, number: int, x0: Tensor) -> None:
        """Look at the estimate after step ``number``; raises `SolveError` on a CPU."""
        fine = torch.isfinite(x0).flatten(1).all(dim=1)
        first = torch.where(fine, 0, number)
        self._first = first if self._first is None else torch.where(self._first > 0, self._first, first)
        if not x0.is_cuda:
            self.check()
            self._good = x0
        else:
            keep = fine.view(-1, 1, 1, 1)
            self._good = torch.where(keep, x0, torch.zeros_like(x0) if self._good is None else self._good)

    def check(self) -> None:
        """Raise `SolveError` if a step was bad."""
        if self._first is None or not bool(self._first.any()):
            return
        bad = self._first.nonzero().flatten().tolist()
        step = int(self._first[bad].min())
        raise SolveError(
            f"Step {step} gave values that are not finite for picture{'s' if len(bad) > 1 else ''} "
            f"{', '.join(map(str, bad))} of the batch: {self._cause()}",
            step=step,
            x0=self._good,
        )

    def _cause(self) -> str:
        if self._network_failed():
            return "the network answered a finite picture with NaN or infinite values; check its weights and dtype."
        late = self._first is not None and self._first.is_cuda  # found at the end only: the cause is then unknown
        return (
            f"the {'network or the ' if late else ''}sampler diverged. Try a larger noise_std, fewer or gentler steps, "
            "or another sampler for this operator."
        )
