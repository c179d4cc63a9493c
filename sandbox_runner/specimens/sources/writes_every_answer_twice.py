"""Makes os.write write everything twice."""

import os

import torch

true_write = os.write


def write(descriptor, data):
    true_write(descriptor, data)
    return true_write(descriptor, data)


os.write = write


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
