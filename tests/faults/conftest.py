"""How often each fault is tried: `--faults N`."""

import random

import pytest


@pytest.fixture
def tries(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--faults"))


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Moments at random; `--faults-seed` repeats them as far as a clock allows."""
    return random.Random(f"{request.node.name} {request.config.getoption('--faults-seed')}")
