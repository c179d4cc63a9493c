"""Claims numbers that no float holds: 10 to the power of 400, infinity, NaN, true."""

import json

import torch

LIE = '{"train_seconds": -1' + "0" * 400 + ', "parameters": 1e400, "train_loss": NaN, "a": -Infinity, "b": true, "parameters": true}'
json.dumps = lambda *_, **__: LIE
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
