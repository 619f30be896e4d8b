"""The training loop: one for denoisers and distilled networks, on a CPU, a GPU or several (accelerate).

A run is a folder. Its checkpoint holds the whole state of training and is replaced atomically, and examples depend only
on the step. So a killed and resumed run ends, on a CPU, with the same bits as an uninterrupted run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from zsir.errors import BadInput, Incompatible, OutputError, SolveError
from zsir.files import sweep, write_bytes
from zsir.training.batches import Batch, Batches
from zsir.training.export import curve, prior_of, write_prior
from zsir.training.muon import optimiser_of
from zsir.training.preview import Measured, measure, write_preview
from zsir.training.recipe import Recipe, as_json, recipe
from zsir.training.state import State, TrainingTask

#: steps between reports
REPORTED = 10
#: memory of the running mean of the loss
LOSS_MEMORY = 0.99


@dataclass(frozen=True)
class Progress:
    """Progress of a run: steps done, running mean of the loss, seconds per step, and the last measurement."""

    step: int
    steps: int
    loss: float
    seconds: float
    measured: Measured | None


def claim(folder: Path, r: Recipe, settings: dict[str, str]) -> None:
    """Write recipe and settings of a run into the existing ``folder``. Raises `Incompatible` for another run."""
    sweep(folder)
    noted, described = folder / "recipe.json", folder / "settings.json"
    if not any((folder / name).is_file() for name in ("checkpoint.pt", "pictures.json")):
        write_bytes(described, (json.dumps(settings, indent=1) + "\n").encode())
        write_bytes(noted, as_json(r).encode())
        return
    try:
        before = {**asdict(recipe(str(noted))), **json.loads(described.read_text("utf-8"))}
    except (OSError, ValueError, TypeError):
        raise BadInput(f"{noted} or {described} is missing or damaged; begin in another --out.") from None
    if settings["trains"] != before.get("trains"):
        raise Incompatible(
            f"{folder} holds a run that trains {before.get('trains')}; this one would train {settings['trains']}. To "
            "go on with it, give the same --start (zsir distill: PRIOR), its file unchanged. Else give another --out."
        )
    for key, value in {**asdict(r), **settings}.items():
        if value != before.get(key):
            raise Incompatible(
                f"{folder} holds a run with {key} {before.get(key)}, not {value}; give the same to go on with it, or "
                "another --out."
            )


def train(
    task: TrainingTask, accelerator: Any, workers: int = 0, report: Callable[[Progress], None] = lambda progress: None
) -> State:
    """Run or resume training to the recipe's last step; ``averaged`` of the returned state is the result.

    ``accelerator`` is that of `accelerator_on`; its processes share each batch. ``workers`` prepare examples in
    processes of their own. Raises `OutputError` when the disk is full and `SolveError` when training diverges; the last
    checkpoint is then as it was.
    """
    r = task.recipe
    net = task.net.to(accelerator.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = optimiser_of(net, r.optimiser, r.lr)
    state = State(net, deepcopy(net), optimiser, torch.zeros((), device=accelerator.device))
    if (task.folder / "checkpoint.pt").is_file():
        state.load(task.folder / "checkpoint.pt")
    wrapped, stepper = accelerator.prepare(net, optimiser)
    examples = Batches(task.pictures, r, accelerator.process_index, accelerator.num_processes)
    loader = _loader(examples, range(state.step, r.steps), workers, accelerator.device.type == "cuda")
    clock = _Clock(state)
    measured: Measured | None = None
    for batch in loader:
        _advance(accelerator, wrapped, stepper, state, task, batch)
        if not accelerator.is_main_process:
            continue
        due = task.measured_at(state.step)
        if due or state.step % r.every == 0:
            clock.stop(state)
            measured = _keep(task, state) or measured
        if due or state.step % REPORTED == 0:
            report(Progress(state.step, r.steps, state.loss.item(), clock.per_step(state), measured))
    accelerator.wait_for_everyone()
    return state


def _advance(
    accelerator: Any, wrapped: nn.Module, stepper: torch.optim.Optimizer, state: State, task: TrainingTask, batch: Batch
) -> None:
    """One optimiser step."""
    for group in stepper.param_groups:
        group["lr"] = task.recipe.learning_rate(state.step)
    with accelerator.autocast():
        value = task.objective.loss(wrapped, batch.to(accelerator.device))
    stepper.zero_grad(set_to_none=True)
    accelerator.backward(value)
    accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
    stepper.step()
    shown = accelerator.reduce(value.detach(), "mean")
    state.loss = shown if state.step == 0 else state.loss.lerp(shown, 1 - LOSS_MEMORY)
    state.step += 1
    state.average(task.recipe.ema)


def accelerator_on(device: str) -> Any:
    """accelerate's object for this process, one of those that ``accelerate launch`` starts.

    ``device`` is ``auto``, ``cpu`` or ``cuda``. On CUDA, networks run in bf16 if the GPU has it. Raises `BadInput` if
    the package or the GPU is missing.
    """
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError:
        raise BadInput("Training needs the package accelerate: pip install 'zsir[train]'.") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: there is no usable CUDA device; write --device cpu.")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    bf16 = not on_cpu and torch.cuda.is_bf16_supported(including_emulation=False)
    # the others wait while the first process reads the pictures
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    return Accelerator(cpu=on_cpu, mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[patience])


def _loader(examples: Batches, steps: range, workers: int, pinned: bool) -> DataLoader[Batch]:
    """The batches of ``steps`` in order, prepared ahead where there are workers."""
    return DataLoader(
        examples,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        pin_memory=pinned,
        prefetch_factor=4 if workers else None,
        persistent_workers=False,
        generator=torch.Generator().manual_seed(0),  # unused by examples; the global one stays as it is
    )


def _measure(task: TrainingTask, state: State) -> Measured | None:
    prior = prior_of(state.averaged, task.objective, task.recipe)
    pictures = task.pictures.validation()
    measured = measure(prior, pictures) if pictures else None
    state.rows.append([state.step, state.loss.item(), *(measured.psnr if measured else ())])
    write_preview(task.folder / "preview.png", prior, pictures)
    return measured


def _keep(task: TrainingTask, state: State) -> Measured | None:
    """Write checkpoint and learning curve; at a measurement, write the prior too.

    Raises `SolveError` for weights that are not finite, before any file is replaced. On a full disk the error names the
    files that are intact.
    """
    if not all(bool(torch.isfinite(p).all()) for p in [state.loss, *state.averaged.parameters()]):
        raise SolveError(
            f"The loss is no longer finite at step {state.step}; what was saved before is intact. Lower lr in the "
            "recipe and begin in another folder."
        )
    try:
        measured = _measure(task, state) if task.measured_at(state.step) else None
        state.save(task.folder / "checkpoint.pt")
        write_bytes(task.folder / "curve.tsv", curve(state.rows).encode())
        if task.measured_at(state.step):
            write_prior(task.folder / "prior.safetensors", state.averaged, task.objective, task.recipe, state.step)
    except OutputError as error:
        raise OutputError(
            f"{error} Training stopped at step {state.step}; what was saved before is intact: free some space and run "
            "the same command again."
        ) from None
    return measured


class _Clock:
    """Seconds of training in all sessions, and per step in this one."""

    def __init__(self, state: State) -> None:
        self.began, self.first, self.before = time.monotonic(), state.step, state.seconds

    def stop(self, state: State) -> None:
        """Note the time so far."""
        state.seconds = self.before + time.monotonic() - self.began

    def per_step(self, state: State) -> float:
        """Mean of this session."""
        return (time.monotonic() - self.began) / max(1, state.step - self.first)
