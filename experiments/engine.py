"""The work of a run: load and degrade, solve, measure and save, three pictures at a time in three stages.

What a picture becomes depends on the spec, its index and the seed, never on batch, process or order.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

import numpy
import torch

import zsir
from zsir import pictures, priors, samplers
from zsir.capabilities import cut
from zsir.errors import BadInput, OutputError, failure, out_of_memory
from zsir.experiments import measures
from zsir.experiments.grid import Cell, slug
from zsir.experiments.manifest import Manifest, Record, RunFolder, item_key
from zsir.experiments.observing import Item, Observations, Ready, Solved
from zsir.experiments.sets import load
from zsir.experiments.spec import Spec
from zsir.experiments.told_nothing import restorers
from zsir.loop.solver import Event, Solution, solve
from zsir.priors.wrappers.settings import Wrapping
from zsir.problem import Problem
from zsir.protocols import Prior
from zsir.workflow.pose import fitting

#: where ``batch = "auto"`` begins on a GPU; halved until it fits
LARGEST_BATCH = 64
LESS = "--set data.size=... cuts pictures, --set method.0.tile=256 what the network sees at once"
#: distance of the numbers under which further samples of one picture draw their noise: beyond any index
SAMPLE_STRIDE = 10**9


class Watch(Protocol):
    """Who is told how the work goes on."""

    def step(self, item: Item, done: int, event: Event | None) -> None:
        """A step of ``item`` is done, ``done`` items before it."""

    def finished(self, record: Record) -> None:
        """A record was written; called from another thread."""


class Engine:
    """Does the items that it is given, one record each."""

    def __init__(self, spec: Spec, spec_hash: str, folder: RunFolder, device: torch.device, watch: Watch) -> None:
        self.spec, self.spec_hash, self.folder, self.device, self.watch = spec, spec_hash, folder, device, watch
        auto = LARGEST_BATCH if device.type == "cuda" else 1
        self.batch = auto if spec.run.batch == "auto" else int(spec.run.batch)
        self._fits: dict[tuple[object, ...], int] = {}
        self._observations = Observations(spec.data.size)
        self._prior: tuple[str, Prior] | None = None
        self._weights = folder.weights()
        self._wrapped: tuple[Wrapping, Prior] | None = None
        self._better = {name: measures.better(name) for name in spec.run.metrics}

    def run(self, items: Sequence[Item], manifest: Manifest) -> None:
        """Do all ``items``; a picture that fails is recorded so and does not stop the others."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.spec.run.threads)
        try:
            self._stages(items, manifest)
        finally:
            torch.set_num_threads(before)

    def _stages(self, items: Sequence[Item], manifest: Manifest) -> None:
        # one prior in memory at a time: its cells come one after the other
        order = {spec: k for k, spec in reversed(list(enumerate(item.cell.prior for item in items)))}
        queue = deque(sorted(items, key=lambda item: order[item.cell.prior]))
        threads = self.spec.run.threads  # torch counts them thread by thread
        done = 0
        with (
            ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as loader,
            ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as saver,
        ):
            saving: deque[Future[None]] = deque()
            ahead = self._fetch(queue, loader)
            while ahead:
                ready = [future.result() for future in ahead]
                ahead = self._fetch(queue, loader)
                for solved in self._solve(ready, done):
                    saving.append(saver.submit(self._save, solved, manifest))
                    while len(saving) > 2 * len(ready):  # a slow disk must not fill the memory
                        saving.popleft().result()
                done += len(ready)
            for future in saving:
                future.result()

    def _fetch(self, queue: deque[Item], loader: ThreadPoolExecutor) -> list[Future[Ready]]:
        """Begin to load the next items, of one cell, as many as a batch holds."""
        taken: list[Item] = []
        while queue and len(taken) < self._most(queue[0].cell) and (not taken or queue[0].cell == taken[0].cell):
            taken.append(queue.popleft())
        return [loader.submit(self._load, item) for item in taken]

    def _most(self, cell: Cell) -> int:
        """How many pictures of a cell fit into the memory, as far as is known."""
        return self._fits.get(_needs(cell), self.batch)

    def _load(self, item: Item) -> Ready:
        try:
            truth = load(item.picture.path, self.spec.data.size)
            made = self._observations.of(item, truth)
        except Exception as error:
            return Ready(item, error=failure(error, LESS))
        return Ready(item, cut(made.operator, truth), made)

    def _solve(self, ready: Sequence[Ready], done: int) -> list[Solved]:
        """The estimates of a batch, shape by shape."""
        solved = [Solved(one, error=one.error) for one in ready if one.error is not None]
        groups: dict[tuple[object, ...], list[Ready]] = {}
        for one in ready:
            if one.truth is not None and one.made is not None:
                groups.setdefault((one.item.op, *one.truth.shape, *one.made.y.shape), []).append(one)
        if groups and ready[0].item.cell.prior:  # weights that are missing end the run: no picture is to blame
            self._prior_of(ready[0].item.cell)
        for group in groups.values():
            solved += self._attempt(group, done + len(solved))
        return solved

    def _attempt(self, group: Sequence[Ready], done: int) -> list[Solved]:
        """Solve a group at once; in halves where the memory does not suffice, one by one where one of them fails."""
        size = self._most(group[0].item.cell)  # fewer than the group where it was loaded before that was known
        if len(group) <= size:
            try:
                return self._together(group, done)
            except Exception as error:
                if len(group) == 1:
                    return [Solved(group[0], error=failure(error, LESS))]
                size = 1
                if out_of_memory(error) is not None:
                    size = self._fits[_needs(group[0].item.cell)] = (len(group) + 1) // 2
            # outside the handler: a traceback that is kept keeps the memory too
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        parts = range(0, len(group), size)
        return [solved for k in parts for solved in self._attempt(group[k : k + size], done + k)]

    def _together(self, group: Sequence[Ready], done: int) -> list[Solved]:
        first = group[0]
        assert first.made is not None
        operator, cell = first.made.operator, first.item.cell
        if cell.restorer:
            return [self._by_hand(one) for one in group]
        prior = fitting(self._prior_of(cell), operator)
        y = torch.cat([one.made.y for one in group if one.made is not None])
        # what the process adds by itself is known, whatever else is told
        told = cell.told if cell.told != cell.noise else first.made.noise_std
        starts = [one.made.start for one in group if one.made is not None and one.made.start is not None]
        problem = Problem(y.to(self.device), operator, told, torch.cat(starts).to(self.device) if starts else None)
        numbers = [one.item.picture.index + SAMPLE_STRIDE * one.item.sample for one in group]

        def show(event: Event) -> None:
            self.watch.step(first.item, done, event)

        self.watch.step(first.item, done, None)
        sampler = samplers.make(first.item.cell.sampler)
        solution = solve(problem, prior, sampler, seed=first.item.cell.seed, indices=numbers, callbacks=[show])
        return self._apart(group, solution, prior.fingerprint)

    def _by_hand(self, one: Ready) -> Solved:
        """The estimate of a method that is told nothing, enlarged (bicubic) to the size of the truth."""
        assert one.made is not None and one.truth is not None
        method, begun = restorers.check(one.item.cell.restorer), time.perf_counter()
        found = method.restore(one.made.seen.float().cpu().clamp(0, 1))
        seconds = time.perf_counter() - begun
        x = pictures.enlarge(found, (one.truth.shape[-2], one.truth.shape[-1])).clamp(0, 1)
        return Solved(one, x, seconds, method.calls, math.nan)

    def _apart(self, group: Sequence[Ready], solution: Solution, fingerprint: str) -> list[Solved]:
        assert group[0].made is not None
        x = cut(group[0].made.operator, solution.x).clamp(0, 1).float().cpu()
        stats = solution.stats
        seconds = stats.seconds / len(group)
        return [
            Solved(one, x[k : k + 1], seconds, stats.nfe, stats.residual[k], fingerprint) for k, one in enumerate(group)
        ]

    def _prior_of(self, cell: Cell) -> Prior:
        if self._prior is None or self._prior[0] != cell.prior:
            self._prior = self._wrapped = None
            loaded = priors.load(cell.prior)
            self._check_weights(cell.prior, loaded.fingerprint)
            self._prior = (cell.prior, loaded)
        if self._wrapped is None or self._wrapped[0] != cell.wrapping:
            self._wrapped = (cell.wrapping, priors.wrap(self._prior[1], cell.wrapping))
        return self._wrapped[1]

    def _check_weights(self, spec: str, fingerprint: str) -> None:
        """Raise `BadInput` for other weights than those behind the results that are here already."""
        before = self._weights.setdefault(spec, fingerprint)
        if before != fingerprint:
            raise BadInput(
                f"The prior {spec} has other weights (SHA-256 {fingerprint}) than in the results of {self.folder.path} "
                f"({before}); choose another --out, or bring those weights."
            )

    def _save(self, solved: Solved, manifest: Manifest) -> None:
        """Pictures first, then the record: what is recorded is there."""
        metrics: dict[str, float | None] = {}
        unmeasured: dict[str, str] = {}
        outputs: dict[str, str] = {}
        if solved.error is None:
            try:
                metrics, unmeasured = self._measure(solved)
                outputs = self._pictures(solved)
            except OutputError:
                raise  # a full disk is no fault of the picture
            except Exception as error:
                metrics, unmeasured = {}, {}
                solved = replace(solved, error=failure(error, LESS))
        record = {**self._record(solved, metrics, outputs), "unmeasured": unmeasured}
        manifest.append(record)
        self.watch.finished(record)

    def _measure(self, solved: Solved) -> tuple[dict[str, float | None], dict[str, str]]:
        """Metric -> value, None where there is none or it is not finite; metric -> why there is none."""
        assert solved.x is not None and solved.ready.truth is not None
        run, truth = self.spec.run, solved.ready.truth.clamp(0, 1)
        found, unmeasured = measures.measured(run.metrics, solved.x, truth, run.crop)
        assert solved.ready.made is not None
        operator = solved.ready.made.operator
        more, also = measures.against_data(run.metrics, solved.x - truth, operator, solved.residual)
        # JSON has no infinity
        finite = {name: value for name, value in (found | more).items() if math.isfinite(value)}
        return {name: finite.get(name) for name in run.metrics}, unmeasured | also

    def _pictures(self, solved: Solved) -> dict[str, str]:
        """Write estimate, observation and truth where the spec keeps them; name -> path in the folder."""
        seen = None if solved.ready.made is None else solved.ready.made.seen
        item, save = solved.ready.item, self.spec.run.save
        limit = {"all": math.inf, "none": 0}.get(save)
        if item.picture.index >= (int(save.removeprefix("first:")) if limit is None else limit):
            return {}
        name = f"{slug(item.picture.name)}" + (f".s{item.sample}" if item.sample else "")
        number = f"{item.picture.index:03d}-"
        files = {
            "estimate": (f"pictures/{item.cell.slug}/{number}{name}.png", solved.x),
            "observed": (f"observed/{item.cell.observation}/{number}{slug(item.picture.name)}.png", seen),
            "truth": (f"truth/{number}{slug(item.picture.name)}.png", solved.ready.truth),
        }
        for kind, (path, pixels) in files.items():
            target = self.folder.path / path
            if pixels is not None and (kind == "estimate" or not target.exists()):
                target.parent.mkdir(parents=True, exist_ok=True)
                pictures.write(target, pixels.clamp(0, 1))
        return {kind: path for kind, (path, _) in files.items()}

    def _record(self, solved: Solved, metrics: dict[str, float | None], outputs: dict[str, str]) -> Record:
        item, cell = solved.ready.item, solved.ready.item.cell
        record: dict[str, Any] = {
            "cell": cell.key,
            "place": cell.number,
            "task": cell.task,
            "op": cell.op,
            "noise": cell.noise_text,
            "told": cell.told_text,
            "method": cell.method,
            "prior": cell.prior,
            "sampler": cell.sampler,
            "values": cell.values,
            "seed": cell.seed,
            "sample": item.sample,
            "picture": item.picture.name,
            "index": item.picture.index,
            "status": "ok" if solved.error is None else "failed",
            "error": None if solved.error is None else str(solved.error),
            "spec": self.spec_hash,
            "versions": {"zsir": zsir.__version__, "torch": torch.__version__, "numpy": numpy.__version__},
            "device": str(self.device),
            "fingerprint": solved.fingerprint,
            "seconds": solved.seconds,
            "nfe": solved.nfe,
            "residual": solved.residual if math.isfinite(solved.residual) else None,
            "metric_names": list(self.spec.run.metrics),
            "metrics": metrics,
            "better": self._better,
            "outputs": outputs,
        }
        assert item_key(record) == item.key
        return record


def _needs(cell: Cell) -> tuple[object, ...]:
    """What the memory that a picture needs depends on, but for its size."""
    return cell.prior, cell.wrapping, cell.sampler, cell.restorer, cell.op
