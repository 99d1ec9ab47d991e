"""Two models on the same examples: exact here, an interval for new ones, no word more."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import lossheads as lh
from evaluation.making import C, N, classes, npz, softmax, tags
from lossheads.analysis.format import p_text
from lossheads.evaluation.paired import difference, sentence
from lossheads.evaluation.sampling import Sampler, forms_of, rows_from
from lossheads.evaluation.tables import sections_of_comparison
from lossheads.metrics.evaluate import metrics_for
from lossheads.predictions import predict

LABELS = classes()[1]


def model(noise: float, seed: int, labels: Any = LABELS) -> Any:
    """Logits that know the labels, with noise of their own."""
    random = np.random.default_rng(seed)
    return 2 * np.eye(C)[labels] + noise * random.normal(size=(len(labels), C))


GOOD, BAD = model(1.0, 1), model(1.8, 2)
RIGHT_GOOD, RIGHT_BAD = (z.argmax(1) == LABELS for z in (GOOD, BAD))


def test_differences_are_those_of_two_evaluations_and_mcnemars_is_scipys() -> None:
    found = lh.compare((BAD, LABELS), (GOOD, LABELS), head="softmax_cce")
    (pair,) = found.pairs
    for side, z in (("first", BAD), ("second", GOOD)):
        alone = lh.evaluate(z, LABELS, head="softmax_cce")
        for one in pair.differences:
            expected = alone[one.name].value
            assert getattr(one, side) == pytest.approx(expected, nan_ok=True)
    only_good, only_bad = (RIGHT_GOOD & ~RIGHT_BAD), (RIGHT_BAD & ~RIGHT_GOOD)
    assert pair.only_second == tuple(np.flatnonzero(only_good))
    assert pair.only_first == tuple(np.flatnonzero(only_bad))
    n = int(only_good.sum() + only_bad.sum())
    assert pair.mcnemar_p == pytest.approx(stats.binomtest(int(only_bad.sum()), n).pvalue)
    assert found.conclusion == "better"
    assert sum(row["only_second_right"] for row in pair.classes) == only_good.sum()


def test_a_paired_interval_is_that_of_the_mean_difference() -> None:
    """Nll is a mean: the paired t interval of its differences, by scipy."""
    found = lh.compare((BAD, LABELS), (GOOD, LABELS), head="softmax_cce")["nll_loss"]
    nll = [-np.log(softmax(z))[np.arange(N), LABELS] for z in (BAD, GOOD)]
    expected = stats.ttest_rel(nll[1], nll[0]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-3)
    assert found.high < 0
    assert found.higher_is_better is False


def test_a_loss_that_falls_is_better() -> None:
    found = lh.compare((BAD, LABELS), (GOOD, LABELS), head="softmax_cce", metric="nll_loss")
    assert found.conclusion == "better"
    assert (
        lh.compare((GOOD, LABELS), (BAD, LABELS), head="softmax_cce", metric="nll_loss").conclusion
        == "worse"
    )


@pytest.mark.parametrize(
    ("factor", "margin", "conclusion", "words"),
    [
        (1.5, 0.0, "higher", "B is higher in fitted_temperature than A:"),
        (0.7, 0.0, "lower", "B is lower in fitted_temperature than A:"),
        (1.5, 0.2, "higher", "B is higher in fitted_temperature than A by more than 0.2:"),
        (0.7, 0.5, "undecided", "B is lower in fitted_temperature than A, undecided whether by"),
        (0.7, 0.8, "within", "B is within 0.8 of A:"),
    ],
)
def test_a_metric_without_a_better_side_is_only_said_to_differ(
    factor: float, margin: float, conclusion: str, words: str
) -> None:
    found = lh.compare(
        (BAD, LABELS),
        (factor * BAD, LABELS),
        head="softmax_cce",
        metric="fitted_temperature",
        margin=margin,
    )
    assert found.conclusion == conclusion, found["fitted_temperature"]
    assert found["fitted_temperature"].second == pytest.approx(1.8314 * factor, abs=1e-3)
    assert words in str(found)
    assert not re.search("better|worse", str(found))


def test_a_margin_of_a_loss_may_be_large() -> None:
    """Only a margin that no difference could exceed asks nothing."""
    found = lh.compare(
        (GOOD, LABELS), (BAD, LABELS), head="softmax_cce", metric="nll_loss", margin=5
    )
    assert found.conclusion == "within"


def test_equal_models_are_undecided_without_a_margin_and_within_a_wide_one() -> None:
    same = {"head": "softmax_cce"}
    found = lh.compare((GOOD, LABELS), (GOOD, LABELS), **same)
    assert found.conclusion == "undecided"
    assert found.pairs[0].verdict.more is None
    low, high = found["accuracy_score"].low, found["accuracy_score"].high
    assert low < 0 < high  # nobody differed here; the next example may
    assert lh.compare((GOOD, LABELS), (GOOD, LABELS), margin=0.05, **same).conclusion == "within"
    narrow = lh.compare((GOOD, LABELS), (GOOD, LABELS), margin=0.001, **same)
    assert narrow.conclusion == "undecided"


@pytest.mark.parametrize(
    ("margin", "conclusion", "words"),
    [
        (0.0, "worse", "B is worse than A:"),
        (0.01, "worse", "B is worse than A by more than 0.01:"),
        (0.25, "undecided", "B is worse than A, undecided whether by more than 0.25:"),
        (0.5, "within", "B is within 0.5 of A:"),
    ],
)
def test_words_say_no_more_than_the_interval(margin: float, conclusion: str, words: str) -> None:
    found = lh.compare((GOOD, LABELS), (BAD, LABELS), head="softmax_cce", margin=margin)
    assert found.conclusion == conclusion, found["exact_match_score"]
    assert words in str(found)
    low, high = found["exact_match_score"].low, found["exact_match_score"].high
    assert -0.5 < low < -0.25 < high < -0.01


def two_models_that_differ(gained: int, lost: int) -> list[tuple[Any, Any]]:
    """The second is right on so many examples that the first decides wrong, and the reverse."""
    flips = np.zeros((2, N), bool)
    flips[0, :gained] = True
    flips[1, gained : gained + lost] = True
    eye = 4 * np.eye(C)
    return [(eye[np.where(wrong, (LABELS + 1) % C, LABELS)], LABELS) for wrong in flips]


@pytest.mark.parametrize(
    ("gained", "lost", "conclusion"), [(12, 3, "better"), (14, 4, "better"), (5, 0, "undecided")]
)
def test_better_takes_both_the_interval_and_mcnemars_test(
    gained: int, lost: int, conclusion: str
) -> None:
    found = lh.compare(*two_models_that_differ(gained, lost), head="softmax_cce")
    (pair,) = found.pairs
    exact = stats.binomtest(gained, gained + lost).pvalue
    assert pair.mcnemar_p == pytest.approx(exact)
    assert pair.verdict.p >= pair.mcnemar_p
    assert found.conclusion == conclusion
    assert (exact <= 0.05) == (conclusion == "better")
    if conclusion == "undecided":
        assert found["exact_match_score"].low > 0
        assert f"McNemar's exact test does not (p = {exact:.4f})" in str(found)
    by_loss = lh.compare(
        *two_models_that_differ(gained, lost), head="softmax_cce", metric="nll_loss"
    )
    assert "McNemar" not in str(by_loss)  # which is not about losses


def test_few_runs_forecast_no_number_of_further_examples() -> None:
    few, many = (
        [[(model(1.2, 50 * side + k), LABELS) for k in range(runs)] for side in (1, 2)]
        for runs in (3, 8)
    )
    short = lh.compare(*few, head="softmax_cce")
    assert short.conclusion == "undecided"
    assert short.pairs[0].verdict.more is None
    assert "fewer than 8 runs" in str(short)
    long = lh.compare(*many, head="softmax_cce")
    assert long.conclusion == "undecided"
    assert "fewer than 8 runs" not in str(long)
    at = long["exact_match_score"]
    spread = [
        [s.value for s in side]
        for side in (
            [lh.evaluate(*run, head="softmax_cce")["exact_match_score"] for run in runs]
            for runs in many
        )
    ]
    assert at.runs_error == pytest.approx(math.sqrt(sum(np.var(v, ddof=1) / 8 for v in spread)))
    if (more := long.pairs[0].verdict.more) is not None:
        examples = at.error**2 - at.runs_error**2
        error = math.sqrt(at.runs_error**2 + examples * N / (N + more))
        assert abs(at.difference) / error == pytest.approx(1.97, abs=0.01)


def test_no_difference_of_shares_leaves_minus_one_to_one() -> None:
    wrong = 4 * np.eye(C)[(LABELS + 1) % C]
    right = 4 * np.eye(C)[LABELS]
    for few in (3, 6, 20):
        found = lh.compare(
            (wrong[:few], LABELS[:few]), (right[:few], LABELS[:few]), head="softmax_cce"
        )
        verdict = found.pairs[0].verdict
        for at in (verdict, found["exact_match_score"], found["accuracy_score"]):
            assert -1 <= at.low <= at.high <= 1


def test_one_run_twice_is_refused_unless_it_is_read_in_two_ways(tmp_path: Path) -> None:
    path = npz(tmp_path, "a.npz", logits=BAD, labels=LABELS)
    again = tmp_path / "." / "x" / ".." / "a.npz"
    (tmp_path / "x").mkdir()
    for models in ((path, path), (path, again), ([path, path], path)):
        with pytest.raises(lh.UserError, match=r"a\.npz twice"):
            lh.compare(*models, head="softmax_cce")
    assert lh.compare(path, path, head=["softmax_cce", "sigmoid_bce"]).n == N


def test_a_p_too_small_for_four_decimals_is_not_printed_as_zero() -> None:
    found = lh.compare(*two_models_that_differ(60, 0), head="softmax_cce")
    text = " ".join(section.text for section in sections_of_comparison(found))
    assert "as often: p < 0.0001" in text
    assert [p_text(p) for p in (0.0, 9e-5, 1e-4, 0.05, 1.0)] == [
        "< 0.0001", "< 0.0001", "= 0.0001", "= 0.0500", "= 1.0000",
    ]  # fmt: skip


def test_undecided_names_about_how_many_more_examples_would_decide() -> None:
    near = model(1.08, 3)
    found = lh.compare((near, LABELS), (GOOD, LABELS), head="softmax_cce")
    verdict = found.pairs[0].verdict
    assert verdict.conclusion == "undecided"
    assert verdict.more is not None
    gap, error = found["exact_match_score"].difference, found["exact_match_score"].error
    expected = N * (1.96 * error / gap) ** 2 - N
    assert verdict.more == pytest.approx(expected, rel=0.03)
    assert f"{verdict.more:,} more" in sentence(found.pairs[0])


def test_files_are_matched_by_ids(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(N)[: N - 20]
    ids = np.array([f"img{k:04d}" for k in range(N)])
    first = npz(tmp_path, "a.npz", logits=BAD, labels=LABELS, ids=ids)
    second = npz(tmp_path, "b.npz", logits=GOOD[order], labels=LABELS[order], ids=ids[order])
    found = lh.compare(first, second, head="softmax_cce")
    kept = np.sort(order)
    expected = lh.compare((BAD[kept], LABELS[kept]), (GOOD[kept], LABELS[kept]), head="softmax_cce")
    assert found.n == N - 20
    assert found["nll_loss"].difference == pytest.approx(expected["nll_loss"].difference)
    assert found["nll_loss"].low == pytest.approx(expected["nll_loss"].low)
    assert set(found.pairs[0].only_second) == {
        str(ids[kept][k]) for k in expected.pairs[0].only_second
    }
    assert "20 examples without a partner" in found.notes[0]


def test_ids_of_another_type_still_match(tmp_path: Path) -> None:
    first = npz(tmp_path, "a.npz", logits=BAD, labels=LABELS, ids=np.arange(N))
    words = np.arange(N)[::-1].astype(str)
    second = npz(tmp_path, "b.npz", logits=GOOD[::-1], labels=LABELS[::-1], ids=words)
    found = lh.compare(first, second, head="softmax_cce")
    expected = lh.compare((BAD, LABELS), (GOOD, LABELS), head="softmax_cce")
    assert found["nll_loss"].low == pytest.approx(expected["nll_loss"].low)


def test_models_may_have_heads_of_their_own(tmp_path: Path) -> None:
    first = npz(tmp_path, "a.npz", logits=BAD, labels=LABELS)
    second = npz(tmp_path, "b.npz", probs=softmax(GOOD), labels=LABELS)
    found = lh.compare(
        first, second, head=["sigmoid_bce", "softmax_cce"], given=["logits", "probabilities"]
    )
    assert found["accuracy_score"].second == RIGHT_GOOD.mean()


def test_several_models_share_one_error_by_holm() -> None:
    others = [(model(1.0 + 0.1 * k, 10 + k), LABELS) for k in range(4)]
    found = lh.compare((BAD, LABELS), *others, head="softmax_cce")
    levels = sorted(pair.verdict.level for pair in found.pairs)
    assert levels[-1] == pytest.approx(1 - 0.05 / 4)
    assert levels[0] <= levels[-1]
    assert any("Holm" in note for note in found.notes)


def test_one_run_says_nothing_of_another_and_several_widen_the_interval() -> None:
    runs_a = [(model(1.5, 20 + k), LABELS) for k in range(4)]
    # Runs of the second recipe differ widely from each other.
    runs_b = [(model(noise, 30), LABELS) for noise in (0.9, 1.1, 1.6, 2.0)]
    single = lh.compare(runs_a[0], runs_b[0], head="softmax_cce")
    assert any("another training run" in note for note in single.notes)
    several = lh.compare(runs_a, runs_b, head="softmax_cce")
    assert several.runs == (4, 4)
    assert not any("says nothing of what another training" in note for note in several.notes)
    assert math.isnan(several.pairs[0].mcnemar_p)
    values = [
        [lh.evaluate(*run, head="softmax_cce")["nll_loss"].value for run in runs]
        for runs in (runs_a, runs_b)
    ]
    assert several["nll_loss"].difference == pytest.approx(np.mean(values[1]) - np.mean(values[0]))
    spread = math.sqrt(sum(np.var(v, ddof=1) / 4 for v in values))
    assert several["nll_loss"].error > spread
    assert single["nll_loss"].error < several["nll_loss"].error


def test_paired_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """300 draws of 150 examples for two models of unlike noise; truth of 200,000."""

    def both(n: int, seed: int) -> tuple[Any, Any, Any]:
        labels = np.random.default_rng(seed).integers(C, size=n)
        shared = np.random.default_rng(seed + 1).normal(size=(n, C))
        first = 2 * np.eye(C)[labels] + shared
        return first, first + 0.5 * model(1.0, seed + 2, labels), labels

    a, b, labels = both(200_000, 7)
    nll = [-np.log(softmax(z))[np.arange(len(labels)), labels].mean() for z in (a, b)]
    accuracy = [(z.argmax(1) == labels).mean() for z in (a, b)]
    truth = {"nll_loss": nll[1] - nll[0], "accuracy_score": accuracy[1] - accuracy[0]}
    head = lh.SoftmaxCCE(lh.OneOf(C))
    metrics = [m for m in metrics_for(head.outcome) if m.name in truth]
    forms = forms_of(head, metrics)
    held: dict[str, list[bool]] = {name: [] for name in truth}
    for seed in range(300):
        a, b, labels = both(150, 1_000 + 10 * seed)
        sides = []
        for z in (a, b):
            predictions = predict(head, torch.from_numpy(z), torch.from_numpy(labels))
            sides.append(Sampler(forms, rows_from(forms, predictions)).sampled())
        for name, value in truth.items():
            found = difference(name, [sides[0][name]], [sides[1][name]], True)
            held[name].append(found.low <= value <= found.high)
    cover = {name: np.mean(row) for name, row in held.items()}
    assert all(0.915 <= share <= 0.985 for share in cover.values()), cover


TAG_LOGITS, TAGS = tags()
WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], list[str]]] = [
    ("one model", ((GOOD, LABELS),), {}, ["at least 2"]),
    ("other labels", ((GOOD, LABELS), (BAD, (LABELS + 1) % C)), {}, ["300 of 300", "--ids"]),
    ("other lengths", ((GOOD, LABELS), (BAD[:-1], LABELS[:-1])), {}, ["300", "299", "--ids"]),
    (
        "other outcomes",
        ((GOOD, LABELS), (TAG_LOGITS, TAGS)),
        {"head": ["softmax_cce", "sigmoid_bce"]},
        ["OneOf", "AnyOf"],
    ),
    ("a margin below 0", ((GOOD, LABELS), (BAD, LABELS)), {"margin": -1.0}, ["margin", "-1"]),
    ("a margin of 100 points", ((GOOD, LABELS), (BAD, LABELS)), {"margin": 1}, ["below 1, got 1"]),
    ("a metric", ((GOOD, LABELS), (BAD, LABELS)), {"metric": "acuracy_score"}, ["accuracy_score"]),
    ("3 heads", ((GOOD, LABELS), (BAD, LABELS)), {"head": ["softmax_cce"] * 3}, ["3 values"]),
    ("a number", ((GOOD, LABELS), 3), {}, ["int"]),
    ("no runs", ((GOOD, LABELS), []), {}, ["empty"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("models", "said", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_a_wrong_comparison_is_one_sentence(
    models: tuple[Any, ...], said: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(lh.UserError) as caught:
        lh.compare(*models, **{"head": "softmax_cce", **said})
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


def test_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    names = np.array(["ant", "bee", "cow", "dog", "elk", "fox"])[:C]
    first = npz(tmp_path, "a.npz", logits=BAD, labels=LABELS, class_names=names)
    second = npz(tmp_path, "b.npz", logits=GOOD, labels=LABELS, class_names=names[::-1])
    with pytest.raises(lh.UserError, match="same order") as caught:
        lh.compare(first, second, head="softmax_cce")
    assert "b.npz" in str(caught.value)
    assert "ant" in str(caught.value)


def test_files_without_a_shared_id_are_refused(tmp_path: Path) -> None:
    first = npz(tmp_path, "a.npz", logits=BAD, labels=LABELS, ids=np.arange(N))
    second = npz(tmp_path, "b.npz", logits=GOOD, labels=LABELS, ids=np.arange(N) + N)
    with pytest.raises(lh.UserError, match="share no id"):
        lh.compare(first, second, head="softmax_cce")


def test_what_probabilities_leave_open_is_not_compared(tmp_path: Path) -> None:
    said = {"link": "softmax", "given": "probabilities", "outcome": "one_of"}
    models = {"good.npz": GOOD, "bad.npz": BAD}
    files = [npz(tmp_path, n, probs=softmax(z), labels=LABELS) for n, z in models.items()]
    (pair,) = lh.compare(*files, **said).pairs
    assert "accuracy_score" in {one.name for one in pair.differences}
    assert "fastai_accuracy_multi" not in {one.name for one in pair.differences}
    with pytest.raises(lh.UserError, match=r"fastai_accuracy_multi.*give logits"):
        lh.compare(*files, metric="fastai_accuracy_multi", **said)


def test_a_metric_that_is_left_out_cannot_be_concluded_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossheads.evaluation.measuring.MAX_CELLS", 1)
    models = [(GOOD, LABELS), (BAD, LABELS)]
    with pytest.raises(lh.UserError, match=r"macro_roc_auc_score.*--full"):
        lh.compare(*models, head="softmax_cce", metric="macro_roc_auc_score")
    assert lh.compare(*models, head="softmax_cce", metric="macro_roc_auc_score", full=True)
