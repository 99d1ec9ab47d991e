"""The loop: n + 1 history, early stopping, divergence, and numbers that scikit-learn confirms."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from lossheads.datasets import Digits
from lossheads.datasets.dataset import Dataset
from lossheads.engine.cohort import build_cohort
from lossheads.engine.early_stopping import EarlyStopping
from lossheads.engine.member import Member, Net, initial_net
from lossheads.engine.schedules import constant
from lossheads.engine.training import MemberHistory, Plan, first_step, train
from lossheads.heads import SigmoidBCE, SoftmaxBCE, SoftmaxCCE
from lossheads.heads.base import Head
from lossheads.loggers.base import NullLogger
from lossheads.metrics import LabelStats
from lossheads.models import mlp
from lossheads.outcomes import AnyOf, OneOf
from lossheads.records import ValidationStep
from lossheads.runs.build import build
from lossheads.runs.config import compose

CPU = torch.device("cpu")
BACKBONE = partial(mlp, hidden=[16])
TEN = OneOf(10)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Digits(classes=10).load(None, tmp_path_factory.mktemp("cache"))


class Listener(NullLogger):
    def __init__(self) -> None:
        self.validations: list[ValidationStep] = []
        self.shown: list[int] = []

    def log_validation(self, validation: ValidationStep) -> None:
        self.validations.append(validation)

    def log_figures(self, last: ValidationStep, *_: Any) -> None:
        self.shown.append(last.step)


def run(
    digits: Dataset, heads: list[Head], lr: float = 1e-2, kind: Any = torch.optim.Adam, **plan: Any
) -> tuple[list[MemberHistory], list[Listener], Any]:
    members = [Member(head, 3, 3, {"lr": lr, "fused": True}) for head in heads]
    cohort = build_cohort(
        BACKBONE, digits.input_shape, members, digits.train.labels, partial(kind), CPU
    )
    settings = {"steps": 40, "validate_at": frozenset({0, 10, 20, 30, 40}), "batch_size": 64} | plan
    listeners = [Listener() for _ in members]
    plan_ = Plan(schedule=constant, **({"monitor": "accuracy_score"} | settings))
    return train(cohort, digits, plan_, listeners, lambda *_: None), listeners, cohort


def test_first_and_last_states_are_measured_and_only_the_last_on_test(digits: Dataset) -> None:
    (history,), (listener,), _ = run(digits, [SoftmaxCCE(TEN)])
    assert [validation.step for validation in history.validations] == [0, 10, 20, 30, 40]
    assert [validation.step for validation in listener.validations] == [0, 10, 20, 30, 40]
    assert [validation.test is not None for validation in history.validations] == [False] * 4 + [
        True
    ]
    assert history.validations[-1].epoch == pytest.approx(40 * 64 / len(digits.train), rel=0.03)
    assert math.isnan(history.validations[0].train_loss)
    assert history.validations[0].val.metrics["nll_loss"] == pytest.approx(math.log(10), abs=0.3)
    assert listener.shown == [40]
    assert history.status == "finished"


def test_last_numbers_are_those_of_the_last_weights_by_scikit_learn(digits: Dataset) -> None:
    (history,), _, cohort = run(digits, [SoftmaxCCE(TEN)])
    net = initial_net(BACKBONE, digits.input_shape, cohort.members[0])
    assert isinstance(net, Net)
    net.load_state_dict(cohort.weights(0))
    for split, measured in (
        (digits.test, history.validations[-1].test),
        (digits.val, history.validations[-1].val),
    ):
        assert measured is not None
        probabilities = net(split.inputs).softmax(dim=1).detach().double().numpy()
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        labels = split.labels.numpy()
        assert measured.n == len(labels)
        assert measured.metrics["accuracy_score"] == pytest.approx(
            accuracy_score(labels, probabilities.argmax(axis=1))
        )
        assert measured.metrics["nll_loss"] == pytest.approx(
            log_loss(labels, probabilities, labels=range(10)), rel=1e-5
        )


def test_the_end_records_which_test_examples_were_right_and_which_they_are(digits: Dataset) -> None:
    histories, _, cohort = run(digits, [SoftmaxCCE(TEN), SigmoidBCE(TEN)])
    measured = [history.validations[-1].test for history in histories]
    for k, test in enumerate(measured):
        assert test is not None
        assert test.correct is not None
        decided = cohort.logits(digits.test.inputs)[k].argmax(dim=1)
        bits = f"{test.correct.mask:b}".zfill(-(-test.n // 8) * 8)
        assert [bit == "1" for bit in bits[: test.n]] == (decided == digits.test.labels).tolist()
        assert test.correct.examples_digest == digits.test.digest(TEN)
    assert histories[0].validations[-1].val.correct is None


def test_a_digest_tells_examples_their_order_and_labels_apart(digits: Dataset) -> None:
    test = digits.test
    turned = replace(test, inputs=test.inputs.flip(0))
    relabelled = replace(test, labels=test.labels.roll(1))
    soft = replace(test, labels=torch.eye(10)[test.labels])
    assert len({split.digest(TEN) for split in (test, digits.val, turned, relabelled)}) == 4
    assert soft.digest(OneOf(10, soft=True)) == test.digest(TEN)


def test_own_loss_is_the_mean_since_the_last_validation(digits: Dataset) -> None:
    fine, _, _ = run(digits, [SigmoidBCE(TEN)], validate_at=frozenset(range(41)))
    coarse, _, _ = run(digits, [SigmoidBCE(TEN)])
    steps = [validation.train_loss for validation in fine[0].validations[1:]]
    for number, validation in enumerate(coarse[0].validations[1:]):
        assert validation.train_loss == pytest.approx(
            sum(steps[10 * number : 10 * number + 10]) / 10
        )


def test_measuring_more_often_changes_no_weight(digits: Dataset) -> None:
    _, _, often = run(digits, [SoftmaxCCE(TEN)], validate_at=frozenset(range(41)))
    _, _, seldom = run(digits, [SoftmaxCCE(TEN)], validate_at=frozenset())
    for name, value in often.weights(0).items():
        assert torch.equal(value, seldom.weights(0)[name])


def test_no_steps_still_measure_the_start(digits: Dataset) -> None:
    (history,), _, _ = run(digits, [SoftmaxCCE(TEN)], steps=0, validate_at=frozenset({0}))
    assert [validation.step for validation in history.validations] == [0]
    assert history.validations[0].test is not None


def test_divergence_names_the_step_and_spares_the_others(digits: Dataset) -> None:
    members = [
        Member(SoftmaxCCE(TEN), 3, 3, {"lr": lr, "fused": True}) for lr in (1e-2, 1e38, 1e-2)
    ]
    cohort = build_cohort(
        BACKBONE, digits.input_shape, members, digits.train.labels, partial(torch.optim.SGD), CPU
    )
    plan = Plan(
        steps=20, batch_size=64, validate_at=frozenset({10}), schedule=constant, monitor="nll_loss"
    )
    histories = train(cohort, digits, plan, [NullLogger()] * 3, lambda *_: None)
    assert [history.status for history in histories] == ["finished", "diverged", "finished"]
    assert histories[1].diverged_at is not None
    # Step 0 still sees the sane start; its update is what leaves the finite numbers.
    assert histories[1].diverged_at["step"] in (1, 2)
    assert histories[1].diverged_at["learning_rate"] == 1e38
    assert repr(histories[0].validations) == repr(histories[2].validations)


def test_members_measured_side_by_side_read_as_if_each_had_walked_alone(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    """Three heads, two members of each; then no more than one at a time."""
    heads = [kind(TEN) for kind in (SoftmaxCCE, SigmoidBCE, SoftmaxBCE)] * 2
    histories, listeners, _ = run(digits, heads)
    alone = [run(digits, [head])[0][0] for head in heads]
    assert repr(histories) == repr(alone)
    monkeypatch.setattr("lossheads.engine.evaluation._CELLS_AT_ONCE", 1)
    one_by_one, _, _ = run(digits, heads)
    assert repr(one_by_one) == repr(histories)
    for history, listener in zip(histories, listeners, strict=True):
        assert repr(listener.validations) == repr(history.validations)


def test_the_labels_of_a_split_are_counted_once_for_all_members_and_steps(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    original = LabelStats.__init__

    def counted(self: LabelStats, *arguments: Any) -> None:
        made.append(self)
        original(self, *arguments)

    monkeypatch.setattr(LabelStats, "__init__", counted)
    run(digits, [SoftmaxCCE(TEN), SoftmaxCCE(TEN), SigmoidBCE(TEN)], patience=2)
    assert [len(stats.labels) for stats in made] == [len(digits.val), len(digits.test)]


def test_early_stopping_ignores_values_that_are_not_better_than_nothing() -> None:
    for higher_is_better, worst, better in ((True, -math.inf, 0.1), (False, math.inf, 9.0)):
        stopping = EarlyStopping("any", higher_is_better, patience=2)
        for step, value in enumerate((math.nan, worst)):
            stopping.update(step, value, dict)
        assert stopping.best_weights is None
        assert stopping.should_stop
        stopping.update(2, better, dict)
        assert (stopping.best_step, stopping.best_value, stopping.wait) == (2, better, 0)
        assert not stopping.should_stop


def test_early_stopping_keeps_the_best_validation(digits: Dataset) -> None:
    """A rate so large that validation wobbles: the kept step is the best one, not the last."""
    plan = {"steps": 400, "validate_at": frozenset(range(0, 401, 2)), "patience": 5}
    (history,), _, cohort = run(digits, [SoftmaxCCE(TEN)], lr=0.3, **plan)
    scores = {
        validation.step: validation.val.metrics["accuracy_score"]
        for validation in history.validations
    }
    kept = history.validations[history.kept_index]
    best = max(scores.values())
    assert kept.val.metrics["accuracy_score"] == best
    assert kept.step == min(step for step, score in scores.items() if score == best)
    assert list(scores) == sorted(scores)
    assert max(scores) == kept.step + 2 * 5 < 400
    assert [
        validation.step for validation in history.validations if validation.test is not None
    ] == [kept.step]
    (note,) = history.notes
    assert note.startswith(f"stopped at step {kept.step + 10} of 400: kept step {kept.step} ")
    again, _, _ = run(
        digits, [SoftmaxCCE(TEN)], lr=0.3, steps=kept.step, validate_at=frozenset({kept.step})
    )
    assert repr(again[0].validations[-1].test) == repr(
        kept.test
    )  # as text: NaN equals itself there
    assert cohort.weights(0).keys() == {
        "backbone.1.weight",
        "backbone.1.bias",
        "output_layer.weight",
        "output_layer.bias",
    }


def test_early_stopping_on_a_loss_looks_for_the_smallest(digits: Dataset) -> None:
    plan = {
        "steps": 400,
        "validate_at": frozenset(range(0, 401, 2)),
        "patience": 5,
        "monitor": "nll_loss",
    }
    (history,), _, _ = run(digits, [SoftmaxCCE(TEN)], lr=0.3, **plan)
    losses = [validation.val.metrics["nll_loss"] for validation in history.validations]
    assert losses[history.kept_index] == min(losses) < losses[0]


def test_the_best_of_all_validations_is_kept_even_if_patience_was_left(digits: Dataset) -> None:
    plan = {"steps": 30, "validate_at": frozenset(range(0, 31, 2)), "patience": 100}
    (history,), _, _ = run(digits, [SoftmaxCCE(TEN)], lr=0.3, **plan)
    scores = [validation.val.metrics["accuracy_score"] for validation in history.validations]
    assert scores[history.kept_index] == max(scores) > scores[-1]
    (note,) = history.notes
    assert note.startswith(f"kept step {history.validations[history.kept_index].step} (epoch ")


def test_first_step_has_the_gradients_of_zero_logits(digits: Dataset) -> None:
    """All-zero output layer, claims.md's table: 0.949 for CCE, 1.581 for BCE summed, C = 10."""
    members = [
        Member(head, 3, 3, {"lr": 1e-2, "fused": True})
        for head in (SoftmaxCCE(TEN), SigmoidBCE(TEN), SigmoidBCE(TEN, class_reduction="mean"))
    ]
    cohort = build_cohort(
        BACKBONE, digits.input_shape, members, digits.train.labels, partial(torch.optim.SGD), CPU
    )
    for k in range(3):
        weights = cohort.weights(k)
        weights["output_layer.weight"].zero_()
        weights["output_layer.bias"].zero_()
        cohort.restore(k, weights)
    rows = first_step(cohort, digits.train)
    norms = [math.sqrt(0.9**2 + 9 * 0.1**2), math.sqrt(10 * 0.25), math.sqrt(10 * 0.25) / 10]
    assert [row["gradient_norm"] for row in rows] == pytest.approx(norms, rel=1e-5)
    losses = [math.log(10), 10 * math.log(2), math.log(2)]
    assert [row["loss"] for row in rows] == pytest.approx(losses, rel=1e-5)


def test_outliers_and_thresholds_are_measured_at_the_end(
    digits: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Blank images as outliers, against scikit-learn's AUROC of the highest score."""
    noise = torch.rand(50, *digits.input_shape, generator=torch.Generator().manual_seed(2))
    (history,), _, cohort = run(replace(digits, outliers={"noise": noise}), [SoftmaxCCE(TEN)])
    measured = history.validations[-1].test
    assert measured is not None
    scores = [cohort.logits(part)[0].softmax(1).amax(1) for part in (digits.test.inputs, noise)]
    truth = [1] * len(scores[0]) + [0] * len(scores[1])
    expected = roc_auc_score(truth, torch.cat(scores).numpy())
    assert measured.metrics["outliers/noise/max_score_auroc_score"] == pytest.approx(expected)
    assert measured.baselines["outliers/noise/max_score_auroc_score"] == 0.5
    assert not any(name.startswith("tuned/") for name in measured.metrics)


def test_several_labels_are_decided_in_three_ways(tmp_path: Path) -> None:
    words = ["dataset=synthetic_multilabel", "dataset.labels=4", "dataset.train=500"]
    dataset = build("dataset", compose(words)["dataset"], trust=[]).load(None, tmp_path)
    (history,), _, _ = run(dataset, [SigmoidBCE(AnyOf(4))], monitor="elementwise_accuracy_score")
    measured = history.validations[-1].test
    assert measured is not None
    assert {"macro_f1_score", "one_half/macro_f1_score", "tuned/macro_f1_score"} <= set(
        measured.metrics
    )
    # sigma(s) > 1/2 is the sigmoid head's own rule
    assert measured.metrics["one_half/macro_f1_score"] == measured.metrics["macro_f1_score"]
    assert measured.metrics["tuned/macro_f1_score"] != measured.metrics["macro_f1_score"]
