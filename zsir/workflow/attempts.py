"""What ``--op auto`` does where a result does not fit: more noise, then the easier hypothesis, at last nothing.

The first result tells what the picture could not: where the noise was taken too low, its residual is larger than the
noise, or what the operator hardly sees is strong in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from zsir.capabilities import makes_pictures, seen_pixels
from zsir.workflow.auto import Decision
from zsir.workflow.harm import unseen_power
from zsir.workflow.pose import Posed
from zsir.workflow.result import Restored

#: a residual above this many times the noise does not fit. Good results for draws of ``wild`` have at most 0.9, those
#: that made a picture worse 1.2 to 2.7
MISFIT = 1.1
#: from this on a motion is wrong. Rows of windows and the trail of a rocket look like long ones
WRONG = 2.0
#: the level of the next result, in units of that residual
MARGIN = 1.5
#: power of what the operator hardly sees, over that of what it sees, from which the noise is taken twice as high. Good
#: results have at most 0.32, those that made a picture worse 0.95 to 3
MUCH_UNSEEN = 0.5
#: a level above this says that the hypothesis is wrong, and not the noise
LARGEST = 0.1

Run = Callable[[Decision], tuple[Posed, Restored]]


def attempted(decision: Decision, run: Run) -> tuple[Posed, Restored] | None:
    """The first result that does no harm; None where each would.

    Args:
        decision: What is believed of the picture.
        run: Restores the picture as a decision says.

    Returns:
        The problem and its result, or None.
    """
    for step in (decision, *decision.easier):
        posed, result = run(step)
        std = more_noise(posed, result)
        if std is not None and step.op.startswith("motion") and result.residual > WRONG:
            continue
        if std is not None and std <= LARGEST:
            posed, result = run(step.with_noise(std))
            std = more_noise(posed, result)
        # what still does not fit was not made so by noise
        if std is None and not result.harm:
            return posed, result
    return None


def more_noise(posed: Posed, result: Restored) -> float | None:
    """The standard deviation to state instead, where a result says that the noise was taken too low; else None."""
    operator, level = posed.problem.operator, posed.problem.noise_std
    if not makes_pictures(operator) or seen_pixels(operator) is not None or level <= 0:
        return None
    if result.residual > MISFIT:
        raised = MARGIN * result.residual * level
    elif unseen_power(operator, result.solution.x[:1]) > MUCH_UNSEEN:
        raised = 2 * level
    else:
        return None
    # the error of a file's coding is part of the level, and is added again
    return min(1.0, math.sqrt(raised**2 - level**2 + posed.level.std**2))
