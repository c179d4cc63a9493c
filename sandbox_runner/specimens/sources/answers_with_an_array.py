"""Returns an ndarray of a class of its own, with a shape and a type that lie."""

import numpy
import torch


class Sly(numpy.ndarray):
    shape = property(lambda self: (1, 1))
    dtype = property(lambda self: numpy.dtype("float32"))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        logits = self.classify(images.flatten(1))
        return logits if self.training else logits.numpy().view(Sly)
