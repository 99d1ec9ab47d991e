"""What one batch shows: evidence against formulas, near misses that are right, refusals."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossheads as lh
from lossheads.linting.codes import CODES, markdown

from .corpus import BINARY, CLASSES, MANY, ONE_HOT, SKEWED, C, L, N, Then, X, generator, net

ROOT = Path(__file__).parents[2]
CCE = nn.CrossEntropyLoss()


def codes(*given: Any, **named: Any) -> tuple[str, ...]:
    return lh.check(*given, **named).codes


def hints(*given: Any, **named: Any) -> set[str]:
    report = lh.check(*given, **named)
    assert report.findings == ()
    return {hint.code for hint in report.hints}


def test_every_claim_that_a_code_names_exists_and_the_page_lists_every_code() -> None:
    for code in CODES.values():
        assert not code.claim or (ROOT / "claims" / f"{code.claim}.yaml").is_file(), code
    assert markdown() in (ROOT / "docs" / "check.md").read_text(encoding="utf-8")


def test_a_report_says_all_in_plain_values() -> None:
    report = lh.check(net(C, nn.Softmax(dim=1)), X, CLASSES, loss=CCE)
    (found,) = report.to_dict()["findings"]
    assert found["code"] == "softmax-before-logits-loss"
    assert found["severity"] == "error"
    assert found["claim"] == "double-softmax"
    assert all(part in str(report) for part in found.values())
    assert "1 finding" in str(report)
    assert "no findings" in str(lh.check(net(C), X, CLASSES, loss=CCE))


def test_numbers_of_the_evidence() -> None:
    summed = lh.check(net(C), X, CLASSES, loss=nn.CrossEntropyLoss(reduction="sum")).findings[0]
    once = nn.CrossEntropyLoss(reduction="sum")(net(C)(X), CLASSES).item()
    assert f"{once:.4g}" in summed.evidence
    assert f"{2 * once:.4g}" in summed.evidence
    loud = net(C)
    with torch.no_grad():
        loud[2].weight.mul_(200)
    report = lh.check(loud, X, CLASSES, loss=CCE)
    nats = CCE(loud(X), CLASSES).item()
    assert nats > 20 * math.log(C)
    assert report.codes == ("initial-loss",)
    assert f"{nats:.3g} nats" in report.findings[0].evidence
    assert f"ln {C} = {math.log(C):.3g}" in report.findings[0].evidence


def padded(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=0)


def test_flattened_tokens_with_padding_are_right() -> None:
    tokens = torch.randint(1, C, (6, 5), generator=generator())
    tokens[:, 3:] = 0
    model = nn.Sequential(nn.Embedding(C, 8), nn.Linear(8, C))
    assert hints(model, tokens, tokens, loss=padded) == {"ignored-class-in-sequence"}


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, y: F.cross_entropy(z, y, reduction="sum") / N,
        lambda z, y: F.cross_entropy(z, y, reduction="none").sum() / N,
        lambda z, y: F.cross_entropy(z, y) + 0.1 * (z.softmax(1) ** 2).mean(),
        lambda z, y: F.cross_entropy(F.normalize(z) @ F.normalize(z).T / 0.1, torch.arange(len(z))),
        lambda z, y: F.multi_margin_loss(z, y),
    ],
    ids=["sum / N", "none, sum / N", "penalty", "contrastive", "margin"],
)
def test_losses_of_ones_own_that_are_right(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert codes(net(C), X, CLASSES, loss=loss) == ()


def test_a_small_batch_does_not_tell_the_frequency() -> None:
    """Weights against an imbalance of the data, on 8 rows where it happens to be turned."""
    labels = torch.tensor([0, 1, 1, 1, 1, 1, 1, 0])
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 4.0]))
    assert codes(net(2), X[:8], labels, loss=weighted) == ()
    per_class = nn.CrossEntropyLoss(weight=torch.bincount(SKEWED) / N)
    assert codes(net(C), X, SKEWED, loss=per_class) == ("class-weight-inverted",)


def test_two_losses_are_both_looked_at() -> None:
    def both(z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z[:, :C], y) + F.binary_cross_entropy_with_logits(
            z[:, C].sigmoid(), (y % 2).float()
        )

    assert codes(net(C + 1), X, CLASSES, loss=both) == ("sigmoid-before-logits-loss",)


def test_masked_and_scaled_logits_are_logits() -> None:
    hidden = Then(lambda z: z.masked_fill(torch.arange(C + 1) == C, -math.inf) / 0.7)
    assert codes(net(C + 1, hidden), X, CLASSES, loss=CCE) == ()


def test_softmax_columns_without_the_background_need_not_sum_to_one() -> None:
    def dice(p: Tensor, target: Tensor) -> Tensor:
        return 1 - 2 * (p * target).mean() / (p + target).mean()

    foreground = Then(lambda z: z.softmax(1)[:, 1:])
    assert codes(net(C, foreground), X, ONE_HOT[:, 1:], loss=dice) == ()


@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_is_only_logged_is_not_the_loss() -> None:
    lightning = pytest.importorskip("lightning")

    class Logging(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = net(C)

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            z, y = self.model(batch[0]), batch[1]
            self.log("of_probabilities", F.cross_entropy(z.softmax(1), y))
            return F.cross_entropy(z, y)

    assert codes(Logging(), X, CLASSES) == ()


def test_a_number_that_is_no_accuracy_is_no_misreading() -> None:
    def confidence(z: Tensor, y: Tensor) -> float:
        return z.softmax(1).amax(1).mean().item()

    def error(z: Tensor, y: Tensor) -> float:
        return (z.argmax(1) != y).float().mean().item()

    metrics = {"confidence": confidence, "error": error}
    assert codes(net(C), X, CLASSES, loss=CCE, metric=metrics) == ()


def test_hints_are_no_findings() -> None:
    def subset(z: Tensor, y: Tensor) -> float:
        return ((z > 0) == y.bool()).all(1).float().mean().item()

    def macro(z: Tensor, y: Tensor) -> float:
        hit = z.argmax(1) == y
        return sum(hit[y == c].float().mean().item() for c in y.unique()) / len(y.unique())

    bce = nn.BCEWithLogitsLoss()
    assert "metric-subset-accuracy" in hints(net(L), X, MANY, loss=bce, metric=subset)
    assert hints(net(C), X, CLASSES, loss=CCE, metric=macro) == {"metric-macro"}
    rare = (torch.rand(N, 20, generator=generator()) < 0.03).float()
    assert hints(net(20), X, rare, loss=bce) == {"mean-over-classes", "prior-bias"}


def test_what_cannot_be_seen_is_said() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    frozen = net(C).requires_grad_(False)
    report = lh.check(frozen, X, CLASSES, loss=CCE, metric=sklearn.accuracy_score)
    assert report.findings == ()
    said = " ".join(report.not_checked)
    assert "gradients" in said
    assert "accuracy_score" in said
    unread = lh.check(net(1), X, BINARY.float(), loss=lambda z, y: (z.squeeze(1) * y).mean())
    assert any("how the loss reads" in what for what in unread.not_checked)


class Lazy(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.LazyLinear(C))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((nn.Linear(7, C), X, CLASSES, CCE), ["forward", "Linear", "8"]),
        ((net(C), X, CLASSES, nn.CrossEntropyLoss), ["class CrossEntropyLoss"]),
        ((nn.Linear, X, CLASSES, CCE), ["class Linear"]),
        ((net(C), X, CLASSES, nn.CTCLoss()), ["CTCLoss", "input_lengths"]),
        ((net(C), X, CLASSES, lambda z, y: 0.5), ["float", "tensor"]),
        ((net(C), X, CLASSES, "cross_entropy"), ["'cross_entropy'", "Keras"]),
        ((net(C), X, CLASSES, 3), ["loss=3"]),
        ((net(C), X, CLASSES, None), ["no loss"]),
        ((net(C), X, CLASSES.tolist(), CCE), ["labels", "list"]),
        ((net(C), X, None, CCE), ["None"]),
        ((net(C), X[:0], CLASSES[:0], CCE), ["(0, 4)", "at least one"]),
        ((object(), X, CLASSES, CCE), ["object"]),
        ((Lazy(), X, CLASSES, CCE), ["lazy", "weight"]),
        ((Then(lambda x: "words"), X, CLASSES, CCE), ["str"]),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_refusals_are_one_sentence(given: tuple[Any, ...], named: list[str]) -> None:
    model, inputs, labels, loss = given
    with pytest.raises(lh.UserError) as refused:
        lh.check(model, inputs, labels, loss=loss)
    sentence = str(refused.value)
    assert sentence.startswith("check ")
    assert "\n" not in sentence
    assert all(word in sentence for word in named), sentence


def test_not_a_number_is_a_finding() -> None:
    report = lh.check(net(C), X * math.nan, CLASSES, loss=CCE)
    assert report.codes == ("loss-not-finite",)
    assert str(N * C) in report.findings[0].evidence


def test_arrays_and_named_inputs() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, C)

        def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
            return {"logits": self.layer(left + right).softmax(1)}

    halves = {"left": X.numpy() / 2, "right": X.numpy() / 2}
    report = lh.check(Named(), halves, ONE_HOT.numpy(), loss=CCE)
    assert report.codes == ("softmax-before-logits-loss",)
    assert any("'logits'" in note for note in report.notes)


def test_a_link_of_the_labels_is_no_reading_of_the_outputs() -> None:
    """Found in a thread: the sigmoid of the target was taken for the loss's own."""

    def squashed(out: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(torch.sigmoid(out), torch.sigmoid(target))

    found = codes(net(C, nn.ReLU()), X, torch.randn(N, C, generator=generator()), loss=squashed)
    report = lh.check(net(C, nn.Sigmoid()), X, ONE_HOT * 0.5, loss=_of_squashed_labels)
    assert "relu-before-loss" in found  # the outputs' own sigmoid reads what a ReLU has cut
    assert report.codes == ()


def _of_squashed_labels(out: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy(out, torch.sigmoid(target))
