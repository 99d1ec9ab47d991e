"""What drawn data sets share: random streams, provenance, Gaussians around known means.

Posteriors and Bayes accuracies are float64 and exact up to quadrature; the tests hold them against
brute-force draws.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import scipy  # whose parts are imported at their first use
from numpy.typing import NDArray

from lossheads.datasets.dataset import Provenance, Split

PARTS = ("train", "val", "test")
Floats = NDArray[np.float64]


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """An independent random stream for one purpose: a split, or the structure they share.

    One stream each, so that asking for more training examples leaves the test split as it was.
    NumPy's, not torch's: its normal draws do not depend on the processor's vector width.
    """
    return np.random.default_rng([seed, (*PARTS, "structure").index(purpose)])


def drawn_provenance(name: str, seed: int, splits: Sequence[Split], origin: str = "") -> Provenance:
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


def orthogonal(dimensions: int, seed: int) -> Floats:
    """A random rotation (D, D) of the `structure` stream: no input stands for one class alone."""
    q, r = np.linalg.qr(random_stream(seed, "structure").standard_normal((dimensions, dimensions)))
    return np.asarray(q * np.sign(np.diag(r)))  # the sign makes it unique, hence repeatable


def draw(
    means: Floats, shares: Floats, rows: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Classes drawn from `shares` (C,), inputs from N(mean of the class, 1): (N, D) and (N,)."""
    classes = rng.choice(len(shares), size=rows, p=shares)
    inputs = means[classes] + rng.standard_normal((rows, means.shape[1]))
    return inputs.astype(np.float32), classes.astype(np.int64)


def posterior(inputs: NDArray[np.float32], means: Floats, shares: Floats) -> Floats:
    """P(class | input) of the mixture, (N, C), for the inputs as rounded to float32."""
    scores = inputs.astype(np.float64) @ means.T - (means**2).sum(axis=1) / 2 + np.log(shares)
    return np.asarray(scipy.special.softmax(scores, axis=1))


def equidistant_bayes(separation: float, shares: Floats) -> float:
    """Bayes accuracy of C unit Gaussians whose means all lie `separation` > 0 apart.

    Take the means as a·e_k with a = separation / √2. The scores a·x_k + ln share_k are then
    independent, and class k is right when the others all stay below: one integral over x_k.
    """
    a = separation / math.sqrt(2)
    t, step = np.linspace(-12, 12, 4001, retstep=True)
    density = np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi) * step
    values, counts = np.unique(shares, return_counts=True)
    score = 0.0
    for value, count in zip(values, counts, strict=True):
        rivals = counts - (values == value)
        below = scipy.special.ndtr(t[:, None] + a + np.log(value / values) / a)
        score += count * value * float(density @ (below**rivals).prod(axis=1))
    return score


def tree_means(amplitudes: Floats, branching: int) -> Floats:
    """Means (C, D) of the leaves of a full tree, C = branching ** depth, D = nodes but the root.

    Each node owns one axis; a leaf's mean has, at each node on its path, the amplitude of the
    node's level (top first). Leaves that part further up lie further apart.
    """
    leaves = np.arange(branching ** len(amplitudes))
    levels = []
    for depth, amplitude in enumerate(amplitudes, start=1):
        nodes = branching**depth
        path = leaves // (len(leaves) // nodes)
        levels.append(amplitude * np.eye(nodes)[path])
    return np.concatenate(levels, axis=1)


def tree_bayes(amplitudes: Floats, branching: int) -> float:
    """Bayes accuracy of unit Gaussians around `tree_means`, all classes equally frequent.

    The score of a leaf is the sum over its path of amplitude · x_node. Going up from the true
    leaf: `ahead` is the density of its partial score while it leads its subtree, `rival` the
    distribution function of the best partial score in a subtree beside it. Both take on one
    node's Gaussian per level, a convolution on a grid.
    """
    reach = float((amplitudes**2 + 10 * amplitudes).sum())
    points = 2 * math.ceil(reach / (amplitudes.min() / 16)) + 1
    t, step = np.linspace(-reach, reach, points, retstep=True)
    leaf = amplitudes[-1]
    rival = scipy.special.ndtr(t / leaf)
    ahead = _normal(t, leaf**2, leaf) * rival ** (branching - 1)
    for amplitude in amplitudes[-2::-1]:
        rival = _add_normal(rival**branching, step, 0.0, amplitude)
        ahead = _add_normal(ahead, step, amplitude**2, amplitude) * rival ** (branching - 1)
    return float(ahead.sum() * step)


def _normal(t: Floats, mean: float, deviation: float) -> Floats:
    z = (t - mean) / deviation
    return np.asarray(np.exp(-(z**2) / 2) / (deviation * math.sqrt(2 * math.pi)))


def _add_normal(values: Floats, step: float, mean: float, deviation: float) -> Floats:
    """The function of X + N(mean, deviation²), given that of X on a grid wide enough for both."""
    half = math.ceil((mean + 10 * deviation) / step)
    offsets = np.linspace(-half * step, half * step, 2 * half + 1)
    kernel = _normal(offsets, mean, deviation) * step
    # Beyond the grid a distribution function stays what it is at the border: 0 or 1.
    wide = np.pad(values, half, mode="edge")
    # By Fourier transform; scipy.signal has a function for it and costs half a second to import.
    spectrum = np.fft.rfft(wide) * np.fft.rfft(kernel, len(wide))
    return np.asarray(np.fft.irfft(spectrum, len(wide))[2 * half :])
