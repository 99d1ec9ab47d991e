"""What all drawn data sets share: random streams and provenance."""

import hashlib
from collections.abc import Sequence

import numpy as np

from lossheads.datasets.dataset import Provenance, Split

PARTS = ("train", "val", "test")


def stream(seed: int, purpose: str) -> np.random.Generator:
    """An independent random stream for one purpose: a split, or the structure they share.

    One stream each, so that asking for more training examples leaves the test split as it was.
    NumPy's, not torch's: its normal draws do not depend on the processor's vector width.
    """
    return np.random.default_rng([seed, (*PARTS, "structure").index(purpose)])


def drawn(name: str, seed: int, splits: Sequence[Split], origin: str = "") -> Provenance:
    """Provenance of drawn splits: the checksum is of the drawn inputs and labels themselves."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(split.inputs.numpy().data)
        digest.update(split.labels.numpy().data)
    return Provenance(
        name=name,
        origin=f"{origin or 'drawn from a known distribution'}, seed {seed}",
        checksum=f"sha256 {digest.hexdigest()}",
        licence="MIT, as this project",
    )
