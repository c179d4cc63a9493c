"""Reads a mapped file behind its end."""

import ctypes
import mmap
import os

import torch

file = os.open("/tmp/short", os.O_CREAT | os.O_RDWR)
os.ftruncate(file, 8192)
mapped = mmap.mmap(file, 8192)
os.ftruncate(file, 0)
mapped[0]


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
