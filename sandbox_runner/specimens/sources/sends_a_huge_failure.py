"""Reports a failure of twenty kilobytes."""

import os
import struct

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        os.write(4, struct.pack("<BI", 20, 20_000) + b"x" * 20_000)
        os._exit(0)
