"""``zsir train`` and ``zsir distill``: from folders of pictures to a prior in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from zsir.errors import BadSpec, Incompatible
from zsir.files import held, make_folder, write_bytes
from zsir.priors.network import NetworkPrior
from zsir.priors.parametrisations import edm_estimate
from zsir.priors.unet import UNet, UNetConfig
from zsir.protocols import Prior
from zsir.rng import generator
from zsir.training.dataset import Pictures, check, pack
from zsir.training.export import curve, write_card, write_prior
from zsir.training.objectives import Denoising, Distillation, Objective
from zsir.training.recipe import Recipe
from zsir.training.state import State, TrainingTask
from zsir.training.trainer import Progress, accelerator_on, claim, train

#: held while a run goes on
LOCK = ".lock"
#: digits of a fingerprint that tell one prior from another
SHORT = 12


@dataclass(frozen=True)
class Run:
    """The surroundings of a run.

    - ``out``: the folder of the run
    - ``folders``: folders of pictures to learn from
    - ``validation``: a folder of pictures to measure on; without it one picture in 16 is kept back
    - ``device``: ``auto``, ``cpu`` or ``cuda``
    - ``workers``: number of processes that prepare examples
    - ``packing``, ``report``: callbacks for the progress of packing and of training
    """

    out: Path
    folders: Sequence[Path]
    validation: Path | None = None
    device: str = "auto"
    workers: int = 0
    packing: Callable[[int, int], None] = lambda done, of: None
    report: Callable[[Progress], None] = lambda progress: None


def train_denoiser(run: Run, r: Recipe, start: Prior | None = None) -> State:
    """Train a denoiser, or go on with an interrupted run. The result is ``out``/prior.safetensors with its card.

    ``start`` is a denoiser of this function or the embedded `photo`. Training then begins with its weights instead of
    random weights, and its network and noise range replace those of the recipe. Keep the file of ``start`` unchanged
    until the run is finished.

    Raises `BadInput`, `BadSpec`, `OutputError`, or `Incompatible` (the folder holds another run, or ``start`` is of
    another kind).
    """
    about, title = "a denoiser", "A noise-conditional denoiser, trained by `zsir train`."
    if start is None:
        net = UNet(UNetConfig(r.channels, tuple(int(w) for w in r.widths), r.blocks)).initialise(generator(r.seed))
    else:
        prior, net, r = _own(start, r)
        about += f" that began as {prior.name} {prior.fingerprint[:SHORT]}"
        title += f" It began as {prior.name} (SHA-256 `{prior.fingerprint}`), whose data and licence count for it too."
    return _train(run, r, Denoising(r.log), net, about, title)


def distill(run: Run, r: Recipe, teacher: Prior) -> State:
    """Distil a denoiser of `train_denoiser`, or the embedded `photo`, into a consistency model of the same network.

    The teacher's network and noise range replace those of the recipe. Keep the teacher's file unchanged until the run
    is finished. Raises the errors of `train_denoiser`, and `Incompatible` for a teacher of another kind.
    """
    if r.log:
        raise BadSpec(
            "recipe: log=true is for zsir train only, because distillation has its own distance. Write log=false, or "
            "--recipe distill."
        )
    prior, net, r = _own(teacher, r)
    # a teacher that has not learned grey noise cannot teach it
    r = replace(r, grey=r.grey if prior.knows_grey else 0.0)
    objective = Distillation(prior, r.sigma_min, r.sigma_max)
    about = f"a consistency model of {prior.name} {prior.fingerprint[:SHORT]}"
    title = (
        f"A consistency model, distilled by `zsir distill` from the denoiser {prior.name} (SHA-256 "
        f"`{prior.fingerprint}`), whose data and licence count for it too."
    )
    return _train(run, r, objective, net, about, title)


def _own(prior: Prior, r: Recipe) -> tuple[NetworkPrior, UNet, Recipe]:
    """One of our denoisers, a copy of its network to be trained, and the recipe with its shape and noise range."""
    if not (isinstance(prior, NetworkPrior) and isinstance(prior.net, UNet) and prior.parametrise is edm_estimate):
        raise Incompatible(
            "Only a denoiser of zsir train can be trained on (--start) or distilled (PRIOR): photo or trained:path=... "
            f"This {type(prior).__name__} ({prior.kind}) is none."
        )
    config, (low, high) = prior.net.config, prior.sigma_range
    focus = (max(low, r.focus_low), min(high, r.focus_high))
    if not focus[0] < focus[1]:
        raise BadSpec(
            f"recipe: the prior knows noise levels from {low:g} to {high:g}, and none between focus_low and focus_high "
            f"({r.focus_low:g} to {r.focus_high:g}); give both, within its range."
        )
    r = replace(r, widths=config.widths, blocks=config.blocks, channels=config.channels)
    r = replace(r, sigma_min=low, sigma_max=high, focus_low=focus[0], focus_high=focus[1])
    return prior, deepcopy(prior.net).requires_grad_(True), r


def _train(run: Run, r: Recipe, objective: Objective, net: UNet, about: str, title: str) -> State:
    settings = {
        "trains": about,
        "folders": ", ".join(map(str, run.folders)),
        "validation": str(run.validation or "one picture in 16"),
    }
    accelerator = accelerator_on(run.device)
    if r.batch % accelerator.num_processes:
        raise BadSpec(f"recipe: batch={r.batch} cannot be shared evenly by {accelerator.num_processes} processes.")
    with ExitStack() as stack:
        with accelerator.main_process_first():
            if accelerator.is_main_process:
                check(run.folders, run.validation, run.out)
                make_folder(run.out)
                busy = f"Another process is training in {run.out}; wait for it, or give another --out."
                stack.enter_context(held(run.out / LOCK, busy))
                claim(run.out, r, settings)
            pictures = _packed(run, r)
        task = TrainingTask(run.out, r, objective, pictures, net, settings)
        state = train(task, accelerator, run.workers, run.report)
        if accelerator.is_main_process:
            digest = write_prior(run.out / "prior.safetensors", state.averaged, objective, r, state.step)
            write_bytes(run.out / "curve.tsv", curve(state.rows).encode())
            write_card(run.out / "card.md", task, state, title, digest)
    return state


def _packed(run: Run, r: Recipe) -> Pictures:
    return pack(run.folders, run.out, r.channels, r.patch, run.validation, run.packing)
