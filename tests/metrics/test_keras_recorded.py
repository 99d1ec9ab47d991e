"""What Keras printed from 1.0.5 to 3.0.5, recorded by ask_keras.py, against our framework metrics.

Every version walked the same way to the same logits, and so do our heads: what differs is the
rule behind "accuracy". docs/dialects/how-keras-was-asked.md says how the records were made.
"""

import json
from pathlib import Path

import pytest
import torch

from lossheads.metrics import keras_2_3_accuracy, keras_3_accuracy

from .ask_keras import CASES
from .keras_cases import HEADS, WITHOUT_A_HEAD, batches, losses, predictions, train

FOLDER = Path(__file__).parent / "keras_recorded"
METRIC_OF = {
    "keras-1.0.5": keras_3_accuracy,  # shapes alone, as again from tf.keras 2.2 on
    "keras-1.0.6": keras_2_3_accuracy,
    "keras-2.0.8": keras_2_3_accuracy,
    "keras-2.3.1": keras_2_3_accuracy,
    "tf.keras-2.1.4": keras_2_3_accuracy,
    "tf.keras-2.2.3": keras_3_accuracy,
    "keras-3.0.5": keras_3_accuracy,
}
SAID = {name: json.loads((FOLDER / f"{name}.json").read_text())["cases"] for name in METRIC_OF}
HEARD = [(name, case) for name in METRIC_OF for case in CASES if "refused" not in SAID[name][case]]
# Keras 3.0 printed the mean of its batches' means, the short batch counting like the others.
MEAN_OF_MEANS = "keras-3.0.5"


def test_records_are_complete():
    assert {path.stem for path in FOLDER.iterdir()} == set(METRIC_OF)
    for name, cases in SAID.items():
        assert list(cases) == list(CASES) == list(HEADS), name


@pytest.mark.parametrize(("name", "case"), HEARD)
def test_our_dialect_prints_what_keras_printed(name, case):
    ours = METRIC_OF[name](predictions(case, train(case)))
    assert ours == pytest.approx(SAID[name][case]["accuracy"], abs=1e-6)


@pytest.mark.parametrize(
    "case", ["softmax, one-hot, bce", "sigmoid, one-hot, bce", "sigmoid, multi-hot"]
)
def test_the_rule_changed_twice_and_the_model_never(case):
    printed = [SAID[name][case]["accuracy"] for name in METRIC_OF]
    shapes, loss = printed[0], printed[1]
    assert printed == pytest.approx([shapes, loss, loss, loss, loss, shapes, shapes], abs=1e-6)
    assert loss > shapes + 0.04
    moved = [SAID[name][case]["logits_moved"] for name in METRIC_OF]
    assert moved == pytest.approx([moved[0]] * len(METRIC_OF), abs=1e-5)


# Single precision, fifteen steps, other orders of summation: 1e-5 leaves a factor of ten.
@pytest.mark.parametrize(("name", "case"), [pair for pair in HEARD if pair[1] != WITHOUT_A_HEAD])
def test_our_heads_reach_the_loss_that_keras_printed(name, case):
    each = losses(case, train(case))
    mean = each.mean()
    if name == MEAN_OF_MEANS:
        mean = torch.stack([each[rows].mean() for rows in batches()]).mean()
    assert mean.item() == pytest.approx(SAID[name][case]["loss"], abs=1e-5)


def test_keras_refused_a_column_of_targets_for_categorical_loss_up_to_tf_2_1():
    refusing = [name for name in METRIC_OF if "refused" in SAID[name]["one softmax unit"]]
    assert refusing == [name for name in METRIC_OF if name not in ("tf.keras-2.2.3", "keras-3.0.5")]
    assert sum("refused" in said for cases in SAID.values() for said in cases.values()) == 5


def test_one_softmax_unit_drifts_on_tensorflow_and_says_the_same():
    # TensorFlow's kernel has the gradient p - t also where the target sums to 0.
    drifting, still = (SAID[name]["one softmax unit"] for name in ("tf.keras-2.2.3", "keras-3.0.5"))
    assert drifting["logits_moved"] > 1
    assert still["logits_moved"] == 0
    assert drifting["accuracy"] == still["accuracy"]


# The records come from other machines: no decision may hang on a last bit.
@pytest.mark.parametrize("case", [case for case, (*_, trained) in CASES.items() if trained])
def test_no_unit_is_near_one_half_or_another_unit(case):
    head, framework_outputs = HEADS[case], predictions(case, train(case)).framework_outputs
    assert (framework_outputs - 0.5).abs().min() > 1e-4
    if head.num_logits > 1:
        highest = (
            framework_outputs.reshape(len(framework_outputs), -1, head.outcome.n).topk(2).values
        )
        assert (highest[..., 0] - highest[..., 1]).min() > 1e-4
