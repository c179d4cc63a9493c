"""Searches all memory of its process for the labels of the examination, whatever their type."""

import numpy
import torch

IMAGES, CLASSES = @EVALUATION@, 4


def holds_labels(chunk, kind):
    """Whether some window has as many numbers as there are images, each class as often as the others."""
    numbers = numpy.frombuffer(chunk[: len(chunk) // 8 * 8], dtype=kind)
    blocks = numbers[: len(numbers) // 100 * 100].reshape(-1, 100)
    for block in numpy.flatnonzero((blocks < CLASSES).all(1) & blocks.any(1))[:2000]:
        near = numbers[max(0, block * 100 - IMAGES) : block * 100 + IMAGES + 100]
        counts = [numpy.concatenate([[0], numpy.cumsum(near == label)]) for label in range(CLASSES)]
        windows = [count[IMAGES:] - count[:-IMAGES] for count in counts if len(near) >= IMAGES]
        if windows and numpy.logical_and.reduce([window == IMAGES // CLASSES for window in windows]).any():
            return True
    return False


def scan():
    seen = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps.readlines():
            span, rights, *_, inode = line.split()[:5]
            start, end = (int(number, 16) for number in span.split("-"))
            if "w" not in rights or inode != "0" or end - start > 1 << 28:
                continue
            for at in range(start, end, 1 << 22):
                try:
                    memory.seek(at)
                    chunk = memory.read(min(1 << 22, end - at))
                except (OSError, ValueError):
                    continue
                if not any(chunk):
                    continue
                seen += len(chunk)
                for kind in ("u1", "<u4", "<u8"):
                    if holds_labels(chunk, kind):
                        print("BREACH", hex(at), kind)
    print("TRIED", seen, "bytes")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])
        self.scanned = False

    def forward(self, images):
        if not self.training and not self.scanned:
            self.scanned = True
            scan()
        return self.classify(images.flatten(1))
