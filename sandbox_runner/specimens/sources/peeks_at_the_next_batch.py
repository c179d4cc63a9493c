"""Waits for the next images before it has answered for these."""

import select

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if not self.training:
            print("TRIED", len(images))
            if select.select([3], [], [], 0.5)[0]:
                print("BREACH more images before the answer")
            if len(images) > 256:
                print("BREACH", len(images), "images at once")
        return self.classify(images.flatten(1))
