"""Wants a data set, with its test labels, in the middle of training."""

import torch
import torchvision


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        torchvision.datasets.MNIST("/tmp/mnist", train=False, download=True)
        return self.classify(images.flatten(1))
