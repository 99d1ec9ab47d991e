"""Too little memory on a card: cohorts are halved and go on; the error is torch's own, injected."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from lossheads.engine.cohort import Batch, StackedCohort
from lossheads.errors import UserError
from lossheads.records import Result
from lossheads.runs.execute import execute

Composer = Callable[..., dict[str, Any]]
MEMBERS = 5


def configs_of(tiny: Composer, *words: str) -> list[dict[str, Any]]:
    return [
        tiny(f"seed={seed}", f"head={head}", "device.threads=1", *words)
        for head in ("softmax_cce", "sigmoid_bce")
        for seed in range(MEMBERS)
    ][: 2 * MEMBERS - 1]


@contextmanager
def room_for(members: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A card that is full when larger cohorts have taken ten steps; yields the sizes tried."""
    step, sizes = StackedCohort.step, list[int]()

    def limited(cohort: StackedCohort, inputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        taken = getattr(cohort, "_taken", 0)
        cohort._taken = taken + 1  # type: ignore[attr-defined]
        if taken == 0:
            sizes.append(len(cohort.members))
        if taken == 10 and len(cohort.members) > members:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return step(cohort, inputs, batch)

    with monkeypatch.context() as patch:
        patch.setattr(StackedCohort, "step", limited)
        yield sizes


def numbers(results: list[Result]) -> str:
    return repr([(result.key, result.status, result.history) for result in results])


def test_a_cohort_is_halved_until_it_fits_and_nothing_is_lost(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    expected = execute(configs_of(tiny, "cohort.max_members=2", f"output_dir={tmp_path}/small"))
    with room_for(2, monkeypatch) as sizes:
        found = execute(configs_of(tiny, "cohort.max_members=9"))
    assert sizes == [9, 4, 2, 2, 2, 2, 1]
    assert numbers(found) == numbers(expected)
    said = capsys.readouterr().err
    assert "9 runs do not fit" in said
    assert "going on with 2" in said
    runs = sorted((tmp_path / "outputs" / "runs").iterdir())
    statuses = [json.loads((run / "status.json").read_text())["status"] for run in runs]
    assert statuses == ["finished"] * 9
    assert sorted(found[k].environment["members"] for k in range(9)) == [1, *[2] * 8]


def test_a_single_run_that_does_not_fit_is_refused_in_a_sentence(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        room_for(0, monkeypatch) as sizes,
        pytest.raises(UserError, match=r"single run.*memory of cpu.*training\.batch_size"),
    ):
        execute(configs_of(tiny)[:2])
    assert sizes == [2, 1]
    for run in (tmp_path / "outputs" / "runs").iterdir():
        assert json.loads((run / "status.json").read_text())["status"] != "running"
        assert not (run / "result.json").exists()
    # What is free again is used again.
    assert [result.status for result in execute(configs_of(tiny)[:2])] == ["finished"] * 2
