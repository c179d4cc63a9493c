"""Sends a graph whose nodes take what comes after them."""

import sys

import torch

GRAPH = '{"operations":[["aten.relu",[],[["float32",[2]]]]],"nodes":[[0,[[1,0]]],[0,[[0,0]]]],"outputs":[[0,0]]}'
sys.modules["sandbox_runner.guest.tracing"].trace = lambda built: GRAPH


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
