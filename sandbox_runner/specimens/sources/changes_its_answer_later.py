"""Changes the tensor that it has returned, from a thread, while the guest sends it."""

import threading
import time

import torch


def spoil(logits):
    time.sleep(0.2)
    logits.fill_(float("nan"))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        logits = self.classify(images.flatten(1))
        if not self.training:
            print("TRIED")
            threading.Thread(target=spoil, args=(logits,)).start()
        return logits
