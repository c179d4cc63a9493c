"""Waits in the kernel for a child that never goes on, where signals are not heard."""

import ctypes
import time

import torch

if ctypes.CDLL(None).vfork() == 0:
    while True:
        time.sleep(3600)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
