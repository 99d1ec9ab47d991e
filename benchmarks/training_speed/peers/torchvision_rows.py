"""torchvision's FashionMNIST over rows that are already here, without looking for files."""

import torch
from torchvision.datasets import FashionMNIST
from torchvision.transforms import ToTensor

from benchmarks.training_speed.setting import Setting, load_rows


class Rows(FashionMNIST):
    """Every item is made by torchvision's own `__getitem__`: to PIL, then through ToTensor."""

    def __init__(self, setting: Setting) -> None:
        images, labels = load_rows(setting)
        self.data, self.targets = torch.from_numpy(images), torch.from_numpy(labels)
        self.transform, self.target_transform = ToTensor(), None
