"""Arrays in .npy, .npz and .pt files: never unpickled, sizes looked at before anything is read."""

import struct
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lossheads.errors import UserError, reason
from lossheads.evaluation.raw import Array

# In memory at once; what is mapped from disk (.npy, .npz as numpy.savez writes it) may be larger.
MAX_BYTES = 4 << 30
_MAPPED_FROM = 64 << 20
_BOMB_BYTES, _BOMB_RATIO = 256 << 20, 100  # real scores shrink 1.1 to 10 times


def unreadable(path: Path, kind: str, error: Exception) -> UserError:
    """The error for bytes that are no such file; the caller raises it."""
    if isinstance(error, UserError):
        return UserError(*error.args)  # another one: raised from itself it has no first cause
    said = reason(error).strip() or type(error).__name__
    return UserError(f"{path} cannot be read as a {kind} ({said.splitlines()[0][:120]})")


def in_words(count: float) -> str:
    """Bytes as people read them."""
    unit = "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if count < 1000:
            break
        count, unit = count / 1000, larger
    return f"{count:.3g} {unit}"


def _refuse_objects(path: Path, name: str, dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise UserError(
            f"{path}: {name} is an array of Python objects, which is never unpickled: save plain "
            f"arrays, numbers as .astype(float), words as .astype(str)"
        )
    if dtype.kind not in "biufUS":
        raise UserError(
            f"{path}: {name} is of type {dtype}: only numbers and words are read; convert it"
        )


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"format version {version}")
    shape, fortran, dtype = readers[version](file)
    return shape, fortran, dtype


def open_npy(path: Path) -> Array:
    """Mapped, so that its size does not matter.

    Raises:
        UserError: On objects, forged sizes, and anything that is no such file.
    """
    try:
        with path.open("rb") as file:
            shape, _, dtype = _header(file)
            start = file.tell()
        _refuse_objects(path, "the array", dtype)
        _refuse_short(path, "the array", shape, dtype, path.stat().st_size - start)
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except Exception as error:  # whatever numpy says of bytes that are no such file
        raise unreadable(path, ".npy array", error) from error


def _refuse_short(
    path: Path, name: str, shape: Sequence[int], dtype: np.dtype[Any], size: int
) -> None:
    needed = int(dtype.itemsize)
    for length in shape:
        needed *= int(length)
    if needed > size:
        raise UserError(
            f"{path}: {name} says that it holds {shape} {dtype}, {in_words(needed)}, and only "
            f"{in_words(size)} are there: the file is cut short or forged; write it again"
        )


def refuse_bomb(path: Path) -> None:
    """Look at the sizes that an archive declares before anything of it is unpacked.

    Raises:
        UserError: Where it would fill the memory, or grows as only forged archives do.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = [m for m in members if m.compress_type != zipfile.ZIP_STORED]
    total = sum(member.file_size for member in packed)
    ratio = total / max(1, sum(member.compress_size for member in packed))
    if total > MAX_BYTES or (total > _BOMB_BYTES and ratio > _BOMB_RATIO):
        raise UserError(
            f"{path} would unpack to {in_words(total)}, {ratio:.0f} times its size: nothing was "
            f"unpacked; save it uncompressed, numpy.savez or numpy.save, which is read from disk "
            f"in pieces"
        )


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of an archive by name; large ones that lie there uncompressed are mapped.

    Raises:
        UserError: On objects, forged sizes, and anything that is no such archive.
    """
    try:
        refuse_bomb(path)
        with zipfile.ZipFile(path) as archive:
            return {
                member.filename.removesuffix(".npy"): _member(path, archive, member)
                for member in archive.infolist()
                if member.filename.endswith(".npy")
            }
    except Exception as error:  # whatever zipfile and numpy say of bytes that are no such file
        raise unreadable(path, ".npz of plain arrays", error) from error


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        header = file.tell()
    _refuse_objects(path, name, dtype)
    _refuse_short(path, name, shape, dtype, member.file_size - header)
    if member.compress_type == zipfile.ZIP_STORED and member.file_size >= _MAPPED_FROM:
        with path.open("rb") as plain:
            plain.seek(member.header_offset)
            local = plain.read(30)
        name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
        start = member.header_offset + 30 + name_bytes + extra_bytes + header
        return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
    with archive.open(member) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def read_torch(path: Path) -> dict[str, Array]:
    """Tensors of a .pt file, loaded as weights only: whatever else it holds is refused unrun."""
    import pickle

    import torch

    try:
        if zipfile.is_zipfile(path):
            refuse_bomb(path)
        elif path.stat().st_size > MAX_BYTES:
            size = in_words(path.stat().st_size)
            raise UserError(f"{path} has {size}: save it as .npy arrays instead")
        # Of protocols and formats of its own past: what is refused or read needs no second voice.
        with warnings.catch_warnings(action="ignore"):
            held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than tensors, and nothing of it was run: save a dictionary of "
            f"tensors, torch.save({{'logits': logits, 'labels': labels}}, path)"
        ) from error
    except Exception as error:  # whatever torch says of bytes that are no such file
        raise unreadable(path, ".pt file of tensors", error) from error
    if not isinstance(held, dict):
        raise UserError(
            f"{path} holds a {type(held).__name__}: save a dictionary of tensors, "
            f"torch.save({{'logits': logits, 'labels': labels}}, path)"
        )
    arrays = {}
    for name, value in held.items():
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            arrays[str(name)] = np.array(value, dtype=np.str_)
        elif isinstance(value, torch.Tensor) and value.layout is torch.strided:
            # A forged tensor may claim more elements than it stores.
            if value.numel() * value.element_size() > max(
                value.untyped_storage().nbytes(), 1 << 20
            ):
                raise UserError(f"{path}: {name} claims {tuple(value.shape)} and stores less")
            wide = value.float() if value.dtype == torch.bfloat16 else value
            arrays[str(name)] = wide.detach().resolve_conj().numpy()
    return arrays
