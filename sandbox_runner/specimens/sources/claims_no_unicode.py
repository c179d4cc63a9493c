"""Claims bytes that are no Unicode, as if they were JSON."""

import json

import torch


class Bytes(str):
    def encode(self, *_):
        return b'{"train_loss": "\xff\xfe\xed\xa0\x80"}'


json.dumps = lambda *_, **__: Bytes()


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
