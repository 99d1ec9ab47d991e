"""What `evaluate` adds to metrics: pieces of large files, frameworks' numbers, further answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from sklearn import metrics as sk

import lossheads as lh
from evaluation.making import C, N, classes, groups, npz, sigmoid, softmax, tags

LOGITS, LABELS = classes()
TAG_LOGITS, TAGS = tags()


def answer(found: lh.Evaluation, title: str) -> dict[str, dict[str, Any]]:
    (one,) = [a for a in found.answers if a.title == title]
    return {str(next(iter(row.values()))): dict(row) for row in one.rows}


@pytest.mark.parametrize(
    ("logits", "labels", "head"),
    [
        (LOGITS, LABELS, "softmax_cce"),
        (TAG_LOGITS, TAGS, "sigmoid_bce"),
        (*groups(), "grouped_cce"),
    ],
    ids=["one", "any", "each"],
)
def test_pieces_give_what_the_whole_gives(
    logits: Any, labels: Any, head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossheads.evaluation import measuring

    path = npz(tmp_path, logits=logits, labels=labels)
    said = {"head": head, "given": "logits"}
    whole = lh.evaluate(path, **said)
    monkeypatch.setattr(measuring, "MAX_CELLS", 100)
    monkeypatch.setattr(measuring, "_CHUNK_CELLS", 70)
    pieces = lh.evaluate(path, **said)
    assert "accuracy_score" in pieces or "hamming_loss" in pieces
    for name, value in pieces.items():
        for part in ("value", "baseline", "low", "high", "skill"):
            assert getattr(value, part) == pytest.approx(
                getattr(whole[name], part), rel=1e-9, nan_ok=True
            ), (name, part)
    for name, row in pieces.per_class.items():
        assert row == pytest.approx(whole.per_class[name], nan_ok=True)
        assert pieces.per_class_low[name] == pytest.approx(whole.per_class_low[name], nan_ok=True)
    printed = {p.name: p for p in whole.printed}
    for one in pieces.printed:
        assert one.value == pytest.approx(printed[one.name].value)
    assert any("--full" in note and "macro_roc_auc_score" in note for note in pieces.notes)
    full = lh.evaluate(path, full=True, **said)
    assert list(full) == list(whole)
    with pytest.raises(lh.UserError, match="--full"):
        lh.evaluate(path, reject_recall=0.9, **said)


def test_a_nan_far_down_a_large_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossheads.evaluation import measuring

    monkeypatch.setattr(measuring, "MAX_CELLS", 100)
    monkeypatch.setattr(measuring, "_CHUNK_CELLS", 70)
    logits, labels = classes(2_500)
    logits[2_401, 2] = np.nan
    path = npz(tmp_path, logits=logits, labels=labels)
    with pytest.raises(lh.UserError, match=r"row 2401.*column 2"):
        lh.evaluate(path, head="softmax_cce", given="logits")


# --- frameworks --------------------------------------------------------------------------------


def printed(found: lh.Evaluation) -> dict[str, Any]:
    return {by: p for p in found.printed for by in p.printed_by}


def test_the_puzzle_both_losses_are_shown_where_only_the_link_is_said(tmp_path: Path) -> None:
    path = npz(tmp_path, probs=softmax(LOGITS), labels=LABELS)
    found = lh.evaluate(path, link="softmax", given="probabilities", outcome="one_of")
    rows = {p.name: p for p in found.printed}
    cells = ((softmax(LOGITS) > 0.5) == np.eye(C)[LABELS]).mean()
    assert rows["cells"].value == pytest.approx(cells)
    assert rows["argmax"].value == (LOGITS.argmax(1) == LABELS).mean()
    assert rows["cells"].same_as == "elementwise_accuracy_score"
    assert rows["cells"].baseline == pytest.approx(0.75)
    for loss, row in (("binary", "cells"), ("categorical", "argmax")):
        (by,) = [b for b in rows[row].printed_by if b.startswith("Keras from 1.0.6")]
        assert f"loss {loss}_crossentropy" in by


@pytest.mark.parametrize(
    ("logits", "labels", "head"),
    [(LOGITS, np.where(np.arange(N) % 3, LABELS, 0), "softmax_cce"), (TAG_LOGITS, TAGS, "focal")],
    ids=["one", "any"],
)
def test_one_number_has_one_interval(logits: Any, labels: Any, head: str) -> None:
    found = lh.evaluate(logits, labels, head=head, intervals=True)
    equal = {p.name: p for p in found.printed if p.same_as}
    assert equal.keys() >= ({"argmax", "balanced"} if head == "softmax_cce" else {"cells", "rows"})
    for name, printed in equal.items():
        metric = found[printed.same_as]
        assert (printed.low, printed.high) == (metric.low, metric.high), name
        assert printed.low < printed.value < printed.high, name


def test_a_head_says_the_loss_and_logits_handed_over_are_a_case_of_their_own(
    tmp_path: Path,
) -> None:
    path = npz(tmp_path, logits=TAG_LOGITS, labels=TAGS)
    found = lh.evaluate(path, head="sigmoid_bce", outcome="any_of")
    (cut,) = [p for p in found.printed if p.name == "raw_logit_cells"]
    assert cut.value == pytest.approx(((TAG_LOGITS > 0.5) == TAGS).mean())
    assert all("handed logits" in by for by in cut.printed_by)
    assert not any("loss" in by for p in found.printed for by in p.printed_by)


def test_torchmetrics_prints_what_is_said(tmp_path: Path) -> None:
    tm = pytest.importorskip("torchmetrics.classification")
    import torch

    z, y = torch.from_numpy(LOGITS).float(), torch.from_numpy(LABELS)
    path = npz(tmp_path, logits=LOGITS.astype(np.float32), labels=LABELS)
    rows = {p.name: p.value for p in lh.evaluate(path, head="softmax_cce").printed}
    assert rows["argmax"] == pytest.approx(tm.MulticlassAccuracy(C, average="micro")(z, y).item())
    assert rows["macro_recall"] == pytest.approx(tm.MulticlassAccuracy(C)(z, y).item())
    t = torch.from_numpy(TAG_LOGITS).float()
    path = npz(tmp_path, "tags.npz", logits=TAG_LOGITS, labels=TAGS)
    rows = {p.name: p.value for p in lh.evaluate(path, head="sigmoid_bce").printed}
    labels = torch.from_numpy(TAGS).int()
    assert rows["logit_cells"] == pytest.approx(
        tm.MultilabelAccuracy(3, average="micro")(t, labels).item()
    )
    assert rows["rows"] == pytest.approx(tm.MultilabelExactMatch(3)(t, labels).item())


# --- further answers ---------------------------------------------------------------------------


def test_a_temperature_is_fitted_and_lowers_the_likelihoods_loss(tmp_path: Path) -> None:
    path = npz(tmp_path, logits=3 * LOGITS, labels=LABELS)
    found = lh.evaluate(path, head="softmax_cce")
    rows = answer(found, "Calibration")
    temperature = rows["temperature fitted"]["temperature"]
    assert temperature == pytest.approx(found["fitted_temperature"].value)
    cooled = sk.log_loss(LABELS, softmax(3 * LOGITS / temperature))
    assert rows["temperature fitted"]["nll_loss"] == pytest.approx(cooled)
    assert cooled < rows["as given"]["nll_loss"]
    assert "over-confident" in found.answers[0].text


def parts(tmp_path: Path, **arrays: Any) -> Path:
    split = np.where(np.arange(N) % 3 == 0, "val", "test")
    return npz(tmp_path, split=split, **arrays)


def test_thresholds_are_tuned_where_nothing_is_measured(tmp_path: Path) -> None:
    said = {"head": "sigmoid_bce", "part": "split"}
    path = parts(tmp_path, logits=TAG_LOGITS - 1, labels=TAGS)
    found = lh.evaluate(path, tune_on="val", **said)
    test = np.arange(N) % 3 > 0
    assert found.n == test.sum()
    rows = answer(found, "Decision thresholds")
    assert set(rows) == {"one half", "own rule", "tuned"}
    half = sk.f1_score(TAGS[test], TAG_LOGITS[test] - 1 > 0, average="micro")
    assert rows["one half"]["micro_f1_score"] == pytest.approx(half)
    assert rows["tuned"]["micro_f1_score"] > half
    whole = lh.evaluate(npz(tmp_path, "b.npz", logits=TAG_LOGITS, labels=TAGS), head="sigmoid_bce")
    assert "tuned" not in answer(whole, "Decision thresholds")


def test_two_classes_are_cut_like_a_label(tmp_path: Path) -> None:
    y = (LABELS == 0).astype(int)
    path = parts(tmp_path, logits=LOGITS[:, :1], labels=y)
    found = lh.evaluate(path, head="single_logit_bce", part="split", tune_on="val")
    assert "tuned" in answer(found, "Decision thresholds")


PART_MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    ({"tune_on": "val"}, ["--part"]),
    ({"part": "split", "tune_on": "dev"}, ["'dev'", "test"]),
    ({"part": "split", "tune_on": "val", "measure_on": "val"}, ["flatter"]),
    ({"part": "splits", "tune_on": "val"}, ["did you mean split"]),
    ({"reject_recall": 1.5}, ["1.5"]),
    ({"pos_weight": [2.0]}, ["pos-weight", "OneOf"]),
    ({"train_prevalence": [0.5, 0.5]}, ["4 shares"]),
    ({"train_prevalence": [0.5] * 4}, ["sum to 1"]),
    ({"train_prevalence": [-0.5, 0.5, 0.5, 0.5]}, ["above 0"]),
    ({"none_label": "x"}, ["'x'"]),
    ({"none_label": 17}, ["0 of 300"]),
    ({"batch_size": 0}, ["batch-size", "0"]),
]


@pytest.mark.parametrize(("said", "words"), PART_MISTAKES, ids=[str(m[0]) for m in PART_MISTAKES])
def test_a_wrong_question_is_one_sentence(
    said: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    path = parts(tmp_path, logits=LOGITS, labels=LABELS)
    with pytest.raises(lh.UserError) as caught:
        lh.evaluate(path, head="softmax_cce", **said)
    assert all(word in str(caught.value) for word in words), caught.value


def test_pos_weight_is_undone_by_dividing_the_odds(tmp_path: Path) -> None:
    """The model's odds are those of the data, times 5."""
    random = np.random.default_rng(1)
    truth = sigmoid(random.normal(size=(4_000, 2)) - 1)
    labels = random.random((4_000, 2)) < truth
    path = npz(tmp_path, logits=logit(truth) + np.log(5), labels=labels)
    rows = answer(lh.evaluate(path, head="sigmoid_bce", pos_weight=[5.0]), "Prior shift undone")
    expected = sk.log_loss(labels[:, 0], truth[:, 0]) + sk.log_loss(labels[:, 1], truth[:, 1])
    assert rows["undone"]["nll_loss"] == pytest.approx(expected)
    assert rows["as given"]["nll_loss"] > 1.2 * expected
    assert rows["undone"]["expected_calibration_error"] < 0.03


def test_base_rates_of_training_are_undone(tmp_path: Path) -> None:
    """Trained on balanced classes, used where one is rare: Bayes's rule, by hand."""
    random = np.random.default_rng(2)
    rates = np.array([0.8, 0.15, 0.05])
    labels = random.choice(3, size=5_000, p=rates)
    logits = 2 * np.eye(3)[labels] + random.normal(size=(5_000, 3))  # likelihoods
    given = 2 * logits
    by_hand = softmax(given + np.log(rates))
    path = npz(tmp_path, logits=given, labels=labels)
    found = lh.evaluate(
        path, head="softmax_cce", train_prevalence=[1 / 3] * 3, prevalence=list(rates)
    )
    rows = answer(found, "Prior shift undone")
    assert rows["undone"]["nll_loss"] == pytest.approx(sk.log_loss(labels, by_hand))
    assert rows["undone"]["nll_loss"] < rows["as given"]["nll_loss"]
    assert rows["undone"]["exact_match_score"] == (by_hand.argmax(1) == labels).mean()


def test_none_of_these_keeps_the_share_that_was_asked_for(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    logits = np.concatenate([3 * LOGITS, 0.3 * random.normal(size=(100, C))])
    labels = np.concatenate([LABELS, np.full(100, -1)])
    path = npz(tmp_path, logits=logits, labels=labels)
    found = lh.evaluate(path, head="softmax_cce", reject_recall=0.9, none_label=-1)
    assert found.n == N
    assert any("100 of 400 examples" in note for note in found.notes), found.notes
    assert found["accuracy_score"].value == (LOGITS.argmax(1) == LABELS).mean()
    rows = answer(found, "None of these")
    score = softmax(logits).max(axis=1)
    threshold = np.sort(score[:N])[N - 270]
    assert rows["known examples kept"]["value"] == 0.9
    kept = score[:N] >= threshold
    right = LOGITS.argmax(1) == LABELS
    assert rows["accuracy of the kept"]["value"] == pytest.approx(right[kept].mean())
    caught = (score[N:] < threshold).mean()
    assert rows["none of these rejected"]["value"] == pytest.approx(caught)
    assert caught > 0.8


def test_means_of_batches_are_other_numbers(tmp_path: Path) -> None:
    path = npz(tmp_path, logits=LOGITS, labels=LABELS)
    rows = answer(lh.evaluate(path, head="softmax_cce", batch_size=64), "Means of batches")
    right = LOGITS.argmax(1) == LABELS
    batches = [right[at : at + 64].mean() for at in range(0, N, 64)]
    exact = rows["exact_match_score"]
    assert exact["all_rows"] == pytest.approx(exact["mean_of_batches"])
    assert exact["last_batch_like_the_others"] == pytest.approx(np.mean(batches))
    macro = rows["macro_f1_score"]
    assert macro["mean_of_batches"] != pytest.approx(macro["all_rows"], abs=1e-4)
