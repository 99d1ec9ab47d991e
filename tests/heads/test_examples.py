"""The worked examples: one per head name, and the very heads that the YAML files make."""

import math
from dataclasses import fields

import pytest

from lossheads.absent_losses import ABSENT, why_absent
from lossheads.heads import SoftmaxCCE
from lossheads.heads.examples import own_example, worked_examples
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .pairings import NAMES, build

EXAMPLES = {example.name: example for example in worked_examples()}
OUTCOMES = {str(o): o for o in (OneOf(2), OneOf(3), AnyOf(3), EachOneOf(2, 3))}


def test_every_head_name_has_one_example():
    assert len(worked_examples()) == len(EXAMPLES)
    assert sorted(EXAMPLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_the_work_of_the_head_that_the_yaml_file_makes(name, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "lossheads.heads.examples._example", lambda name, head, *_: seen.append((name, head))
    )
    worked_examples()
    head = dict(seen)[name]
    configured = build(name, OUTCOMES[EXAMPLES[name].outcome])
    assert type(head) is type(configured)
    for field in fields(head):
        if field.name != "base_rates":  # told at run time, not configured
            assert getattr(head, field.name) == getattr(configured, field.name)


@pytest.mark.parametrize("example", worked_examples(), ids=lambda example: example.name)
def test_an_example_fits_on_a_screen(example):
    assert len(example.explanation) <= 90
    assert "\n" not in example.explanation
    assert len(example.logits) <= 6
    assert math.isfinite(example.loss)
    assert math.copysign(1, example.loss) == 1


def test_the_examples_show_what_their_explanations_say():
    loss = {name: example.loss for name, example in EXAMPLES.items()}
    assert loss["softmax_cce"] == pytest.approx(-math.log(EXAMPLES["softmax_cce"].scores[0]))
    assert loss["sigmoid_bce"] == pytest.approx(3 * loss["sigmoid_bce_mean"])
    assert sum(EXAMPLES["sigmoid_bce"].scores) > 1.1
    assert loss["single_logit_bce"] == pytest.approx(loss["two_logit_cce"])
    assert loss["single_logit_softmax_cce"] == 0
    assert EXAMPLES["softmax_multihot"].decision == [True, False, False]
    assert loss["asymmetric"] < loss["per_label_cce"]
    assert loss["grouped_balanced_cce"] == loss["grouped_logsum_cce"]
    assert loss["grouped_kl_excess"] == pytest.approx(loss["grouped_logsum_cce"])
    assert EXAMPLES["grouped_cce"].decision == [0, 1]


def test_a_loss_that_is_no_head_is_named_with_the_reason():
    """And no head is called so, or the reason would be untrue."""
    for name, reason in ABSENT.items():
        assert why_absent(name) == reason
        assert name not in NAMES
    assert why_absent("Dice-Loss") == ABSENT["dice"]
    assert why_absent("softmax_cce") == why_absent("nothing") == ""


class OwnHead(SoftmaxCCE):
    """Squares of sigmoids, as Keras mse."""

    def loss(self, logits, target):
        return (logits.sigmoid() - target).square().mean(-1)


def test_what_a_head_of_ones_own_is_told_is_one_sentence():
    told = own_example("own", OwnHead).explanation
    assert told.startswith("Squares of sigmoids, as Keras mse; OwnHead has a loss of its own")
