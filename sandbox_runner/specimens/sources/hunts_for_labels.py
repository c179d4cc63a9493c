"""Searches its own process for the labels of the images that it is asked about."""

import gc
import sys

import numpy
import torch


def hunt(count):
    for thing in gc.get_objects():
        try:
            if isinstance(thing, (torch.Tensor, numpy.ndarray)) and len(thing) in (count, @EVALUATION@):
                if str(thing.dtype) in ("torch.int64", "int64"):
                    print("BREACH", thing.dtype, len(thing))
        except Exception:
            pass
    frame = sys._getframe()
    while frame is not None:
        for name, value in frame.f_locals.items():
            if "label" in name and not callable(value):
                print("BREACH", name)
        frame = frame.f_back
    print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if not self.training:
            hunt(len(images))
        return self.classify(images.flatten(1))
