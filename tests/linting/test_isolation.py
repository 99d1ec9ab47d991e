"""The user's model is left bit for bit as it was, whatever it does while it is looked at."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lossheads as lh

from .corpus import CLASSES, C, X, net
from .run_corpus import same, state_of

LOSS = nn.CrossEntropyLoss()


class Restless(nn.Module):
    """Draws from every stream, counts its calls, collects and changes in place what it can."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, C)
        )
        self.register_buffer("seen", torch.zeros(1))
        self.plain = torch.zeros(2)
        self.generator = torch.Generator().manual_seed(3)
        self.calls, self.kept, self.named = 0, [0.5], {"last": None}

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.kept.append(float(np.random.rand()) + random.random())
        self.named["last"] = x
        self.new = x
        self.seen += 1
        self.plain.add_(1)
        with torch.no_grad():
            self.layers[0].weight.mul_(1.5)
        x += torch.rand(1, generator=self.generator)  # in place, as nn.ReLU(inplace=True) does
        return self.layers(x)


def test_a_restless_model_is_as_before_and_its_restlessness_is_told() -> None:
    model, inputs = Restless(), X.clone()
    model.layers[0].weight.grad = torch.ones(8, 8)
    model.layers[2].eval()
    before = [*state_of(model), model.generator.get_state(), inputs.clone(), model.plain.clone()]
    report = lh.check(model, inputs, CLASSES, loss=LOSS)
    after = [*state_of(model), model.generator.get_state(), inputs, model.plain]
    assert same(before, after)
    assert (model.calls, model.kept, model.named) == (0, [0.5], {"last": None})
    assert not hasattr(model, "new")
    assert model.layers[3].weight.grad is None
    told = " ".join(report.notes)
    assert "random" in told
    for name in ("weight", "seen", "plain", "running_mean"):
        assert name in told, name


def test_nothing_changes_when_the_forward_pass_fails() -> None:
    class Failing(Restless):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise RuntimeError("no more")

    model = Failing()
    before = state_of(model)
    with pytest.raises(lh.UserError, match="no more"):
        lh.check(model, X, CLASSES, loss=LOSS)
    assert same(before, state_of(model))
    assert model.calls == 0


def test_hooks_stay_and_those_of_training_are_not_called() -> None:
    called: list[str] = []
    model = net(C)
    model[0].weight.register_hook(lambda gradient: called.append("tensor"))
    model[0].weight.register_post_accumulate_grad_hook(lambda p: called.append("accumulated"))
    model[2].register_full_backward_hook(lambda *given: called.append("module"))
    lh.check(model, X, CLASSES, loss=LOSS)
    assert called == []
    LOSS(model(X), CLASSES).backward()
    assert sorted(called) == ["accumulated", "module", "tensor"]


def lstm() -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = nn.LSTM(1, 5, batch_first=True), nn.Linear(5, C)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.lstm(x.unsqueeze(2))[0][:, -1])

    return Recurrent()


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, C))
    model[2].weight = model[0].weight
    return model


def normalised() -> nn.Module:
    weighted = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    return nn.Sequential(weighted, nn.utils.parametrizations.spectral_norm(nn.Linear(8, C)))


@pytest.mark.parametrize("make", [lstm, tied, normalised])
def test_modules_that_hold_their_weights_otherwise(make: Any) -> None:
    """They compute with the copies too: every parameter is reached, and still trains afterwards."""
    model = make()
    before = state_of(model)
    report = lh.check(model, X, CLASSES, loss=LOSS)
    assert report.findings == report.hints == ()
    assert same(before, state_of(model))
    LOSS(model(X), CLASSES).backward()
    assert all(p.grad is not None and p.grad.count_nonzero() for p in model.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_looks_at_gradients_where_none_are_kept(mode: Any) -> None:
    with mode():
        report = lh.check(net(C, nn.Softmax(dim=1)), X.clone(), CLASSES, loss=LOSS)
    assert report.codes == ("softmax-before-logits-loss",)
    assert "autograd graph" in report.findings[0].evidence


def test_a_metric_keeps_its_count() -> None:
    torchmetrics = pytest.importorskip("torchmetrics")
    metric = torchmetrics.classification.MulticlassAccuracy(num_classes=C)
    metric.update(torch.eye(C), torch.arange(C))
    lh.check(net(C), X, CLASSES, loss=LOSS, metric=metric)
    assert float(metric.compute()) == 1
    assert metric.update_count == 1
