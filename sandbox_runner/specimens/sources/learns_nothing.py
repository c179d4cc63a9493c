"""Learns nothing and names class 0, under the other contract."""

import torch


def supported_hyperparameters():
    return {"lr", "batch"}


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.out = torch.nn.Parameter(torch.eye(out_shape[0])[0])

    def train_setup(self, prm):
        pass

    def learn(self, train_data):
        pass

    def forward(self, images):
        return self.out.expand(len(images), -1).clone()
