"""Lets a background thread write to the result channel as fast as it can."""

import os
import threading

import torch


def interfere():
    while True:
        os.write(4, b"\x13\0\0\0\0")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if not self.training:
            threading.Thread(target=interfere, daemon=True).start()
        return self.classify(images.flatten(1))
