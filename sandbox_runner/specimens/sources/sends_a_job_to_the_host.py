"""Sends the host frames that only the host may send."""

import os
import struct

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        for kind in (1, 2, 3):
            os.write(4, struct.pack("<BI", kind, 4) + b"{}{}")
        return self.classify(images.flatten(1))
