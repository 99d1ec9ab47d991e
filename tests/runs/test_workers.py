"""Cohorts side by side: dealt out evenly, stopped together."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lossheads.runs import execute as execution
from lossheads.runs.device import cores, prepare
from lossheads.runs.plan import cohorts, plan_run
from lossheads.runs.workers import in_threads

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


def test_nothing_begins_after_an_interruption() -> None:
    """However slow the thread is that empties the pool, and however fast parts end.

    The other worker may have looked for an interruption just before it: its part is the only one.
    """
    stop, begun = threading.Event(), []

    def work(part: int) -> None:
        begun.append((part, stop.is_set()))
        if part == 1:
            raise KeyboardInterrupt

    for _ in range(50):
        begun.clear()
        stop.clear()
        with pytest.raises(KeyboardInterrupt):
            in_threads(work, range(200), 2, stop)
        assert sum(late for _, late in begun) <= 1, begun


def sizes(tiny: Composer, n: int, *words: str) -> list[int]:
    config = tiny(*words)
    runs = [plan_run({**config, "seed": seed}) for seed in range(n)]
    return [len(cohort) for cohort in cohorts(runs)]


@two_cores
@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [1]),
        (2, [1, 1]),
        (15, [7, 8]),
        (20, [10, 10]),
        (21, [5, 5, 5, 6]),  # two workers: four cohorts, not three
    ],
)
def test_runs_are_dealt_out_so_that_no_worker_waits(
    tiny: Composer, n: int, expected: list[int]
) -> None:
    assert sizes(tiny, n, "device.threads=2") == expected


@two_cores
def test_cohorts_that_take_all_workers_are_not_cut_up_for_them(tiny: Composer) -> None:
    for n, expected in ((1, [1]), (5, [5]), (11, [5, 6])):
        runs = [plan_run(tiny(f"seed={seed}", "device.threads=2")) for seed in range(n)]
        assert [len(cohort) for cohort in cohorts(runs, one_by_one=True)] == expected


def test_one_worker_gets_cohorts_as_large_as_allowed(tiny: Composer) -> None:
    assert sizes(tiny, 21, "device.threads=1") == [7, 7, 7]
    assert sizes(tiny, 20, "device.threads=1", "cohort.max_members=20") == [20]


@two_cores
def test_two_groups_are_not_cut_up_for_two_workers(tiny: Composer) -> None:
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


def test_numbers_too_small_to_matter_are_flushed_in_every_worker() -> None:
    """The processor keeps this per thread; a thread begins with what its maker has."""
    numbers = torch.full((64,), 2e-38)
    torch.set_flush_denormal(False)
    device = {"kind": "cpu", "precision": "float32", "graph": False, "deterministic": False}
    small: dict[str, float] = {}

    def work(name: str) -> None:
        if name == "prepared":
            prepare(device, threads=1)
        small[name] = float((numbers * 0.25).sum())

    for name in ("prepared", "other"):
        worker = threading.Thread(target=work, args=(name,))
        worker.start()
        worker.join()
    assert small["prepared"] == 0
    assert small["other"] > 0


def test_members_without_memory_side_by_side_train_in_turn(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what is free, shared by the workers, holds two members here; no run is lost."""
    monkeypatch.setattr(execution, "bytes_per_member", lambda *_: 1_000)
    monkeypatch.setattr(execution, "free_bytes", lambda _: 2 * 2_500)
    results = execution.execute([tiny("device.threads=1", f"seed={seed}") for seed in range(5)])
    assert [result.status for result in results] == ["finished"] * 5
    assert sorted(result.environment["members"] for result in results) == [1, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [((), [2, 2, 3, 3, 3]), (("cohort.max_members=5",), [5] * 5)],
    ids=["as many as the caches hold", "as many as the user says"],
)
def test_members_with_many_weights_train_in_smaller_cohorts(
    words: tuple[str, ...], expected: list[int], tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "members_for_caches", lambda _: 3)
    configs = [tiny("device.threads=1", f"seed={seed}", *words) for seed in range(5)]
    results = execution.execute(configs)
    assert sorted(result.environment["members"] for result in results) == expected
