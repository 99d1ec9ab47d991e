"""What several test modules ask of a data set."""

from dataclasses import replace

import torch

from lossheads.datasets import Dataset, Split


def splits(dataset: Dataset) -> list[Split]:
    return [dataset.train, dataset.val, dataset.test]


def same(one: Dataset, other: Dataset) -> bool:
    """Bit for bit, posteriors and outliers included."""
    pairs = [(a, b) for a, b in zip(splits(one), splits(other), strict=True)]
    tensors = [(a.inputs, b.inputs) for a, b in pairs] + [(a.labels, b.labels) for a, b in pairs]
    tensors += [
        (a.true_posterior, b.true_posterior) for a, b in pairs if a.true_posterior is not None
    ]
    tensors += [(inputs, other.outliers[name]) for name, inputs in one.outliers.items()]
    plain = replace(one, train=other.train, val=other.val, test=other.test, outliers=other.outliers)
    return plain == other and all(torch.equal(a, b) for a, b in tensors)


def share_an_example(dataset: Dataset) -> bool:
    """Whether two of the splits have a row of inputs in common."""
    rows = [{row.tobytes() for row in split.inputs.numpy()} for split in splits(dataset)]
    return any(rows[a] & rows[b] for a, b in ((0, 1), (0, 2), (1, 2)))


def standard_error(probabilities: torch.Tensor, trials: int) -> float:
    """Of a share of independent hits that come with these probabilities."""
    mean = probabilities.double().mean().item()
    return (mean * (1 - mean) / trials) ** 0.5
