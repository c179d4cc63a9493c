"""Ignores SIGTERM and stops its own process group while it should answer."""

import os
import signal

import torch

signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if not self.training:
            os.kill(0, signal.SIGSTOP)
        return self.classify(images.flatten(1))
