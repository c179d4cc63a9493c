"""Leaves files, shared memory and a socket for a next job to find."""

import ctypes
import socket

import torch

for path in ("/tmp/trace-of-another-job", "/dev/shm/trace-of-another-job"):
    open(path, "w").close()
ctypes.CDLL(None).shmget(0x44454C54, 4096, 0o1666)
abstract = socket.socket(socket.AF_UNIX)
try:
    abstract.bind("\0trace-of-another-job")
    abstract.listen()
except OSError:
    pass
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
