"""Memory that does not suffice: a sentence, and the next call with more of it ends as ever."""

import random
from pathlib import Path

import pytest

from .comparing import results
from .scenarios import SCENARIOS, spoilt
from .test_kills import check_recovered, fresh


@pytest.mark.parametrize("name", ["run", "cohort", "force", "claim"])
def test_too_little_memory(name: str, tries: int, draw: random.Random, tmp_path: Path) -> None:
    for _ in range(tries):
        folder, beyond = fresh(name, tmp_path), int(2 ** draw.uniform(16, 28))
        before = results(folder / "outputs")
        ended = spoilt(SCENARIOS[name].words, folder, "limit_memory", {"beyond": beyond})
        assert "Traceback" not in ended.stderr, ended.stderr
        assert ended.returncode in (0, 2), ended.stderr
        if ended.returncode:
            assert "memory" in ended.stderr.splitlines()[-1]
        check_recovered(name, folder, before, f"{beyond:,} bytes")
