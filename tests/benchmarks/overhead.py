"""Time outside the network, per step of CM4IR for x4 super-resolution at 3x256x256 on two CPU threads.

    python tests/benchmarks/overhead.py

The prior is a stand-in that costs nothing, so that all time is the solver's own: operator, noise, arithmetic, loop.
Where deepinv is installed its operator is timed beside ours in the same run (it is no dependency of anything here).
Compare ratios, not milliseconds: machines are noisy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from zsir import Problem, operators, solve
from zsir.samplers import CM4IR

SHAPE = (3, 256, 256)


class Free:
    """A prior that returns its input."""

    channels: Any = 0
    sigma_range: Any = (0.0, 1.0)
    kind: Any = "denoiser"
    fingerprint: Any = ""

    def denoise(self, x, sigma):
        return x


def milliseconds(call: Callable[[], object], repeats: int = 30) -> tuple[float, float]:
    """(median, smallest) time of ``call``."""
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times), min(times)


def show(name: str, times: tuple[float, float]) -> None:
    print(f"{name:58s} median {times[0]:8.2f} ms   best {times[1]:8.2f} ms")


def main() -> None:
    torch.set_num_threads(2)
    op = operators.make("sr4x", in_shape=SHAPE)
    y = op.forward(torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)))
    problem = Problem(y, op, 0.05)
    few, many = CM4IR(4, start=250, gamma=0.2), CM4IR(12, start=250, gamma=0.02)
    times = {n: milliseconds(partial(solve, problem, Free(), s)) for n, s in ((4, few), (12, many))}
    for k, label in enumerate(("median", "best")):
        # two run lengths: the difference is the cost of steps alone, free of set-up
        print(f"zsir CM4IR, per step ({label}): {(times[12][k] - times[4][k]) / 8:.2f} ms (required: below 4)")
    show("zsir whole solve, 4 steps, published levels", times[4])
    show("zsir whole solve, 4 steps, levels by rule", milliseconds(lambda: solve(problem, Free(), CM4IR(4))))
    show("zsir A", milliseconds(lambda: op.forward(problem.y.new_zeros(1, *SHAPE))))
    show("zsir pinv", milliseconds(lambda: op.pinv(y)))
    show("zsir prox", milliseconds(lambda: op.prox(torch.zeros(1, *SHAPE), y, 0.1)))
    try:
        import deepinv  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        print("deepinv is not installed: no comparison")
        return
    physics = deepinv.physics.Downsampling(img_size=SHAPE, filter="bicubic", factor=4, padding="circular")
    x, observed = torch.zeros(1, *SHAPE), physics(torch.rand(1, *SHAPE))
    show("deepinv A", milliseconds(lambda: physics.A(x)))
    show("deepinv A_dagger", milliseconds(lambda: physics.A_dagger(observed), 5))
    show("deepinv prox_l2", milliseconds(lambda: physics.prox_l2(x, observed, 10.0), 5))


if __name__ == "__main__":
    main()
