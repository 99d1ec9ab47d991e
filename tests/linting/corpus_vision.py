"""torchvision and timm: their models and their losses; nothing is downloaded."""

from functools import partial

import timm
import torch
from timm import loss as timm_losses
from torch import nn
from torchvision import models
from torchvision.ops import sigmoid_focal_loss

from .corpus import (
    CLASSES,
    IMAGES,
    MANY,
    ONE_HOT,
    SOFT,
    C,
    L,
    X,
    generator,
    net,
    right,
    wrong,
)

PHOTOS = torch.randn(4, 3, 64, 64, generator=generator(9))


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


@right("timm")
def tiny_vision_transformer():
    model = timm.create_model("test_vit", num_classes=C, img_size=64)
    return model, PHOTOS, CLASSES[:4], nn.CrossEntropyLoss()


@right("timm")
def tiny_resnet_with_smoothing():
    model = timm.create_model("test_resnet", num_classes=C)
    return model, PHOTOS, CLASSES[:4], timm_losses.LabelSmoothingCrossEntropy(0.1)


@right("timm")
def soft_target_cross_entropy():
    return net(C), X, SOFT, timm_losses.SoftTargetCrossEntropy()


@right("timm")
def timm_binary_cross_entropy_on_classes():
    return net(C), X, CLASSES, timm_losses.BinaryCrossEntropy()


@right("timm")
def asymmetric_loss_for_several_labels():
    return net(L), X, MANY, timm_losses.AsymmetricLossMultiLabel()


@right("timm")
def asymmetric_loss_for_one_label():
    return net(C), X, CLASSES, timm_losses.AsymmetricLossSingleLabel()


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


@wrong("timm", "softmax-before-logits-loss")
def smoothing_loss_on_softmax():
    model = net(C, nn.Softmax(dim=-1))
    return model, X, CLASSES, timm_losses.LabelSmoothingCrossEntropy(0.1)


@wrong("timm", "softmax-for-several-labels")
def soft_target_loss_on_several_labels():
    return net(L), X, MANY, timm_losses.SoftTargetCrossEntropy()


@wrong("timm", "sigmoid-before-logits-loss")
def asymmetric_loss_on_sigmoid():
    return net(L, nn.Sigmoid()), X, MANY, timm_losses.AsymmetricLossMultiLabel()


@wrong("timm", "softmax-before-logits-loss")
def timm_binary_loss_on_softmax():
    return net(C, nn.Softmax(dim=1)), X, ONE_HOT, timm_losses.BinaryCrossEntropy(smoothing=0)


@wrong("timm", "softmax-before-logits-loss")
def timm_model_with_a_softmax():
    model = timm.create_model("test_resnet", num_classes=C)
    return nn.Sequential(model, nn.Softmax(dim=1)), IMAGES, CLASSES, nn.CrossEntropyLoss()
