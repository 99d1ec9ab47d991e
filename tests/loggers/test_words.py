import subprocess
import sys

import pytest

from lossheads.analysis.tags import column_names, safe_names
from lossheads.loggers.tensorboard import flat, section, table
from lossheads.metrics import metrics_for
from lossheads.outcomes import AnyOf, EachOneOf, OneOf


def test_safe_names_hold_no_slash_and_differ():
    names = ("T-shirt/top", "T-shirt-top", "a\\b", "", "bag", "bag", "new\nline", " coat ")
    safe = safe_names(names)
    assert safe == ["T-shirt-top", "T-shirt-top 1", "a-b", "3", "bag", "bag 5", "new line", "coat"]
    assert len(set(safe)) == len(names)


def test_a_made_name_does_not_collide_with_a_given_one():
    safe = safe_names(("bag", "bag 2", "bag", "bag 2 2"))
    assert len(set(safe)) == 4


def test_columns_of_several_sets_repeat_the_class_names():
    assert column_names(("a", "b"), 2) == ["a", "b"]
    assert column_names(("a", "b"), 4) == ["group 0 a", "group 0 b", "group 1 a", "group 1 b"]


@pytest.mark.parametrize("outcome", [OneOf(3), AnyOf(3), EachOneOf(2, 3)], ids=str)
def test_sections_follow_from_the_direction(outcome):
    sections = {metric.name: section(metric.higher_is_better) for metric in metrics_for(outcome)}
    down = {metric.name for metric in metrics_for(outcome) if metric.perfect == 0}
    assert {name for name, section in sections.items() if section == "error"} == down
    assert {name for name, section in sections.items() if section == "other"} == {
        "fitted_temperature"
    }


def test_flat_keeps_what_changes_the_outcome():
    config = {"force": True, "model": {"width": [64, 64], "force": 1.5}, "steps": float("inf")}
    assert flat(config) == {"model.width": "[64, 64]", "model.force": 1.5, "steps": "inf"}


def test_a_table_keeps_its_columns_when_a_cell_holds_a_bar():
    assert table(("a", "b"), [("x|y", 1)]).splitlines()[-1] == "| x\\|y | 1 |"


def test_the_null_recorder_costs_no_dashboard():
    code = "import sys, lossheads.loggers.base; print('tensorboard' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
