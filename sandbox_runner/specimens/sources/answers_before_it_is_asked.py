"""Claims to be trained and sends answers before the first image."""

import os
import struct

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        os.write(4, struct.pack("<BI", 18, 2) + b"{}" + struct.pack("<BI", 19, 4096) + bytes(4096))
        return self.classify(images.flatten(1))
