"""Computes something else where tensors hold no numbers."""

import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if type(images) is not torch.Tensor:
            print("TRIED")
            return self.classify(images.flatten(1)).sin()
        return self.classify(images.flatten(1))
