"""Fashion-MNIST's files: where they are found, and what they must hold.

Debian has a package of them, which is searched beside torchvision's layout and can be downloaded.
"""

from pathlib import Path

from lossheads.datasets.fetching import PACKAGE, from_debian, from_torchvision
from lossheads.datasets.published import Images, Published, decode_idx

Garments = Images

NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# md5 of the uncompressed files, in the order: training images, labels, test images, labels.
FILES = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
TRAIN, VAL = 55_000, 5_000
ORIGIN = "Fashion-MNIST (zalandoresearch/fashion-mnist), the four published idx files"
LICENCE = "MIT (c) 2017 Zalando SE"

TORCHVISION = Path("FashionMNIST/raw")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FETCHES = {"torchvision": from_torchvision("FashionMNIST", TORCHVISION), "apt-get": from_debian}


def published() -> Published:
    """The four idx files."""
    return Published(
        name="fashion_mnist",
        layout=TORCHVISION,
        files=FILES,
        decode=decode_idx,
        shape=(28, 28),
        train=TRAIN,
        val=VAL,
        fetches=FETCHES,
        system=DEBIAN,
        remedy=f"or install them with `apt-get install {PACKAGE}`, ",
    )


def checksum() -> str:
    """The four md5 of what was used, in the order of `FILES`."""
    return published().checksum


def read_garments(data_dir: Path | None, cache: Path) -> dict[str, Garments]:
    """The splits `train` (first 55,000 of the training file), `val` (its last 5,000), `test`.

    See `Published.read` for the folders, and for what is refused.
    """
    return published().read(data_dir, cache)
