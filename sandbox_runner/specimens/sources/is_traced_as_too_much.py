"""Announces a graph of four gigabytes."""

import os
import struct
import time

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        os.write(4, struct.pack("<BI", 21, 2**32 - 1))
        time.sleep(60)
        return self.classify(images.flatten(1))
