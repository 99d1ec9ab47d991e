"""torchvision: its models and its losses; nothing is downloaded."""

from functools import partial

import torch
from torch import nn
from torchvision import models
from torchvision.ops import sigmoid_focal_loss

from .corpus import CLASSES, MANY, PHOTOS, C, L, X, generator, net, right, wrong


@right("torchvision")
def mobilenet():
    return (
        models.mobilenet_v3_small(num_classes=C).eval(),
        PHOTOS,
        CLASSES[:4],
        nn.CrossEntropyLoss(),
    )


@right("torchvision")
def squeezenet_averages_a_relu():
    return models.squeezenet1_1(num_classes=C), PHOTOS, CLASSES[:4], nn.CrossEntropyLoss()


@right("torchvision")
def segmentation_with_outputs_by_name():
    model = models.segmentation.lraspp_mobilenet_v3_large(
        num_classes=C, weights=None, weights_backbone=None
    )
    target = torch.randint(C, (4, 64, 64), generator=generator())
    return model.eval(), PHOTOS, target, nn.CrossEntropyLoss()


@right("torchvision")
def focal_loss_of_torchvision():
    return net(L), X, MANY, partial(sigmoid_focal_loss, reduction="mean")


@wrong("torchvision", "softmax-before-logits-loss")
def mobilenet_with_a_softmax():
    model = models.mobilenet_v3_small(num_classes=C).eval()
    return nn.Sequential(model, nn.Softmax(dim=1)), PHOTOS, CLASSES[:4], nn.CrossEntropyLoss()


@wrong("torchvision", "relu-before-loss")
def classifier_that_ends_in_relu():
    model = models.shufflenet_v2_x0_5(num_classes=C).eval()
    model.fc = nn.Sequential(nn.Linear(1024, C), nn.ReLU())
    return model, PHOTOS, CLASSES[:4], nn.CrossEntropyLoss()


@wrong("torchvision", "unreduced-loss")
def focal_loss_left_unreduced():
    return net(L), X, MANY, sigmoid_focal_loss


@wrong("torchvision", "sigmoid-before-logits-loss")
def focal_loss_on_sigmoid():
    loss = partial(sigmoid_focal_loss, reduction="mean")
    return net(L, nn.Sigmoid()), X, MANY, loss
