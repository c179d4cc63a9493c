"""Lets twenty children fill standard error at once."""

import os
import time

import torch

for _ in range(20):
    if os.fork() == 0:
        while True:
            os.write(2, b"\n" * 4096)
time.sleep(60)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
