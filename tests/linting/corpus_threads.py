"""A second set, from threads that were read after the linter was written: what each asks about.

Rebuilt in a few lines from what the thread says; none was looked at while a rule was written.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .corpus import (
    BINARY,
    CLASSES,
    IMAGES,
    MANY,
    MAPS,
    ONE_HOT,
    PIXELS,
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

MASK = (PIXELS == 1).float().unsqueeze(1)


@wrong("thread", "sigmoid-before-logits-loss")
def unet3plus_23():
    """github.com/avBuffer/UNet3plus_pth/issues/23: BCE with logits, sigmoid in the network."""
    return convolutions(nn.Sigmoid(), outputs=1), MAPS, MASK, nn.BCEWithLogitsLoss()


@wrong("thread", "relu-before-loss")
def surface_defects_3():
    """github.com/mengcius/Surface-Defect-Detection/issues/3: last block is conv, norm, ReLU."""
    model = convolutions(nn.BatchNorm2d(1), nn.ReLU(), outputs=1)
    return model, MAPS, MASK, nn.BCEWithLogitsLoss()


@wrong("thread", "sigmoid-before-logits-loss")
def lightning_7096():
    """github.com/Lightning-AI/pytorch-lightning/pull/7096: its own fine-tuning example."""
    import lightning

    class Transfer(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.fc = nn.Flatten(), nn.Linear(768, 1)
            self.loss_func = F.binary_cross_entropy_with_logits

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(self.fc(self.features(x)))

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            x, y = batch
            scores = self.forward(x)
            return self.loss_func(scores, y.view((-1, 1)).type_as(x))

    return Transfer(), IMAGES, BINARY, None


@wrong("thread", "softmax-before-logits-loss")
def custom_bert_1():
    """github.com/sugi-chan/custom_bert_pipeline/issues/1: softmax in the loop before the loss."""

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return nn.CrossEntropyLoss()(F.softmax(outputs, dim=1), torch.max(labels.float(), 1)[1])

    return net(C), X, ONE_HOT, loss


@right("thread")
def mobilenet_5():
    """github.com/Randl/MobileNetV2-pytorch/issues/5: log_softmax twice, which is harmless."""
    return net(C, nn.LogSoftmax(dim=1)), X, CLASSES, nn.CrossEntropyLoss()


@right("thread")
def onsets_and_frames_35():
    """github.com/jongwook/onsets-and-frames/issues/35: the sigmoid stands in the stack."""
    return net(L, nn.Sigmoid()), X, MANY, F.binary_cross_entropy


@wrong("thread", "softmax-before-logits-loss")
def discuss_43814():
    """discuss.pytorch.org/t/43814: the loss stays at 2.30."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(768, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=1)
    )
    return model, IMAGES, torch.arange(N) % 10, nn.CrossEntropyLoss()


@wrong("thread", "softmax-over-wrong-dimension")
def reinforcement_learning_in_action_32():
    """github.com/DeepReinforcementLearning/DeepReinforcementLearningInAction/issues/32."""

    def loss(probabilities: Tensor, rewards: Tensor) -> Tensor:
        return -1 * torch.sum(rewards * torch.log(probabilities.amax(dim=1)))

    rewards = torch.rand(N, generator=generator())
    return net(2, nn.Softmax(dim=0)), X, rewards, loss


@wrong("thread", "softmax-over-wrong-dimension")
def pytorch_fundamentals_21():
    """github.com/MicrosoftDocs/pytorchfundamentals/pull/21: LogSoftmax(dim=0) and NLL."""
    return net(C, nn.LogSoftmax(dim=0)), X, CLASSES, nn.NLLLoss()


@wrong("thread", "softmax-over-wrong-dimension")
def world_models_10():
    """github.com/ctallec/world-models/issues/10: mixture weights over the batch dimension."""

    def loss(log_weights: Tensor, target: Tensor) -> Tensor:
        return -torch.logsumexp(log_weights - (target.unsqueeze(-1)) ** 2, dim=-1).mean()

    model = nn.Sequential(nn.Linear(8, 5), nn.LogSoftmax(dim=-2))
    steps = torch.randn(6, 4, 8, generator=generator())
    return model, steps, torch.randn(6, 4, generator=generator(1)), loss


@wrong("thread", "broadcast-targets")
def torch_16045():
    """github.com/pytorch/pytorch/issues/16045: MSE of (n, 1) and (n,)."""
    return net(1), X, torch.randn(N, generator=generator()), nn.MSELoss()


@wrong("thread", "broadcast-targets")
def farm_229():
    """github.com/deepset-ai/FARM/issues/229: squeezed outputs, a column of labels."""
    return net(1, nn.Flatten(0)), X, torch.randn(N, 1, generator=generator()), nn.MSELoss()


@wrong("thread", "no-gradient")
def torch_1339():
    """github.com/pytorch/pytorch/issues/1339: the argmax of one module feeds the next."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 5), nn.Linear(1, C)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.max(self.first(x), 1)[1].float().unsqueeze(1))

    return Two(), X, CLASSES, nn.CrossEntropyLoss()


@right("thread")
def discuss_67011():
    """discuss.pytorch.org/t/67011: ten digits by BCE with logits, decided by the strongest."""

    def accuracy(outputs: Tensor, target: Tensor) -> float:
        return (outputs.argmax(1) == target.argmax(1)).float().mean().item()

    return net(C), X, ONE_HOT, nn.BCEWithLogitsLoss(), accuracy


@wrong("thread", "targets-outside-unit-interval")
def discuss_189373():
    """discuss.pytorch.org/t/189373: 47 labels of -1, 0 and 1."""
    labels = torch.randint(-1, 2, (8, 47), generator=generator()).float()
    return net(47), X[:8], labels, nn.BCEWithLogitsLoss()


@right("thread")
def discuss_189373_answer():
    """The answer there: three classes for each of 47 labels, K-dimensional cross-entropy."""
    labels = torch.randint(0, 3, (8, 47), generator=generator())
    return net(3 * 47, nn.Unflatten(1, (3, 47))), X[:8], labels, nn.CrossEntropyLoss()


@wrong("thread", "softmax-for-several-labels")
def duoke_35171():
    """duoke360.com/post/35171: "multi-target not supported" for several labels."""
    return net(L), X, MANY.long(), nn.CrossEntropyLoss()


@wrong("thread", "not-log-probabilities")
def codestudy_80409021901():
    """codestudyblog.com/8ten8/80409021901.html: the loss is negative."""

    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(outputs, target.squeeze())

    return net(C), X, CLASSES.unsqueeze(1), loss


@right("thread")
def imet_3():
    """github.com/lopuhin/kaggle-imet-2019/issues/3: asked whether a sigmoid is missing."""
    return net(L), X, MANY, nn.BCEWithLogitsLoss(reduction="mean")


@wrong("thread", "logits-into-probability-loss")
def fcn_7():
    """github.com/yunlongdong/FCN-pytorch/issues/7: BCE without a sigmoid."""
    return convolutions(outputs=1), MAPS, MASK, nn.BCELoss()


@wrong("thread", "target-dtype")
def setfit_203():
    """github.com/huggingface/setfit/pull/203: BCELoss wants the labels as floats."""
    return net(1, nn.Sigmoid(), nn.Flatten(0)), X, BINARY, nn.BCELoss()


@wrong("thread", "sigmoid-before-logits-loss")
def daisyrec_15():
    """github.com/yudi-mars/daisyRec/pull/15: dot products through a sigmoid, then with logits."""

    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.users, self.items = nn.Embedding(9, 4), nn.Embedding(9, 4)

        def forward(self, user: Tensor, item: Tensor) -> Tensor:
            return (self.users(user) * self.items(item)).sum(dim=-1).sigmoid()

    draw = torch.randint(9, (2, N), generator=generator())
    return Factors(), (draw[0], draw[1]), BINARY.float(), nn.BCEWithLogitsLoss()


@right("thread")
def capsules_probability_of_the_second_class():
    """A pattern met in several threads: the second of two softmax units into BCE."""
    last = Then(lambda z: torch.softmax(z, dim=1)[:, 1])
    return net(2, last), X, BINARY.float(), nn.BCELoss()
