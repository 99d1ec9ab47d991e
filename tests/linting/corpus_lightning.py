"""Lightning: the loss stands in `training_step`, the metric on the module."""

import lightning
import torch
import torch.nn.functional as F
import torchmetrics
from torch import Tensor, nn

from .corpus import BINARY, CLASSES, MANY, ONE_HOT, C, L, X, net, right, wrong


class Classifier(lightning.LightningModule):
    def __init__(self, model: nn.Module, criterion: nn.Module, **metrics: nn.Module) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        for name, metric in metrics.items():
            setattr(self, name, metric)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        loss = self.criterion(self(x), y)
        self.log("train_loss", loss)
        return loss


class Inline(Classifier):
    """The loss is a function called in the step, which returns a dictionary."""

    def __init__(self, model: nn.Module, function: object) -> None:
        super().__init__(model, nn.Identity())
        self.function = function

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        x, y = batch
        return {"loss": self.function(self(x), y)}


@right("lightning")
def lightning_cross_entropy():
    return Classifier(net(C), nn.CrossEntropyLoss()), X, CLASSES, None


@right("lightning")
def lightning_loss_in_the_step():
    return Inline(net(C), F.cross_entropy), X, CLASSES, None


@right("lightning")
def lightning_several_labels_with_metric():
    metric = torchmetrics.F1Score(task="multilabel", num_labels=L)
    return Classifier(net(L), nn.BCEWithLogitsLoss(), f1=metric), X, MANY, None


@right("lightning")
def lightning_converts_its_labels():
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits.squeeze(1), labels.float())

    return Inline(net(1), loss), X, BINARY, None


@right("lightning")
def lightning_softmax_behind_the_loss():
    class Module(Classifier):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            x, y = batch
            logits = self.model(x)
            loss = self.criterion(logits, y)
            self.log("confidence", logits.softmax(1).amax(1).mean())
            return loss

    return Module(net(C), nn.CrossEntropyLoss()), X, CLASSES, None


@wrong("lightning", "softmax-before-logits-loss")
def lightning_softmax_in_forward():
    return Classifier(net(C, nn.Softmax(dim=1)), nn.CrossEntropyLoss()), X, CLASSES, None


@wrong("lightning", "softmax-before-logits-loss")
def lightning_softmax_in_the_step():
    return Inline(net(C), lambda z, y: F.cross_entropy(F.softmax(z, dim=1), y)), X, CLASSES, None


@wrong("lightning", "sigmoid-before-logits-loss")
def lightning_sigmoid_twice():
    model = Classifier(net(L, nn.Sigmoid()), nn.BCEWithLogitsLoss())
    return model, X, MANY, None


@wrong("lightning", "no-gradient")
def lightning_loss_detached():
    return Inline(net(C), lambda z, y: F.cross_entropy(z, y).detach()), X, CLASSES, None


@wrong("lightning", "sum-over-batch")
def lightning_summed_over_the_batch():
    return Classifier(net(C), nn.CrossEntropyLoss(reduction="sum")), X, CLASSES, None


@wrong("lightning", "metric-argmax-of-one-unit")
def lightning_multiclass_metric_on_one_logit():
    def accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
        return (torch.argmax(outputs, dim=1) == labels.squeeze(1)).float().mean()

    model = Classifier(net(1), nn.BCEWithLogitsLoss())
    return model, X, BINARY.float().unsqueeze(1), None, accuracy


@wrong("lightning", "softmax-with-binary-loss")
def lightning_softmax_with_bce():
    return Classifier(net(C, nn.Softmax(dim=1)), nn.BCELoss()), X, ONE_HOT, None
