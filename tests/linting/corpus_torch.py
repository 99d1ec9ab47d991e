"""Plain torch: modules and functions as losses, compiled models, this project's heads."""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossheads as lh

from .corpus import (
    BINARY,
    CLASSES,
    MANY,
    MAPS,
    ONE_HOT,
    PIXELS,
    RARE,
    SKEWED,
    SOFT,
    C,
    L,
    N,
    Then,
    X,
    convolutions,
    generator,
    net,
    right,
    wrong,
)


def traced(model: nn.Module, inputs: Tensor) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, and still in people's files
        return torch.jit.trace(model, inputs)


# --- right ---------------------------------------------------------------------------------------


@right("torch")
def cross_entropy_on_logits():
    return net(C), X, CLASSES, nn.CrossEntropyLoss()


@right("torch")
def cross_entropy_on_one_hot_rows():
    return net(C), X, ONE_HOT, nn.CrossEntropyLoss()


@right("torch")
def cross_entropy_on_soft_rows():
    return net(C), X, SOFT, nn.CrossEntropyLoss()


@right("torch")
def cross_entropy_with_smoothing():
    return net(C), X, CLASSES, nn.CrossEntropyLoss(label_smoothing=0.1)


@right("torch")
def cross_entropy_weighted_against_imbalance():
    weight = N / (C * torch.bincount(SKEWED, minlength=C))
    return net(C), X, SKEWED, nn.CrossEntropyLoss(weight=weight)


@right("torch")
def cross_entropy_on_skewed_labels():
    return net(C), X, SKEWED, nn.CrossEntropyLoss()


@right("torch")
def log_softmax_is_harmless_before_cross_entropy():
    return net(C, nn.LogSoftmax(dim=1)), X, CLASSES, nn.CrossEntropyLoss()


@right("torch")
def nll_on_log_softmax():
    return net(C, nn.LogSoftmax(dim=-1)), X, CLASSES, nn.NLLLoss()


@right("torch")
def nll_on_log_of_softmax():
    last = Then(lambda z: torch.log(torch.softmax(z, dim=1) + 1e-9))
    return net(C, last), X, CLASSES, nn.NLLLoss()


@right("torch")
def one_logit_with_bce():
    return net(1), X, BINARY.float().unsqueeze(1), nn.BCEWithLogitsLoss()


@right("torch")
def one_logit_squeezed():
    return net(1, nn.Flatten(0)), X, BINARY.float(), nn.BCEWithLogitsLoss()


@right("torch")
def one_sigmoid_with_bce_of_probabilities():
    return net(1, nn.Sigmoid()), X, BINARY.float().unsqueeze(1), nn.BCELoss()


@right("torch")
def rare_positives_weighted_up():
    weight = (RARE == 0).sum() / RARE.sum()
    return net(1, nn.Flatten(0)), X, RARE.float(), nn.BCEWithLogitsLoss(pos_weight=weight)


@right("torch")
def rare_positives_left_alone():
    return net(1, nn.Flatten(0)), X, RARE.float(), nn.BCEWithLogitsLoss()


@right("torch")
def several_labels_with_bce():
    return net(L), X, MANY, nn.BCEWithLogitsLoss()


@right("torch")
def several_labels_with_pos_weight_per_label():
    weight = (1 - MANY).sum(0) / MANY.sum(0)
    return net(L), X, MANY, nn.BCEWithLogitsLoss(pos_weight=weight)


@right("torch")
def several_labels_with_multilabel_soft_margin():
    return net(L), X, MANY, nn.MultiLabelSoftMarginLoss()


@right("torch")
def several_sigmoids_with_bce_of_probabilities():
    return net(L, nn.Sigmoid()), X, MANY, nn.BCELoss()


@right("torch")
def one_versus_rest_on_one_hot_rows():
    return net(C), X, ONE_HOT, nn.BCEWithLogitsLoss()


@right("torch")
def bce_on_soft_labels():
    return net(L), X, 0.05 + 0.9 * MANY, nn.BCEWithLogitsLoss()


@right("torch")
def pixels_with_an_ignored_class():
    target = PIXELS.clone()
    target[:, 0] = 255
    return convolutions(), MAPS, target, nn.CrossEntropyLoss(ignore_index=255)


@right("torch")
def tokens_with_ignored_padding():
    tokens = torch.randint(1, C, (6, 5), generator=generator())
    tokens[:, 3:] = 0
    model = nn.Sequential(nn.Embedding(C, 8), nn.Linear(8, C), Then(lambda z: z.transpose(1, 2)))
    return model, tokens, tokens, nn.CrossEntropyLoss(ignore_index=0)


@right("torch")
def kl_divergence_on_log_softmax():
    return net(C, nn.LogSoftmax(dim=1)), X, SOFT, nn.KLDivLoss(reduction="batchmean")


@right("torch")
def squared_error_on_softmax():
    return net(C, nn.Softmax(dim=1)), X, ONE_HOT, nn.MSELoss()


@right("torch")
def regression_of_one_number():
    target = torch.randn(N, 1, generator=generator())
    return net(1), X, target, nn.MSELoss()


@right("torch")
def multi_margin_on_logits():
    return net(C), X, CLASSES, nn.MultiMarginLoss()


@right("torch")
def batch_norm_and_dropout_in_training():
    model = nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, C)
    )
    return model.train(), X, CLASSES, nn.CrossEntropyLoss()


@right("torch")
def cross_entropy_by_hand():
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()

    return net(C), X, ONE_HOT, loss


@right("torch")
def focal_loss_by_hand():
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        nats = F.cross_entropy(logits, target, reduction="none")
        return ((1 - torch.exp(-nats)) ** 2 * nats).mean()

    return net(C), X, CLASSES, loss


@right("torch")
def sigmoid_inside_the_loss():
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(torch.sigmoid(logits), target)

    return net(L), X, MANY, loss


@right("torch")
def dice_loss_on_sigmoid():
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        p = logits.sigmoid()
        return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)

    return convolutions(outputs=1), MAPS, (PIXELS == 1).float().unsqueeze(1), loss


@right("torch")
def two_logits():
    return net(2), X, BINARY, nn.CrossEntropyLoss()


@right("torch")
def two_softmax_units_with_bce_are_two_way_softmax():
    target = F.one_hot(BINARY, 2).float()
    return net(2, nn.Softmax(dim=1)), X, target, nn.BCELoss()


@right("torch")
def cosine_logits_with_a_scale():
    class Cosine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(C, 16, generator=generator()))

        def forward(self, x: Tensor) -> Tensor:
            return 16 * F.normalize(x, dim=1) @ F.normalize(self.weight, dim=1).T

    return nn.Sequential(nn.Linear(8, 16), Cosine()), X, CLASSES, nn.CrossEntropyLoss()


@right("torch")
def soft_capped_logits():
    return net(C, Then(lambda z: 30 * torch.tanh(z / 30))), X, CLASSES, nn.CrossEntropyLoss()


@right("torch")
def frozen_backbone():
    model = net(C)
    model[0].requires_grad_(False)
    return model, X, CLASSES, nn.CrossEntropyLoss()


@right("torch")
def a_trained_model():
    model = net(C)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(model(X), CLASSES).backward()
        optimizer.step()
    return model, X, CLASSES, nn.CrossEntropyLoss()


@right("torch")
def two_examples():
    return net(C), X[:2], CLASSES[:2], nn.CrossEntropyLoss()


@right("torch")
def double_precision():
    return net(C).double(), X.double(), CLASSES, nn.CrossEntropyLoss()


@right("torch compiled")
def compiled_cross_entropy():
    return torch.compile(net(C), backend="eager"), X, CLASSES, nn.CrossEntropyLoss()


@right("torch compiled")
def scripted_bce():
    return traced(net(L), X), X, MANY, nn.BCEWithLogitsLoss()


@right("lossheads")
def head_softmax_cce():
    return net(C), X, CLASSES, lh.SoftmaxCCE(lh.OneOf(C))


@right("lossheads")
def head_sigmoid_bce():
    return net(L), X, MANY.long(), lh.SigmoidBCE(lh.AnyOf(L))


@right("lossheads")
def head_multilabel_cce():
    return net(L), X, MANY.bool(), lh.MultilabelCCE(lh.AnyOf(L))


@right("torchmetrics")
def accuracy_of_one_hot_by_argmax():
    def accuracy(logits: Tensor, target: Tensor) -> float:
        return (logits.argmax(1) == target).float().mean().item()

    return net(C), X, CLASSES, nn.CrossEntropyLoss(), accuracy


@right("torchmetrics")
def label_accuracy_by_sign():
    def accuracy(logits: Tensor, target: Tensor) -> float:
        return ((logits > 0) == target.bool()).float().mean().item()

    return net(L), X, MANY, nn.BCEWithLogitsLoss(), accuracy


# --- wrong ---------------------------------------------------------------------------------------


@wrong("torch", "softmax-before-logits-loss")
def softmax_then_cross_entropy():
    return net(C, nn.Softmax(dim=1)), X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch", "softmax-before-logits-loss")
def softmax_by_hand_then_cross_entropy():
    last = Then(lambda z: z.exp() / z.exp().sum(dim=1, keepdim=True))
    return net(C, last), X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch", "softmax-before-logits-loss")
def softmax_then_cross_entropy_by_hand():
    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        return -(target * outputs.log_softmax(dim=1)).sum(dim=1).mean()

    return net(C, nn.Softmax(dim=1)), X, ONE_HOT, loss


@wrong("torch", "softmax-before-logits-loss")
def softmax_over_pixels_then_cross_entropy():
    return convolutions(nn.Softmax2d()), MAPS, PIXELS, nn.CrossEntropyLoss()


@wrong("torch compiled", "softmax-before-logits-loss")
def compiled_softmax_then_cross_entropy():
    model = torch.compile(net(C, nn.Softmax(dim=1)), backend="eager")
    return model, X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch compiled", "softmax-before-logits-loss")
def traced_softmax_then_cross_entropy():
    model = traced(net(C, nn.Softmax(dim=1)), X)
    return model, X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch", "sigmoid-before-logits-loss")
def sigmoid_twice():
    return net(1, nn.Sigmoid()), X, BINARY.float().unsqueeze(1), nn.BCEWithLogitsLoss()


@wrong("torch", "sigmoid-before-logits-loss")
def sigmoid_twice_for_several_labels():
    return net(L, nn.Sigmoid()), X, MANY, nn.BCEWithLogitsLoss()


@wrong("torch", "sigmoid-before-logits-loss")
def sigmoid_then_cross_entropy():
    return net(C, nn.Sigmoid()), X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch", "sigmoid-before-logits-loss")
def sigmoid_twice_by_hand():
    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(torch.sigmoid(outputs), target)

    return net(L, nn.Sigmoid()), X, MANY, loss


@wrong("torch", "softmax-before-logits-loss")
def softmax_then_bce_with_logits():
    return net(C, nn.Softmax(dim=1)), X, ONE_HOT, nn.BCEWithLogitsLoss()


@wrong("torch", "logits-into-probability-loss")
def logits_into_bce():
    return net(1), X, BINARY.float().unsqueeze(1), nn.BCELoss()


@wrong("torch", "not-log-probabilities")
def logits_into_nll():
    return net(C), X, CLASSES, nn.NLLLoss()


@wrong("torch", "not-log-probabilities")
def softmax_into_nll():
    return net(C, nn.Softmax(dim=1)), X, CLASSES, nn.NLLLoss()


@wrong("torch", "not-log-probabilities")
def softmax_into_kl_divergence():
    return net(C, nn.Softmax(dim=1)), X, SOFT, nn.KLDivLoss(reduction="batchmean")


@wrong("torch", "mean-over-cells")
def kl_divergence_averaged_over_cells():
    return net(C, nn.LogSoftmax(dim=1)), X, SOFT, nn.KLDivLoss()


@wrong("torch", "one-unit-softmax")
def one_unit_under_softmax():
    return net(1, nn.Softmax(dim=1)), X, BINARY.float().unsqueeze(1), nn.BCELoss()


@wrong("torch", "one-unit-softmax")
def one_unit_with_cross_entropy():
    return net(1), X, BINARY.float().unsqueeze(1), nn.CrossEntropyLoss()


@wrong("torch", "relu-before-loss")
def relu_as_last_layer():
    return net(C, nn.ReLU()), X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch", "relu-before-loss")
def relu_before_bce():
    return net(1, nn.ReLU(), nn.Flatten(0)), X, BINARY.float(), nn.BCEWithLogitsLoss()


@wrong("torch", "tanh-before-loss")
def tanh_as_last_layer():
    return net(C, nn.Tanh()), X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch", "softmax-over-wrong-dimension")
def log_softmax_over_the_batch():
    return net(C, nn.LogSoftmax(dim=0)), X, CLASSES, nn.NLLLoss()


@wrong("torch", "softmax-over-wrong-dimension")
def softmax_over_the_batch_with_squared_error():
    return net(C, nn.Softmax(dim=0)), X, ONE_HOT, nn.MSELoss()


@wrong("torch", "softmax-over-wrong-dimension")
def softmax_over_the_width_of_a_picture():
    return convolutions(nn.LogSoftmax(dim=-1)), MAPS, PIXELS, nn.NLLLoss()


@wrong("torch", "softmax-with-binary-loss")
def softmax_with_bce():
    return net(C, nn.Softmax(dim=1)), X, ONE_HOT, nn.BCELoss()


@wrong("torch", "softmax-for-several-labels")
def several_labels_with_softmax_and_bce():
    return net(L, nn.Softmax(dim=1)), X, MANY, nn.BCELoss()


@wrong("torch", "softmax-for-several-labels")
def several_labels_with_cross_entropy():
    return net(L), X, MANY, nn.CrossEntropyLoss()


@wrong("torch", "softmax-for-several-labels")
def several_labels_with_cross_entropy_by_hand():
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()

    return net(L), X, MANY, loss


@wrong("torch", "targets-not-distributions")
def percentages_as_soft_rows():
    return net(C), X, 100 * SOFT, nn.CrossEntropyLoss()


@wrong("torch", "targets-outside-unit-interval")
def indices_into_bce():
    return net(1, nn.Flatten(0)), X, CLASSES.float(), nn.BCEWithLogitsLoss()


@wrong("torch", "targets-outside-unit-interval")
def plus_and_minus_one_into_bce():
    return net(1, nn.Flatten(0)), X, (2 * BINARY - 1).float(), nn.BCEWithLogitsLoss()


@wrong("torch", "targets-outside-unit-interval")
def a_mask_of_bytes_into_bce():
    mask = 255 * (PIXELS == 1).float().unsqueeze(1)
    return convolutions(outputs=1), MAPS, mask, nn.BCEWithLogitsLoss()


@wrong("torch", "labels-out-of-range")
def classes_counted_from_one():
    return net(C), X, CLASSES + 1, nn.CrossEntropyLoss()


@wrong("torch", "labels-out-of-range")
def a_void_class_that_is_not_ignored():
    target = PIXELS.clone()
    target[0, 0] = 255
    return convolutions(), MAPS, target, nn.CrossEntropyLoss()


@wrong("torch", "ignored-class")
def the_first_class_ignored():
    return net(C), X, CLASSES, nn.CrossEntropyLoss(ignore_index=0)


@wrong("torch", "all-targets-ignored")
def every_label_ignored():
    return net(C), X, torch.full((N,), -100), nn.CrossEntropyLoss()


@wrong("torch", "target-dtype")
def one_hot_rows_of_integers():
    return net(C), X, ONE_HOT.long(), nn.CrossEntropyLoss()


@wrong("torch", "target-dtype")
def float_indices():
    return net(C), X, CLASSES.float(), nn.CrossEntropyLoss()


@wrong("torch", "target-dtype")
def integers_into_bce():
    return net(1, nn.Flatten(0)), X, BINARY, nn.BCEWithLogitsLoss()


@wrong("torch", "target-shape")
def a_column_of_classes():
    return net(C), X, CLASSES.unsqueeze(1), nn.CrossEntropyLoss()


@wrong("torch", "target-shape")
def a_column_of_logits_and_a_row_of_labels():
    return net(1), X, BINARY.float(), nn.BCEWithLogitsLoss()


@wrong("torch", "target-shape")
def class_dimension_last():
    model = nn.Sequential(nn.Embedding(7, 8), nn.Linear(8, 7))
    tokens = torch.randint(7, (6, 5), generator=generator())
    return model, tokens, tokens, nn.CrossEntropyLoss()


@wrong("torch", "broadcast-targets")
def squared_error_of_a_column_and_a_row():
    return net(1, nn.Sigmoid()), X, BINARY.float(), nn.MSELoss()


@wrong("torch", "smoothed-twice")
def smoothed_rows_smoothed_again():
    rows = 0.9 * ONE_HOT + 0.1 / C
    return net(C), X, rows, nn.CrossEntropyLoss(label_smoothing=0.1)


@wrong("torch", "pos-weight-inverted")
def pos_weight_the_wrong_way_round():
    weight = RARE.sum() / (RARE == 0).sum()
    return net(1, nn.Flatten(0)), X, RARE.float(), nn.BCEWithLogitsLoss(pos_weight=weight)


@wrong("torch", "pos-weight-shape")
def pos_weight_with_one_number_per_example():
    labels = MANY[:L]
    weight = torch.linspace(1, 3, L).unsqueeze(1)
    return net(L), X[:L], labels, nn.BCEWithLogitsLoss(pos_weight=weight)


@wrong("torch", "pos-weight-shape")
def pos_weight_of_two_classes_for_one_logit():
    weight = torch.tensor([1.0, 7.0])
    return net(1), X, RARE.float().unsqueeze(1), nn.BCEWithLogitsLoss(pos_weight=weight)


@wrong("torch", "weight-scales-everything")
def weight_in_place_of_pos_weight():
    loss = nn.BCEWithLogitsLoss(weight=torch.tensor([7.0]))
    return net(1), X, RARE.float().unsqueeze(1), loss


@wrong("torch", "class-weight-inverted")
def class_weights_that_follow_the_frequency():
    weight = torch.bincount(SKEWED, minlength=C) / N
    return net(C), X, SKEWED, nn.CrossEntropyLoss(weight=weight)


@wrong("torch", "class-weight-shape")
def one_class_weight_too_few():
    return net(C), X, CLASSES, nn.CrossEntropyLoss(weight=torch.ones(C - 1))


@wrong("torch", "sum-over-batch")
def cross_entropy_summed_over_the_batch():
    return net(C), X, CLASSES, nn.CrossEntropyLoss(reduction="sum")


@wrong("torch", "unreduced-loss")
def loss_not_reduced():
    return net(C), X, CLASSES, nn.CrossEntropyLoss(reduction="none")


@wrong("torch", "no-gradient")
def outputs_detached():
    return net(C, Then(lambda z: z.detach())), X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch", "no-gradient")
def decisions_in_the_loss():
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return 1 - (logits.argmax(dim=1) == target).float().mean()

    return net(C), X, CLASSES, loss


@wrong("torch", "dead-gradient")
def a_backbone_whose_units_are_all_dead():
    model = net(C)
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
        model[2].weight.zero_()
    model[2].requires_grad_(False)
    return model, X, CLASSES, nn.CrossEntropyLoss()


@wrong("torch", "dead-gradient")
def saturated_sigmoids():
    model = net(1, nn.Sigmoid(), nn.Flatten(0))
    with torch.no_grad():
        model[2].bias.fill_(200.0)
    return model, X, torch.zeros(N), nn.BCELoss()


@wrong("torch", "initial-loss")
def bytes_as_inputs():
    pictures = torch.randint(256, (N, 8), generator=generator()).float()
    return net(C), pictures, CLASSES, nn.CrossEntropyLoss()


@wrong("lossheads", "softmax-before-logits-loss")
def softmax_before_a_head():
    return net(C, nn.Softmax(dim=1)), X, CLASSES, lh.SoftmaxCCE(lh.OneOf(C))


@wrong("lossheads", "sigmoid-before-logits-loss")
def sigmoid_before_a_head():
    return net(L, nn.Sigmoid()), X, MANY.long(), lh.SigmoidBCE(lh.AnyOf(L))


@wrong("torchmetrics", "metric-sigmoid-again")
def metric_applies_sigmoid_to_probabilities():
    def accuracy_multi(outputs: Tensor, target: Tensor) -> float:
        return ((outputs.sigmoid() > 0.5) == target.bool()).float().mean().item()

    return net(L, nn.Sigmoid()), X, MANY, nn.BCELoss(), accuracy_multi


@wrong("torchmetrics", "metric-cuts-logits-at-half")
def metric_cuts_logits_at_half():
    def accuracy(outputs: Tensor, target: Tensor) -> float:
        return ((outputs > 0.5) == target.bool()).float().mean().item()

    return net(L), X, MANY, nn.BCEWithLogitsLoss(), accuracy


@wrong("torchmetrics", "metric-rounds-logits")
def metric_rounds_logits():
    def accuracy(outputs: Tensor, target: Tensor) -> float:
        return (outputs.round() == target).float().mean().item()

    return net(1, nn.Flatten(0)), X, BINARY.float(), nn.BCEWithLogitsLoss(), accuracy


@wrong("torchmetrics", "metric-elementwise-on-one-hot")
def metric_counts_cells_of_one_hot_rows():
    def accuracy(outputs: Tensor, target: Tensor) -> float:
        return ((outputs.sigmoid() > 0.5) == target.bool()).float().mean().item()

    return net(C), X, ONE_HOT, nn.BCEWithLogitsLoss(), accuracy


@wrong("torchmetrics", "metric-argmax-for-several-labels")
def metric_compares_the_strongest_label():
    def accuracy(outputs: Tensor, target: Tensor) -> float:
        return (outputs.argmax(1) == target.argmax(1)).float().mean().item()

    return net(L), X, MANY, nn.BCEWithLogitsLoss(), accuracy


@wrong("torchmetrics", "metric-argmax-of-one-unit")
def metric_takes_the_argmax_of_one_unit():
    def accuracy(outputs: Tensor, target: Tensor) -> float:
        return (outputs.argmax(1) == target.squeeze(1)).float().mean().item()

    return net(1), X, BINARY.float().unsqueeze(1), nn.BCEWithLogitsLoss(), accuracy
