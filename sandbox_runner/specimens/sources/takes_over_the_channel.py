"""Speaks the protocol by itself and names class 0 for every image."""

import os
import struct

import torch


def read(length):
    data = b""
    while len(data) < length:
        data += os.read(3, length - len(data))
    return data


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        os.write(4, struct.pack("<BI", 18, 2) + b"{}")
        while True:
            kind, length = struct.unpack("<BI", read(5))
            count = len(read(length)) // images[0].numel()
            if kind != 2:
                os._exit(0)
            answer = torch.zeros(count, self.classify.out_features)
            answer[:, 0] = 1
            os.write(4, struct.pack("<BI", 19, answer.numel() * 4) + answer.numpy().tobytes())
