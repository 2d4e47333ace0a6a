"""Augmentation of square photos: random resized crop, flip and colour jitter, from uniform numbers passed in."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from devise.arrays import Float, UInt8
from devise.errors import UsageError

__all__ = ["DRAWS", "Augmentation", "augmented", "middle"]

DRAWS = 8
"""Uniform numbers a photo."""

_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """least_area: of the crop, as a share of the square. ratio: of its longer to its shorter side at most.

    jitter: brightness, contrast and saturation are each multiplied by 1 - jitter to 1 + jitter. flips: left to right.
    """

    least_area: float = 0.35
    ratio: float = 4 / 3
    jitter: float = 0.3
    flips: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.least_area <= 1:
            raise UsageError(f"least_area must be above 0 and at most 1, got {self.least_area}")
        if not 0 <= self.jitter < 1:
            raise UsageError(f"jitter must be from 0 to below 1, got {self.jitter}")


def augmented(
    photos: UInt8[Tensor, "n side side 3"], draws: Float[Tensor, "n 8"], crop: int, how: Augmentation
) -> Float[Tensor, "n 3 crop crop"]:
    """Photos after augmentation, on the scale of bytes. The same draws give the same photos."""
    planes = photos.permute(0, 3, 1, 2).float()
    area = how.least_area + (1 - how.least_area) * draws[:, 0]
    stretch = torch.exp((2 * draws[:, 1] - 1) * math.log(how.ratio) / 2)
    wide = (area.sqrt() * stretch).clamp(max=1)
    high = (area.sqrt() / stretch).clamp(max=1)
    moved_x, moved_y = (1 - wide) * (2 * draws[:, 2] - 1), (1 - high) * (2 * draws[:, 3] - 1)
    mirrored = torch.where((draws[:, 4] < 0.5) & how.flips, -1.0, 1.0)
    nothing = torch.zeros_like(wide)
    rows = (torch.stack([wide * mirrored, nothing, moved_x], 1), torch.stack([nothing, high, moved_y], 1))
    grid = functional.affine_grid(torch.stack(rows, 1), [len(planes), 3, crop, crop], align_corners=False)
    cut = functional.grid_sample(planes, grid, "bilinear", "reflection", align_corners=False)
    return _jittered(cut, draws[:, 5:8], how.jitter)


def middle(photos: UInt8[Tensor, "n side side 3"], crop: int) -> Float[Tensor, "n 3 crop crop"]:
    """Crop the middle of each square, like the preprocessing."""
    start = (photos.shape[1] - crop) // 2
    return photos[:, start : start + crop, start : start + crop].permute(0, 3, 1, 2).float()


def _jittered(planes: Tensor, draws: Tensor, most: float) -> Tensor:
    if not most:
        return planes
    brightness, contrast, saturation = (1 + most * (2 * draws - 1)).T[:, :, None, None, None]
    planes = planes * brightness
    mean = planes.mean(dim=(1, 2, 3), keepdim=True)
    planes = mean + contrast * (planes - mean)
    weights = torch.tensor(_GREY, device=planes.device)[None, :, None, None]
    grey = (planes * weights).sum(dim=1, keepdim=True)
    jittered: Tensor = (grey + saturation * (planes - grey)).clamp_(0, 255)
    return jittered
