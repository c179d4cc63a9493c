"""The data set that specimens are shown: small, quick to learn, and noisy enough that nobody is perfect."""

from pathlib import Path

import numpy as np

from sandbox_runner.datasets.pack import write_pack
from sandbox_runner.datasets.raw import ImageSet, RawDataset

NAME = "quadrants"
CLASSES = 4
TRAINING_IMAGES = 512
EVALUATION_IMAGES = 300
CONSTANT_ACCURACY = 1 / CLASSES


def write_quadrants(home: Path) -> None:
    """Prepare it under `home`: four classes, told apart by which quadrant of an 8×8 image is brighter."""
    generator = np.random.default_rng(7)

    def part(count: int) -> ImageSet:
        labels = generator.permutation(np.arange(count) % CLASSES)
        images = generator.integers(0, 200, (count, 1, 8, 8))
        for image, label in zip(images, labels, strict=True):
            top, left = label // 2 * 4, label % 2 * 4
            image[0, top : top + 4, left : left + 4] += 24
        return ImageSet.from_arrays(images.clip(0, 255).astype(np.uint8), labels)

    names = tuple(f"quadrant-{number}" for number in range(CLASSES))
    shown = RawDataset((1, 8, 8), names, part(TRAINING_IMAGES), part(EVALUATION_IMAGES), "made on the spot")
    folder = home / "datasets" / NAME
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_pack(folder, NAME, shown)
