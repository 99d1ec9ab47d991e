"""`evaluate` and `Accumulator`: every metric of anybody's predictions, against scikit-learn."""

import math
import re
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk_metrics

import lossheads as lh

N, C, L = 200, 4, 3
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(N, C)).astype(np.float32) * 2
LABELS = RANDOM.integers(C, size=N)
TAG_LOGITS = RANDOM.normal(size=(N, L))
TAGS = RANDOM.random((N, L)) > 0.6
GROUP_LOGITS, GROUPS = RANDOM.normal(size=(N, 2, C)), RANDOM.integers(C, size=(N, 2))
SOFT = RANDOM.dirichlet(np.ones(C), size=N)
HEAD = lh.SoftmaxCCE(lh.OneOf(C))


def softmax(z: np.ndarray) -> np.ndarray:
    odds = np.exp(z - z.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def test_numbers_are_scikit_learns() -> None:
    report = lh.evaluate(LOGITS, LABELS, head=HEAD)
    decided = LOGITS.argmax(axis=1)
    assert report.n == N
    assert report["accuracy_score"].value == sk_metrics.accuracy_score(LABELS, decided)
    assert report["balanced_accuracy_score"].value == pytest.approx(
        sk_metrics.balanced_accuracy_score(LABELS, decided)
    )
    assert report["macro_f1_score"].value == pytest.approx(
        sk_metrics.f1_score(LABELS, decided, average="macro")
    )
    assert report["nll_loss"].value == pytest.approx(
        sk_metrics.log_loss(LABELS, softmax(LOGITS.astype(float)))
    )
    share = np.bincount(LABELS).max() / N
    assert report["accuracy_score"].baseline == pytest.approx(share)
    gained = (report["accuracy_score"].value - share) / (1 - share)
    assert report["accuracy_score"].skill == pytest.approx(gained)
    assert report["accuracy_score"].higher_is_better is True
    assert report["nll_loss"].higher_is_better is False
    expected = sk_metrics.recall_score(LABELS, decided, average=None)
    assert report.per_class["recall_score"] == pytest.approx(expected)


def test_the_puzzle_in_one_line() -> None:
    """The same predictions, two 'accuracies': what Keras 2.3 printed beside the decisions."""
    report = lh.evaluate(LOGITS, LABELS, head=lh.SigmoidBCE(lh.OneOf(C)))
    cells = ((LOGITS > 0) == np.eye(C, dtype=bool)[LABELS]).mean()
    assert report["keras_2_3_accuracy"].value == pytest.approx(cells)
    assert report["keras_3_accuracy"].value == report["accuracy_score"].value


@pytest.mark.parametrize(
    ("logits", "labels", "head", "name"),
    [
        (LOGITS, LABELS, HEAD, "softmax_cce"),
        (TAG_LOGITS, TAGS, lh.SigmoidBCE(lh.AnyOf(L)), "sigmoid_bce"),
        (TAG_LOGITS, TAGS.astype(int), lh.SigmoidBCE(lh.AnyOf(L)), "sigmoid_bce"),
        (GROUP_LOGITS, GROUPS, lh.GroupedCCE(lh.EachOneOf(2, C)), "grouped_cce"),
        (LOGITS[:, :1], LABELS % 2, lh.SingleLogitBCE(lh.OneOf(2)), "single_logit_bce"),
    ],
)
def test_arrays_lists_tensors_and_names_say_the_same(
    logits: np.ndarray, labels: np.ndarray, head: lh.Head, name: str
) -> None:
    expected = lh.evaluate(logits, labels, head=head).to_frame()
    for given in (
        (torch.from_numpy(logits), torch.from_numpy(labels)),
        (logits.tolist(), labels.tolist()),
    ):
        frame = lh.evaluate(*given, head=head).to_frame()
        np.testing.assert_allclose(
            frame["value"].to_numpy(float), expected["value"].to_numpy(float), rtol=1e-5
        )
    assert lh.evaluate(logits, labels, head=name).to_frame().equals(expected)


def test_the_users_tensors_are_untouched() -> None:
    logits = torch.from_numpy(LOGITS).clone().requires_grad_()
    labels = torch.from_numpy(LABELS).clone()
    before, version = logits.detach().clone(), logits._version
    lh.evaluate(logits, labels, head=HEAD)
    assert torch.equal(logits, before)
    assert logits._version == version
    assert logits.requires_grad
    assert torch.equal(labels, torch.from_numpy(LABELS))


def test_soft_labels_are_floats_of_the_outcomes_shape() -> None:
    report = lh.evaluate(LOGITS, SOFT, head=HEAD)
    expected = -(SOFT * np.log(softmax(LOGITS.astype(float)))).sum(axis=1).mean()
    assert report["nll_loss"].value == pytest.approx(expected)


def test_it_shows_itself_as_text_html_and_frame() -> None:
    report = lh.evaluate(LOGITS, LABELS, head=HEAD)
    text = report.table()
    assert f"n = {N}" in text
    assert str(report) == text
    page = report._repr_html_()
    assert page.count("<tr") == len(report) + 1
    frame = report.to_frame()
    assert list(frame.index) == list(report)
    assert frame.loc["accuracy_score", "baseline"] == report["accuracy_score"].baseline
    with pytest.raises(KeyError, match="did you mean accuracy_score"):
        report["acuracy_score"]
    with pytest.raises(KeyError, match="per_class"):
        report["recall_score"]


@lh.metric(
    baseline=lambda stats: 1 - stats.label_stats.most_frequent_share,
    higher_is_better=False,
    perfect=0.0,
)
def error_rate(stats: lh.PredictionStats) -> torch.Tensor:
    """Share of examples decided wrongly."""
    return 1 - stats.correct.double().mean()


def test_a_metric_of_ones_own_stands_beside_the_others() -> None:
    report = lh.evaluate(LOGITS, LABELS, head=HEAD, extra_metrics=[error_rate])
    own, accuracy = report["error_rate"], report["accuracy_score"]
    assert own.value == pytest.approx(1 - accuracy.value)
    assert own.skill == pytest.approx(accuracy.skill)
    assert own.description == "Share of examples decided wrongly."


@lh.metric(baseline=lambda stats: stats.label_stats.chance, higher_is_better=True, perfect=1.0)
def failing(stats: lh.PredictionStats) -> torch.Tensor:
    """Divides by nothing."""
    raise ZeroDivisionError("by nothing")


@pytest.mark.parametrize(
    "own", [[failing], [None], ["os.system"], [len]], ids=["fails", "None", "word", "len"]
)
def test_what_is_no_metric_or_fails_is_one_sentence(own: list[Any]) -> None:
    with pytest.raises(lh.UserError) as caught:
        lh.evaluate(LOGITS, LABELS, head=HEAD, extra_metrics=own)
    assert "metric" in str(caught.value)


def broken(method: str, answer: Any) -> lh.Head:
    def give(*_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    kind = type("Broken", (lh.SoftmaxCCE,), {method: give, "__module__": "my_heads"})
    head: lh.Head = kind(lh.OneOf(C))
    return head


@pytest.mark.parametrize("method", ["decide", "scores", "log_probs", "framework_outputs"])
@pytest.mark.parametrize(
    "answer", [ZeroDivisionError("x"), None, torch.zeros(7, 5, 2)], ids=["raises", "None", "shape"]
)
def test_a_head_of_ones_own_that_breaks_is_named(method: str, answer: Any) -> None:
    with pytest.raises(lh.UserError, match="Broken"):
        lh.evaluate(LOGITS, LABELS, head=broken(method, answer))


def test_tables_and_other_tensors_are_read_or_refused() -> None:
    import pandas as pd

    frame = lh.evaluate(pd.DataFrame(LOGITS), pd.Series(LABELS), head=HEAD).to_frame()
    assert frame.equals(lh.evaluate(LOGITS, LABELS, head=HEAD).to_frame())
    tensor = torch.from_numpy(LOGITS)
    for other in (tensor.to_sparse(), tensor.to("meta")):
        with pytest.raises(lh.UserError, match="dense"):
            lh.evaluate(other, LABELS, head=HEAD)


def test_batches_add_up_exactly() -> None:
    """Batches of 64, the last of 8: a mean of batch means would weigh its rows eight times."""
    accumulator = lh.Accumulator("softmax_cce")
    for at in range(0, N, 64):
        accumulator.update(LOGITS[at : at + 64], LABELS[at : at + 64])
    assert len(accumulator) == N
    assert (
        accumulator.compute().to_frame().equals(lh.evaluate(LOGITS, LABELS, head=HEAD).to_frame())
    )
    accumulator.reset()
    assert len(accumulator) == 0
    with pytest.raises(lh.UserError, match="no rows yet"):
        accumulator.compute()


def test_a_batch_that_is_refused_is_not_added_and_a_reused_buffer_does_no_harm() -> None:
    accumulator = lh.Accumulator(HEAD)
    buffer = torch.from_numpy(LOGITS[:50]).clone()
    accumulator.update(buffer, LABELS[:50])
    buffer.zero_()
    with pytest.raises(lh.UserError, match="batch 1"):
        accumulator.update(LOGITS[:50], LABELS[:50] + 10)
    assert len(accumulator) == 50
    value = accumulator.compute()["accuracy_score"].value
    assert value == (LOGITS[:50].argmax(axis=1) == LABELS[:50]).mean()


def bad(array: np.ndarray, value: float, places: int) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1)[:places] = value
    return changed


WRONG: list[tuple[str, tuple[Any, Any], dict[str, Any], list[str]]] = [
    ("a class beyond", (LOGITS, LABELS + 1), {"head": HEAD}, ["0 … 3", "row"]),
    ("a negative class", (LOGITS, LABELS - 1), {"head": HEAD}, ["0 … 3"]),
    ("one-hot rows", (LOGITS, np.eye(C, dtype=int)[LABELS]), {"head": HEAD}, ["one-hot", "argmax"]),
    ("soft rows off 1", (LOGITS, SOFT * 0.5), {"head": HEAD}, ["sum to 1"]),
    ("other lengths", (LOGITS, LABELS[:-1]), {"head": HEAD}, ["200", "199"]),
    ("nothing", (LOGITS[:0], LABELS[:0]), {"head": HEAD}, ["0 examples"]),
    ("NaN", (bad(LOGITS, math.nan, 3), LABELS), {"head": HEAD}, ["3 NaN", "800"]),
    ("Inf", (bad(LOGITS, math.inf, 2), LABELS), {"head": HEAD}, ["2 infinite"]),
    ("another width", (LOGITS[:, :3], LABELS), {"head": HEAD}, ["(200, 3)", "(N, 4)"]),
    ("integers as logits", (LABELS, LABELS), {"head": HEAD}, ["logits", "(200,)", "(N, 4)"]),
    ("truth values", (LOGITS > 0, LABELS), {"head": HEAD}, ["logits", "true or false"]),
    ("words as labels", (LOGITS, ["cat"] * N), {"head": HEAD}, ["labels", "numbers"]),
    ("ragged lists", ([[1.0], [1.0, 2.0]], [0, 1]), {"head": HEAD}, ["logits"]),
    ("None", (None, LABELS), {"head": HEAD}, ["logits", "NoneType"]),
    ("a typo", (LOGITS, LABELS), {"head": "softmax_cc"}, ["did you mean softmax_cce"]),
    ("a class of heads", (LOGITS, LABELS), {"head": lh.SoftmaxCCE}, ["SoftmaxCCE(OneOf(10))"]),
    ("a criterion of torch", (LOGITS, LABELS), {"head": torch.nn.BCELoss()}, ["head"]),
    (
        "an outcome beside a head",
        (LOGITS, LABELS),
        {"head": HEAD, "outcome": lh.OneOf(5)},
        ["leave outcome out"],
    ),
    ("soft labels, head by name", (LOGITS, SOFT), {"head": "softmax_cce"}, ["outcome="]),
    ("labels of 2", (TAG_LOGITS, TAGS * 2), {"head": "sigmoid_bce"}, ["beyond 0 and 1"]),
    ("the wrong head", (LOGITS, LABELS), {"head": "single_logit_bce"}, ["SingleLogitBCE"]),
    ("complex numbers", (LOGITS * 1j, LABELS), {"head": HEAD}, ["real"]),
]


@pytest.mark.parametrize(
    ("given", "options", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_a_wrong_call_is_one_sentence(
    given: tuple[Any, Any], options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(lh.UserError) as caught:
        lh.evaluate(*given, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


def test_whole_numbers_are_logits_as_well() -> None:
    whole, labels = [[1, 2], [3, 4], [5, 0]], [0, 1, 0]
    floats = [[float(z) for z in row] for row in whole]
    found, expected = (lh.evaluate(z, labels, head="softmax_cce") for z in (whole, floats))
    assert found["nll_loss"].value == expected["nll_loss"].value
    assert lh.evaluate(torch.tensor(whole), labels, head="softmax_cce").n == 3


@pytest.mark.parametrize("row", ["abc", None, [None, 1.0], ["a", "b"]])
def test_what_is_no_number_is_refused_without_numpys_types(row: Any) -> None:
    with pytest.raises(lh.UserError) as caught:
        lh.explain(row, 0, head="softmax_cce")
    assert "numbers" in str(caught.value)
    assert not re.search("dtype|ndarray|numpy[._](str|object)", str(caught.value))


def test_probabilities_given_as_logits_are_suspected_aloud() -> None:
    with pytest.warns(lh.ProbabilitiesAsLogits, match="softmax"):
        lh.evaluate(softmax(LOGITS), LABELS, head=HEAD)
    with pytest.warns(lh.ProbabilitiesAsLogits, match="sigmoid"):
        lh.evaluate(1 / (1 + np.exp(-TAG_LOGITS)), TAGS, head="sigmoid_bce")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lh.evaluate(LOGITS, LABELS, head=HEAD)


def test_importing_the_package_brings_no_torch_and_names_resolve() -> None:
    code = (
        "import sys, lossheads; assert 'torch' not in sys.modules;"
        "names = [n for n in dir(lossheads) if not n.startswith('_')];"
        "assert all(getattr(lossheads, n) is not None for n in names), names;"
        "print(len(names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="softmaxcce"):
        lh.softmaxcce  # noqa: B018
