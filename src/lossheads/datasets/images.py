"""Images in the user's own files: decoded, resized, checked to have one size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lossheads.datasets.reading_only import refuse_large
from lossheads.errors import UserError, reason

Pixels = NDArray[np.uint8]


def scaled(pixels: Pixels) -> NDArray[np.float32]:
    """(N, H, W, channels) -> (N, channels, H, W) in [0, 1]."""
    return np.asarray(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255)


def pixels(
    files: list[Path], places: list[str], channels: int, resize: Sequence[int] | None
) -> Pixels:
    """(N, H, W, channels). Refuses images of another size than the first one's."""
    pictures: list[Pixels] = []
    for file, place in zip(files, places, strict=True):
        pictures.append(_image(file, place, channels, resize))
        if len(pictures) == 1:
            refuse_large("files", len(files) * pictures[0].size // 4)  # pixels take 1 and 4 bytes
        if pictures[-1].shape != pictures[0].shape:
            (height, width), (first_height, first_width) = (
                picture.shape[:2] for picture in (pictures[-1], pictures[0])
            )
            raise UserError(
                f"{place} is {height} x {width} pixels, the first image {first_height} x "
                f"{first_width}: all images must have one size; set dataset.resize=[height,width]"
            )
    return np.stack(pictures).reshape(len(files), *pictures[0].shape[:2], channels)


def _image(file: Path, place: str, channels: int, resize: Sequence[int] | None) -> Pixels:
    if file.exists() and not file.is_file():
        raise UserError(f"{place}: the image {file} is no file: a pipe or device may have no end")
    try:
        with Image.open(file) as image:
            # Pillow would silently clip deeper pixels at 255.
            deep = image.mode.startswith(("I", "F"))
            picture = image.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{place}: the image {file} cannot be read ({reason(error)})") from error
    if deep:
        raise UserError(
            f"{place}: the image {file} has more than 8 bits per pixel; use an .npz file of floats"
        )
    if resize is not None:
        picture = picture.resize((resize[1], resize[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture)
