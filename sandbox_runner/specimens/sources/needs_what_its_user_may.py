"""Needs a little of what the kernel grants to one user, after another job has taken all of it."""

import fcntl
import os
import socket
import time

import torch

for _ in range(8):
    reading, writing = os.pipe()
    print("TRIED", fcntl.fcntl(writing, 1032))
    if fcntl.fcntl(writing, 1032) < 65536:
        print("BREACH small pipes")
    ours, theirs = socket.socketpair()
    socket.send_fds(ours, [b"x"], [0])
    time.sleep(0.2)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
