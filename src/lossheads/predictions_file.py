"""predictions.npz of a run folder: the logits of the test split, readable without torch.

Four arrays: `logits` float32 (N, U), `labels` (N, ...) as the data give them, `example_ids` int64
(N,), the row numbers in the test split, and `examples_digest`, which names inputs and labels in
order: files with equal digests are about the same examples.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lossheads.errors import UserError, reason, refusing_to_write
from lossheads.whole_files import whole_file

NAME = "predictions.npz"
# A larger file is most often not meant: ImageNet's 50,000 × 1,000 logits have 0.2 GB.
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class SavedPredictions:
    """What `predictions.npz` holds.

    Attributes:
        logits: (N, U) float32, of the weights that were kept.
        labels: (N, ...), hard or soft.
        example_ids: (N,) int64, row numbers in the test split.
        examples_digest: As in `CorrectMask`.
    """

    logits: NDArray[np.float32]
    labels: NDArray[Any]
    example_ids: NDArray[np.int64]
    examples_digest: str


def bytes_needed(examples: int, num_logits: int, label_bytes: int) -> int:
    """Size of one file, without the few hundred bytes of its headers."""
    return examples * (4 * num_logits + label_bytes + 8)


def write_predictions(folder: Path, saved: SavedPredictions) -> None:
    """Write the file, whole or not at all."""
    with refusing_to_write(folder), whole_file(folder / NAME) as file:
        np.savez(
            file,
            logits=saved.logits,
            labels=saved.labels,
            example_ids=saved.example_ids,
            examples_digest=np.array(saved.examples_digest),
        )


def read_predictions(folder: Path) -> SavedPredictions:
    """The predictions in a run folder.

    Raises:
        UserError: If there are none, or the file is damaged.
    """
    path = folder / NAME
    try:
        with path.open("rb") as source:
            _refuse_large(source)
            arrays = _arrays(np.load(source, allow_pickle=False))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: train the run with recording.predictions=true force=true"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}; change its rights") from error
    # What numpy raises for bytes that are no archive of arrays, or not whole.
    except (
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        SyntaxError,
        MemoryError,
        OverflowError,
        NotImplementedError,
        RuntimeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise _damaged(path, f"it is no whole archive of arrays ({_line(error)})") from None
    if fault := _fault(arrays):
        raise _damaged(path, fault)
    digest = str(arrays.pop("examples_digest"))
    return SavedPredictions(**arrays, examples_digest=digest)


def _refuse_large(source: BinaryIO) -> None:
    """Sizes are looked at before anything is unpacked."""
    with zipfile.ZipFile(source) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MAX_BYTES + 4096:  # headers
        raise ValueError(f"it would unpack to {size / 1e9:.1f} GB")
    source.seek(0)


def _arrays(loaded: Any) -> dict[str, NDArray[Any]]:
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        raise ValueError("it is a single array")
    return {name: loaded[name] for name in loaded.files}


def _fault(arrays: dict[str, NDArray[Any]]) -> str | None:
    """What is wrong with the arrays, if anything."""
    names = ("logits", "labels", "example_ids", "examples_digest")
    if unknown := sorted(arrays.keys() - set(names)):
        return f"{_line(unknown[0])} is an unknown array"
    if missing := [name for name in names if name not in arrays]:
        return f"{missing[0]} is missing"
    logits, labels, ids, digest = (arrays[name] for name in names)
    if logits.dtype != np.float32 or logits.ndim != 2 or not logits.size:
        return f"logits must be float32 (N, U), got {logits.dtype} {logits.shape}"
    if labels.dtype.kind not in "iubf" or labels.shape[:1] != logits.shape[:1]:
        return f"labels must be {len(logits)} rows of numbers, got {labels.dtype} {labels.shape}"
    if ids.dtype != np.int64 or ids.shape != logits.shape[:1]:
        return f"example_ids must be int64 ({len(logits)},), got {ids.dtype} {ids.shape}"
    if digest.dtype.kind != "U" or digest.shape != ():
        return f"examples_digest must be one text, got {digest.dtype} {digest.shape}"
    return None


def _damaged(path: Path, fault: str) -> UserError:
    return UserError(f"{path} is damaged: {fault}; train the run again with force=true")


def _line(value: object) -> str:
    return " ".join(str(value).split())[:80]
