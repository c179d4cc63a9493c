"""Asks for a million files that do not exist, so that the kernel remembers each of them."""

import os
import time

import torch

asked, end = 0, time.monotonic() + 3
while time.monotonic() < end:
    for folder in ("/tmp", "/usr/bin", "/data", os.path.dirname(torch.__file__)):
        os.access(f"{folder}/{asked:0200}", os.F_OK)
        asked += 1
print("TRIED", asked)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
