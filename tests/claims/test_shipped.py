"""Every shipped claim, resolved by the real configuration: keys, heads, metrics, differences.

One seed and no training: what the command line would refuse before a run is refused here.
"""

import re
from pathlib import Path

import pytest

from lossheads.claims.arm_runs import ArmRuns
from lossheads.claims.reading import list_claims
from lossheads.claims.record import refuse_metrics
from lossheads.claims.schema import as_arguments
from lossheads.runs.build import build_head, build_metrics
from lossheads.runs.composer import own_composer

CONFIGS = Path(__file__).parents[2] / "claims"
CLAIMS_WITH_ARMS = [claim for claim in list_claims(CONFIGS) if claim.arms]


@pytest.fixture(scope="module")
def composed():
    """As the command line does: Hydra composes each choice of groups once for all claims."""
    return own_composer()


@pytest.mark.parametrize("claim", CLAIMS_WITH_ARMS, ids=lambda claim: claim.slug)
def test_arms_resolve_differ_and_have_their_metrics(claim, composed):
    runs = ArmRuns(claim, composed, execute=lambda configs: [])
    runs.refuse_fixed_data()
    runs.refuse_equal_arms()
    refuse_metrics(
        runs,
        lambda config, name: build_metrics(config).find(name, build_head(config).outcome).info,
    )


def test_claims_that_ask_the_same_share_their_runs():
    # The puzzle's runs serve the claim about every project, and so on: a key more is hours more.
    def configurations(slug):
        (claim,) = [claim for claim in CLAIMS_WITH_ARMS if claim.slug == slug]
        return {(arm.redrawn, *sorted(as_arguments(arm.overrides))) for arm in claim.arms.values()}

    assert configurations("pos-weight-is-a-shift") <= configurations("multilabel-softmax-balances")
    assert configurations("accuracy-multi-96") <= configurations("multilabel-softmax-balances")
    assert configurations("noise-classes-hurt") <= configurations("nothing-is-here")
    puzzle = configurations("bce-97-vs-cce-90")
    assert len(puzzle & configurations("bce-helps-everywhere")) == 2
    assert len(puzzle & configurations("tree-like-classes-favour-bce")) == 2
    detector = configurations("detector-ce-or-bce")
    assert len(puzzle & detector) == 2
    assert len(detector & configurations("bce-mean-needs-c-times-the-rate")) == 2
    labels = configurations("multilabel-softmax-balances")
    assert len(labels & configurations("softmax-on-multi-hot-rows")) == 2
    sets = configurations("log-sums-balance-sets")
    assert len(sets & configurations("grouped-soft-optimum")) == 3
    assert len(sets & configurations("centred-loss-fails-on-hard-labels")) == 12


def test_two_remedies_for_rare_labels_are_asked_the_same_questions():
    # One was called refuted and the other reproduced on the same facts, by two sets of questions.
    names = [
        "more_recall",
        "better_f1",
        "better_f1_when_tuned",
        "better_order",
        "worse_probabilities",
    ]

    def questions(slug):
        (claim,) = [claim for claim in CLAIMS_WITH_ARMS if claim.slug == slug]
        asked = {
            (h.name, h.metrics, h.relation, h.value, h.margin)
            for h in claim.hypotheses
            if h.name.split("/")[0] in names
        }
        return asked, claim.verdict

    weighted, its_rule = questions("pos-weight-is-a-shift")
    logsum, the_other = questions("multilabel-softmax-balances")
    assert len(weighted) == 5 * 3
    assert weighted == logsum
    assert its_rule == the_other


def test_claims_about_kinds_of_data_draw_them_anew_and_given_data_stay():
    redrawn = {
        (arm.overrides["dataset"], arm.redrawn)
        for claim in CLAIMS_WITH_ARMS
        for arm in claim.arms.values()
        if claim.slug != "multi-label-accuracy-collapsed"  # about one project's data
    }
    assert {dataset for dataset, drawn in redrawn if drawn} == {
        "fashion_mnist_known",
        "fashion_mnist_known_none",
        "fashion_mnist_known_zero_rows",
        "quadrants",
        "synthetic_blobs",
        "synthetic_groups",
        "synthetic_multilabel",
        "synthetic_tree",
    }
    assert not any(dataset.startswith("synthetic") for dataset, drawn in redrawn if not drawn)


# A claim that two arms are alike is a claim about a margin: "differ by less than one point".
NO_DIFFERENCE = re.compile(
    r"not differ|no difference|\b(are|is|be) (equal|the same|identical|alike)|"
    r"\bequals\b|^the same\b"
)


@pytest.mark.parametrize("claim", CLAIMS_WITH_ARMS, ids=lambda claim: claim.slug)
def test_an_equivalence_says_its_margin_and_never_that_nothing_differs(claim):
    for hypothesis in claim.hypotheses:
        assert hypothesis.says, f"{hypothesis.name} has no words for the pages"
        if hypothesis.relation == "equivalent":
            assert not NO_DIFFERENCE.search(hypothesis.says), f"{hypothesis.name} {hypothesis.says}"
