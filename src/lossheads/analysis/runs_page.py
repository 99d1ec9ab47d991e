"""One page over the finished runs of a folder, no claim needed: made from run folders alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lossheads.analysis.aggregate import metric_info
from lossheads.analysis.arms_table import SortTable, arms_table, notable_runs, six
from lossheads.analysis.classes_picture import ClassesPicture, classes_picture
from lossheads.analysis.curves import Curves, curves
from lossheads.analysis.disagreements import Disagreements, disagreements
from lossheads.analysis.format import count_of, environment_text
from lossheads.analysis.html import render, write_html
from lossheads.analysis.kept import KeptTest, NoneReadable
from lossheads.analysis.page_tables import PageTable, code_cell, number_cell, text_cell
from lossheads.analysis.pairs_picture import (
    PairsPicture,
    pairs_picture,
    refuse_unknown_reference,
)
from lossheads.analysis.settings_picture import SettingsPicture, settings_picture
from lossheads.analysis.slim import slim
from lossheads.analysis.sweep import Arm, Asked, Condition, Sweep, sweep_of
from lossheads.analysis.test_sets import SharedTestSet, by_test_set
from lossheads.analysis.training_curves import TrainingCurves, training_curves
from lossheads.errors import UserError
from lossheads.records import Result, read_result, read_results

_CONDITIONS = 4  # drawn, of each test set
_TEST_SETS = 12  # drawn
_DETAILED = 6  # arms whose classes, curves and examples are drawn
_SEEDS = 20  # of each that are read again for it

Full = Callable[[Result], Result | None]
Kept = Callable[[Sequence[Result]], KeptTest]


@dataclass(frozen=True)
class Pictures:
    """The pictures of one condition; a sentence stands where one cannot be drawn."""

    title: str
    anchor: str
    settings: SettingsPicture
    pairs: PairsPicture | None
    classes: ClassesPicture | str
    curves: Curves | None
    training: TrainingCurves | None
    disagreements: Disagreements | str
    notes: tuple[str, ...]
    is_kept: bool


@dataclass(frozen=True)
class Part:
    """The runs on one test set."""

    title: str
    anchor: str
    says: str
    pictures: tuple[Pictures, ...]
    left_out: str
    scores: SortTable
    more_scores: tuple[SortTable, ...]
    runs: PageTable
    environments: tuple[str, ...]


def read_runs(outputs: Path) -> list[Result]:
    """The runs below `outputs`, without what no table shows.

    Raises:
        UserError: If no run is finished.
    """
    # The folder names a run: what its file calls itself could be a path to somewhere else.
    read = read_results(outputs / "runs")
    results = list(slim(replace(run, name=folder.name) for folder, run in read))
    if not any(result.status == "finished" for result in results):
        raise UserError(
            f"report finds no finished run in {outputs}/runs: train one with lossheads train, or "
            f"name another folder"
        )
    return results


def write_runs_page(
    outputs: Path, page: Path, asked: Asked | None = None, kept: Kept | None = None
) -> Path:
    """Write the page over `outputs`/runs.

    Args:
        kept: Reads the predictions that runs kept.

    Raises:
        UserError: If no run is finished, or the page cannot be written.
    """
    results = read_runs(outputs)

    def full(run: Result) -> Result | None:
        try:
            return read_result(outputs / "runs" / run.name)
        except UserError:  # read a moment ago: somebody is at work there
            return None

    return write_html(page, runs_page(results, asked, full, kept))


def runs_page(
    results: Sequence[Result],
    asked: Asked | None = None,
    full: Full = lambda run: run,
    kept: Kept | None = None,
) -> str:
    """The page as text; data without a finished run are left out."""
    asked = asked or Asked()
    finished = [data for data in by_test_set(results) if data.finished]
    sweeps = sweeps_of(finished, asked)
    refuse_unknown_reference([sweep for _, sweep in sweeps], asked.reference)
    parts = [
        _part(data, sweep, f"data-{index}", asked, full, kept, is_drawn=index <= _TEST_SETS)
        for index, (data, sweep) in enumerate(sweeps, 1)
    ]
    return render(
        "runs.html",
        parts_of=parts,
        title=_title(sweeps),
        runs=len(results),
        scripts=("page.js", "runs.js"),
    )


def sweeps_of(tests: Sequence[SharedTestSet], asked: Asked) -> list[tuple[SharedTestSet, Sweep]]:
    """The arms of every test set; those that lack the asked metric are left out.

    Raises:
        UserError: If none has it.
    """
    known = [data for data in tests if not asked.metric or asked.metric in data.metrics]
    measured = [data for data in known if data.metrics]
    if not measured and asked.metric:
        sweep_of(tests[0].runs, [name for data in tests for name in data.metrics], asked)
    if not measured:
        raise UserError("report finds no run with a metric: train with lossheads train")
    return [(data, sweep_of(data.runs, data.metrics, asked)) for data in measured]


def _title(sweeps: Sequence[tuple[SharedTestSet, Sweep]]) -> str:
    names = [data.title for data, _ in sweeps]
    shown = names if len(names) <= 3 else [*names[:3], f"{len(names) - 3} more"]
    return f"Heads on {', '.join(shown)}"


def _part(
    data: SharedTestSet,
    sweep: Sweep,
    anchor: str,
    asked: Asked,
    full: Full,
    kept: Kept | None,
    is_drawn: bool,
) -> Part:
    drawn = _drawn(sweep)[: _CONDITIONS if is_drawn else 0]
    first, *rest = _sixes(six(sweep, data.metrics), data.metrics)
    runs, left = notable_runs(data.runs)
    left_out = len(sweep.conditions) - len(drawn)
    ended = len(data.runs) - len(data.finished)
    details = [run for one in drawn[:1] for run in (one.best or _chosen(one)[0]).runs[:1]]
    fulls = [found for run in details if (found := full(run)) is not None]
    return Part(
        title=data.title,
        anchor=anchor,
        says=(
            f"{count_of(len(sweep.arms), 'arm')}, {count_of(len(data.runs), 'run')}"
            + (f", {ended} of them without a result on test" if ended else "")
            + f"; test split, {data.examples}. Compared on {sweep.metric}."
        ),
        pictures=tuple(
            _pictures(data, sweep, condition, f"{anchor}-{index}", asked, full, kept)
            for index, condition in enumerate(drawn, 1)
        ),
        left_out=(
            f"Drawn: {count_of(len(drawn), 'condition')} of {len(sweep.conditions)}, best first; "
            f"the table has all."
            if left_out
            else ""
        ),
        scores=arms_table(sweep, first, asked.sort),
        more_scores=tuple(arms_table(sweep, some, asked.sort) for some in rest),
        runs=_runs(runs, left, {run.key: arm.name for arm in sweep.arms for run in arm.runs}),
        environments=tuple(
            f"{run.name} was made with {text}" for run in fulls if (text := _environment(run))
        ),
    )


def _sixes(first: Sequence[str], metrics: Sequence[str]) -> list[list[str]]:
    rest = [name for name in metrics if name not in first]
    step = len(first)
    return [list(first), *(rest[at : at + step] for at in range(0, len(rest), step))]


def _drawn(sweep: Sweep) -> list[Condition]:
    """Conditions with a value; the one with the best arm first."""
    known = [c for c in sweep.conditions if any(arm.value.n for arm in c.arms)]
    sign = -1 if sweep.higher_is_better in (True, None) else 1
    return sorted(known, key=lambda c: min(sign * arm.value.mean for arm in c.arms if arm.value.n))


def _chosen(condition: Condition) -> list[Arm]:
    """Each series at its best; where there is one series, its settings. In the sweep's order."""
    optima = list(condition.optima.values())
    if len(optima) < 2:
        optima = [arm for arm in condition.arms if arm.value.n]
    kept = optima[:_DETAILED]
    return [arm for arm in condition.arms if arm in kept]


def _pictures(
    data: SharedTestSet,
    sweep: Sweep,
    condition: Condition,
    anchor: str,
    asked: Asked,
    full: Full,
    kept: Kept | None,
) -> Pictures:
    arms = _chosen(condition)
    detailed = []
    for arm in arms:
        runs = [run for run in map(full, _finished(arm)[:_SEEDS]) if run is not None]
        detailed.append((arm, runs))
    test, notes, is_kept = _kept(arms, kept)
    names = data.finished[0].class_names
    info = metric_info(data.finished, sweep.metric)
    examples: Disagreements | str = ""
    if test is not None:
        examples = disagreements(arms, test, names)
    return Pictures(
        title=condition.title,
        anchor=anchor,
        settings=settings_picture(sweep, condition),
        pairs=pairs_picture(sweep, condition, asked, in_unit=info.range == (0.0, 1.0)),
        classes=classes_picture(detailed),
        curves=None if test is None else curves(arms, test),
        training=training_curves(detailed, six(sweep, data.metrics)),
        disagreements=examples,
        notes=notes,
        is_kept=is_kept,
    )


def _finished(arm: Arm) -> list[Result]:
    return [run for run in arm.runs if run.status == "finished"]


def _kept(arms: Sequence[Arm], kept: Kept | None) -> tuple[KeptTest | None, tuple[str, ...], bool]:
    """The kept predictions, or why there are none; and whether some were kept, read or not."""
    if kept is None:
        return None, (), False
    try:
        test = kept([run for arm in arms for run in _finished(arm)[:_SEEDS]])
    except UserError as error:
        said = f"{str(error)[:1].upper()}{str(error)[1:]}."
        return None, (said,), isinstance(error, NoneReadable)
    return test, test.notes, True


def _runs(runs: Sequence[Result], left: int, arms: Mapping[str, str]) -> PageTable:
    rows = tuple(
        (
            code_cell(run.name),
            text_cell(arms.get(run.key, "")),
            text_cell(run.status),
            number_cell(str(run.config["seed"])),
            number_cell(f"{run.history[-1].epoch:g}" if run.history else "–"),
            text_cell("; ".join(run.notes)),
        )
        for run in runs
    )
    more = f" {left} further runs are left out: lossheads report --csv has all." if left else ""
    return PageTable(
        f"Every run is a folder of this name.{more}",
        ("run", "arm", "status", "seed", "epochs", "notes"),
        rows,
    )


def _environment(run: Result) -> str:
    # The start time differs between runs of one environment.
    return environment_text({k: v for k, v in run.environment.items() if k != "started"})
