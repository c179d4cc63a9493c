"""Raises an exception whose text cannot be had."""

import torch


class Hostile(Exception):
    def __str__(self):
        raise SystemExit(0)

    __repr__ = __str__


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        raise Hostile
