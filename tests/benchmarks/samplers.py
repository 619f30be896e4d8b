"""Time outside the network, per step, of every sampler that takes no gradients: 3x256x256, two CPU threads.

    python tests/benchmarks/samplers.py [--repeats 10] [--only NAME ...]

The prior costs nothing, so that what is left is the solver's own: operator, random numbers, arithmetic, loop. Two run
lengths are timed and subtracted, which leaves out what happens once per run. Required: below 4 ms. Where deepinv or
azula are installed, their samplers follow, measured in the same way. Compare ratios: machines are noisy.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from zsir import Problem, operators, samplers, solve

SHAPE = (3, 256, 256)
NOISE = 0.05
LIMIT = 4.0
TASKS = {"mask": "mask:keep=0.3", "blur": "blur:sigma=3,boundary=circular", "x4": "sr4x"}
#: name -> spec with {n} steps; two calls a step where that is the smallest the method knows
SAMPLERS = {
    **{name: f"{name}:nfe={{n}}" for name in ("cm4ir", "hqs", "pgd", "admm", "red", "irsde", "ddrm", "ddnm", "ddnm+")},
    **{name: f"{name}:nfe={{n}}" for name in ("ddpg", "diffpir", "red-diff", "pnp-cm")},
    "rdmd": "rdmd:tau=1,nfe={n}",
    "daps": "daps:inner=1,nfe={n}",
    "gibbs": "gibbs:inner=1,nfe={n}",
    "injected-ddnm": "injected:update=ddnm,nfe={n}",
    "injected-diffpir": "injected:update=diffpir,nfe={n}",
    "injected-ddrm": "injected:update=ddrm,nfe={n}",
}
SHORT, LONG = 4, 16


class Free:
    """A prior that returns its input."""

    channels: Any = 0
    sigma_range: Any = (0.0, 1.0)
    kind: Any = "denoiser"
    fingerprint: Any = ""

    def denoise(self, x, sigma):
        return x


def per_step(run: Callable[[int], object], repeats: int) -> float:
    """Milliseconds of one step: the least difference of a long and a short run, the runs taken in turn."""
    best: dict[int, float] = {}
    for _ in range(repeats):
        for n in (SHORT, LONG):
            began = time.perf_counter()
            run(n)
            best[n] = min(best.get(n, 1e9), 1e3 * (time.perf_counter() - began))
    return (best[LONG] - best[SHORT]) / (LONG - SHORT)


def ours(only: list[str], repeats: int) -> bool:
    """Print a row per sampler; whether all stay below the limit."""
    print("zsir, ms per step".ljust(24) + "".join(task.rjust(9) for task in TASKS))
    fine = True
    problems = {}
    for task, spec in TASKS.items():
        op = operators.make(spec, in_shape=SHAPE)
        y = op.forward(torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)))
        problems[task] = Problem(y, op, NOISE)
    for name in only or SAMPLERS:
        cells = []
        for problem in problems.values():
            cells.append(per_step(lambda n: solve(problem, Free(), samplers.make(SAMPLERS[name].format(n=n))), repeats))  # noqa: B023
        fine &= max(cells) < LIMIT
        print(name.ljust(24) + "".join(f"{ms:8.2f}{'!' if ms >= LIMIT else ' '}" for ms in cells), flush=True)
    return fine


def physics_of(deepinv: Any) -> dict[str, Any]:
    """The same tasks in deepinv."""
    physics = deepinv.physics
    noise = physics.GaussianNoise(NOISE)
    known = torch.rand(1, *SHAPE[1:], generator=torch.Generator().manual_seed(0)) < 0.3
    mask = known.float().expand(SHAPE).contiguous()
    kernel = physics.blur.gaussian_blur(sigma=(3.0, 3.0))
    return {
        "mask": physics.Inpainting(img_size=SHAPE, mask=mask, noise_model=noise),
        "blur": physics.BlurFFT(img_size=SHAPE, filter=kernel, noise_model=noise),
        "x4": physics.Downsampling(img_size=SHAPE, filter="bicubic", factor=4, padding="circular", noise_model=noise),
    }


def theirs_deepinv(repeats: int) -> None:
    """DDRM and DiffPIR of deepinv with the same free denoiser; DDRM where the operator is decomposable."""
    import deepinv  # type: ignore[import-not-found,unused-ignore]

    class Identity(torch.nn.Module):
        def forward(self, x, sigma, *args, **options):
            return x

    def ddrm(physics, y, n):
        sampler = deepinv.sampling.DDRM(Identity(), sigmas=torch.linspace(1, 0, n).numpy())
        return sampler(y, physics)

    def diffpir(physics, y, n):
        fidelity = deepinv.optim.data_fidelity.L2()
        return deepinv.sampling.DiffPIR(Identity(), fidelity, sigma=NOISE, max_iter=n)(y, physics)

    print("deepinv " + deepinv.__version__ + ", ms per step")
    for name, run in (("DDRM", ddrm), ("DiffPIR", diffpir)):
        cells = []
        for task, physics in physics_of(deepinv).items():
            y = physics(torch.rand(1, *SHAPE))
            try:
                with torch.no_grad():
                    cells.append(f"{per_step(partial(run, physics, y), max(2, repeats // 4)):8.2f} ")
            except (AttributeError, IndexError, TypeError, RuntimeError, ValueError) as error:
                cells.append("     n/a ")
                print(f"  {name} on {task}: {type(error).__name__}: {str(error)[:90]}")
        print(name.ljust(24) + "".join(cells), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--only", nargs="+", choices=tuple(SAMPLERS), default=[])
    args = parser.parse_args()
    torch.set_num_threads(2)
    fine = ours(args.only, args.repeats)
    if importlib.util.find_spec("deepinv") is not None:
        theirs_deepinv(args.repeats)
    else:
        print("deepinv is not installed: no comparison")
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
