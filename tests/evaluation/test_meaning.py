"""What numbers mean is asked, with evidence; said one way or another, the numbers are the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

import lossheads as lh
from evaluation.making import C, N, classes, groups, npz, sigmoid, softmax, tags

LOGITS, LABELS = classes()
TAG_LOGITS, TAGS = tags()
GROUP_LOGITS, GROUPS = groups()
PROBS = softmax(LOGITS)
# Of a softmax, log-probabilities are the logits up to a constant per row: what depends on it is
# not known from probabilities.
FREE = ["fastai_accuracy_multi"]


def values(found: lh.Evaluation) -> Any:
    return found.to_frame()["value"].drop(FREE).to_numpy(float)


@pytest.mark.parametrize(
    ("numbers", "labels", "said", "head"),
    [
        (LOGITS, LABELS, {"link": "softmax", "given": "logits", "outcome": "one_of"}, None),
        (PROBS, LABELS, {"link": "softmax", "given": "probabilities", "outcome": "one_of"}, None),
        (PROBS, LABELS, {"head": "softmax_cce", "given": "probabilities"}, None),
        (LOGITS, np.eye(C)[LABELS], {"head": "softmax_cce", "given": "logits"}, None),
        (
            sigmoid(LOGITS),
            LABELS,
            {"link": "sigmoid", "given": "probabilities", "outcome": "one_of"},
            lh.SigmoidBCE(lh.OneOf(C)),
        ),
        (
            sigmoid(TAG_LOGITS),
            TAGS,
            {"link": "sigmoid", "given": "probabilities", "outcome": "any_of"},
            lh.SigmoidBCE(lh.AnyOf(3)),
        ),
        (
            sigmoid(LOGITS[:, 0]),
            (LABELS == 0).astype(int),
            {"link": "sigmoid", "given": "probabilities", "outcome": "one_of"},
            lh.SingleLogitBCE(lh.OneOf(2)),
        ),
        (
            softmax(GROUP_LOGITS),
            GROUPS,
            {"link": "softmax", "given": "probabilities", "outcome": "each_one_of"},
            lh.GroupedCCE(lh.EachOneOf(2, 3)),
        ),
    ],
    ids=["logits", "softmax", "head", "one-hot", "sigmoid", "labels", "one unit", "groups"],
)
def test_said_one_way_or_another_the_numbers_are_the_same(
    numbers: Any, labels: Any, said: dict[str, Any], head: lh.Head | None, tmp_path: Path
) -> None:
    logits, truth = {
        "one_of": (LOGITS, LABELS),
        "any_of": (TAG_LOGITS, TAGS),
        "each_one_of": (GROUP_LOGITS, GROUPS),
    }[said.get("outcome", "one_of")]
    if numbers.ndim == 1:
        logits, truth = LOGITS[:, :1], labels
    expected = lh.evaluate(logits, truth, head=head or lh.SoftmaxCCE(lh.OneOf(C)))
    path = npz(tmp_path, numbers=numbers, labels=labels)
    for found in (
        lh.evaluate(path, columns="numbers", intervals=False, **said),
        lh.evaluate(numbers, labels, **said),
    ):
        np.testing.assert_allclose(values(found), values(expected), rtol=1e-6, atol=1e-9)


ASKED: list[tuple[str, dict[str, Any], dict[str, Any], list[str], list[str]]] = [
    (
        "softmax probabilities",
        {"logits": PROBS, "labels": LABELS},
        {},
        ["rows sum to 1", "integers (N,) from 0 to 3", "--link softmax --given probabilities"],
        ["--given logits"],
    ),
    (
        "the same with a head",
        {"logits": PROBS, "labels": LABELS},
        {"head": "softmax_cce"},
        ["rows sum to 1", "--given probabilities"],
        [],
    ),
    (
        "equal logits with a head",
        {"logits": np.zeros((N, C)), "labels": LABELS},
        {"head": "softmax_cce"},
        ["fits: --head softmax_cce --given logits"],
        ["probabilities"],
    ),
    (
        "equal logits with a head of sigmoids",
        {"logits": np.zeros((N, C)), "labels": LABELS},
        {"head": "sigmoid_bce"},
        ["--head sigmoid_bce --given logits | --head sigmoid_bce --given probabilities"],
        [],
    ),
    (
        "a head that was built",
        {"logits": PROBS, "labels": LABELS},
        {"head": lh.SoftmaxCCE(lh.OneOf(C))},
        ["fits: --given logits | --given probabilities"],
        ["--link", "--head"],
    ),
    (
        "logits",
        {"logits": LOGITS, "labels": LABELS},
        {},
        ["--link softmax --given logits --outcome one_of", "--link sigmoid --given logits"],
        ["probabilities"],
    ),
    (
        "multi-hot",
        {"logits": sigmoid(TAG_LOGITS), "labels": TAGS},
        {},
        ["0 / 1 of shape (N, 3)", "--link sigmoid --given probabilities --outcome any_of"],
        ["one_of --"],
    ),
    (
        "one-hot rows with a head for both",
        {"logits": LOGITS, "labels": np.eye(C)[LABELS]},
        {"head": "sigmoid_bce"},
        ["one-hot rows (N, 4)", "--outcome one_of", "--outcome any_of"],
        [],
    ),
    (
        "groups",
        {"logits": GROUP_LOGITS, "labels": GROUPS},
        {},
        ["integers (N, 2)", "--link softmax --given logits --outcome each_one_of"],
        ["sigmoid"],
    ),
]


@pytest.mark.parametrize(
    ("arrays", "said", "words", "absent"), [a[1:] for a in ASKED], ids=[a[0] for a in ASKED]
)
def test_what_is_not_said_is_asked_with_evidence_and_calls_that_fit(
    arrays: dict[str, Any],
    said: dict[str, Any],
    words: list[str],
    absent: list[str],
    tmp_path: Path,
) -> None:
    with pytest.raises(lh.UserError) as caught:
        lh.evaluate(npz(tmp_path, **arrays), **said)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence
    assert not any(word in sentence for word in absent), sentence
    assert sentence.count("--given") <= 3


def test_every_call_that_is_offered_is_accepted(tmp_path: Path) -> None:
    cases = [(arrays, said) for _, arrays, given, *_ in ASKED for said in ({}, given)]
    for number, (arrays, asked) in enumerate(cases):
        path = npz(tmp_path, f"{number}.npz", **arrays)
        with pytest.raises(lh.UserError) as caught:
            lh.evaluate(path, **asked)
        for call in str(caught.value).split("what fits: ")[1].split(" | "):
            words = call.split()
            said: dict[str, Any] = {w[2:]: v for w, v in zip(words[::2], words[1::2], strict=True)}
            if not said.keys() & {"head", "link"}:
                said |= asked
            assert lh.evaluate(path, intervals=False, **said).n == N


WRONG: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    (
        "logits as probabilities",
        {"logits": LOGITS, "labels": LABELS},
        {"link": "softmax", "given": "probabilities", "outcome": "one_of"},
        ["[0, 1]", "row"],
    ),
    (
        "sigmoids as a softmax",
        {"logits": sigmoid(LOGITS), "labels": LABELS},
        {"link": "softmax", "given": "probabilities", "outcome": "one_of"},
        ["sum to 1"],
    ),
    (
        "an unknown link",
        {"logits": LOGITS, "labels": LABELS},
        {"link": "sofmax", "given": "logits", "outcome": "one_of"},
        ["softmax", "sofmax"],
    ),
    (
        "an unknown kind",
        {"logits": LOGITS, "labels": LABELS},
        {"link": "softmax", "given": "logits", "outcome": "oneof"},
        ["one_of"],
    ),
    (
        "head and link",
        {"logits": LOGITS, "labels": LABELS},
        {"link": "softmax", "head": "softmax_cce"},
        ["leave link out"],
    ),
    (
        "labels of another kind",
        {"logits": LOGITS, "labels": LABELS},
        {"link": "sigmoid", "given": "logits", "outcome": "any_of"},
        ["any_of", "(300,)"],
    ),
    (
        "another width",
        {"logits": LOGITS, "labels": LABELS},
        {"head": "single_logit_bce", "given": "logits", "outcome": "one_of"},
        ["SingleLogitBCE"],
    ),
    (
        "a softmax of groups by sigmoid",
        {"logits": GROUP_LOGITS, "labels": GROUPS},
        {"link": "sigmoid", "given": "logits", "outcome": "each_one_of"},
        ["softmax"],
    ),
    (
        "names too few",
        {"logits": LOGITS, "labels": LABELS},
        {"head": "softmax_cce", "class_names": ["a", "b"]},
        ["2", "4"],
    ),
]


@pytest.mark.parametrize(
    ("arrays", "said", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_what_is_said_wrongly_is_one_sentence(
    arrays: dict[str, Any], said: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(lh.UserError) as caught:
        lh.evaluate(npz(tmp_path, **arrays), **said)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


def test_probabilities_do_not_tell_what_hangs_on_the_logits(tmp_path: Path) -> None:
    path = npz(tmp_path, probs=PROBS, labels=LABELS)
    found = lh.evaluate(path, link="softmax", given="probabilities", outcome="one_of")
    assert np.isnan(found["fastai_accuracy_multi"].value)
    logits = lh.evaluate(npz(tmp_path, logits=LOGITS, labels=LABELS), head="softmax_cce")
    assert not np.isnan(logits["fastai_accuracy_multi"].value)


def test_a_certain_wrong_softmax_costs_infinity_and_a_certain_sigmoid_is_cut(
    tmp_path: Path,
) -> None:
    probs = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    said = {"given": "probabilities", "outcome": "one_of"}
    found = lh.evaluate(npz(tmp_path, probs=probs, labels=[1, 0, 1]), link="softmax", **said)
    assert found["nll_loss"].value == np.inf
    assert found["accuracy_score"].value == pytest.approx(2 / 3)
    assert found.to_dict()["metrics"]["nll_loss"]["value"] is None
    cut = lh.evaluate(npz(tmp_path, probs=probs, labels=[1, 0, 1]), link="sigmoid", **said)
    assert np.isfinite(cut["nll_loss"].value)
    assert "costs 100 nats" in str(cut.notes)
    assert "nats" not in str(found.notes)


def test_low_probabilities_behind_a_sigmoid_are_read_as_any(tmp_path: Path) -> None:
    """Of rare labels log p is near the logit, and is none."""
    logits = np.minimum(TAG_LOGITS, 3.0) - 6
    path = npz(tmp_path, probs=sigmoid(logits), labels=TAGS)
    found = lh.evaluate(path, head="sigmoid_bce", given="probabilities", intervals=False)
    expected = lh.evaluate(logits, TAGS, head="sigmoid_bce")
    np.testing.assert_allclose(values(found), values(expected), rtol=1e-6, atol=1e-9)
    assert not any("divided" in note for note in found.notes)


@pytest.mark.parametrize(("factor", "told"), [(1.0, False), (1.01, True), (0.992, True)])
def test_sums_that_are_not_one_are_told(factor: float, told: bool, tmp_path: Path) -> None:
    said = {"link": "softmax", "given": "probabilities", "outcome": "one_of"}
    rows = np.minimum(PROBS * factor, 1)
    found = lh.evaluate(npz(tmp_path, probs=rows, labels=LABELS), **said)
    assert ("divided by their sums" in str(found.notes)) == told
    assert not told or f"{factor:.4g}" in str(found.notes)
    assert found["nll_loss"].value == pytest.approx(
        lh.evaluate(npz(tmp_path, logits=LOGITS, labels=LABELS), head="softmax_cce")[
            "nll_loss"
        ].value,
        abs=2e-3,
    )


def test_one_column_is_described_as_one_number_that_sums_to_nothing(tmp_path: Path) -> None:
    path = npz(tmp_path, probs=np.array([0.2, 0.9, 0.6]), labels=np.array([0, 1, 0]))
    with pytest.raises(lh.UserError, match="1 number a row") as caught:
        lh.evaluate(path)
    assert "sum" not in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_logits_of_any_size_are_measured_without_a_warning(tmp_path: Path) -> None:
    logits, labels = classes()
    huge = lh.evaluate(npz(tmp_path, logits=logits * 1e300, labels=labels), head="softmax_cce")
    plain = lh.evaluate(npz(tmp_path, logits=logits, labels=labels), head="softmax_cce")
    assert huge["accuracy_score"].value == plain["accuracy_score"].value
    assert huge["macro_roc_auc_score"].value > 0.9


def test_probabilities_of_exactly_zero_and_one_are_ties(tmp_path: Path) -> None:
    labels = np.arange(300) % 3
    random = np.random.default_rng(0)
    probs = np.eye(3)[np.where(random.random(300) < 0.8, labels, random.integers(3, size=300))]
    probs[::5] = 0.2 + 0.4 * probs[::5]
    found = lh.evaluate(
        npz(tmp_path, probs=probs, labels=labels),
        head="softmax_cce",
        given="probabilities",
        intervals=True,
    )
    for name, reference in (
        ("macro_roc_auc_score", sk.roc_auc_score),
        ("mean_average_precision_score", sk.average_precision_score),
    ):
        expected = np.mean([reference(labels == k, probs[:, k]) for k in range(3)])
        assert found[name].value == pytest.approx(expected), name
        assert found[name].low < expected < found[name].high, name
