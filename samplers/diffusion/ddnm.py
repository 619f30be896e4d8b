"""DDNM: replace what the data determine, keep what the network imagines.

Source: Wang et al. 2023 [ddnm]. With ``d = D(x, s)``, ``e = (x - d)/s`` and t the next level:

    DDNM     x~ = d - A^+ (A d - y)
             x' = x~ + t (sqrt(1 - eta^2) e + eta n)
    DDNM+    for noisy data, in the singular basis A = U S V^T, mode by mode:
             t >= noise/s_i   coefficient y_i/s_i,                         fresh noise of sd sqrt(t^2 - noise^2/s_i^2)
             t <  noise/s_i   d_i + t sqrt(1 - eta^2)/(noise/s_i) (y_i/s_i - d_i),   fresh noise of sd t eta
             s_i = 0          as DDNM without data

Time travel (``travel`` l, ``repeat`` r): after every l steps the chain goes back up l levels, r - 1 times, by adding
noise to the latest d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls, FreshNoise, Levels
from zsir.samplers.chain import Chain, begin, begin_at, check_calls, check_share, ddim, denoise, ladder
from zsir.samplers.spectral import ModeChain, modes_of

Walk = tuple[tuple[int, int, tuple[int, ...]], ...]


def walk(count: int, travel: int, repeat: int) -> Walk:
    """The moves through a ladder of ``count`` levels, one per network call: from which place, down to which, and the
    places of the climb that follows (mostly none). Places count down: count - 1 is the noisiest, -1 the end."""
    journeys = dict.fromkeys(range(0, count - travel, travel), repeat - 1)
    place, moves = count - 1, []
    while place >= 0:
        start, place, climb = place, place - 1, tuple[int, ...]()
        if journeys.get(place, 0) > 0:
            journeys[place] -= 1
            climb = tuple(range(place + 1, place + travel + 1))
            place += travel
        moves.append((start, start - 1, climb))
    return tuple(moves)


@dataclass(frozen=True)
class Traveller(Chain):
    """A chain whose moves lead back up now and then: ``downs`` and ``climbs`` are the levels that follow each call."""

    downs: tuple[float, ...] = ()
    climbs: tuple[tuple[float, ...], ...] = ()


def back_projected(problem: Problem, d: Tensor) -> Tensor:
    """DDNM's data step d - A^+ (A d - y), with the ridge noise^2; d (batch, c, h, w)."""
    return d - problem.operator.pinv(problem.operator.forward(d) - problem.y, problem.noise_std**2)


@dataclass(frozen=True)
class DDNM(BaseSampler):
    """Range-null space decomposition: data where they determine the picture, network elsewhere, noise put back.

    x~ = d - A^+ (A d - y),  x' = x~ + t (sqrt(1 - eta^2) e + eta n),  e = (x - d)/s

    Made for noise-free data: with noisy ones use ddnm+. The ridge that the inverse gets there, noise^2 beside A A^T,
    keeps it bounded and no more. ``nfe`` counts all calls, those of time travel included.
    Source: Wang et al. 2023 [ddnm]; defaults of the released code

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("pinv",)
    draws: ClassVar[str] = "approximate"

    nfe: Calls = 100
    eta: FreshNoise = 0.85
    travel: Annotated[int, Option("levels that a journey back goes up")] = 1
    repeat: Annotated[int, Option("how often each stretch is walked; 1: no journeys back")] = 1
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("ddnm", self.nfe, None)
        check_share("ddnm:eta", self.eta)
        if self.travel < 1 or self.repeat < 1:
            raise BadSpec(f"ddnm:travel={self.travel},repeat={self.repeat}: both count from 1.")
        if len(self.moves) != self.nfe:
            near = [len(walk(n, self.travel, self.repeat)) for n in (self.count, self.count + 1)]
            raise BadSpec(
                f"nfe={self.nfe} is no whole number of journeys for ddnm:travel={self.travel},repeat={self.repeat}; "
                f"write nfe={near[0]} or nfe={near[1]}."
            )
        check_calls("ddnm", self.count, self.sigmas)

    @property
    def count(self) -> int:
        """Levels of the ladder: as many as ``nfe`` calls allow."""
        if self.repeat == 1:
            return self.nfe
        count = 1
        while len(walk(count + 1, self.travel, self.repeat)) <= self.nfe:
            count += 1
        return count

    @property
    def moves(self) -> Walk:
        """The walk along the ladder, with its climbs."""
        return walk(self.count, self.travel, self.repeat)

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> Traveller:
        """x = x_init + sigma_1 n."""
        moves, rungs = self.moves, ladder(self.count, self.sigmas, prior)
        level = {place: rungs[self.count - 1 - place] for place in range(-1, self.count)}
        chain = begin_at(problem, rng, (*(level[start] for start, _, _ in moves), 0.0))
        downs = tuple(level[down] for _, down, _ in moves)
        climbs = tuple(tuple(level[place] for place in climb) for _, _, climb in moves)
        return Traveller(chain.x, chain.x0, chain.sigmas, downs=downs, climbs=climbs)

    def step(self, problem: Problem, prior: Prior, state: Traveller, rng: NoiseSource) -> Chain:
        """Denoise, correct by the data, put noise back; then climb where the walk says so."""
        x, s = state.x, state.here
        d = denoise(prior, x, s)
        x0 = back_projected(problem, d)
        x = ddim(x0, (x - d) / s, state.downs[state.step], self.eta, rng)
        for sigma in state.climbs[state.step]:
            x = d + sigma * rng.randn_like(d)
        return state.moved(x, x0)


@dataclass(frozen=True)
class DDNMPlus(BaseSampler):
    """DDNM for noisy data: each singular mode is corrected as far as its noise allows, and gets that much less noise.

    t >= noise/s_i: y_i/s_i + sqrt(t^2 - noise^2/s_i^2) n;   else d_i + t sqrt(1 - eta^2)/(noise/s_i) (y_i/s_i - d_i)
    + t eta n

    Source: Wang et al. 2023 [ddnm], section 3.3

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("svd",)
    draws: ClassVar[str] = "approximate"

    nfe: Calls = 100
    eta: FreshNoise = 0.85
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("ddnm+", self.nfe, self.sigmas)
        check_share("ddnm+:eta", self.eta)

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> ModeChain:
        """x = x_init + sigma_1 n."""
        chain = begin(problem, prior, rng, self.nfe, self.sigmas)
        modes = modes_of(problem)
        return ModeChain(chain.x, chain.x0, chain.sigmas, modes=modes, own=modes.of(chain.x))

    def step(self, problem: Problem, prior: Prior, state: ModeChain, rng: NoiseSource) -> Chain:
        """Denoise; correct and re-noise mode by mode."""
        x, s, t, modes = state.x, state.here, state.next, state.modes
        d = denoise(prior, x, s)
        n = rng.randn_like(x)
        keep = math.sqrt(1 - self.eta**2)
        # the rule of modes that the data do not see
        free = torch.lerp(d, x, t * keep / s).add(n, alpha=t * self.eta)
        d_i, n_i = modes.of(d), modes.of(n)
        free_i = torch.lerp(d_i, state.own, t * keep / s).add(n_i, alpha=t * self.eta)
        trusted = modes.noise <= t
        weight = torch.where(trusted, 1.0, t * keep / modes.noise.clamp_min(torch.finfo(x.dtype).tiny))
        spread = torch.where(trusted, (t**2 - modes.noise**2).clamp_min(0).sqrt(), t * self.eta)
        corrected = torch.lerp(d_i, modes.data, weight)
        if t == 0:  # neither noise nor direction is left
            x0 = modes.put(d, corrected, d_i)
            return replace(state, x=x0, x0=x0, step=state.step + 1)
        moved = corrected.addcmul(spread, n_i)
        own = torch.where(modes.seen, moved, free_i)
        return replace(state, x=modes.put(free, moved, free_i), own=own, x0=d, step=state.step + 1)
