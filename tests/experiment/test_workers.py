"""Cohorts side by side: dealt out evenly, stopped together."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lossheads.experiment.devices import cores
from lossheads.experiment.runs import cohorts, plan_run
from lossheads.experiment.workers import in_threads

Composer = Callable[..., dict[str, Any]]
two_cores = pytest.mark.skipif(cores() < 2, reason="one core: nothing is side by side")


def test_every_part_is_done_once_and_two_at_a_time() -> None:
    done: list[int] = []
    both = threading.Barrier(2, timeout=20)

    def work(part: int) -> None:
        both.wait()  # passes only if two parts are at work
        done.append(part)

    in_threads(work, range(6), 2, threading.Event())
    assert sorted(done) == [0, 1, 2, 3, 4, 5]


def test_one_part_is_done_in_the_thread_that_asks() -> None:
    seen: list[threading.Thread] = []
    in_threads(lambda _: seen.append(threading.current_thread()), [1], 2, threading.Event())
    assert seen == [threading.current_thread()]


def test_an_interruption_stops_the_others_and_starts_no_more() -> None:
    halt, begun, stopped = threading.Event(), [], []

    def work(part: int) -> None:
        begun.append(part)
        if part == 1:
            raise KeyboardInterrupt
        deadline = time.monotonic() + 20
        while not halt.is_set() and time.monotonic() < deadline:
            time.sleep(0.001)
        stopped.append(part)

    with pytest.raises(KeyboardInterrupt):
        in_threads(work, [0, 1, *range(2, 50)], 2, halt)
    assert halt.is_set()
    assert set(stopped) == set(begun) - {1}
    assert len(begun) < 6


def sizes(tiny: Composer, n: int, *words: str) -> list[int]:
    runs = [plan_run(tiny(f"seed={seed}", *words)) for seed in range(n)]
    return [len(cohort) for cohort in cohorts(runs)]


@two_cores
@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [1]),
        (2, [1, 1]),
        (15, [7, 8]),
        (16, [8, 8]),
        (17, [4, 4, 4, 5]),  # two workers: four cohorts, not three
        (20, [5, 5, 5, 5]),
    ],
)
def test_runs_are_dealt_out_so_that_no_worker_waits(
    tiny: Composer, n: int, expected: list[int]
) -> None:
    assert sizes(tiny, n, "device.threads=2") == expected


def test_one_worker_gets_cohorts_as_large_as_allowed(tiny: Composer) -> None:
    assert sizes(tiny, 20, "device.threads=1") == [6, 7, 7]
    assert sizes(tiny, 20, "device.threads=1", "cohort.max_members=20") == [20]


@two_cores
def test_two_companies_are_not_cut_up_for_two_workers(tiny: Composer) -> None:
    words = [(f"dataset.classes={c}", f"seed={seed}") for c in (3, 5) for seed in range(3)]
    dealt = cohorts([plan_run(tiny(*pair, "device.threads=2")) for pair in words])
    assert [len(cohort) for cohort in dealt] == [3, 3]


def test_equal_heads_stay_together(tiny: Composer) -> None:
    words = [
        (f"head={head}", f"seed={seed}")
        for seed in range(4)
        for head in ("softmax_cce", "sigmoid_bce")
    ]
    dealt = cohorts([plan_run(tiny(*pair, "cohort.max_members=4")) for pair in words])
    heads = [{run.config["choices"]["head"] for run in cohort} for cohort in dealt]
    assert heads == [{"softmax_cce"}, {"sigmoid_bce"}]
