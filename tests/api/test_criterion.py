"""`head(logits, labels)`: a criterion for anybody's loop, with the values of torch's own losses."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lossheads as lh

N = 7


def logits_of(head: lh.Head, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(N, head.num_logits, generator=generator)


def hard_labels(outcome: lh.Outcome, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if isinstance(outcome, lh.AnyOf):
        return torch.rand(N, outcome.n, generator=generator) > 0.5
    shape = (N, outcome.groups) if isinstance(outcome, lh.EachOneOf) else (N,)
    return torch.randint(outcome.n, shape, generator=generator)


CCE, BCE, TAGS = (
    lh.SoftmaxCCE(lh.OneOf(5)),
    lh.SigmoidBCE(lh.OneOf(5)),
    lh.SigmoidBCE(lh.AnyOf(4)),
)
GROUPS = lh.GroupedCCE(lh.EachOneOf(3, 4))
HEADS = [
    CCE,
    BCE,
    TAGS,
    GROUPS,
    lh.SingleLogitBCE(lh.OneOf(2)),
    lh.TwoLogitCCE(lh.OneOf(2)),
    lh.SoftmaxBCE(lh.OneOf(5)),
    lh.Focal(lh.AnyOf(4)),
    lh.Asymmetric(lh.AnyOf(4)),
    lh.MultilabelCCE(lh.AnyOf(4)),
    lh.PerLabelCCE(lh.AnyOf(4)),
    lh.GroupedLogSumCCE(lh.EachOneOf(3, 4)),
]
NAMES = [f"{type(head).__name__} {head.outcome}" for head in HEADS]


def test_softmax_cce_is_torchs_cross_entropy() -> None:
    z, y = logits_of(CCE), hard_labels(CCE.outcome)
    torch.testing.assert_close(CCE(z, y), F.cross_entropy(z, y))
    shares = torch.softmax(logits_of(CCE, 3), dim=1)
    torch.testing.assert_close(CCE(z, shares), F.cross_entropy(z, shares))


def test_sigmoid_bce_is_torchs_sum_over_labels() -> None:
    z, y = logits_of(TAGS), hard_labels(TAGS.outcome)
    expected = F.binary_cross_entropy_with_logits(z, y.float(), reduction="sum") / N
    for labels in (y, y.long(), y.float()):
        torch.testing.assert_close(TAGS(z, labels), expected)


def test_grouped_logits_may_be_flat_or_in_groups() -> None:
    z, y = logits_of(GROUPS), hard_labels(GROUPS.outcome)
    expected = F.cross_entropy(z.view(N * 3, 4), y.flatten(), reduction="sum") / N
    torch.testing.assert_close(GROUPS(z, y), expected)
    assert torch.equal(GROUPS(z.view(N, 3, 4), y), GROUPS(z, y))


@pytest.mark.parametrize("head", HEADS, ids=NAMES)
def test_it_is_the_mean_of_the_heads_own_loss_and_differentiable(head: lh.Head) -> None:
    z, y = logits_of(head).requires_grad_(), hard_labels(head.outcome)
    value = head(z, y)
    assert value.shape == ()
    torch.testing.assert_close(value, head.loss(z, head.encode(y)).mean())
    (gradient,) = torch.autograd.grad(value, z)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("head", HEADS, ids=NAMES)
def test_it_pickles_copies_and_runs_under_vmap_and_compile(head: lh.Head) -> None:
    z, y = logits_of(head), hard_labels(head.outcome)
    expected = head(z, y)
    for twin in (pickle.loads(pickle.dumps(head)), copy.deepcopy(head)):
        assert twin == head
        assert torch.equal(twin(z, y), expected)
    torch.testing.assert_close(
        torch.func.vmap(head)(torch.stack([z, z]), torch.stack([y, y])), expected.expand(2)
    )
    torch._dynamo.reset()  # one limit of recompilations for all heads otherwise
    compiled = torch.compile(lambda a, b: head(a, b), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(z, y), expected)


def test_half_precision_is_widened_and_autocast_is_served() -> None:
    z, y = logits_of(CCE), hard_labels(CCE.outcome)
    assert CCE(z.bfloat16(), y).dtype == torch.float32
    layer = nn.Linear(5, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = CCE(layer(z), y)
    value.backward()
    assert value.dtype == torch.float32
    assert layer.weight.grad is not None


def test_a_loop_of_ones_own_learns_with_it() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=generator)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    torch.manual_seed(0)
    model, head = nn.Linear(4, 4), lh.SoftmaxCCE(lh.OneOf(4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        head(model(x), y).backward()
        optimizer.step()
    assert (head.decide(model(x)) == y).float().mean() > 0.95


Z5, Y5 = torch.zeros(N, 5), torch.zeros(N, dtype=torch.int64)

WRONG = [
    (CCE, Z5[:, :4], Y5, ["SoftmaxCCE", "(7, 4)", "(N, 5)"]),
    (CCE, Z5, Y5[:3], ["SoftmaxCCE", "(3,)", "7 rows"]),
    (CCE, Z5, F.one_hot(Y5, 5), ["(7, 5)", "int64", "integers (N,)"]),
    (CCE, Z5, Y5.bool(), ["bool", "integers (N,)"]),
    (CCE, Z5.long(), Y5, ["int64", "floats"]),
    (CCE, Z5, Y5.float(), ["float32", "(N, 5) as distributions"]),
    (TAGS, torch.zeros(N, 4), Y5, ["SigmoidBCE", "(7,)", "(N, 4)"]),
    (GROUPS, torch.zeros(N, 12), Y5, ["GroupedCCE", "(N, 3)"]),
    (CCE, torch.zeros(5), Y5, ["(5,)", "(N, 5)"]),
]


@pytest.mark.parametrize(("head", "logits", "labels", "words"), WRONG)
def test_what_does_not_fit_is_one_sentence(
    head: lh.Head, logits: Tensor, labels: Tensor, words: list[str]
) -> None:
    with pytest.raises(lh.UserError) as caught:
        head(logits, labels)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    "other", [None, "abc", [0, 1], Y5.numpy()], ids=["None", "word", "list", "numpy"]
)
def test_a_criterion_takes_tensors_alone(other: object) -> None:
    for pair in ((Z5, other), (other, Y5)):
        with pytest.raises(lh.UserError, match="tensors"):
            CCE(*pair)


@pytest.mark.parametrize("n", ["3", None, 2.5, float("nan"), True])
def test_the_number_of_classes_is_an_integer(n: object) -> None:
    for outcome in (lh.OneOf, lh.AnyOf):
        with pytest.raises(lh.UserError, match="integer"):
            outcome(n)


def test_a_head_for_hard_labels_refuses_distributions() -> None:
    with pytest.raises(lh.HeadMismatch, match="Focal"):
        lh.Focal(lh.OneOf(5))(Z5, torch.full((N, 5), 0.2))


@pytest.mark.parametrize("head", [lh.SoftmaxCCE, lh.MultilabelCCE, lh.GroupedCCE])
@pytest.mark.parametrize("given", [12, "12", None])
def test_a_number_where_an_outcome_is_due_says_which_outcome(head: type, given: object) -> None:
    with pytest.raises(lh.HeadMismatch) as caught:
        head(given)
    assert head.__name__ in str(caught.value)
    assert repr(given) in str(caught.value)
    assert "Of(" in str(caught.value)
