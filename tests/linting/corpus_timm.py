"""timm: its models and its losses; nothing is downloaded."""

import timm
from timm import loss as timm_losses
from torch import nn

from .corpus import CLASSES, IMAGES, MANY, ONE_HOT, PHOTOS, SOFT, C, L, X, net, right, wrong


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
