import pytest

from lossheads.engine.schedules import constant, cosine
from lossheads.errors import UserError


def test_constant_leaves_the_rate_alone() -> None:
    assert [constant(at) for at in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("at", "factor"), [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.6, 0.55), (1.0, 0.1)]
)
def test_cosine_warms_up_and_falls_to_its_floor(at: float, factor: float) -> None:
    assert cosine(at, warmup=0.2, floor=0.1) == pytest.approx(factor)


@pytest.mark.parametrize(("warmup", "floor"), [(1.0, 0.0), (-0.1, 0.0), (0.0, 1.5)])
def test_cosine_refuses_shares_outside_their_range(warmup: float, floor: float) -> None:
    with pytest.raises(UserError, match="warmup must be in"):
        cosine(0.5, warmup, floor)
