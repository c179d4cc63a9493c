"""The guest's training data: mapped from the mounted raw files, handed out in seeded, shuffled batches.

Images stay bytes until a batch is made; nothing is copied up front. There are no evaluation images here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class TrainingData:
    """Training images and labels of one attempt, and the constants that normalise them."""

    images: torch.Tensor
    """uint8, (n, C, H, W), backed by the mounted file."""
    labels: torch.Tensor
    """int64, (n,)."""
    classes: int
    mean: tuple[float, ...]
    """Per channel, of pixels in [0, 1]."""
    std: tuple[float, ...]

    @classmethod
    def from_description(cls, data: dict[str, Any]) -> "TrainingData":
        """Map the files that the job's `data` entry names. Raises RuntimeError when they do not fit it."""
        count, shape = int(data["count"]), tuple(int(side) for side in data["shape"])
        images = torch.from_file(data["train_images"], size=count * math.prod(shape), dtype=torch.uint8)
        labels = torch.from_file(data["train_labels"], size=count, dtype=torch.int64)
        return cls(
            images.view(count, *shape), labels, int(data["classes"]), tuple(data["mean"]), tuple(data["std"])
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32 images with mean 0 and deviation 1 per channel, from bytes (n, C, H, W)."""
        mean = torch.tensor(self.mean, device=pixels.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, -1, 1, 1)
        return pixels.to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std)


def steps_per_epoch(images: int, batch: int) -> int:
    """Number of batches: as near to `batch` images each as equal sizes allow."""
    return max(1, round(images / batch))


def shuffled_batches(images: int, batch: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """The indices of one epoch, shuffled, in batches whose sizes differ by at most one.

    Every image comes exactly once, and no small last batch upsets batch normalisation.
    """
    order = torch.randperm(images, generator=generator)
    return iter(torch.tensor_split(order, steps_per_epoch(images, batch)))


def shifted(pixels: torch.Tensor, reach: int, generator: torch.Generator) -> torch.Tensor:
    """Each image (n, C, H, W) moved by up to `reach` pixels both ways, at random; black moves in."""
    if reach == 0:
        return pixels
    count, _, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels, (reach, reach, reach, reach))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    rows, columns = torch.randint(0, 2 * reach + 1, (2, count), generator=generator)
    return windows[torch.arange(count), :, rows, columns]


def flipped(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image (n, C, H, W) mirrored left to right with probability one half."""
    chosen = torch.rand(len(pixels), generator=generator) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), pixels.flip(3), pixels)
