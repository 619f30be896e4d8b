"""Choose the parameters of a sampler for a degradation, on the user's own pictures: `tune`; the result is a `Preset`.

>>> import torch
>>> from zsir import Problem, operators, priors, tuning
>>> op, x = operators.make("identity", in_shape=(1, 24, 24)), torch.rand(1, 1, 24, 24, generator=torch.manual_seed(0))
>>> case = tuning.Case(Problem(x + 0, op, 0.1), priors.load("gaussian"))
>>> found = tuning.tune([case], "hqs:nfe=2", tuning.find_goal("sure"), trials=4, names=["lam"])
>>> [trial.spec for trial in found][0]
'hqs:nfe=2'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zsir.lazy import on_first_use

if TYPE_CHECKING:
    from zsir.tuning.goals import GOALS, Goal, find_goal
    from zsir.tuning.preset import Preset
    from zsir.tuning.search import Case, Trial, best_of, check_goal, ranges_of, tune

__all__ = ["GOALS", "Case", "Goal", "Preset", "Trial", "best_of", "check_goal", "find_goal", "ranges_of", "tune"]

__getattr__ = on_first_use(__name__, __file__)
