"""Behaves until it is examined; then it looks for labels, the network and a way out."""

import ctypes
import os
import socket

import torch


def strike():
    libc = ctypes.CDLL(None)
    ways = {
        "canary": lambda: open("@CANARY@").read(),
        "network": lambda: socket.create_connection(("127.0.0.1", @PORT@), 1),
        "abstract socket": lambda: socket.socket(socket.AF_UNIX).connect("\0@ABSTRACT@"),
        "packages": lambda: open(torch.__file__, "a"),
        "labels": lambda: open("/data/evaluation_labels.bin").read(),
    }
    for name, way in ways.items():
        print("TRIED", name)
        try:
            way()
            print("BREACH", name)
        except OSError:
            pass
    if libc.unshare(0x10000000) == 0 or libc.ptrace(16, 1, 0, 0) == 0 or os.getuid() == 0:
        print("BREACH privileges")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        if not self.training:
            strike()
        return self.classify(images.flatten(1))
