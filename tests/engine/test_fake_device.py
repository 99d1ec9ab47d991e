"""A card where there is none: fake tensors know their device, mix with no other, cannot be read.

torch computes shapes and devices alone. That tells, without CUDA, that every tensor of a step and
of a measurement is made where the others lie, and that nothing waits for the card: reading a
number of a fake tensor raises. Gradients of losses are left to real devices, whose autograd
engine asks the driver.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from heads.pairings import kinds_of_pairings
from lossheads.engine.augmentation import Augmentation
from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import StackedCohort, build_cohort
from lossheads.engine.member import Member
from lossheads.heads.base import Head
from lossheads.metrics import evaluate as measuring
from lossheads.metrics.stats import LabelStats
from lossheads.models import cnn, linear, mlp, resnet9
from lossheads.outcomes import AnyOf
from lossheads.predictions import predict_cohort

CARD = torch.device("cuda", 0)
ROWS, BATCH, SHAPE = 40, 32, (1, 16, 16)
SHARED, OWN = [0, 0, 0], [0, 1, 2]  # orders of batches, by their seeds
ONE_RATE, RATES = [0.1, 0.1, 0.1], [0.1, 0.2, 0.3]
PAIRS = kinds_of_pairings()
each_pair = pytest.mark.parametrize("head", PAIRS)
A_HEAD: Head = PAIRS[0].values[0]


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.autograd, "grad", lambda _, leaf: (torch.empty_like(leaf),))
    with FakeTensorMode():
        yield


def labels_of(head: Head) -> torch.Tensor:
    """Labels of the outcome's shape and type; fake ones have no values."""
    outcome = head.outcome
    if outcome.soft:
        return torch.empty(ROWS, *outcome.columns, device=CARD)
    if isinstance(outcome, AnyOf):
        return torch.empty(ROWS, outcome.n, dtype=torch.bool, device=CARD)
    return torch.empty(ROWS, *outcome.columns[:-1], dtype=torch.int64, device=CARD)


def cohort_of(
    head: Head, backbone: Any, learning_rates: list[float], **options: Any
) -> StackedCohort:
    members = [Member(head, k, k, {"lr": lr, "fused": True}) for k, lr in enumerate(learning_rates)]
    adam = partial(torch.optim.Adam)
    cohort = build_cohort(backbone, SHAPE, members, labels_of(head), adam, CARD, **options)
    assert isinstance(cohort, StackedCohort)
    return cohort


def moved(
    head: Head,
    backbone: Any,
    seeds: list[int],
    learning_rates: list[float],
    how: Augmentation | None = None,
    **options: Any,
) -> None:
    cohort = cohort_of(head, backbone, learning_rates, **options)
    inputs = torch.empty(ROWS, *SHAPE, device=CARD)
    batches = batch_stream(ROWS, BATCH, seeds, CARD, how)
    for _ in range(3):  # a whole batch, the partial one that ends a pass, the next pass
        losses = cohort.step(inputs, next(batches))
        assert losses.shape == (len(learning_rates),)
        assert losses.device == CARD
    logits = cohort.logits(inputs)
    assert logits.shape == (len(learning_rates), ROWS, head.num_logits)
    assert logits.device == CARD


@each_pair
@pytest.mark.usefixtures("made_up")
def test_a_step_of_every_head_stays_on_the_card_and_asks_it_for_nothing(head: Head) -> None:
    moved(head, partial(mlp, hidden=[8]), seeds=OWN, learning_rates=ONE_RATE)


@pytest.mark.parametrize(
    "backbone",
    [
        linear,
        partial(mlp, hidden=[8, 8]),
        partial(cnn, channels=[4], dense=8),
        partial(resnet9, channels=[4, 4, 8, 8], groups=2),
    ],
    ids=["linear", "mlp", "cnn", "resnet9"],
)
# Every two of them meet, if not all three.
@pytest.mark.parametrize(
    ("seeds", "learning_rates", "compute_dtype"),
    [
        (SHARED, ONE_RATE, torch.float32),
        (SHARED, RATES, torch.bfloat16),
        (OWN, ONE_RATE, torch.bfloat16),
        (OWN, RATES, torch.float32),
    ],
    ids=str,
)
@pytest.mark.usefixtures("made_up")
def test_so_does_every_kind_of_cohort(
    backbone: Any, seeds: list[int], learning_rates: list[float], compute_dtype: torch.dtype
) -> None:
    moved(A_HEAD, backbone, seeds, learning_rates, compute_dtype=compute_dtype)


@pytest.mark.parametrize("seeds", [SHARED, OWN], ids=["shared order", "own orders"])
@pytest.mark.usefixtures("made_up")
def test_so_do_cropped_and_mirrored_rows(seeds: list[int]) -> None:
    how = Augmentation(crop=1, flip=True)
    moved(A_HEAD, partial(mlp, hidden=[8]), seeds, ONE_RATE, how)


@each_pair
@pytest.mark.usefixtures("made_up")
def test_a_validation_measures_all_members_with_one_transfer(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfers: list[torch.device] = []

    def transferred(numbers: torch.Tensor) -> list[float]:
        transfers.append(numbers.device)
        return [0.0] * numbers.numel()

    monkeypatch.setattr(measuring, "to_floats", transferred)
    # Whole labels are compared once per split, whoever is measured on it and how often.
    share = torch.empty((), dtype=torch.float64, device=CARD)
    for once in ("most_frequent_share", "best_worst_recall", "least_excess_coverage"):
        monkeypatch.setattr(LabelStats, once, share)
    labels = labels_of(head)
    truth = torch.empty(ROWS, *head.outcome.columns, dtype=torch.float64, device=CARD)
    said = predict_cohort(head, torch.empty(4, ROWS, head.num_logits, device=CARD), labels, truth)
    assert len(measuring.measure_cohort(said, full=False)) == 4
    assert transfers == [CARD]


@pytest.mark.usefixtures("made_up")
def test_a_made_up_card_refuses_what_these_tests_look_for() -> None:
    """Else the tests above would prove nothing."""
    on_card, on_cpu = torch.empty(4, device=CARD), torch.empty(4)
    with pytest.raises(DataDependentOutputException):
        on_card.sum().item()
    with pytest.raises(RuntimeError, match="device"):
        on_card + on_cpu
    with pytest.raises(DataDependentOutputException):
        on_card.tolist()
