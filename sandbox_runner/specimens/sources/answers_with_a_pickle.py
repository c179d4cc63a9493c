"""Answers with a pickle instead of numbers."""

import pickle
import sys

import torch


class Trap:
    def __reduce__(self):
        return (exec, ("open('@CANARY@', 'w').write('BREACH')",))


for name in ("__main__", "sandbox_runner.guest.__main__"):
    if hasattr(sys.modules.get(name), "payload_of"):
        sys.modules[name].payload_of = lambda *_: pickle.dumps(Trap())


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
