"""What all drawn data sets share: random streams, plain checks of settings, provenance."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lossheads.datasets.dataset import Provenance, Split
from lossheads.errors import UserError

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


def check_at_least(name: str, least: float, **settings: float) -> None:
    """Refuse the first setting below `least`, by its name."""
    for setting, value in settings.items():
        if not value >= least:
            raise UserError(f"{name} got {setting}={value}: it needs at least {least}")


def check_between(name: str, low: float, high: float, **settings: float) -> None:
    """Refuse the first setting outside [low, high], by its name."""
    for setting, value in settings.items():
        if not low <= value <= high:
            raise UserError(f"{name} got {setting}={value}: it must lie in {low} … {high}")


def shares_of(name: str, given: Sequence[float] | None, classes: int) -> NDArray[np.float64]:
    """Class shares float64 (C,): as given, or equal where nothing is given.

    Raises:
        UserError: Unless there is one positive share per class and they sum to 1 within 1e-6.
    """
    if given is None:
        return np.full(classes, 1 / classes)
    shares = np.asarray(given, dtype=np.float64)
    if shares.shape != (classes,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise UserError(
            f"{name} got shares={list(given)}: it needs {classes} positive shares, one per "
            f"class, that sum to 1; leave it at null for equal shares"
        )
    return shares
