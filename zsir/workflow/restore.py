"""`zsir.restore`: from a picture and the spec of its degradation to the restored picture, in one call."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from zsir.errors import BadSpec, PictureWarning
from zsir.loop.solver import Event, solve
from zsir.names.registry import noise_level
from zsir.pictures import Picture, PictureLike, as_picture
from zsir.priors.wrappers.settings import Wrapping
from zsir.protocols import LinearOperator, Prior, Sampler
from zsir.workflow.attempts import attempted
from zsir.workflow.auto import HARM, Decision, decide
from zsir.workflow.blending import Blend, load_blend
from zsir.workflow.degradation import AUTO
from zsir.workflow.method import Method, load_method
from zsir.workflow.pose import Posed, pose, warn_of
from zsir.workflow.result import Restored, judged, unchanged
from zsir.workflow.spread import about_sampler, draw, remarks

Callbacks = Sequence[Callable[[Event], None]]


def restore(
    picture: PictureLike,
    op: str | LinearOperator = AUTO,
    *,
    noise: float | str | None = None,
    prior: str | Prior = "photo",
    sampler: str | Sampler | None = None,
    nfe: int | None = None,
    seed: int = 0,
    samples: int = 1,
    size: tuple[int, int] | None = None,
    simulate: bool = False,
    ignore_jpeg: bool = False,
    tile: int | None = None,
    precision: str = "float32",
    ensemble: bool = False,
    compiled: bool = False,
    strength: float = 1.0,
    grain: float = 0.0,
    protect: PictureLike | None = None,
    device: str = "auto",
    dtype: str = "float32",
    callbacks: Callbacks = (),
) -> Restored:
    """Restore a picture that was degraded as ``op`` says: what ``zsir solve`` does, in Python.

    Grey pictures go through colour priors. The result says in sentences (``verdict``) where the stated noise does not
    fit the observation, or the result does not fit its data; each is a `zsir.PictureWarning` as well. If the result is
    worse than its observation, ``harm`` is the sentence that says so.

    Args:
        picture: The observation: a file's path, a tensor (C, height, width), (1, C, height, width) or (height, width),
            an array (height, width) or (height, width, C), or a Pillow picture. uint8 and uint16 count from 0 to 255
            and 65535, floats lie in [0, 1]. C is 1 or 3, one more with transparency, which is carried along.
        op: How the picture was degraded: a spec such as ``sr4x`` or ``blur:sigma=3`` (``zsir list ops`` shows all), or
            an operator whose ``out_shape`` is that of the picture. By default ``auto``: the picture is inspected, and
            comes back as it is where it needs nothing. ``blur:sigma=auto``, ``motion:length=auto,angle=auto`` and
            ``kernel:auto,size=31`` are found in the picture too: ``found`` holds what was found.
        noise: Standard deviation of the noise on the [0, 1] scale: a number, a text such as ``"5/255"``, or ``"auto"``.
            By default, and for ``"auto"``, it is what `zsir degrade` noted in the file, else an estimate from the
            picture, and at least the error of rounding to its bits. With ``simulate`` the default is 0.
        prior: What pictures look like: a spec such as ``photo``, ``cm-photo`` or ``tv``, or a prior.
        sampler: The algorithm: a spec such as ``hqs:nfe=8``, or a sampler. By default ``cm4ir`` up to 8 calls of the
            network, ``hqs`` above and for ``auto``, and ``mmps`` for several samples.
        nfe: Calls of the prior's network; by default those of the sampler, 4 for ``cm4ir`` and 8 for ``hqs``.
        seed: Seed of all random numbers. The same seed gives the same picture.
        samples: Number of draws. From 2 on the result is their mean, and ``spread`` says how far they differ.
        size: (height, width) of the restored picture in pixels. Needed only if they are not multiples of a reduction
            factor.
        simulate: Take the picture as clean: degrade it, restore it, and keep it as ``truth``.
        ignore_jpeg: Take a JPEG file's decoded pixels as the observation, and not the codes that the file holds.
        tile: Side of the windows in pixels, a multiple of 8, in which the network sees large pictures; by default it
            sees the whole picture at once.
        precision: Arithmetic inside the network: ``float32``, ``bf16`` or ``fp16``.
        ensemble: Average the network over 8 flips and turns, at the cost of 8 times its work.
        compiled: Compile the network first.
        strength: Share of the result in the picture, 0 to 1. The rest is the observation, enlarged by bicubic
            interpolation where it is smaller.
        grain: Share of the observation's own grain that is added, 0 to 1; only where result and observation have one
            size. Grain is what of the observation the result does not explain, without its low frequencies.
        protect: A picture of the size of the result. Where it is white the observation stays, grey mixes both.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: Arithmetic outside the network: ``float32`` or ``float64``.
        callbacks: Functions that see an `Event` after every step.

    Returns:
        The restored picture ``x`` as a float32 tensor (1, C, height, width) in [0, 1] on the CPU, with ``numpy()``,
        ``pil()`` and ``save(path)``, the observation, the residual, ``verdict``, ``spread``, ``stats`` and
        ``provenance``.

    Raises:
        UnknownName: No operator, prior, sampler or option has that name.
        BadSpec: A spec or a value does not parse or lies outside its range.
        BadInput: The picture cannot be used.
        ShapeError: Picture and operator do not fit each other.
        Incompatible: Operator, prior and sampler cannot work together.
        SolveError: Numbers stopped being finite.

    >>> import torch, zsir
    >>> small = torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(0))
    >>> big = zsir.restore(small, "sr2x", prior="gaussian", noise=0.02)
    >>> big.x.shape, big.numpy().shape, big.pil().size, round(big.residual, 1)
    (torch.Size([1, 3, 24, 32]), (24, 32, 3), (32, 24), 1.0)
    """
    if simulate and isinstance(noise, str) and noise_level(noise) is None:
        raise BadSpec("The noise of a simulated observation must be stated, as in noise='5/255', or left out for none.")
    seed, samples = whole("seed", seed, least=0), whole("samples", samples, least=1)
    blend = load_blend(strength, grain, protect)
    method = load_method(
        *(op, noise, prior, sampler),
        nfe=nfe,
        device=device,
        dtype=dtype,
        wrapping=Wrapping(tile, precision, ensemble, compiled),
        several=samples > 1,
        ignore_jpeg=ignore_jpeg,
    )
    if samples > 1 and (said := about_sampler(method.sampler)):
        warnings.warn(said, PictureWarning, stacklevel=2)
    source = as_picture(picture)
    result = restored(
        *(source, method),
        seed=seed,
        samples=samples,
        size=size,
        simulate=simulate,
        blend=blend,
        callbacks=callbacks,
    )
    warn_of(source, [sentence for sentence in result.verdict if sentence == result.harm], stacklevel=2)
    return result


def restored(
    picture: Picture,
    method: Method,
    *,
    seed: int = 0,
    samples: int = 1,
    size: tuple[int, int] | None = None,
    simulate: bool = False,
    blend: Blend | None = None,
    callbacks: Callbacks = (),
) -> Restored:
    """`restore` with everything loaded: what the commands call for each picture.

    Warns of what the verdict says, but for ``harm``, of which the caller makes a warning or a refusal.
    """
    blend = blend or Blend()
    settings = method.settings(seed=seed, samples=samples, size=size, simulate=simulate) | blend.settings()

    def run(method: Method, size: tuple[int, int] | None, told: tuple[str, ...] = ()) -> tuple[Posed, Restored]:
        posed = pose(picture, method, seed=seed, size=size, simulate=simulate)
        posed = replace(posed, remarks=(*told, *posed.remarks))
        blend.check(posed)
        if samples == 1:
            return posed, restored_from(picture, posed, method, settings, callbacks)
        spread = draw(posed, method.sampler, seed, samples, callbacks=callbacks)
        said = remarks(spread, method.sampler)
        return posed, judged(picture, posed, spread.solution, settings, spread, said)

    if method.op != AUTO:
        posed, result = run(method, size)
    elif simulate:
        raise BadSpec("op=auto finds out what real pictures have been through; for simulate name the operator.")
    else:
        decision = decide(picture, method)
        made = None
        if decision.op:
            made = attempted(decision, lambda one: run(one.applied(method), size or one.size, one.sentences))
        if made is None:
            return _untouched(picture, method, settings, decision, blend)
        posed, result = made
    warn_of(picture, [sentence for sentence in result.verdict if sentence != result.harm], stacklevel=3)
    return blend.applied(result, posed)


def _untouched(
    picture: Picture, method: Method, settings: dict[str, Any], decision: Decision, blend: Blend
) -> Restored:
    """The picture as it is, because it needs nothing or nothing helps; refuses options that would be ignored."""
    posed = pose(picture, replace(method, op="identity", noise_std=0.0), size=settings["size"])
    blend.check(posed)
    sentences = decision.sentences if not decision.op else (decision.sentences[0], HARM)
    if settings["samples"] > 1:
        sentences = (*sentences, "There is nothing to draw samples of, so no maps of them are made.")
    warn_of(picture, sentences, stacklevel=4)
    return unchanged(picture, method, settings, sentences)


def restored_from(
    picture: Picture, posed: Posed, method: Method, settings: dict[str, Any], callbacks: Callbacks = ()
) -> Restored:
    """Solve a problem that `pose` made of ``picture``; says nothing, the verdict stands in the result."""
    parts = (posed.problem, posed.prior, method.sampler)
    solution = solve(*parts, seed=settings["seed"], indices=[0], callbacks=callbacks)
    return judged(picture, posed, solution, settings)


def whole(name: str, value: int, least: int) -> int:
    """A whole number of at least ``least``; raises `BadSpec`."""
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least:
        raise BadSpec(f"{name}={value}: a whole number of at least {least} is needed.")
    return found
