"""Returns an array of Python objects that act when they are looked at."""

import numpy
import torch


class Trap:
    def __float__(self):
        raise SystemExit(0)

    def __reduce__(self):
        return (print, ("BREACH unpickled",))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        logits = self.classify(images.flatten(1))
        return logits if self.training else numpy.array([[Trap() for _ in row] for row in logits], dtype=object)
