"""Locks every second byte of its files: memory of the kernel that no limit counts."""

import fcntl
import os
import struct

import torch

F_OFD_SETLK = 37
made = 0
for number in range(100):
    file = os.open(f"/tmp/locked-{number}", os.O_CREAT | os.O_RDWR)
    for command in (fcntl.F_SETLK, F_OFD_SETLK):
        try:
            for place in range(0, 2000, 2):
                fcntl.fcntl(file, command, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, place, 1, 0))
                made += 1
        except OSError:
            pass
print("TRIED", made)
if made > 20_000:
    print("BREACH", made, "locks")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
