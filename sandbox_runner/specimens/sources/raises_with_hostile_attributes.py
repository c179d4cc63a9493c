"""Raises an exception whose attributes, causes and truth raise in their turn."""

import torch


class Hostile(Exception):
    def __getattribute__(self, name):
        raise SystemExit(0)

    def __bool__(self):
        raise KeyboardInterrupt


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        raise Hostile
