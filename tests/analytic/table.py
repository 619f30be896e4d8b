"""The table "What each sampler samples" of samplers/README.md: laws against exact posteriors.

``PYTHONPATH=. python tests/analytic/affine.py`` prints it (some minutes on one core).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tests.analytic.affine import Distance, Law, Matrix, Numbers, Task, bures, compare, gaussian, row_law, row_tasks
from zsir import Problem, samplers, solve
from zsir.protocols import Sampler

COUNTS = (10, 20, 50, 100)
OBSERVATIONS, DRAWS, GROUPS = 60, 40, 6


@dataclass(frozen=True)
class Row:
    """A sampler as its spec, what its law is, and the number of calls of the columns by task."""

    spec: str
    law: str = "no"
    calls: int = 100
    consistency: bool = False
    sampled: bool = False  # not affine: Monte Carlo
    per_level: int = 1  # calls that a level costs


ROWS = (
    Row("mmps:inner=16", "exact"),
    Row("mmps:inner=16,kernel=mean", "as calls grow"),
    Row("tds", "as particles and levels grow", sampled=True, per_level=16),
    Row("gibbs:inner=1,kernel=covariance,lanczos=16", "as coupling falls"),
    Row("gibbs", "as coupling falls and inner grows", per_level=4),
    Row("pigdm:variance=0.0625"),
    Row("pigdm"),
    Row("daps:inner=5"),
    Row("dps", calls=1000, sampled=True),
    Row("ddpg"),
    Row("ddrm", calls=20),
    Row("ddnm+"),
    Row("ddnm"),
    Row("diffpir"),
    Row("irsde"),
    Row("irsde:mode=sde"),
    Row("cm4ir", calls=4),
    Row("pnp-cm", calls=4, consistency=True),
    Row("injected", calls=4),
    Row("rdmd:turns=false", calls=100),
    Row("hqs:turns=false", "point", calls=8),
    Row("admm", "point", calls=20),
    Row("pgd", "point", calls=50),
    Row("red", "point"),
    Row("red-diff", "nearly a point", calls=1000, sampled=True),
)


def sampled_distance(task: Task, sampler: Sampler) -> tuple[Distance, float]:
    """Distance by Monte Carlo, with the standard error of W2: the bias of every observation's mean, freed from its
    own scatter, and the covariance within observations, pooled, compared as Gaussians."""
    numbers, exact = np.random.default_rng(1), task.posterior
    truth = task.m + numbers.standard_normal((OBSERVATIONS, len(task.m))) @ np.linalg.cholesky(task.s).T
    y = truth @ task.a.T + task.noise * numbers.standard_normal((OBSERVATIONS, len(task.a)))
    op = Matrix(task.a)
    batch = torch.from_numpy(np.repeat(y, DRAWS, axis=0)).view(-1, *op.out_shape)
    drawn = solve(Problem(batch, op, task.noise), gaussian(task, op.in_shape), sampler, noise=Numbers()).x
    x = drawn.flatten(1).numpy().reshape(OBSERVATIONS, DRAWS, -1)
    means = exact.a + y @ exact.g.T

    def distance(part: slice) -> Distance:
        centre = x[part].mean(1)
        off = (x[part] - centre[:, None]).reshape(-1, len(task.m))
        c = off.T @ off / (len(centre) * (DRAWS - 1))
        bias2 = np.square(centre - means[part]).sum(1).mean() - np.trace(c) / DRAWS
        total = np.trace(exact.c)
        w2 = np.sqrt((max(bias2, 0) + bures(c, exact.c)) / total)
        return Distance(float(np.sqrt(max(bias2, 0) / total)), float(np.trace(c) / total), float(w2))

    size = OBSERVATIONS // GROUPS
    parts = [distance(slice(k * size, (k + 1) * size)).w2 for k in range(GROUPS)]
    return distance(slice(None)), float(np.std(parts, ddof=1) / GROUPS**0.5)


def cell(row: Row, task: Task, calls: int) -> tuple[Distance, str]:
    """Distance of a row's sampler with so many levels, and its standard error in print."""
    sampler = samplers.make(row.spec, nfe=calls * row.per_level)
    if row.sampled:
        distance, error = sampled_distance(task, sampler)
        return distance, f" ±{max(error, 0.01):.2f}"
    return compare(row_law(task, sampler, row.consistency), task), ""


def line(row: Row, tasks: dict[str, Task]) -> str:
    """One line of the table."""
    found = {name: cell(row, task, row.calls) for name, task in tasks.items()}
    first = next(iter(tasks.values()))
    steps = [f"{cell(row, first, calls)[0].w2:.2f}" for calls in COUNTS]
    calls = f"{row.calls} x {row.per_level}" if row.per_level > 1 else str(row.calls)
    cells = [f"{distance}{error}" for distance, error in found.values()]
    return f"| `{row.spec}` | {row.law} | {calls} | {' | '.join(cells)} | {' '.join(steps)} |"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    tasks = row_tasks()
    print(f"| sampler | exact | calls | {' | '.join(tasks)} | SRx4: W2 at {', '.join(map(str, COUNTS))} |")
    print(f"|{'---|' * (4 + len(tasks))}")
    for name, law in (("exact posterior", 1.0), ("posterior mean", 0.0)):
        cells = [str(compare(Law(t.posterior.a, t.posterior.g, law * t.posterior.c), t)) for t in tasks.values()]
        print(f"| *{name}* | | | {' | '.join(cells)} | |")
    cells = [str(compare(Law(t.m, np.zeros(t.a.T.shape), t.s), t)) for t in tasks.values()]
    print(f"| *prior, without looking at y* | | | {' | '.join(cells)} | |")
    for row in ROWS:
        print(line(row, tasks), flush=True)


if __name__ == "__main__":
    main()
