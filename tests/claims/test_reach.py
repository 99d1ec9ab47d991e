"""Hypotheses that no run could make come true, or false, are refused before anything is trained."""

import math

import pytest

from lossheads.claims.runner import run_claim
from lossheads.errors import UserError
from lossheads.records import MetricInfo

from .making import Engine, claim, compose, result

SHARE = MetricInfo(True, 1.0, 0.0, 1.0)
LOSS = MetricInfo(False, 0.0, 0.0, math.nan)
ASKED = "arms: [a, b], relation: greater, margin: 0.01"
FOUR = "arms:\n  c: {head: c}\n  d: {head: d}\n"

CANNOT = [
    ("arms: [a, b], relation: greater, margin: 1", SHARE, r"margin: got 1,.* -1 to 1"),
    ("arms: [a, b], relation: less, margin: 1", SHARE, r"margin: got 1,.* -1 to 1"),
    ("arms: [a, b], relation: less, value: 1, margin: 2.5", SHARE, r"margin: got 2\.5"),
    ("arms: [a], relation: equals, value: 1.5, tolerance: 0.1", SHARE, r"value: got 1\.5,.* 0 to"),
    ("arms: [a], relation: greater, value: 1, margin: 0", SHARE, r"value: got 1,"),
    ("arms: [a], relation: less, value: 1.5, margin: 0", SHARE, r"value: got 1\.5"),
    ("arms: [a], relation: less, value: 0, margin: 0", LOSS, r"value: got 0,"),
    ("arms: [a, b, c, d], relation: greater, margin: 2", SHARE, r"margin: got 2,.* -2 to 2"),
]
ALWAYS = [
    (
        "arms: [a, b], relation: greater, value: -1.2, margin: 0.1",
        SHARE,
        r"value: got -1\.2,.*always",
    ),
    ("arms: [a], relation: greater, value: -1, margin: 0", LOSS, r"value: got -1,.*always"),
    ("arms: [a], relation: greater, value: -5, margin: 1", LOSS, r"value: got -5,.*always"),
    ("arms: [a, b], relation: equivalent, margin: 1", SHARE, r"margin: got 1,.*always"),
    ("arms: [a], relation: equals, value: 0.9, tolerance: 1", SHARE, r"tolerance: got 1,.*always"),
]
POSSIBLE = [
    ("arms: [a, b], relation: greater, margin: 0.99", SHARE),
    ("arms: [a], relation: greater, value: 0, margin: 0", SHARE),
    ("arms: [a], relation: equals, value: 1, tolerance: 0", SHARE),
    ("arms: [a, b, c, d], relation: greater, margin: 1", SHARE),
    ("arms: [a, b], relation: greater, margin: 1", LOSS),
    ("arms: [a], relation: less, value: 1.5, margin: 0", LOSS),
    # The value lies outside, the region reaches inside.
    ("arms: [a], relation: equals, value: 1.004, tolerance: 0.01", SHARE),
    ("arms: [a, b], relation: greater, value: -1.2, margin: 0.5", SHARE),
    ("arms: [a, b], relation: greater, margin: 1", MetricInfo(True, 1.0)),
]


def asked(folder, hypothesis):
    return claim(folder, (ASKED, hypothesis), ("arms:\n", FOUR))


def middling(config):
    return result(config, {"accuracy_score": 0.5})


@pytest.mark.parametrize(("hypothesis", "info", "message"), [*CANNOT, *ALWAYS])
def test_what_the_range_of_the_metric_decides_is_refused_by_key(
    tmp_path, hypothesis, info, message
):
    engine = Engine(middling)
    with pytest.raises(UserError, match=r"line 15, hypotheses\.better\." + message) as refused:
        run_claim(asked(tmp_path, hypothesis), compose, engine, allow_metric=lambda *_: info)
    assert "accuracy_score" in str(refused.value)
    assert engine.calls == []


@pytest.mark.parametrize(("hypothesis", "info"), POSSIBLE)
def test_what_runs_may_decide_either_way_is_asked(tmp_path, hypothesis, info):
    engine = Engine(middling)
    run_claim(asked(tmp_path, hypothesis), compose, engine, allow_metric=lambda *_: info)
    assert len(engine.calls) == 1


def test_metrics_of_two_ranges_add_theirs_up(tmp_path):
    """A share of one arm less a loss of another is at most 1, and without a lower end."""
    infos = {"accuracy_score": SHARE, "nll_loss": LOSS}

    def ask(margin, relation):
        text = f"metric: [accuracy_score, nll_loss], arms: [a, b], relation: {relation}, {margin}"
        changed = claim(tmp_path, (f"metric: accuracy_score, {ASKED}", text))
        run_claim(changed, compose, Engine(both), allow_metric=lambda _, name: infos[name])

    def both(config):
        return result(config, {"accuracy_score": 0.5, "nll_loss": 0.7})

    ask("margin: 5", "less")
    with pytest.raises(UserError, match=r"margin: got 1,.* at most 1"):
        ask("margin: 1", "greater")
