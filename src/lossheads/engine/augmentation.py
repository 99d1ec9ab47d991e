"""Random crops and mirror images of training rows, on the device.

What is drawn comes from a member's `data_seed` alone, for an epoch at once and on the CPU: heads at
equal seeds see equal pictures, on every device and in every company. Pixels are moved, never
computed with, so no bit depends on how.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossheads.engine.member import augmentation_seed

MAX_CROP = 127  # shifts are kept as bytes: a cohort of a thousand members has many


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image (C, H, W).

    Attributes:
        crop: Shifted by up to so many pixels each way, the gap filled with 0; the same as padding
            each side with `crop` zeros and cropping to the old size.
        flip: Mirrored left to right, half of the time.
    """

    crop: int = 0
    flip: bool = False

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> "Augmentation | None":
        """That of a section `training`; None where it asks for nothing."""
        found = cls(training.get("random_crop", 0), training.get("random_flip", False))
        return None if found == cls() else found

    def stream(self, data_seed: int) -> torch.Generator:
        """The generator of members with this seed for batches."""
        return torch.Generator().manual_seed(augmentation_seed(data_seed))

    def draw(self, steps: int, rows: int, generator: torch.Generator) -> Tensor:
        """(steps, rows, 3) bytes: shift down, shift to the right, whether mirrored."""
        drawn = torch.empty(steps, rows, 3, dtype=torch.int8)
        drawn[..., :2].random_(-self.crop, self.crop + 1, generator=generator)
        drawn[..., 2].random_(0, 2 if self.flip else 1, generator=generator)
        return drawn


def augmented(images: Tensor, drawn: Tensor) -> Tensor:
    """(N, C, H, W), each shifted and mirrored as `drawn` (N, 3) says; a mirror image is shifted.

    Shapes and memory depend on no drawn number: nothing waits for the device.
    """
    height, width = images.shape[2:]
    down, right, mirrored = drawn.long().unbind(dim=1)
    y = torch.arange(height, device=images.device) - down.unsqueeze(1)  # (N, H): the source's row
    x = torch.arange(width, device=images.device) - right.unsqueeze(1)
    x = torch.where(mirrored.unsqueeze(1) > 0, width - 1 - x, x)
    inside = ((y >= 0) & (y < height)).unsqueeze(2) & ((x >= 0) & (x < width)).unsqueeze(1)
    source = y.clamp(0, height - 1).unsqueeze(2) * width + x.clamp(0, width - 1).unsqueeze(1)
    moved = images.flatten(2).gather(
        2, source.flatten(1).unsqueeze(1).expand(-1, images.shape[1], -1)
    )
    return torch.where(inside.unsqueeze(1), moved.view_as(images), 0)
