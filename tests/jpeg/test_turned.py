"""JPEG files that stand turned: the operator behind a turn keeps contract, decomposition and margins."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from tests.jpeg.pictures import waves as picture
from zsir import operators
from zsir.operators.jpeg.measurement import jpeg
from zsir.operators.jpeg.upright import Upright
from zsir.operators.mask import Identity
from zsir.testing import check_operator


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_operator_obeys_the_contract(orientation: int) -> None:
    """Also in its norm, and with the decomposition and the margins of the operator inside."""
    inner = jpeg((3, 19, 21), q=60)
    operator = Upright(inner, orientation)
    check_operator(operator)
    assert operator.svd is not None
    x, found = picture(operator.in_shape), operator.svd(torch.zeros((), dtype=torch.float64))
    assert (found.u(found.s * found.vt(x)) - operator.forward(x)).abs().max() < 1e-10
    assert (found.vt(found.v(found.s[None])) - found.s).abs().max() < 1e-10
    assert Upright(operators.make("motion:length=5,angle=30", in_shape=(1, 9, 8)), orientation).svd is None


@dataclass(frozen=True, eq=False)
class Reaching(Identity):
    """An operator that says that it reaches beyond the border."""

    margins: tuple[int, int, int, int] = (0, 0, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_margins_turn_with_the_picture(orientation: int) -> None:
    """The pixels beyond the border are those that the turned picture has there."""
    margins = (1, 2, 3, 4)
    x = torch.zeros(1, 1, 12, 17)
    x[..., 1:-2, 3:-4] = 1
    turned = Upright(Reaching((1, 12, 17), margins), orientation)
    up, (top, bottom, left, right) = turned.adjoint(x)[0, 0], turned.margins
    inside = up[top : up.shape[0] - bottom, left : up.shape[1] - right]
    assert bool(inside.all()) and float(up.sum()) == inside.numel()
