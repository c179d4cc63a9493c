"""Puts a pipe of its own over the result channel."""

import os
import time

import torch

reading, writing = os.pipe()
os.dup2(writing, 4)
time.sleep(30)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
