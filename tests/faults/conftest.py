"""How often each fault is tried: `--faults N`."""

import random
from collections.abc import Iterator

import pytest

from . import comparing


@pytest.fixture
def tries(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--faults"))


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Moments at random; `--faults-seed` repeats them as far as a clock allows."""
    return random.Random(f"{request.node.name} {request.config.getoption('--faults-seed')}")


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Write down every fault, with what it did to the call: `--faults-log FILE`."""
    comparing.statuses.clear()
    yield
    if path := request.config.getoption("--faults-log"):
        lines = [f"{request.node.name} {status}\n" for status in comparing.statuses]
        with open(path, "a") as file:
            file.writelines(lines)
