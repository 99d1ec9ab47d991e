"""CIFAR-10 and CIFAR-100: colour photographs of 32 x 32 pixels, of ten and of a hundred classes."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy._core.multiarray import _reconstruct

from lossheads.datasets.cache import Bytes
from lossheads.datasets.fetching import from_torchvision
from lossheads.datasets.published import Published, PublishedImages
from lossheads.errors import UserError

# The fine classes of CIFAR-100, in alphabetical order.
HUNDRED = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge
    bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud
    cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox
    girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter
    palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit
    raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905
)

# All that the published files name: arrays of bytes as Python 2 and NumPy of 2009 wrote them.
_NAMED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Unpickler(pickle.Unpickler):
    """Makes arrays, lists and strings; the checksum was verified before, this is a second lock."""

    def find_class(self, module: str, name: str) -> Any:
        """What a file names, if it is one of three names."""
        if (module, name) not in _NAMED:
            raise UserError(
                f"a file of CIFAR names {module}.{name}, which published files do not: nothing is "
                f"run; get it again"
            )
        return _NAMED[module, name]


def decode_batches(contents: list[bytes]) -> tuple[Bytes, Bytes]:
    """Pickled batches: images (N, 3072), red plane first, and classes (N,); the fine ones of 100.

    Args:
        contents: Of files whose checksums have been verified.
    """
    batches = [_Unpickler(io.BytesIO(content), encoding="latin1").load() for content in contents]
    images = np.concatenate([np.asarray(batch["data"], dtype=np.uint8) for batch in batches])
    classes = [batch.get("fine_labels") or batch["labels"] for batch in batches]
    return images, np.concatenate([np.asarray(each, dtype=np.uint8) for each in classes])


def _published(
    name: str, dataset: str, layout: str, archive: tuple[str, str], files: Mapping[str, str]
) -> Published:
    return Published(
        name=name,
        layout=Path(layout),
        files=files,
        decode=decode_batches,
        shape=(3, 32, 32),
        train=45_000,
        val=5_000,
        fetches={"torchvision": from_torchvision(dataset, Path(layout))},
        archive=archive,
    )


@dataclass(frozen=True)
class CIFAR10(PublishedImages):
    """60,000 photographs, 32 x 32 colour: exactly one of C classes.

    Splits are fixed: the first 45,000 of the five training batches train, the last 5,000 validate,
    the published 10,000 test. The order within is the published one. Takes 0.7 GB as floats.

    Args:
        classes: Keep the first C of the ten classes, 2 to 10, in all splits.

    Source: Krizhevsky (2009), Learning multiple layers of features from tiny images.
    """

    names: ClassVar[tuple[str, ...]] = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    origin: ClassVar[str] = "CIFAR-10 (University of Toronto), the published version for Python"
    licence: ClassVar[str] = "none stated; its authors ask to cite Krizhevsky (2009)"
    # md5 as torchvision states them.
    published: ClassVar[Published] = _published(
        "cifar10",
        "CIFAR10",
        "cifar-10-batches-py",
        ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    )


@dataclass(frozen=True)
class CIFAR100(PublishedImages):
    """60,000 photographs, 32 x 32 colour: exactly one of C classes, 600 images each.

    Splits as in `CIFAR10`. The classes are the hundred fine ones, in alphabetical order.

    Args:
        classes: Keep the first C of the hundred classes, 2 to 100, in all splits.

    Source: Krizhevsky (2009), Learning multiple layers of features from tiny images.
    """

    names: ClassVar[tuple[str, ...]] = HUNDRED
    origin: ClassVar[str] = "CIFAR-100 (University of Toronto), the published version for Python"
    licence: ClassVar[str] = "none stated; its authors ask to cite Krizhevsky (2009)"
    # md5 as torchvision states them.
    published: ClassVar[Published] = _published(
        "cifar100",
        "CIFAR100",
        "cifar-100-python",
        ("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
        {
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
    )
