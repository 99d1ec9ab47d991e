"""Metrics of torchmetrics beside modules and losses of torch."""

from torch import nn
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy, MultilabelF1Score

from .corpus import BINARY, CLASSES, MANY, C, L, X, net, right


@right("torchmetrics")
def multiclass_accuracy_micro():
    metric = MulticlassAccuracy(num_classes=C, average="micro")
    return net(C), X, CLASSES, nn.CrossEntropyLoss(), metric


@right("torchmetrics")
def multilabel_f1_on_logits():
    return net(L), X, MANY, nn.BCEWithLogitsLoss(), MultilabelF1Score(num_labels=L)


@right("torchmetrics")
def binary_auroc_on_probabilities():
    model = net(1, nn.Sigmoid(), nn.Flatten(0))
    return model, X, BINARY.float(), nn.BCELoss(), BinaryAUROC()
