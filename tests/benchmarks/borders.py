"""Time of a whole restoration, by what is assumed beyond the border: 3x768x1024, HQS with 8 calls.

    python tests/benchmarks/borders.py [--size 1024x768] [--prior wavelet] [--noise 0] [--only motion] [--limit 300]

A prior that costs nothing shows the operator's own time; ``--prior photo`` shows what a user waits for. Required: with
``photo``, unknown borders take at most twice the time of circular ones. The observation is made with an unknown border,
as by a camera, so that all borders but that are wrong, as they are in practice.
"""

from __future__ import annotations

import argparse
import signal
import time
from types import FrameType

import torch

from zsir import Problem, operators, priors, samplers, solve
from zsir.capabilities import cut
from zsir.errors import SolveError
from zsir.protocols import Prior

KERNELS = {
    "motion": "motion:length=21,angle=30",
    "gaussian": "blur:sigma=3",
    "shake": "shake:size=31",
}
BORDERS = ("circular", "reflect", "zero", "unknown")


def photograph(channels: int, height: int, width: int) -> torch.Tensor:
    """A random picture with the spectrum of photographs and sharp edges."""
    rows, columns = torch.fft.fftfreq(height, 1 / height)[:, None], torch.fft.fftfreq(width, 1 / width)
    white = torch.randn(channels, height, width, generator=torch.Generator().manual_seed(0))
    smooth = torch.fft.ifft2(torch.fft.fft2(white) * (1 + rows**2 + columns**2) ** (-2.2 / 2)).real
    return (0.5 + 0.15 * smooth / smooth.std() + 0.15 * smooth.sign()).clamp(0, 1)[None]


class TooLong(Exception):
    """The limit is over."""


def stop(number: int, frame: FrameType | None) -> None:
    raise TooLong


def row(name: str, y: torch.Tensor, truth: torch.Tensor, noise: float, prior: Prior, limit: int) -> str:
    """Seconds, iterations and PSNR of one border."""
    began = time.perf_counter()
    operator = operators.make(name, out_shape=(y.shape[1], y.shape[2], y.shape[3]))
    signal.alarm(limit)
    try:
        solution = solve(Problem(y, operator, noise), prior, samplers.make("hqs:nfe=8"))
    except TooLong:
        return f"{name:44} more than {limit} s"
    except SolveError as failure:
        return f"{name:44} {time.perf_counter() - began:8.1f} s, then: {failure}"
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - began
    misfit = (cut(operator, solution.x) - truth).square().mean()
    return (
        f"{name:44} {seconds:8.1f} s, {solution.stats.seconds_data:8.1f} s of them data, "
        f"{solution.stats.cg_iterations:6d} iterations, {-10 * float(misfit.log10()):6.2f} dB"
    )


def main() -> None:
    """Print a row per kernel and border."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", default="1024x768")
    options.add_argument("--prior", default="wavelet")
    options.add_argument("--noise", type=float, default=0.0)
    options.add_argument("--only", nargs="*", default=list(KERNELS))
    options.add_argument("--borders", nargs="*", default=list(BORDERS))
    options.add_argument("--limit", type=int, default=300)
    given = options.parse_args()
    signal.signal(signal.SIGALRM, stop)
    width, height = map(int, given.size.split("x"))
    prior = priors.load(given.prior)
    print(f"3x{height}x{width}, noise {given.noise:g}, prior {given.prior}, {torch.get_num_threads()} threads")
    for name in given.only:
        camera = operators.make(f"{KERNELS[name]},boundary=unknown", out_shape=(3, height, width))
        x = photograph(*camera.in_shape)
        y = camera.forward(x)
        y = y + given.noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        y = (255 * y.clamp(0, 1)).round() / 255  # an 8-bit file
        truth = cut(camera, x)
        for border in given.borders:
            print(row(f"{KERNELS[name]},boundary={border}", y, truth, given.noise, prior, given.limit), flush=True)


if __name__ == "__main__":
    main()
