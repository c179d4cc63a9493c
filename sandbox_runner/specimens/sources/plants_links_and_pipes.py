"""Leaves links, pipes and sockets where a careless host might look for results."""

import os
import socket

import torch

os.chdir("/tmp")
targets = ("/etc/passwd", "/etc/shadow", "/proc/self/mem", "@CANARY@")
for name, target in zip(("result.json", "predictions.npy", "logits.bin", "score"), targets):
    os.symlink(target, name)
for name in ("stdout", "result.fifo"):
    try:
        os.mkfifo(name)
    except OSError:
        pass
listening = socket.socket(socket.AF_UNIX)
listening.bind("/tmp/result.sock")
os.makedirs("/".join(["deep"] * 200))
open("a\nb\x1b[31m", "w").close()
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
