"""The first screen of a claim: one sentence with its number, and the quantity that decided it."""

import math
import re

import pytest
from markupsafe import escape

from lossheads.analysis.dots import Dot, dot_strip, said_to_coincide, scale_of, track_strip
from lossheads.analysis.drawing import Scale
from lossheads.analysis.forest import point_strip
from lossheads.analysis.html import picture
from lossheads.analysis.palette import mark
from lossheads.analysis.statistics import Interval
from lossheads.claims.render.decided import decided
from lossheads.claims.render.html import claims_page
from lossheads.claims.render.section import STRIPS
from lossheads.claims.render.words import finding, rule_in_words
from lossheads.claims.verdict_file import load_verdict, read_verdicts
from lossheads.errors import UserError

from .pages import ARM, CHECK, REFERENCE, VERDICTS, folder_with, section, shown

DECIDED = [data for data in VERDICTS if data["hypotheses"]]


def interval(mean, half=0.01, n=5):
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "level": 0.95,
        "deviation": 0.1,
        "n": n,
    }


def asked(says, conclusion, arms=("bce", "cce"), metric="accuracy_score", mean=0.1, **other):
    at = interval(mean)
    return {
        "conclusion": conclusion,
        "says": says,
        "condition": f"{metric}: {' - '.join(arms)} > 0",
        "relation": "greater",
        "arms": list(arms),
        "metrics": [metric] * len(arms),
        "value": 0.0,
        "margin": 0.0,
        "numbers": [],
        "interval": at,
        "tested": at,
        "p": 0.01,
        "sign_flip_test": {"conclusion": conclusion, "p": 0.01, "smallest_p": 0.01},
        "more_seeds": None,
    } | other


def cell(arm, metric, mean, baseline):
    return {"arm": arm, "metric": metric, "interval": interval(mean), "baseline": baseline}


def whole(tmp_path, data):
    """A verdict as it is read back."""
    folder_with(tmp_path, data)
    return load_verdict(tmp_path / "some-claim" / "verdict.json")


PUZZLE = {
    "verdict": "metric_artefact",
    "arms": {"cce": ARM, "bce": ARM},
    "hypotheses": {
        "printed": asked("as printed, BCE is far ahead", "holds", metric="keras_2_3_accuracy"),
        "better": asked("on one metric it is ahead", "fails", mean=-0.0067),
    },
    "rule": {"metric_artefact": ["printed", "not better"], "reproduced": ["printed", "better"]},
    "table": [
        cell("cce", "keras_2_3_accuracy", 0.86, 0.1),
        cell("bce", "keras_2_3_accuracy", 0.97, 0.9),
        cell("cce", "accuracy_score", 0.86, 0.1),
        cell("bce", "accuracy_score", 0.85, 0.1),
    ],
    "metrics": {
        name: {"higher_is_better": True, "perfect": 1.0, "low": 0.0, "high": 1.0}
        for name in ("keras_2_3_accuracy", "accuracy_score")
    },
}


def test_the_sentence_says_the_verdict_in_the_words_of_the_hypotheses(tmp_path):
    sentence, conditions = finding(whole(tmp_path, PUZZLE))
    assert "as printed, BCE is far ahead (0.1000 [0.0900, 0.1100])" in sentence
    assert "but “on one metric it is ahead” fails (-0.0067 [-0.0167, 0.0033])" in sentence
    assert "n = 5 seeds" in conditions
    assert "95 %" in conditions


@pytest.mark.parametrize("data", VERDICTS, ids=lambda data: data["slug"])
def test_no_sentence_names_a_hypothesis_by_its_identifier(data):
    said = " ".join([finding(data)[0], *(t for _, n in rule_in_words(data) for t, _ in n)])
    named = {n.split("/")[0] for n in (*data["hypotheses"], *data["checks"]) if "_" in n}
    assert said
    assert not [name for name in named if re.search(rf"\b{re.escape(name)}\b", said)]


@pytest.mark.parametrize("data", DECIDED, ids=lambda data: data["slug"])
def test_the_first_picture_shows_the_quantity_that_decided(data):
    drawn = decided(data)
    names = {item.removeprefix("not ") for items in data["rule"].values() for item in items}
    metrics = {m for n in names & set(data["hypotheses"]) for m in data["hypotheses"][n]["metrics"]}
    assert drawn.panels or drawn.checks
    assert all(set(panel.metric.split(" and ")) <= metrics for panel in drawn.panels)


@pytest.mark.parametrize("metric", ["fitted_temperature", "macro_roc_auc_score"])
def test_temperature_and_ranking_are_drawn_where_they_decide(metric, tmp_path):
    data = {
        "verdict": "refuted",
        "arms": {"cce": ARM, "bce": ARM},
        "hypotheses": {
            "more_recall": asked("it finds more", "holds", metric="macro_recall_score"),
            "better": asked("it is better", "fails", metric=metric, mean=-0.1),
        },
        "rule": {"reproduced": ["better"], "refuted": ["not better"]},
        "table": [
            cell(arm, name, value, 0.1)
            for name in ("macro_recall_score", metric)
            for arm, value in (("cce", 0.8), ("bce", 0.7))
        ],
    }
    assert [panel.metric for panel in decided(whole(tmp_path, data)).panels] == [metric]
    data |= {"verdict": "mixed", "rule": {"mixed": ["more_recall", "not better"]}}
    both = decided(whole(tmp_path / "mixed", data)).panels
    assert [panel.metric for panel in both] == ["macro_recall_score", metric]


def test_printed_scores_stand_beside_their_skill_where_baselines_differ(tmp_path):
    skill = decided(whole(tmp_path, PUZZLE)).skill
    (panel,) = skill.panels
    assert [(row.name, row.number) for row in panel.printed] == [("cce", "0.860"), ("bce", "0.970")]
    # (0.86 - 0.1) / 0.9 = 0.844 and (0.97 - 0.9) / 0.1 = 0.7
    assert [row.number for row in panel.skill] == ["0.844", "0.700"]
    assert "0.970" in skill.title
    assert "0.70" in skill.title


def test_a_score_whose_baseline_is_perfect_has_no_skill(tmp_path):
    table = [cell(arm, "keras_2_3_accuracy", 0.5, b) for arm, b in (("cce", 0.1), ("bce", 1.0))]
    skill = decided(whole(tmp_path, PUZZLE | {"table": table})).skill
    assert [row.name for panel in skill.panels for row in panel.skill] == ["cce"]
    assert decided(whole(tmp_path / "none", PUZZLE | {"table": table[1:]})).skill is None


@pytest.mark.parametrize(
    ("higher", "perfect", "has_skill"),
    [(True, 1.0, True), (False, 0.0, False), (None, 1.0, False), (True, None, False)],
)
def test_skill_is_of_metrics_whose_record_says_that_higher_is_better_up_to_a_perfect_value(
    higher, perfect, has_skill, tmp_path
):
    metrics = {"keras_2_3_accuracy": {"higher_is_better": higher, "perfect": perfect}}
    assert bool(decided(whole(tmp_path, PUZZLE | {"metrics": metrics})).skill) == has_skill


def test_a_perfect_value_other_than_one_scales_the_skill(tmp_path):
    metrics = {"keras_2_3_accuracy": {"higher_is_better": True, "perfect": 2.0}}
    skill = decided(whole(tmp_path, PUZZLE | {"metrics": metrics})).skill
    # (0.86 - 0.1) / 1.9 = 0.400 and (0.97 - 0.9) / 1.1 = 0.064
    assert [row.number for row in skill.panels[0].skill] == ["0.400", "0.064"]
    assert "a perfect 2." in skill.says


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"higher_is_better": True, "perfect": 1, "low": 0, "high": 1}, "from 0 to 1, higher is"),
        ({"higher_is_better": False, "perfect": 0, "low": 0}, "lower is better"),
        ({"higher_is_better": None, "perfect": None}, "mean of n = 5 seeds"),
    ],
)
def test_pictures_say_range_and_direction_as_the_record_has_them(facts, words, tmp_path):
    # A metric whose name would say the opposite.
    data = {
        "verdict": "reproduced",
        "arms": {"cce": ARM, "bce": ARM},
        "hypotheses": {"better": asked("ahead", "holds", metric="odd_loss_score")},
        "rule": {"reproduced": ["better"]},
        "table": [cell(arm, "odd_loss_score", 0.5, 0.1) for arm in ("cce", "bce")],
        "metrics": {"odd_loss_score": facts},
    }
    (panel,) = decided(whole(tmp_path, data)).panels
    assert panel.conditions.startswith(words)


def test_a_verdict_without_facts_on_its_metrics_makes_a_page_without_skill(tmp_path):
    data = {name: value for name, value in PUZZLE.items() if name != "metrics"}
    assert decided(whole(tmp_path, data)).skill is None
    said = section(shown(tmp_path), "some-claim")
    assert "metric artefact" in said
    assert "higher is better" not in said


def test_one_hypothesis_that_comes_out_differently_in_two_cases_is_said_once(tmp_path):
    cases = {"easy": "holds", "hard": "fails"}
    data = {
        "verdict": "mixed",
        "arms": {f"{case}/{arm}": ARM for case in cases for arm in ("cce", "bce")},
        "hypotheses": {
            f"better/{case}": asked("it is ahead", word, (f"{case}/bce", f"{case}/cce"))
            for case, word in cases.items()
        },
        "rule": {"mixed": ["better/easy", "not better/hard"]},
    }
    sentence, _ = finding(whole(tmp_path, data))
    assert sentence == (
        "In part: it is ahead (easy: 0.1000 [0.0900, 0.1100]), but in hard this fails "
        "(0.1000 [0.0900, 0.1100])."
    )


def test_two_hypotheses_that_fail_share_a_verb(tmp_path):
    found = {name: asked(f"{name} is ahead", "fails") for name in ("one", "two")}
    data = {"verdict": "refuted", "hypotheses": found, "rule": {"reproduced": list(found)}}
    sentence, _ = finding(whole(tmp_path, data | {"arms": {"cce": ARM, "bce": ARM}}))
    numbers = "(0.1000 [0.0900, 0.1100])"
    assert sentence == f"Refuted: “one is ahead” {numbers} and “two is ahead” {numbers} fail."


@pytest.mark.parametrize(
    ("relation", "words"), [("equals", "not 0.5"), ("less", "not below 0.5"), ("greater", "above")]
)
def test_a_computed_number_is_held_against_what_was_asked_of_it(relation, words, tmp_path):
    check = CHECK | {"relation": relation, "stated": 0.5, "computed": 10.0, "says": "the sum"}
    sentence, _ = finding(whole(tmp_path, {"checks": {"c": check}}))
    assert sentence.startswith("Refuted: “the sum” is 10, ")
    assert words in sentence


@pytest.mark.parametrize(
    ("relation", "computed", "text"),
    [
        ("less", 1 - 2**-40, "1 - 9.1e-13, stated < 1"),
        ("greater", 1 + 2**-40, "1 + 9.1e-13, stated > 1"),
        ("less", 0.5, "0.5, stated < 1"),
        ("equals", 1 - 2**-40, "1, stated = 1 ± 0.1"),
    ],
)
def test_a_number_that_has_not_reached_its_border_does_not_read_as_if(
    relation, computed, text, tmp_path
):
    check = CHECK | {"relation": relation, "stated": 1.0, "computed": computed, "tolerance": 0.1}
    (row,) = decided(whole(tmp_path, {"checks": {"c": check}})).checks
    assert row.numbers == text


def test_digits_that_somebody_printed_are_no_border(tmp_path):
    check = CHECK | {"relation": "less", "stated": "1", "computed": 1 - 2**-40}
    (row,) = decided(whole(tmp_path, {"checks": {"c": check}})).checks
    assert row.numbers == "1, stated 1"


@pytest.mark.parametrize(
    ("computed", "stated", "words"),
    [(0.86474, "0.8647", "is 0.86474, not 0.8647"), (None, 0.8647, "is undefined, not 0.8647")],
)
def test_a_computed_number_never_reads_as_what_it_is_not(computed, stated, words, tmp_path):
    wrong = CHECK | {"relation": "equals", "stated": stated, "computed": computed, "says": "x"}
    right = wrong | {"conclusion": "holds"}
    data = {"verdict": "refuted", "rule": {"reproduced": ["a", "b", "c"]}}
    data |= {"checks": {"a": right, "b": wrong, "c": right}}
    sentence, _ = finding(whole(tmp_path, data))
    assert f"2 of 3 computed numbers are as stated; “x” {words}" in sentence


def test_a_lone_arm_is_shown_beside_the_others_with_the_region_of_its_hypothesis(tmp_path):
    one = asked("its scores are calibrated", "fails", ("focal",), "fitted_temperature", 0.42)
    data = {
        "arms": {"bce": ARM, "focal": ARM},
        "verdict": "refuted",
        "hypotheses": {"calibrated": one},
        "rule": {"reproduced": ["calibrated"]},
        "table": [
            cell(arm, "fitted_temperature", t, None) for arm, t in (("bce", 1), ("focal", 0.4))
        ],
    }
    (panel,) = decided(whole(tmp_path, data)).panels
    assert [row.name for row in panel.arms] == ["bce", "focal"]
    assert "1 is calibrated" in panel.conditions
    assert 'class="region"' in panel.strips[0].picture


def test_an_arm_has_one_mark_in_every_case_and_picture(tmp_path):
    found = {
        f"better/{case}": asked("ahead", "holds", (f"{case}/bce", f"{case}/cce")) for case in "xy"
    }
    arms = [f"{case}/{arm}" for case in "xy" for arm in ("cce", "bce")]
    data = {
        "verdict": "reproduced",
        "arms": dict.fromkeys(arms, ARM),
        "hypotheses": found,
        "rule": {"reproduced": list(found)},
        "table": [cell(arm, "accuracy_score", 0.8, 0.1) for arm in arms],
    }
    panels = decided(whole(tmp_path, data)).panels
    assert [panel.case for panel in panels] == ["x", "y"]
    for panel in panels:
        assert [row.name for row in panel.arms] == ["cce", "bce"]
        assert [row.icon for row in panel.arms] == [row.icon for row in panels[0].arms]
        assert panel.arms[0].icon != panel.arms[1].icon
        assert panel.same == "cce and bce coincide"


def test_equal_numbers_are_said_to_coincide():
    assert said_to_coincide({"a": 0.5, "b": 0.50001, "c": 0.6}) == "a and b coincide"
    assert not said_to_coincide({"a": float("nan"), "b": float("nan")})


def test_a_far_baseline_is_an_arrow_and_a_near_one_a_tick():
    at = Interval(0.86, 0.85, 0.87, 0.95, 0.1, 5)
    far, near = (Dot(at, baseline, mark(0), "words") for baseline in (0.1, 0.84))
    assert 'class="off"' in dot_strip(far, scale_of([far]))
    assert 'class="baseline"' in dot_strip(near, scale_of([near]))


def test_a_track_goes_from_the_baseline_to_a_perfect_score():
    at = Interval(0.6, 0.55, 0.65, 0.95, 0.1, 5)
    svg = track_strip(Dot(at, 0.2, mark(0), "words"), Scale(0.0, 1.0))
    assert '<rect class="track" x="20.00%" y="8.0" width="80.00%"' in svg
    assert '<rect class="filled" x="20.00%" y="8.0" width="40.00%"' in svg


def test_a_computed_number_is_drawn_against_the_stated_one():
    svg = point_strip(0.5, 0.2, 0.4, Scale(0.0, 1.0), "words")
    assert 'cx="50.00%"' in svg
    assert '<rect class="region" x="20.00%"' in svg
    assert "undefined" in point_strip(float("nan"), 0.2, 0.4, Scale(0.0, 1.0), "words")


def test_a_claim_reads_from_its_finding_to_its_numbers_and_the_glossary_is_last():
    text = claims_page(read_verdicts(REFERENCE))
    one = text[text.index('<section class="claim" id="claim-bce-97-vs-cce-90"') :]
    order = [
        'class="finding"',
        'class="skill"',
        ">Why<",
        ">The evidence<",
        "<details class=",
        "<img",
    ]
    places = [one.index(part) for part in order]
    assert places == sorted(places)
    assert text.index('id="how-to-read"') > text.rindex('class="claim"')


def test_pictures_keep_their_room_free():
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\x04\xc0" + b"\0\0\x02\x80"
    known = picture(header, "words")
    assert (known.width, known.height) == (1216, 640)
    torn = picture(header[:20], "words")
    assert (torn.width, torn.height) == (0, 0)


def test_ten_thousand_classes_are_counted_where_they_are_not_drawn(tmp_path):
    names = [f"recall/class {k}" for k in range(10_000)]
    found = {f"better_{k}": asked("", "holds", metric=name) for k, name in enumerate(names[:500])}
    data = {
        "verdict": "reproduced",
        "arms": {"cce": ARM, "bce": ARM},
        "hypotheses": found,
        "rule": {"reproduced": list(found)},
        "table": [cell(arm, name, 0.5, 0.1) for name in names for arm in ("cce", "bce")],
    }
    page = shown(folder_with(tmp_path, data))
    said = section(page, "some-claim")
    assert f"{500 - STRIPS} more hypotheses are in the table below" in said
    assert "494 more decided as well" in said
    assert "9,000 more rows are not shown" in said
    assert len(page.all("svg")) < 1000


@pytest.mark.parametrize("mean", [None, 1e308, -1e308, 1e-320])
def test_numbers_at_the_ends_of_floating_point_make_no_traceback(mean, tmp_path):
    at = interval(0.5) | {"mean": mean, "low": None, "high": 1e308}
    data = PUZZLE | {
        "table": [
            cell(arm, "keras_2_3_accuracy", 0.5, 0.1) | {"interval": at} for arm in ("cce", "bce")
        ],
        "hypotheses": {
            name: one | {"interval": at, "tested": at} for name, one in PUZZLE["hypotheses"].items()
        },
    }
    said = section(shown(folder_with(tmp_path, data)), "some-claim")
    assert "metric artefact" in said or "verdict.json is damaged" in said


@pytest.mark.parametrize("perfect", [None, math.inf, -math.inf, 1e308, -1e308, 0.9011, 0.0])
def test_a_stranger_s_perfect_value_makes_no_traceback(perfect, tmp_path):
    facts = {"higher_is_better": True, "perfect": perfect, "low": -math.inf, "high": 1e308}
    data = PUZZLE | {"metrics": dict.fromkeys(PUZZLE["metrics"], facts)}
    said = section(shown(folder_with(tmp_path, data)), "some-claim")
    assert "metric artefact" in said or "verdict.json is damaged" in said
    assert "nan" not in said.split()


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"perfect": 1.0}, "higher_is_better"),
        ({"higher_is_better": "purple", "perfect": 1.0}, "higher_is_better"),
        ({"higher_is_better": True, "perfect": "high"}, "perfect"),
        ({"higher_is_better": True, "perfect": 1.0, "colour": "red"}, "colour"),
    ],
)
def test_facts_on_a_metric_that_are_none_are_refused_by_key(facts, named, tmp_path):
    data = PUZZLE | {"metrics": {"accuracy_score": facts}}
    with pytest.raises(UserError, match=rf"metrics\.accuracy_score\.{named}"):
        shown(folder_with(tmp_path, data))


def test_names_in_pictures_are_escaped(tmp_path):
    evil = '"><img src=x onerror=alert(1)>'
    arms = {f"a{evil}": ARM, f"b{evil}": ARM}
    data = {
        "verdict": "reproduced",
        "arms": arms,
        "hypotheses": {"h": asked(f"says {evil}", "holds", tuple(arms), f"m{evil}")},
        "rule": {"reproduced": ["h"]},
        "table": [cell(arm, f"m{evil}", 0.5, 0.1) for arm in arms],
    }
    folder_with(tmp_path, data)
    text = claims_page(read_verdicts(tmp_path))
    assert "<img" not in text
    assert str(escape(evil)) in text
