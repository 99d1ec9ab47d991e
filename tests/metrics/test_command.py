"""lossheads metrics: every metric is listed, with what its own object says."""

import subprocess
import sys

import pytest

from lossheads.cli.metrics import command as metrics_command
from lossheads.metrics.evaluate import ALL_METRICS, ALL_PER_CLASS_METRICS

EVERY = [*ALL_METRICS, *ALL_PER_CLASS_METRICS]


def rows(printed: str) -> dict[str, list[str]]:
    """First cell -> all cells, where a table's cells are joined over the lines they fold to."""
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        if len(cells) == 6 and cells[0]:
            found[cells[0]] = cells
        elif len(cells) == 6 and found:
            last = found[list(found)[-1]]
            last[:] = [f"{a} {b}".strip() for a, b in zip(last, cells, strict=True)]
    return found


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, list[str]]:
    assert metrics_command(list(words)) == 0
    return rows(capsys.readouterr().out)


def test_every_metric_is_listed_with_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    shown = listed(capsys)
    assert list(shown) == [metric.name for metric in EVERY]
    for metric in EVERY:
        _, better, perfect, outcomes, measured, description = shown[metric.name]
        assert better == {True: "higher", False: "lower", None: "–"}[metric.higher_is_better]
        assert float(perfect) == metric.perfect
        assert description.startswith(metric.description)
        assert measured == (
            "every validation step" if metric.at_every_validation else "last step only"
        )
        assert outcomes in ("all", " ".join(kind.__name__ for kind in metric.outcomes))


def test_only_metrics_of_the_posterior_say_that_they_need_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    needy = [name for name, row in listed(capsys).items() if "known posterior" in row[5]]
    assert needy == ["posterior_kl_loss"]


@pytest.mark.parametrize(
    ("kind", "setting"), [("OneOf", "one_of"), ("AnyOf", "any_of"), ("EachOneOf", "each_one_of")]
)
def test_an_outcome_leaves_what_serves_it(
    kind: str, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serving = [
        metric.name for metric in EVERY if kind in {each.__name__ for each in metric.outcomes}
    ]
    assert list(listed(capsys, "--outcome", kind)) == serving
    assert list(listed(capsys, "--outcome", setting)) == serving


def test_one_number_and_one_per_class_stand_apart(capsys: pytest.CaptureFixture[str]) -> None:
    metrics_command(["nll_loss", "recall_score"])
    printed = capsys.readouterr().out
    one, per_class = printed.split("One value per class")
    assert "nll_loss" in one
    assert "recall_score" in per_class
    assert "nll_loss" not in per_class
    metrics_command(["nll_loss"])
    assert "per class" not in capsys.readouterr().out


def test_help_comes_without_torch() -> None:
    code = (
        "import sys, contextlib, lossheads.cli.main\n"
        "with contextlib.suppress(SystemExit): lossheads.cli.main.run(['metrics', '--help'])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
