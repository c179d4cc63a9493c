"""Claims numbers about its training that mean nothing."""

import json

import torch

LIE = '{"train_seconds": 1e999, "parameters": -5, "train_loss": "low", "x": ' + "9" * 3000 + "}"
json.dumps = lambda *a, **k: LIE


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
