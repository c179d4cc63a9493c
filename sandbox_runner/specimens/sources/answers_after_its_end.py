"""Leaves a child that sends answers after the candidate has ended well."""

import os
import time

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])
        if os.fork() == 0:
            start = os.getppid()
            while os.getppid() == start:
                time.sleep(0.0005)
            time.sleep(3)
            os.write(4, b"\x13\x04\0\0\0\0\0\0\0")
            os._exit(0)
        print("TRIED")

    def forward(self, images):
        return self.classify(images.flatten(1))
