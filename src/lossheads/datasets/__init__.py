"""Data sets: what each file in configs/dataset builds."""

from lossheads.datasets.cifar import CIFAR10 as CIFAR10
from lossheads.datasets.cifar import CIFAR100 as CIFAR100
from lossheads.datasets.compositions import Canvas as Canvas
from lossheads.datasets.compositions import Quadrants as Quadrants
from lossheads.datasets.dataset import Dataset as Dataset
from lossheads.datasets.dataset import DatasetSource as DatasetSource
from lossheads.datasets.dataset import Provenance as Provenance
from lossheads.datasets.dataset import Split as Split
from lossheads.datasets.digits import Digits as Digits
from lossheads.datasets.fashion_mnist import FashionMNIST as FashionMNIST
from lossheads.datasets.fashion_mnist import FashionMNISTPair as FashionMNISTPair
from lossheads.datasets.fashion_mnist_features import (
    FashionMNISTFeatures as FashionMNISTFeatures,
)
from lossheads.datasets.fashion_mnist_known import FashionMNISTKnown as FashionMNISTKnown
from lossheads.datasets.files import Files as Files
from lossheads.datasets.mnist import KMNIST as KMNIST
from lossheads.datasets.mnist import MNIST as MNIST
from lossheads.datasets.synthetic_blobs import SyntheticBlobs as SyntheticBlobs
from lossheads.datasets.synthetic_groups import SyntheticGroups as SyntheticGroups
from lossheads.datasets.synthetic_multilabel import SyntheticMultilabel as SyntheticMultilabel
from lossheads.datasets.synthetic_tree import SyntheticTree as SyntheticTree
