"""Names inside TensorBoard's tags: of classes and of score columns."""

import re
from collections.abc import Sequence


def safe_names(names: Sequence[str]) -> list[str]:
    """Names that can stand inside a tag, all different, in the same order.

    TensorBoard splits a tag at its slashes, so "T-shirt/top" becomes "T-shirt-top"; control
    characters become spaces, an empty name its number, and a name met before gets its number.
    """
    safe: list[str] = []
    for index, name in enumerate(names):
        clean = re.sub(r"[\x00-\x1f\x7f]+", " ", re.sub(r"[/\\]+", "-", name)).strip()
        while not clean or clean in safe:
            clean = f"{clean} {index}".strip()
        safe.append(clean)
    return safe


def column_names(class_names: Sequence[str], columns: int) -> list[str]:
    """A name for each score column: class names, with several groups after the group's number."""
    if columns == len(class_names):
        return list(class_names)
    return [
        f"group {column // len(class_names)} {class_names[column % len(class_names)]}"
        for column in range(columns)
    ]


def charted_names(class_names: Sequence[str], columns: int) -> list[str]:
    """The names of the columns that have charts of their own: the first `CLASSES_SHOWN`."""
    return safe_names(column_names(class_names, columns)[:CLASSES_SHOWN])


CLASSES_SHOWN = 20  # more columns than this would bury the other charts; metrics still see all

# Per-class metric -> the section of its charts; the class is the last part of the tag, so that it
# is the title of its chart.
CLASS_SECTIONS = {
    "recall_score": "recall",
    "score_when_present": "score_when_present",
    "score_when_absent": "score_when_absent",
}


def as_folder(name: str) -> str:
    """A name as a folder: without characters that a file system or a run filter interprets."""
    return "".join("-" if letter in '/\\:*?"<>|' else letter for letter in name)
