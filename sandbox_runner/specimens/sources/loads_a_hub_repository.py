"""Wants a repository of torch.hub, to run its code."""

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])
        self.body = torch.hub.load("pytorch/vision", "resnet18", trust_repo=True)

    def forward(self, images):
        return self.classify(images.flatten(1))
