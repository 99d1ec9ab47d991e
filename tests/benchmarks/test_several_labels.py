"""benchmarks.several_labels at a tiny size: what its tables hold, never which head is better."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.several_labels import cli, parts, sections
from benchmarks.several_labels.pages import fill
from benchmarks.several_labels.parts import Part
from benchmarks.several_labels.running import train
from benchmarks.several_labels.steps import Size, measure_steps, ratio
from benchmarks.several_labels.tables import Contrast, cell, contrast_table, difference
from lossheads.analysis.statistics import Interval
from lossheads.datasets import compositions
from lossheads.datasets.garments import Garments
from lossheads.errors import UserError
from lossheads.records import Result, read_results
from lossheads.runs.build import build_parts
from lossheads.runs.config import compose

TINY = ["training.steps=2", "dataset.train=80", "dataset.val=40", "dataset.test=60"]
RARE, LONGER, PICTURES = (parts.grouped()[k] for k in (3, 6, 8))
PAGE = (
    "Above.\n\n<!-- grouped-comparison:begin -->\nold\n<!-- grouped-comparison:end -->\n\nBelow.\n"
)
NUMBER = re.compile(r"[+-]?\d+\.\d{4} ± \d+\.\d{4}|[+-]?\d\.\de-\d\d ± \d\.\de[+-]\d\d")
BASELINE = re.compile(r"\d+\.\d{4}")


def garments(data_dir: Path | None, cache: Path) -> dict[str, Garments]:
    """Forty pictures of noise in each split, so that no file is needed."""
    images = np.random.default_rng(3).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    return {part: Garments(images, np.arange(40) % 10) for part in ("train", "val", "test")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the page and the runs of three parts of the comparison, two seeds."""
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "grouped", lambda: [RARE, LONGER, PICTURES])
        patch.setattr(compositions, "read_garments", garments)
        patch.chdir(folder)
        (folder / "open-question.md").write_text(PAGE, encoding="utf-8")
        assert call() == 0
        yield folder


def call(*overrides: str) -> int:
    options = ["--only", "grouped", "--seeds", "2", "--jobs", "1", "--docs", "."]
    return cli.main([*options, *TINY, *overrides])


@pytest.fixture(scope="module")
def page(place: Path) -> str:
    return (place / "open-question.md").read_text(encoding="utf-8")


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, without the ruled lines."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    rows = [[line[2:-2].split(" | ") for line in block.splitlines()] for block in blocks]
    return [[row for row in block if row[0] != "---"] for block in rows]


def interval(mean: float, half_width: float, n: int) -> Interval:
    high = math.inf if math.isnan(half_width) else mean + half_width
    return Interval(mean, mean - half_width, high, 0.95, math.nan, n)


def test_every_arm_of_every_part_has_its_row_and_every_part_its_baseline(page: str) -> None:
    (_, *rows), _ = tables(page)
    expected = [
        [part.name if k == 0 else "", f"`{arm}`" if arm else "*baseline*"]
        for part in (RARE, LONGER, PICTURES)
        for k, arm in enumerate([*part.arms(), ""])
    ]
    assert [row[:2] for row in rows] == expected
    assert len(RARE.arms()) == 7
    assert len(LONGER.arms()) == 3


def test_every_cell_is_a_mean_with_its_interval_or_unknown(page: str) -> None:
    (head, *rows), _ = tables(page)
    assert head[2:] == [f"`{metric}`" for metric in sections.GROUPED_METRICS]
    unknown = head.index("`posterior_kl_loss`")
    pictures = rows[[row[0] for row in rows].index(PICTURES.name) :]
    for row in rows:
        wanted = BASELINE if row[1] == "*baseline*" else NUMBER
        for column, text in enumerate(row[2:], start=2):
            nothing = row in pictures and column == unknown
            assert text == "–" if nothing else wanted.fullmatch(text), (row, column)


def test_differences_are_shown_where_both_arms_were_trained(page: str) -> None:
    _, (head, *rows) = tables(page)
    assert len(head) == 1 + len(sections.CONTRASTS)
    assert [row[0] for row in rows] == [RARE.name, PICTURES.name]
    assert all(NUMBER.fullmatch(text) and text[0] in "+-" for row in rows for text in row[1:])


def test_conditions_say_how_much_was_measured_and_how_to_repeat_it(page: str) -> None:
    assert f"`python -m benchmarks.several_labels --seeds 2 {' '.join(TINY)}`" in page
    assert "Test split of 60 examples" in page
    assert "n = 2 seeds" in page
    assert f"torch {torch.__version__.split('+')[0]}" in page


def test_the_rest_of_the_page_is_left_alone(page: str) -> None:
    assert page.startswith("Above.\n\n<!-- grouped-comparison:begin -->\n")
    assert page.endswith("<!-- grouped-comparison:end -->\n\nBelow.\n")
    assert "old" not in page


def test_a_second_call_trains_nothing_and_writes_the_same_page(place: Path, page: str) -> None:
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in place.rglob("result.json")}

    before = times()
    assert len(before) == 2 * (7 + 3 + 7)
    assert call() == 0
    assert times() == before
    assert (place / "open-question.md").read_text(encoding="utf-8") == page


def test_a_seed_draws_the_data_anew_and_alike_for_every_arm(place: Path) -> None:
    results = [result for _, result in read_results(place / "outputs" / "runs")]
    seeds = [
        (r.config["seed"], r.config["data_seed"], r.config["dataset"]["seed"]) for r in results
    ]
    assert sorted(set(seeds)) == [(0, 0, 0), (1, 1, 1)]
    baselines = {
        (r.config["choices"]["dataset"], seed): r.test.baselines["accuracy_score"]
        for r, seed in zip(results, seeds, strict=True)
    }
    assert len(set(baselines.values())) == len(baselines) == 4
    for result, seed in zip(results, seeds, strict=True):
        key = result.config["choices"]["dataset"], seed
        assert result.test.baselines["accuracy_score"] == baselines[key]


def test_differences_are_taken_seed_by_seed(place: Path) -> None:
    runs: dict[str, list[Result]] = {"grouped_cce": [], "grouped_logsum_cce": []}
    for _, result in read_results(place / "outputs" / "runs"):
        head, data = result.config["choices"]["head"], result.config["choices"]["dataset"]
        if data == "quadrants" and head in runs:
            runs[head].append(result)
    contrast = Contrast("grouped_logsum_cce", "grouped_cce", "nll_loss")
    apart = [
        mine.test.metrics["nll_loss"] - theirs.test.metrics["nll_loss"]
        for mine, theirs in zip(runs[contrast.arm], runs[contrast.other], strict=True)
    ]
    at = difference(runs, contrast)
    assert at.mean == pytest.approx(sum(apart) / 2, rel=1e-12)
    # Student's t with one degree of freedom: 12.706; the deviation of two is their gap / sqrt 2.
    assert at.half_width == pytest.approx(12.7062 * abs(apart[0] - apart[1]) / 2, rel=1e-4)
    unknown = Contrast("grouped_logsum_cce", "grouped_cce", "posterior_kl_loss")
    assert contrast_table({"pictures": runs}, [unknown]).endswith("| pictures | – |")


def test_a_cell_says_how_many_seeds_it_rests_on_where_some_are_missing() -> None:
    assert cell(interval(0.5, 0.01, 9), 10) == "0.5000 ± 0.0100 (n = 9)"
    assert cell(interval(0.5, 0.01, 10), 10, sign="+") == "+0.5000 ± 0.0100"
    assert cell(interval(0.5, math.nan, 1), 1) == "0.5000"
    assert cell(interval(math.nan, math.nan, 0), 10) == "–"


def test_a_cell_shows_what_four_digits_would_hide() -> None:
    assert cell(interval(1.7e-5, 2e-6, 10), 10) == "1.7e-05 ± 2.0e-06"
    assert cell(interval(-1e-8, 2e-8, 10), 10, sign="+") == "-1.0e-08 ± 2.0e-08"
    assert cell(interval(0.0, 0.0, 10), 10) == "0.0000 ± 0.0000"


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(tmp_path: Path) -> None:
    part = Part("two labels", "temperature", ("dataset.labels=2",))
    results = []
    for jobs in (1, 2):
        settings = [*TINY, f"output_dir={tmp_path}/{jobs}"]
        trained = train([part], seeds=2, jobs=jobs, settings=settings, report=lambda line: None)
        results.append([r.test.metrics for runs in trained[part.name].values() for r in runs])
    assert len(results[0]) == 4
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "part",
    [*parts.grouped(), *parts.labels(), *parts.temperature().values()],
    ids=lambda part: part.name,
)
def test_every_part_builds_with_its_last_arm(part: Part) -> None:
    *_, words = part.arms().values()
    assert build_parts(compose(words)).head.num_logits > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["labels", "temperature"])
def test_other_sections_fill_their_marked_parts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compositions, "read_garments", garments)
    few = dict(list(parts.temperature().items())[::4])  # one label, hard and soft
    monkeypatch.setattr(parts, "temperature", lambda: few)
    names = {"labels": ["label-heads", "thresholds"]}.get(
        name, ["temperature-drift", "temperature-metrics"]
    )
    text = "".join(f"<!-- {n}:begin -->\n<!-- {n}:end -->\n" for n in names)
    (tmp_path / "several-labels.md").write_text(text, encoding="utf-8")
    folders = ["--docs", str(tmp_path), "--output-dir", str(tmp_path / "outputs")]
    args = ["--only", name, "--seeds", "1", "--jobs", "1", *folders, *TINY]
    assert cli.main(args) == 0
    filled = tables((tmp_path / "several-labels.md").read_text(encoding="utf-8"))
    heads = [
        len(part.arms()) + 1 for part in (parts.labels() if name == "labels" else few.values())
    ]
    assert [len(rows) - 1 for rows in filled] == (
        [sum(heads)] * 2 if name == "labels" else [1, sum(heads)]
    )


def test_costs_are_taken_in_turns_and_leave_the_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    size = Size(groups=2, classes=3, batch=4, features=5, rounds=3)
    costs = measure_steps(["grouped_cce", "grouped_logit_adjusted_cce"], size)
    assert list(costs) == ["grouped_cce", "grouped_logit_adjusted_cce"]
    assert all(len(cost.loss) == len(cost.step) == 3 for cost in costs.values())
    assert all(seconds > 0 for cost in costs.values() for seconds in (*cost.loss, *cost.step))
    assert torch.get_num_threads() == threads


def test_a_ratio_compares_costs_of_the_same_round() -> None:
    # A machine that slows down tenfold slows both down: medians of each would say 20 / 1.
    assert ratio([2.0, 20.0, 30.0], [1.0, 10.0, 1.0]) == 2.0


@pytest.mark.parametrize("text", ["", "<!-- a:begin -->\n<!-- a:end -->\n" * 2])
def test_a_page_without_exactly_one_such_part_is_refused(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="one part named a"):
        fill(page, {"a": "new"})
    assert page.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--only", "grouppd"], "--only got grouppd: did you mean grouped?"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["training"], "must be KEY=VALUE, got 'training'"),
        (["--only", "grouped", "dataset.tran=3"], "dataset has no key 'tran'; did you mean train?"),
        (["--only", "steps", "--docs", "nowhere"], "page nowhere/several-labels.md not found"),
    ],
)
def test_a_wrong_call_ends_in_one_sentence(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(args) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
