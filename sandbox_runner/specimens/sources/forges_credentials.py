"""Signs its messages on unix sockets as root and as process 1."""

import os
import socket
import struct

import torch

SO_PASSCRED, SCM_CREDENTIALS = 16, 2
ours, theirs = socket.socketpair()
theirs.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
for pid, uid, gid in ((1, 0, 0), (os.getpid(), 0, 0), (1, os.getuid(), os.getgid()), (os.getpid(), os.getuid(), 0)):
    print("TRIED", pid, uid, gid)
    try:
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, SCM_CREDENTIALS, struct.pack("iii", pid, uid, gid))])
        print("BREACH", pid, uid, gid)
    except OSError:
        pass
try:
    with open("/proc/self/status") as file:
        groups = next(line for line in file if line.startswith("Groups:")).split()[1:]
    if "0" in groups:
        print("BREACH groups", groups)
except OSError:
    pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
