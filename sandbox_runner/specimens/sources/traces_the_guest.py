"""Traces every call of the guest and reads the variables of its frames while it is examined."""

import sys
import threading

import torch

examined = []


def trace(frame, event, argument):
    if examined and "sandbox_runner" in frame.f_code.co_filename:
        for name, value in frame.f_locals.items():
            if "label" in name and isinstance(value, torch.Tensor):
                print("BREACH", frame.f_code.co_name, name)
    return trace if "sandbox_runner" in frame.f_code.co_filename else None


frame = sys._getframe()
while frame is not None:
    frame.f_trace = trace
    frame = frame.f_back
sys.settrace(trace)
threading.settrace(trace)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if not self.training:
            examined.append(len(images))
            print("TRIED", examined)
        return self.classify(images.flatten(1))
