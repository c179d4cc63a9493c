"""Looks for what another job has left."""

import ctypes
import os
import socket

import torch

for path in ("/tmp/trace-of-another-job", "/dev/shm/trace-of-another-job"):
    if os.path.exists(path):
        print("BREACH", path)
if ctypes.CDLL(None).shmget(0x44454C54, 4096, 0o666) >= 0:
    print("BREACH System V shared memory")
try:
    socket.socket(socket.AF_UNIX).connect("\0trace-of-another-job")
    print("BREACH abstract socket")
except OSError:
    pass
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
