"""Only numbers of the same test examples share a table, an n and a list of metrics."""

import csv
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lossheads.analysis.overview import sweep_overviews
from lossheads.analysis.runs_page import runs_page
from lossheads.analysis.test_sets import by_test_set
from lossheads.cli.board import board
from lossheads.cli.board_pages import sweeps_of
from lossheads.cli.console import print_arms
from lossheads.cli.report import command as report_command
from lossheads.errors import UserError
from lossheads.records import CorrectMask, Result, write_result

from .making import ARGMAX, CELLS, run
from .pages import Page, words


def ended(
    seed: int = 0,
    *,
    digest: str | None = None,
    metric: str = ARGMAX,
    n: int = 1000,
    dataset: str = "files",
    content: str | None = None,
    data: dict[str, Any] | None = None,
    **settings: Any,
) -> Result:
    """A finished run on data with these settings."""
    blank = run(seed, [{metric: 0.3}, {metric: 0.7}])
    validation = blank.history[-1]
    assert validation.test is not None
    test = replace(
        validation.test, n=n, correct=None if digest is None else CorrectMask("", digest)
    )
    config = {
        "choices": {"dataset": dataset, "head": "softmax_cce"},
        "head": {"_target_": "softmax_cce"},
        "dataset": {"_target_": "Data", **settings, **(data or {})},
        "recording": {"tensorboard": True},
        "seed": seed,
    } | ({} if content is None else {"content": {"dataset": content}})
    history = [*blank.history[:-1], replace(validation, test=test)]
    return replace(blank, key=f"{config}", config=config, history=history)


def titles(results: list[Result]) -> dict[str, int]:
    return {data.title: len(data.runs) for data in by_test_set(results)}


def strangers() -> list[Result]:
    """Two files that have neither n nor metrics in common."""
    one = [ended(seed, path="a.npz", n=60) for seed in range(2)]
    return [*one, ended(path="img", n=36, metric=CELLS)]


def test_every_file_has_a_table_of_its_own_with_its_n_and_its_metrics() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    print_arms(strangers(), console)
    _, one, other = words(console.export_text()).split("files, path=")
    assert one.startswith("a.npz, test, n = 60 examples")
    assert other.startswith("img, test, n = 36 examples")
    assert "undefined" not in one + other
    assert (CELLS in one, CELLS in other) == (False, True)


def test_the_page_has_a_section_for_every_file() -> None:
    page = Page(runs_page(strangers()))
    first, second = words(page.below["data-1"]), words(page.below["data-2"])
    assert "files, path=a.npz 1 arm, 2 runs; test split, n = 60 examples." in first
    assert "files, path=img 1 arm, 1 run; test split, n = 36 examples." in second
    assert "undefined" not in first + second


def test_the_csv_has_only_metrics_of_the_arms_own_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, result in enumerate(strangers()):
        folder = tmp_path / "runs" / str(number)
        folder.mkdir(parents=True)
        write_result(folder, result)
    assert report_command([str(tmp_path), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [
        (row["head"], row["dataset.path"], row["seed"], row["metric"], row["n"]) for row in rows
    ] == [
        ("softmax_cce", "a.npz", "0", ARGMAX, "60"),
        ("softmax_cce", "a.npz", "1", ARGMAX, "60"),
        ("softmax_cce", "img", "0", CELLS, "36"),
    ]


def test_the_dashboard_has_an_overview_for_every_file(tmp_path: Path) -> None:
    long = ended(path="deep/" * 60 + "c.npz")
    names = sweep_overviews([*strangers(), long], tmp_path)
    assert [name.rpartition("-")[0] for name in names[:2]] == [
        "sweep-files, path=a.npz",
        "sweep-files, path=img",
    ]
    assert "deep-c.npz-" in names[2]
    assert all(len(name) <= 73 and (tmp_path / "_overview" / name).is_dir() for name in names)


def with_rate(lr: float, seed: int) -> Result:
    result = ended(seed)
    config = {**result.config, "optimizer": {"lr": lr}}
    return replace(result, key=f"{config}", config=config)


def test_a_sweep_replaces_its_own_overview_and_no_other(tmp_path: Path) -> None:
    first, second = ([with_rate(lr, seed) for seed in (0, 1)] for lr in (0.1, 0.3))
    (older,) = sweep_overviews(first, tmp_path)
    (newer,) = sweep_overviews(second, tmp_path)
    longer = sweep_overviews([*first, with_rate(0.1, 2)], tmp_path)
    assert len({older, newer, *longer}) == 3
    left = {path: path.read_bytes() for path in (tmp_path / "_overview" / newer).rglob("events.*")}
    assert left
    # The same call again, its runs in another order and one of them lost this time.
    again = sweep_overviews([replace(first[1], status="failed"), first[0]], tmp_path)
    assert again == [older]
    assert {path: path.read_bytes() for path in left} == left
    os.utime(tmp_path / "_overview" / older)
    names = [sweep.name for sweep in sweeps_of(tmp_path)]
    assert names[0] == older
    assert sorted(names) == sorted([older, newer, *longer])
    with pytest.raises(UserError, match=older):
        board(tmp_path, 0, older[:-1])


def test_settings_that_change_the_data_make_sections() -> None:
    found = [ended(dataset="digits", classes=c, digest=f"d{c}") for c in (10, 2)]
    assert titles(found) == {"digits, classes=10": 1, "digits, classes=2": 1}


def test_one_dataset_goes_by_its_name_alone() -> None:
    assert titles([ended(s, dataset="digits", classes=10) for s in range(3)]) == {"digits": 3}


def test_other_contents_of_one_path_are_other_data() -> None:
    found = [ended(path="a.npz", content=digest) for digest in ("1a2b3c4d5e", "ffff000011")]
    assert titles([*found, ended(path="b.npz", content="0123456789")]) == {
        "files, path=a.npz, contents=1a2b3c4d": 1,
        "files, path=a.npz, contents=ffff0000": 1,
        "files, path=b.npz": 1,
    }


def test_settings_of_the_training_examples_alone_share_a_table() -> None:
    found = [ended(dataset="groups", labels=kind, digest="same") for kind in ("hard", "soft")]
    assert titles(found) == {"groups": 2}


def test_without_digests_other_settings_are_other_data() -> None:
    found = [ended(dataset="groups", labels=kind) for kind in ("hard", "soft")]
    assert len(titles(found)) == 2


def test_data_drawn_with_every_seed_are_one_and_fixed_ones_are_others() -> None:
    drawn = [ended(s, data={"seed": s}, dataset="blobs", digest=f"d{s}") for s in range(3)]
    fixed = [ended(s, data={"seed": 7}, dataset="blobs", digest="d7") for s in range(3)]
    assert titles([*drawn, *fixed]) == {
        "blobs, dataset.seed=follows seed": 3,
        "blobs, dataset.seed=7": 3,
    }


@pytest.mark.parametrize("classes", [["a"], ["a", "b", "none"]])
def test_the_same_images_with_other_classes_are_other_data(classes: list[str]) -> None:
    some = ended(dataset="known", none="absent", digest="same")
    other = ended(dataset="known", none="class", digest="same")
    assert len(titles([some, replace(other, class_names=classes)])) == 2
