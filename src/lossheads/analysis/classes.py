"""Names of classes, labels, and classes of groups."""

from collections.abc import Sequence


def class_labels(names: Sequence[str], count: int) -> list[str]:
    """One name for each of `count` values per class.

    Where several groups share the classes, there is a value per group and class: 0/shirt, 1/shirt.
    Values beyond the known names are numbered.
    """
    if names and count > len(names) and count % len(names) == 0:
        groups = range(count // len(names))
        return [f"{group}/{name}" for group in groups for name in names]
    return [names[at] if at < len(names) else str(at) for at in range(count)]
